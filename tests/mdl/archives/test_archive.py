from __future__ import annotations

import hashlib
import io
import json
import lzma
import shutil
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz_archive import fuzz, rehashed
from mdl import compressors
from mdl.archives import Archive, ArchiveWriter, Block, Header
from mdl.archives import header as header_file
from mdl.archives.block_codec import BlockDecoder
from mdl.cli.archive import How, compress, decompress
from mdl.cli.path_resolution import find_model
from mdl.compressors import compress_stream, load_model
from mdl.compressors.language_model import LanguageModel
from mdl.device import choose_device
from mdl.errors import MdlError
from mdl.models import Shape, StackedTransformer, Stepper, stack, window_bits
from mdl.models.weights_file import save_weights
from mdl.records import RunPaths, write_record
from tests import synthetic
from tests.blocks import encode_block
from tests.command import assert_refused_here, leftovers, mdl
from tests.conftest import markov_text

SHAPE = Shape(8, 1, 1, context_tokens=32)
TEXT = markov_text(120_000)


def _weights(folder: Path, shape: Shape = SHAPE, seed: int = 0) -> Path:
    path = folder / f"{shape.label}-{seed}.safetensors"
    save_weights(path, shape, StackedTransformer(shape, [seed]).member(0))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def coder(weights: Path) -> LanguageModel:
    return LanguageModel(load_model(weights, torch.device("cpu")))


@pytest.fixture
def one_block_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_file, "_BLOCK_BYTES", 1024)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"\0" * 5000, bytes(range(256)) * 4, np.random.default_rng(0).bytes(9000), lzma.compress(TEXT)],
    ids=["empty", "one byte", "zeros", "all values", "random", "an xz file"],
)
@pytest.mark.usefixtures("one_block_is_small")
def test_any_content_comes_back(coder: LanguageModel, data: bytes) -> None:
    assert coder.decompress(coder.compress(data)) == data


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=30)
def test_any_bytes_come_back(coder: LanguageModel, data: bytes) -> None:
    assert coder.decompress(coder.compress(data)) == data


def test_golden_bytes_pin_the_format() -> None:
    header = Header(
        model_sha256="ab" * 32,
        shape=Shape(8, 1, 1, context_tokens=4),
        windows_per_block=2,
        embedded_bytes=3,
        writer="mdl 0",
    )
    target = io.BytesIO()
    writer = ArchiveWriter(target, header, b"WTS")
    writer.add(Block(n_bytes=8, stream=b"STRM", guard=b"g", crc32=0x01020304), b"8 bytes.")
    writer.add(Block(n_bytes=2, stream=b"MORE", guard=b"", crc32=0xFFFFFFFE), b"2.")
    writer.finish()
    raw = json.dumps(json.loads(header.to_json()), separators=(",", ":")).encode()
    assert raw == (
        b'{"model":{"sha256":"' + b"ab" * 32 + b'","width":8,"depth":1,"n_heads":1,"context_bytes":4},'
        b'"windows_per_block":2,"embedded_bytes":3,"writer":"mdl 0"}'
    )
    expected = b"\x93MDL\r\n\x1a\n" + b"\x01\0" + struct.pack("<I", len(raw)) + raw + b"WTS" + b"STRMgMORE"
    expected += bytes.fromhex("04000000 01000000 04030201 04000000 00000000 feffffff 0a00000000000000")
    expected += hashlib.sha256(b"8 bytes.2.").digest()
    expected += hashlib.sha256(expected).digest()
    assert target.getvalue() == expected
    assert writer.archive_bytes == len(expected)
    archive = Archive(io.BytesIO(expected))
    assert archive.header == header
    assert list(archive.blocks()) == [
        Block(n_bytes=8, stream=b"STRM", guard=b"g", crc32=0x01020304),
        Block(n_bytes=2, stream=b"MORE", guard=b"", crc32=0xFFFFFFFE),
    ]


@pytest.mark.parametrize(
    ("block_version", "stream"),
    [
        (1, "6acacc616563c7bf2f4618fa7e565be75ec3ff9129d61c31052dfd5ecd61c295"),
        (2, "9a4a76608099d275a4de577cd4249ef1e5f96fd1b2f07b3911b0454979847aba"),
    ],
)
def test_a_golden_archive_is_decoded_for_ever(block_version: int, stream: str) -> None:
    """A model made of plain numbers, an archive as bytes: what was written once must be read by every later version."""
    shape = Shape(4, block_version, 1, context_tokens=8, block=block_version)
    model = stack(shape, [_arithmetic_weights(shape)]).double()
    data = b"abracadabra, abracadabra"
    block = encode_block(model, np.frombuffer(data, np.uint8))
    assert block.stream.hex() == stream
    assert BlockDecoder(model).decode([block]) == [data]


def _arithmetic_weights(shape: Shape) -> dict[str, torch.Tensor]:
    """Multiples of 1/64 in a fixed pattern, free of any random generator."""
    like = StackedTransformer(shape, [0]).member(0)
    return {
        name: ((torch.arange(tensor.numel()) * 37 + i * 11) % 129 - 64).reshape(tensor.shape) / 64.0
        for i, (name, tensor) in enumerate(like.items())
    }


@pytest.mark.usefixtures("one_block_is_small")
def test_an_archive_of_a_plugins_model_says_which_and_no_other_has_the_key() -> None:
    """A header without it is written as ever; one that is no hash is refused."""
    shape = Shape(2, 1, 1, context_tokens=8)
    header = Header(model_sha256="0" * 64, shape=shape, windows_per_block=1, embedded_bytes=0, writer="mdl")
    assert b"plugin" not in header.to_json()
    own = replace(header, plugin_sha256="a" * 64)
    assert Header.from_json(own.to_json()) == own
    for wrong in (b'"xyz"', b"1", b"null", b'""'):
        with pytest.raises(MdlError, match="header is damaged or forged"):
            Header.from_json(own.to_json().replace(b'"' + b"a" * 64 + b'"', wrong))


def test_blocks_at_a_time_and_threads_do_not_matter(coder: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = coder.compress(TEXT[:10_000])
    from mdl.compressors import byte_model

    for at_a_time in (1, 3, 100):
        monkeypatch.setattr(byte_model, "_blocks_at_a_time", lambda header, device, n=at_a_time: n)
        assert coder.decompress(packed) == TEXT[:10_000]


def test_another_number_of_threads_decodes(coder: LanguageModel) -> None:
    packed, before = coder.compress(TEXT[:2000]), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert coder.decompress(packed) == TEXT[:2000]
    finally:
        torch.set_num_threads(before)


def _trained_a_little(shape: Shape) -> StackedTransformer:
    model = StackedTransformer(shape, [0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    windows = torch.from_numpy(np.frombuffer(TEXT[:119_936], np.uint8).reshape(-1, 128).copy())
    for step in range(60):
        batch = windows[step * 8 : step * 8 + 8][None]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(batch).view(-1, 256), batch.reshape(-1).long()).backward()
        optimizer.step()
    return model


def test_the_archive_costs_the_ideal_length_and_a_thousandth_and_a_kilobyte(tmp_path: Path) -> None:
    """Against −log2 p of the float32 model."""
    shape = Shape(16, 1, 1, context_tokens=128)
    model = _trained_a_little(shape)
    windows = torch.from_numpy(np.frombuffer(TEXT[:119_936], np.uint8).reshape(-1, 128).copy())
    path = tmp_path / "w.safetensors"
    save_weights(path, shape, model.member(0))
    ideal_bits = float(sum(window_bits(model, w.numpy()).double().sum() for w in windows.split(64)))
    packed = LanguageModel(load_model(path, torch.device("cpu"))).compress(TEXT[:119_936])
    assert ideal_bits < 5 * 119_936
    assert 8 * len(packed) <= 1.001 * ideal_bits + 8 * 1024


def test_memory_does_not_grow_with_the_file(coder: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block is read, coded and written before the next but one is read."""
    monkeypatch.setattr(header_file, "_BLOCK_BYTES", 512)
    events: list[str] = []

    class Reading(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 < size <= 512
            events.append("read")
            return super().read(size)

    class Writing(io.BytesIO):
        def write(self, data: object, /) -> int:
            events.append("write")
            return super().write(data)  # type: ignore[arg-type]

    target = Writing()
    compress_stream(Reading(TEXT[:5120]), target, coder.exact)
    reads = [i for i, e in enumerate(events) if e == "read"]
    assert len(reads) == 11  # the last finds the end
    assert all("write" in events[a:b] for a, b in zip(reads, reads[2:], strict=False))


@pytest.mark.parametrize("n_bytes", [1, 5, 4096, 9001])
def test_what_the_model_would_expand_is_stored(coder: LanguageModel, n_bytes: int) -> None:
    """Incompressible data grows by the header, the table and three bytes at the most, and comes back."""
    noise = np.random.default_rng(n_bytes).bytes(n_bytes)
    packed = coder.compress(noise)
    n_blocks = Archive(io.BytesIO(packed)).n_blocks
    assert len(packed) <= n_bytes + len(coder.compress(b"")) + 16 * n_blocks
    assert coder.decompress(packed) == noise


def likely_bytes(model: StackedTransformer, n_bytes: int) -> bytes:
    """What this model, which has not learned anything, compresses: in every window the byte that it expects most."""
    T = model.shape.context_tokens
    stepper, windows = Stepper(model, n_bytes // T, T), np.zeros((n_bytes // T, T), np.uint8)
    for t in range(T):
        windows[:, t] = stepper.logits(windows[:, t - 1] if t else None).argmax(-1).numpy()
    return windows.tobytes()


def test_stored_and_coded_blocks_in_one_archive_come_back(
    coder: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_file, "_BLOCK_BYTES", 512)
    likely = likely_bytes(coder.exact.model, 2048)
    content = likely[:1024] + np.random.default_rng(1).bytes(1024) + likely[1024:1724]
    packed = coder.compress(content)
    stored = [block.is_stored for block in Archive(io.BytesIO(packed)).blocks()]
    assert stored == [False, False, True, True, False, False]
    assert coder.decompress(packed) == content


def test_a_stored_block_of_another_length_is_refused() -> None:
    for stream in (b"abc", b"abcdefgh", b"abcd\0\0\0\1"):
        with pytest.raises(MdlError, match="not as long as its content"):
            Block(n_bytes=4 if len(stream) < 8 else 5, stream=stream, guard=b"\xff", crc32=0).stored_content()


def test_five_hundred_mutations_give_one_line_or_the_exact_bytes() -> None:
    """Seed 0; that half of the archives' fields are met by 500 is checked by how many different ends there are."""
    outcomes = fuzz(seed=0, count=500)
    assert outcomes.total() == 500
    assert len(outcomes) > 15
    assert outcomes["exact"] < 50


def test_every_single_bit_is_guarded(coder: LanguageModel) -> None:
    packed = coder.compress(b"to be, or not to be")
    for at in range(len(packed)):
        damaged = packed[:at] + bytes([packed[at] ^ 1 << at % 8]) + packed[at + 1 :]
        with pytest.raises(MdlError):
            coder.decompress(damaged)


@pytest.mark.usefixtures("one_block_is_small")
def test_a_forged_stream_is_caught_by_the_checksum_of_its_block(coder: LanguageModel) -> None:
    """The hash of the whole is right here, so nothing but decoding can tell."""
    packed = coder.compress(TEXT[:3000])
    at = len(packed) // 2
    forged = rehashed(packed[:at] + bytes([packed[at] ^ 4]) + packed[at + 1 :])
    with pytest.raises(MdlError, match=r"checksum|damaged"):
        coder.decompress(forged)


def test_a_context_no_one_can_decode_is_refused() -> None:
    with pytest.raises(MdlError, match="context of 65,536"):
        Header(
            model_sha256="ab" * 32,
            shape=Shape(4, 1, 1, context_tokens=1 << 17),
            windows_per_block=1,
            embedded_bytes=0,
            writer="mdl",
        )
    with pytest.raises(MdlError, match="GiB"):
        Header(
            model_sha256="ab" * 32,
            shape=Shape(4096, 32, 128, context_tokens=1 << 16),
            windows_per_block=1,
            embedded_bytes=0,
            writer="mdl",
        )


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(MdlError, match="'nonsense' cannot be used"):
        choose_device("nonsense")


@pytest.fixture
def folder(tmp_path: Path, weights: Path) -> Path:
    (tmp_path / "book.txt").write_bytes(TEXT[:3000])
    shutil.copy(weights, tmp_path / "w.safetensors")
    return tmp_path


def test_compress_inspect_decompress(folder: Path) -> None:
    """With the weights inside, so that the archive alone is enough; the default names; nothing left behind."""
    made = mdl("compress", "book.txt", "--model", "w.safetensors", "--embed-model", cwd=folder)
    assert made.returncode == 0, made.stderr
    told = mdl("inspect", "book.txt.mdl", cwd=folder)
    assert "3,000 bytes, sha256 " + hashlib.sha256(TEXT[:3000]).hexdigest() in told.stdout
    assert hashlib.sha256((folder / "w.safetensors").read_bytes()).hexdigest() in told.stdout
    assert "bits per byte" in told.stdout
    assert "8x1, context 32 bytes" in told.stdout
    assert "for the keys and values of a block" in told.stdout
    (folder / "book.txt").rename(folder / "original.txt")
    (folder / "w.safetensors").unlink()
    back = mdl("decompress", "book.txt.mdl", cwd=folder)
    assert back.returncode == 0, back.stderr
    assert (folder / "book.txt").read_bytes() == TEXT[:3000]
    assert not leftovers(folder)
    again = mdl("decompress", "book.txt.mdl", cwd=folder)
    assert again.returncode == 2
    assert "there already" in again.stderr


def test_the_model_is_found_by_its_hash_or_named_by_it(folder: Path) -> None:
    sha256 = hashlib.sha256((folder / "w.safetensors").read_bytes()).hexdigest()
    runs, archive, out = folder / "runs", folder / "b.mdl", folder / "out"
    compress(folder / "book.txt", archive, str(folder / "w.safetensors"), How(), runs=runs, device="cpu")
    with pytest.raises(MdlError, match=sha256):
        decompress(archive, out, None, runs, "cpu")
    with pytest.raises(MdlError, match=sha256):
        decompress(archive, out, str(_weights(folder, seed=1)), runs, "cpu")
    assert not out.exists()
    assert not leftovers(folder)
    (runs / "quick" / "a-run").mkdir(parents=True)
    (folder / "w.safetensors").rename(runs / "quick" / "a-run" / "final.safetensors")
    decompress(archive, out, None, runs, "cpu")
    assert out.read_bytes() == TEXT[:3000]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compress", "book.txt", "--model", "nowhere"), "no model at nowhere"),
        (("compress", "book.txt", "--model", "."), "not a run's folder"),
        (("compress", "book.txt"), "no sweep in runs"),
        (("compress", "book.txt", "-o", "book.txt", "--model", "w.safetensors"), "is the input"),
        (("compress", "book.txt", "--model", "book.txt"), "does not hold weights"),
        (("compress", "missing.txt", "--model", "w.safetensors"), "No such file"),
        (("compress", ".", "--model", "w.safetensors"), ". is a folder; name one file"),
        (("decompress", "book.txt", "-o", "out"), "not an mdl archive"),
        (("decompress", "book.txt"), "does not end in .mdl"),
        (("inspect", "w.safetensors"), "not an mdl archive"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_user_can_mend_is_one_line_and_exit_2(
    folder: Path,
    arguments: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert_refused_here(arguments, says, monkeypatch, capsys)
    assert (folder / "book.txt").read_bytes() == TEXT[:3000]
    assert not leftovers(folder)


def test_auto_takes_the_best_adjusted_model_of_the_subsets_nearest_in_size(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "s")
    costs = {("8x1", 10_000): 40_000.0, ("32x2", 10_000): 2_000.0, ("8x1", 1_000_000): 3.2e6, ("64x2", 1_000_000): 3e6}
    names = {}
    for (size, subset_bytes), bits in costs.items():
        record = synthetic.cell(size, subset_bytes, bits)
        names[size, subset_bytes] = record.run_id
        write_record(record, paths.record(record.run_id))
    write_record(synthetic.cell("4x1", 1_000_000, None, seed=3), paths.record("failed"))
    paths.manifest.write_text("{}")
    # 32x2 knows its 10 KB by heart (2 000 bits) but costs 66 KB; 64x2 codes 1 MB in 25 KB less, at 224 KB more.
    for size_bytes, expected in (
        (9_000, ("8x1", 10_000)),
        (1_100_000, ("8x1", 1_000_000)),
        (10**9, ("64x2", 1_000_000)),
    ):
        for word in ("auto", str(paths.root)):
            choice = find_model(word, tmp_path, size_bytes)
            assert Path(choice.word) == paths.record(names[expected]).parent
            assert names[expected] in choice.reason


def test_a_file_that_is_written_to_while_it_is_compressed_gives_no_archive(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the old and the new bytes together it would be an archive of no file that there ever was."""
    (tmp_path / "grows").write_bytes(TEXT[:1000])
    usual = compressors.compress_stream

    def grown(*arguments: Any, **more: Any) -> Any:
        done = usual(*arguments, **more)
        with (tmp_path / "grows").open("ab") as stream:
            stream.write(b"more")
        return done

    monkeypatch.setattr(compressors, "compress_stream", grown)
    with pytest.raises(MdlError, match="was written to while it was being compressed"):
        compress(tmp_path / "grows", None, str(weights), How(), runs=tmp_path, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["grows"]


@pytest.mark.slow
@pytest.mark.parametrize("which", ["compress", "decompress"])
def test_a_command_that_is_ended_leaves_no_temporaries_and_no_half_file(tmp_path: Path, which: str) -> None:
    shape = Shape(16, 1, 1, context_tokens=128)
    save_weights(tmp_path / "w.safetensors", shape, _trained_a_little(shape).member(0))
    (tmp_path / "text").write_bytes(TEXT * 5)
    words = ["compress", "text", "-o", "text.mdl", "--model", "w.safetensors"]
    if which == "decompress":
        assert mdl(*words, cwd=tmp_path).returncode == 0
        words = ["decompress", "text.mdl", "-o", "made", "--model", "w.safetensors"]
    before = sorted(tmp_path.iterdir())
    process = subprocess.Popen([sys.executable, "-m", "mdl.cli", *words], cwd=tmp_path, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob(".*.part/whole")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    ended = process.wait()
    if (tmp_path / "made").exists():  # decoding is fast; the signal may come after it
        assert (tmp_path / "made").read_bytes() == TEXT * 5
        assert ended in (0, 143, -signal.SIGTERM)
        return
    assert ended == 143
    after = sorted(path for path in tmp_path.iterdir() if not _holds_blocks(path))
    assert after == before


def _holds_blocks(path: Path) -> bool:
    """Whether it is what a command that was ended late goes on from."""
    blocks, decoded = path / "blocks", path / "whole"
    return path.suffix == ".part" and (blocks.stat().st_size > 32 or decoded.stat().st_size >= 1 << 18)
