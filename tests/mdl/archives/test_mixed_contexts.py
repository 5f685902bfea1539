"""Archives whose model is mixed with contexts: that they come back, what they cost, and what they say of themselves."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz_archive import rehashed
from mdl.archives import Archive, Header, header
from mdl.compressors import ExactModel, compress_stream, load_embedded, load_model
from mdl.errors import MdlError
from mdl.models import Shape, StackedTransformer, float64_stepwise
from mdl.models.weights_file import save_weights
from tests.command import assert_refused_here, comes_back, mdl
from tests.conftest import markov_text
from tests.mdl.archives.test_overlapping_windows import unpacked

T, LANE = 32, 64
BITS = 10
TEXT = markov_text(60_000)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> ExactModel:
    """A model that knows nothing: what is saved below is the contexts'."""
    model = StackedTransformer(Shape(8, 1, 1, context_tokens=T, block=2), [0])
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(path, model.shape, model.member(0))
    return load_model(path, torch.device("cpu"))


@pytest.fixture(autouse=True)
def short_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks in a few thousand bytes."""
    monkeypatch.setattr(header, "_MIXED_LANE_BYTES", LANE)
    monkeypatch.setattr(header, "_MIXED_LANES", 5)


def packed(
    exact: ExactModel, data: bytes, bits: int | None = BITS, stride: int | None = None, *, embed: bool = False
) -> bytes:
    target = io.BytesIO()
    compress_stream(io.BytesIO(data), target, exact, stride_bytes=stride, bucket_bits=bits, embed=embed)
    return target.getvalue()


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_bytes_come_back(exact: ExactModel, data: st.DataObject) -> None:
    """Random bytes, text and runs; windows side by side or overlapping; one lane, a shorter one, several blocks."""
    n_bytes = data.draw(st.integers(0, 3 * 5 * LANE))
    stride = data.draw(st.sampled_from([None, 1, 5, 31]))
    kind = data.draw(st.sampled_from(["text", "random", "equal", "cycle"]))
    start = data.draw(st.integers(0, 40_000))
    content = {
        "text": TEXT[start : start + n_bytes],
        "random": np.random.default_rng(start).bytes(n_bytes),
        "equal": bytes([start % 256]) * n_bytes,
        "cycle": (TEXT[start : start + 37] * 40)[:n_bytes],
    }[kind]
    archive = packed(exact, content, stride=stride)
    assert unpacked(archive, exact) == content


@pytest.mark.parametrize("n_bytes", [0, 1, T, LANE - 1, LANE, LANE + 1, 5 * LANE - 1, 5 * LANE, 5 * LANE + 1, 2000])
def test_archives_of_any_length_come_back(exact: ExactModel, n_bytes: int) -> None:
    """At the edges of windows, lanes and blocks."""
    assert unpacked(packed(exact, TEXT[:n_bytes]), exact) == TEXT[:n_bytes]


def test_contexts_learn_what_the_model_does_not_know(exact: ExactModel) -> None:
    """Text costs an untrained model 8 bits a byte; contexts take off more than half, and of a copy half again."""
    text = TEXT[:20_000]
    alone, mixed, twice = (len(packed(exact, data, bits)) for data, bits in ((text, None), (text, 14), (2 * text, 14)))
    assert alone > 0.99 * len(text)
    assert mixed < 0.5 * alone
    assert twice - mixed < 0.5 * mixed


def test_random_bytes_are_hardly_expanded(exact: ExactModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """By less than two in a hundred in lanes of the usual length, though no block is stored as it is."""
    monkeypatch.setattr(header, "_MIXED_LANE_BYTES", 4096)
    data = np.random.default_rng(1).bytes(20_000)
    assert len(packed(exact, data, 14)) < 1.02 * len(data) + 500


def test_what_was_coded_before_is_not_what_a_ring_of_the_past_has_room_for(exact: ExactModel) -> None:
    """Of content longer than the memory's ring, matches and contexts wrap around alike for both sides."""
    data = TEXT[:9000]  # the ring of 10 bits has 4,096
    assert unpacked(packed(exact, data, 10), exact) == data


def test_the_header_alone_says_how_to_decode_and_a_forged_one_is_refused(exact: ExactModel) -> None:
    """Version 4, with the memory's size; what no writer makes is refused."""
    archive = packed(exact, TEXT[:1000])
    opened = Archive(io.BytesIO(archive)).header
    assert (opened.version, opened.bucket_bits, opened.stride_bytes, opened.stretch_bytes) == (4, BITS, T, LANE)
    raw = opened.to_json()
    assert json.loads(raw)["bucket_bits"] == BITS
    for wrong in (b"9", b"23", b"0", b"true", b"1e1", b"-1"):
        forged = raw.replace(b'"bucket_bits":10', b'"bucket_bits":' + wrong)
        assert forged != raw
        with pytest.raises(MdlError):
            Header.from_json(forged, 4)
    for version in (1, 2, 3):
        with pytest.raises(MdlError):
            Header.from_json(raw, version)
    with pytest.raises(MdlError, match="no contexts are mixed so"):
        Header(
            model_sha256="0" * 64, shape=exact.shape, windows_per_block=5, embedded_bytes=0, writer="", bucket_bits=12
        )


@pytest.mark.slow
def test_a_damaged_block_is_told_and_nothing_else_happens(exact: ExactModel) -> None:
    """Whatever is changed in the stream, with a right SHA-256: one line, or the original."""
    data = TEXT[:1500]
    archive = packed(exact, data)
    whole = Archive(io.BytesIO(archive))
    first = archive.index(next(iter(whole.blocks())).stream)
    generator = np.random.default_rng(3)
    for _ in range(40):
        damaged = bytearray(archive)
        damaged[first + int(generator.integers(whole.stream_bytes))] ^= int(generator.integers(1, 256))
        with contextlib.suppress(MdlError):
            assert unpacked(rehashed(bytes(damaged)), exact) == data


def test_noise_within_epsilon_decodes_exactly(exact: ExactModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard list stands for the mixer's chances as for the coder's tables: another machine gets the same bytes."""
    archive, data = packed(exact, TEXT[:1200]), TEXT[:1200]
    original, noise = float64_stepwise.Stepper._logits, np.random.default_rng(5)

    def noisy(self: float64_stepwise.Stepper, length: int) -> torch.Tensor:
        logits = original(self, length)
        return logits + torch.from_numpy(noise.uniform(-4e-10, 4e-10, tuple(logits.shape)))

    monkeypatch.setattr(float64_stepwise.Stepper, "_logits", noisy)
    assert unpacked(archive, exact) == data


def test_golden_bytes_pin_version_4(tmp_path: Path) -> None:
    """A block of a tiny model: the format may not drift, on any machine."""
    shape = Shape(4, 1, 1, context_tokens=8, block=2)
    weights = {name: torch.full_like(weight, 0.0) for name, weight in StackedTransformer(shape, [0]).member(0).items()}
    save_weights(tmp_path / "w.safetensors", shape, weights)
    uniform = load_model(tmp_path / "w.safetensors", torch.device("cpu"))
    content = TEXT[:400] + b"\x00\xff" * 20 + TEXT[:200]
    archive = packed(uniform, content)
    assert unpacked(archive, uniform) == content
    stream = b"".join(block.stream for block in Archive(io.BytesIO(archive)).blocks())
    assert hashlib.sha256(stream).hexdigest() == "b9de0546120bf00b5ba9caf385b25bbbe1ec8d8ee50d3ebdc9782b380d8f8c6a"


def test_the_model_travels_with_the_archive(exact: ExactModel) -> None:
    """Embedded weights, as in the other versions."""
    archive = packed(exact, TEXT[:500], embed=True)
    opened = Archive(io.BytesIO(archive))
    assert unpacked(archive, load_embedded(opened, torch.device("cpu"))) == TEXT[:500]


def test_without_numba_it_is_refused_by_name(exact: ExactModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line that says what to install, for writing and for reading."""
    archive = packed(exact, TEXT[:100])
    monkeypatch.setitem(__import__("sys").modules, "numba", None)
    for act in (lambda: packed(exact, TEXT[:100]), lambda: unpacked(archive, exact)):
        with pytest.raises(MdlError, match=r"numba; pip install 'mdl-critical-size\[mixing\]'"):
            act()


@pytest.mark.slow
def test_the_command_writes_reads_and_tells_of_it(
    exact: ExactModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "mixed with contexts" in comes_back(TEXT[:4_000], tmp_path, exact.weights, "--contexts")
    told = json.loads(mdl("inspect", "book.mdl", "--json", cwd=tmp_path).stdout)
    assert (told["stride_bytes"], told["bucket_bits"]) == (None, 11)
    assert "mixed with the model; decoding takes" in mdl("inspect", "book.mdl", cwd=tmp_path).stdout
    monkeypatch.chdir(tmp_path)
    words = ("compress", "book.txt", "--contexts", "-o", "no.mdl", "--model", "hf:/nowhere")
    assert_refused_here(words, "for models of mdl's own", monkeypatch, capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.txt", "book.mdl", "book.txt"]
