"""Archives of overlapping windows: what they cost, that they come back, and what they say of themselves."""

from __future__ import annotations

import io
import itertools
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz_archive import rehashed
from mdl.archives import Archive, Header, block_codec, header, stretch_bytes
from mdl.archives.block_codec import BlockDecoder, Lanes
from mdl.compressors import compress_stream, decompress_stream, load_embedded, load_model
from mdl.compressors.byte_model import ExactModel
from mdl.entropy import guard_list, logit_rounding
from mdl.errors import MdlError
from mdl.models import (
    Shape,
    StackedTransformer,
    Stepper,
    WindowCut,
    code_lengths,
    float64_parallel,
    float64_stepwise,
    parallel_logits,
    stack,
)
from mdl.models.weights_file import save_weights
from tests.arrays import ArrayView
from tests.blocks import encode_block
from tests.command import assert_refused_here, comes_back, mdl
from tests.conftest import markov_text

T = 32
TEXT = markov_text(60_000)
DATA = np.frombuffer(TEXT, np.uint8).copy()


def trained(block: int, *, context_bytes: int = T, steps: int = 40) -> StackedTransformer:
    model = StackedTransformer(Shape(16, 2, 1, context_tokens=context_bytes, block=block), [0])
    optimizer, generator = torch.optim.AdamW(model.parameters(), lr=1e-2), np.random.default_rng(0)
    for _ in range(steps):
        starts = generator.integers(0, len(DATA) - context_bytes, 16)
        windows = torch.from_numpy(np.stack([DATA[s : s + context_bytes] for s in starts]))[None]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(windows).view(-1, 256), windows.reshape(-1).long()).backward()
        optimizer.step()
    return model.requires_grad_(False)


@pytest.fixture(scope="module", params=[1, 2], ids=["block 1", "block 2"])
def exact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExactModel:
    model = trained(request.param)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(path, model.shape, model.member(0))
    return load_model(path, torch.device("cpu"))


def packed(exact: ExactModel, data: bytes, stride: int | None, *, embed: bool = False) -> bytes:
    target = io.BytesIO()
    compress_stream(io.BytesIO(data), target, exact, stride_bytes=stride, embed=embed)
    return target.getvalue()


def unpacked(archive: bytes, exact: ExactModel) -> bytes:
    target = io.BytesIO()
    decompress_stream(Archive(io.BytesIO(archive)), target, exact)
    return target.getvalue()


@pytest.mark.parametrize("on_cuda", [False, True], ids=["as on a CPU", "laid out as on CUDA"])
@pytest.mark.parametrize("n_known", [1, 2, 17, T - 1])
def test_what_is_taken_in_at_once_leaves_the_stepper_where_steps_would(
    exact: ExactModel, n_known: int, on_cuda: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To 1e-12 of every logit after it, whatever the windows were that it held before, a few windows at a time."""
    windows = DATA[: 3 * T].reshape(3, T)
    expected = parallel_logits(exact.model, torch.from_numpy(windows))
    monkeypatch.setattr(float64_stepwise, "_PREFILL_BYTES", {"cpu": 128 * n_known * 16 * 2})
    stepper = Stepper(exact.model, 3, T)
    stepper._plain = on_cuda
    for _ in range(2):
        stepper.prefill(windows[:, :n_known])
        for t in range(n_known, T):
            logits = stepper.logits(windows[:, t - 1])
            assert float((logits - expected[:, t]).abs().max()) < 1e-12


def test_the_probe_sees_a_prefilled_stepper_that_computes_otherwise(
    exact: ExactModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = Lanes(WindowCut(T, 8), 4 * T)
    block_codec.probe(exact.model, DATA[:200], lanes)
    plain = Stepper._take_over

    def off(self: Stepper, rows: slice, layer: int, keys: torch.Tensor, *rest: torch.Tensor) -> None:
        plain(self, rows, layer, keys + 1e-9, *rest)

    monkeypatch.setattr(Stepper, "_take_over", off)
    with pytest.raises(MdlError, match="not stable enough"):
        block_codec.probe(exact.model, DATA[:200], lanes)
    assert float64_parallel.largest_difference(exact.model, DATA[:T][None]) < 1e-12


@given(st.data())
@settings(deadline=None, max_examples=12)
def test_any_bytes_come_back_at_any_stride(exact: ExactModel, data: st.DataObject) -> None:
    stride, stretch = data.draw(st.integers(1, T - 1)), data.draw(st.integers(T, 5 * T))
    content = np.frombuffer(data.draw(st.binary(min_size=1, max_size=300)) + TEXT[:150], np.uint8)
    lanes = Lanes(WindowCut(T, stride), stretch)
    block = encode_block(exact.model, content, lanes)
    assert BlockDecoder(exact.model, lanes).decode([block]) == [content.tobytes()]


@pytest.mark.parametrize(
    ("n_bytes", "stride"),
    [
        *itertools.product([0, 1, T - 1, T, T + 1], [1, 5, 16, 31]),
        (32 * T, 5),
        pytest.param(32 * T + 1, 1, marks=pytest.mark.slow),
        (5_000, 16),
    ],
)
def test_archives_of_any_length_come_back(exact: ExactModel, stride: int, n_bytes: int) -> None:
    archive = packed(exact, TEXT[:n_bytes], stride)
    assert unpacked(archive, exact) == TEXT[:n_bytes]
    assert Archive(io.BytesIO(archive)).header.stride_bytes == stride


def test_blocks_in_lockstep_are_decoded_as_each_alone(exact: ExactModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many at a time, the last one shorter; and what the parallel pass has at once changes no byte."""
    from mdl.compressors import byte_model

    monkeypatch.setattr(header, "MAX_BLOCK_BYTES", 1_000)
    monkeypatch.setattr(header, "_STRETCH_WINDOWS", 8)
    text = TEXT[:2_900]
    archive = packed(exact, text, 12)
    assert Archive(io.BytesIO(archive)).n_blocks == 4
    for at_a_time in (1, 2, 100):
        monkeypatch.setattr(byte_model, "_blocks_at_a_time", lambda header, device, n=at_a_time: n)
        assert unpacked(archive, exact) == text
    monkeypatch.setattr(block_codec, "_windows_a_call", lambda model, length: 1)
    one = packed(exact, text, 12)
    for mine, theirs in zip(Archive(io.BytesIO(one)).blocks(), Archive(io.BytesIO(archive)).blocks(), strict=True):
        assert mine.stream == theirs.stream


def test_noise_within_epsilon_decodes_exactly_and_only_for_the_list(
    exact: ExactModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """±0.9 of a band so wide that the list is long, on what is stepped after what was taken in at once."""
    monkeypatch.setattr(logit_rounding, "EPSILON", 1e-5)
    lanes, data = Lanes(WindowCut(T, 8), 8 * T), DATA[:8_000]
    coded = encode_block(exact.model, data, lanes)
    listed = guard_list.unpack(coded.guard, data.size * 256)
    assert listed.index.size > 300
    assert (np.diff(listed.index) > 0).all()
    plain, generator = Stepper._logits, torch.Generator().manual_seed(5)

    def noisy(self: Stepper, length: int) -> torch.Tensor:
        logits = plain(self, length)
        return logits + 0.9e-5 * (torch.randint(0, 2, logits.shape, generator=generator) * 2.0 - 1)

    monkeypatch.setattr(Stepper, "_logits", noisy)
    assert BlockDecoder(exact.model, lanes).decode([coded]) == [data.tobytes()]
    bare = block_codec.Block(n_bytes=coded.n_bytes, stream=coded.stream, guard=b"", crc32=coded.crc32)
    with pytest.raises(MdlError, match=r"damaged|checksum"):
        BlockDecoder(exact.model, lanes).decode([bare])


@pytest.mark.parametrize("stride", [4, 16])
def test_an_archive_costs_what_the_second_code_length_says(exact: ExactModel, stride: int) -> None:
    """Streams and guard lists within a hair (0.1 % and 64 bits a block) of it, and most of what it gains is gained."""
    text = TEXT[:20_000]
    view = ArrayView(text)
    single = exact.model.float()
    ends = {
        s: code_lengths(single, view, "train", [len(text)], stride=s)[0].bits_by_position.sum() for s in (None, stride)
    }
    exact.model.double()
    archive = Archive(io.BytesIO(packed(exact, text, stride)))
    plain = Archive(io.BytesIO(packed(exact, text, None)))
    bits = 8 * (archive.stream_bytes + archive.guard_bytes)
    assert abs(bits - ends[stride]) <= 0.001 * ends[stride] + 64 * archive.n_blocks
    gained = 8 * (plain.stream_bytes + plain.guard_bytes) - bits
    assert ends[stride] < ends[None]
    assert gained > 0.9 * (ends[None] - ends[stride]) - 64 * plain.n_blocks


def test_golden_bytes_pin_version_3() -> None:
    """A model made of plain numbers: header and stream as they were first written are read by every later version."""
    for version, stream in GOLDEN.items():
        shape = Shape(4, version, 1, context_tokens=8, block=version)
        like = StackedTransformer(shape, [0]).member(0)
        weights = {
            name: ((torch.arange(tensor.numel()) * 37 + i * 11) % 129 - 64).reshape(tensor.shape) / 64.0
            for i, (name, tensor) in enumerate(like.items())
        }
        model, data = stack(shape, [weights]).double(), b"abracadabra, abracadabra, abracadabra"
        lanes = Lanes(WindowCut(8, 3), 20)
        block = encode_block(model, np.frombuffer(data, np.uint8), lanes)
        assert block.stream.hex() == stream
        assert BlockDecoder(model, lanes).decode([block]) == [data]
    made = Header(
        model_sha256="ab" * 32,
        shape=Shape(8, 1, 1, context_tokens=4),
        windows_per_block=2,
        embedded_bytes=0,
        writer="mdl 0",
        stride_bytes=3,
        stretch_bytes=20,
    )
    assert (made.version, made.block_bytes) == (3, 40)
    assert made.to_json() == (
        b'{"model":{"sha256":"' + b"ab" * 32 + b'","width":8,"depth":1,"n_heads":1,"context_bytes":4},'
        b'"windows_per_block":2,"embedded_bytes":0,"writer":"mdl 0","coded":false,"stride_bytes":3,"stretch_bytes":20}'
    )


GOLDEN = {
    1: "8fb2cc619825103a5b24c27bc267daaaae0ce89d843d37af6be5655b9b15134b87e519ce23caad3f5ee66cad3af70e8e",
    2: "97fd73601b994e49de18410804d1dde71c55b43852f99aebcd6cada61479a980c03daf91d5a6a64de1895828ff1f2b8a",
}


def test_the_header_alone_says_how_to_decode_and_a_forged_one_is_refused(exact: ExactModel) -> None:
    """Every impossible value, under a right hash, is one line."""
    archive = packed(exact, TEXT[:500], 8, embed=True)
    assert struct.unpack_from("<8sH", archive) == (b"\x93MDL\r\n\x1a\n", 3)
    opened = Archive(io.BytesIO(archive))
    assert (opened.header.stride_bytes, opened.header.stretch_bytes) == (8, stretch_bytes(exact.shape))
    assert unpacked(archive, load_embedded(opened, torch.device("cpu"))) == TEXT[:500]
    length = struct.unpack_from("<I", archive, 10)[0]
    for change in (
        {"stride_bytes": 0},
        {"stride_bytes": T},
        {"stride_bytes": -1},
        {"stride_bytes": 2.0},
        {"stretch_bytes": T - 1},
        {"stretch_bytes": 1 << 21},
        {"stretch_bytes": 0},
        {"coded": 0},
        {"stride_bytes": 0, "stretch_bytes": 0},
        {"windows_per_block": 1 << 12},
    ):
        told = json.loads(archive[14 : 14 + length]) | change
        raw = json.dumps(told, separators=(",", ":")).encode()
        forged = archive[:10] + struct.pack("<I", len(raw)) + raw + archive[14 + length :]
        with pytest.raises(MdlError) as refused:
            Archive(io.BytesIO(rehashed(forged)))
        assert "\n" not in str(refused.value), change


@pytest.mark.parametrize("stride", [0, -1, T, 1000])
def test_a_stride_that_the_model_cannot_have_is_refused(exact: ExactModel, stride: int) -> None:
    with pytest.raises(MdlError, match="at least 1 and less than the model's context, 32 bytes"):
        packed(exact, TEXT[:100], stride)


def test_the_command_writes_reads_and_tells_of_it(
    exact: ExactModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "a window every 8 bytes" in comes_back(TEXT[:4_000], tmp_path, exact.weights, "--stride-bytes", "8")
    told = json.loads(mdl("inspect", "book.mdl", "--json", cwd=tmp_path).stdout)
    assert told["stride_bytes"] == 8
    monkeypatch.chdir(tmp_path)
    for wrong, says in (("0", "at least 1"), ("32", "less than the model's context"), ("x", "not a size in bytes")):
        words = ("compress", "book.txt", "--stride-bytes", wrong, "-o", "no.mdl", "--model", str(exact.weights))
        assert_refused_here(words, says, monkeypatch, capsys)
    words = ("compress", "book.txt", "--stride-bytes", "8", "-o", "no.mdl", "--model", "hf:/nowhere")
    assert_refused_here(words, "for models of mdl's own", monkeypatch, capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.txt", "book.mdl", "book.txt"]
