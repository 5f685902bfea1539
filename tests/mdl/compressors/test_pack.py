from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import signal
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.records import tables as analysed
from benchmarks.fuzz_archive import rehashed
from mdl import compressors
from mdl.archives import Archive, ArchiveWriter, Block, Header
from mdl.cli.pack import Asked, unpack
from mdl.cli.pack import pack as pack_run
from mdl.compressors import compress_stream, self_contained
from mdl.compressors.byte_model import decompress_stream, load_coded, load_embedded
from mdl.config import Cell, Cohort, from_flat
from mdl.config.run_config import _LATER, _NOT_RESULT
from mdl.data import open_corpus
from mdl.errors import MdlError
from mdl.models import Shape
from mdl.quantization import PRECISIONS, calibration_windows, coded_models
from mdl.quantization.weight_codec import FULL_BITS, Quantised, encode_quantised, matrix_shapes
from mdl.records import RunPaths, store
from mdl.storage import hashing
from mdl.training import run_cohort
from tests.command import assert_refused_here, leftovers, mdl
from tests.conftest import markov_text

D = 40_000


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's folder with two runs: measured at every precision, and not; beside it the corpus."""
    folder = tmp_path_factory.mktemp("pack")
    (folder / "text.txt").write_bytes(markov_text(80_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDL_CACHE", str(folder / "cache"))
        for coded in (True, False):
            flat = {
                "source": f"file:{folder / 'text.txt'}",
                "subset_bytes": D,
                "size": "8x1",
                "context_bytes": 64,
                "steps": 60,
                "block_bytes": 512,
                "heldout_bytes": "10KB",
                "heldout_sample_bytes": 2048,
                "reach_ratio": 1,
                "coded_weights": coded,
            }
            config = from_flat(flat)
            run_cohort(Cohort((Cell(config.run_id, config),)), "s", RunPaths(folder / "runs" / "s"))
    return folder / "runs" / "s"


def _runs(runs: Path) -> tuple[Path, Path]:
    """(with the precisions in its record, without)."""
    folders = sorted(path.parent for path in runs.glob("*/record.json"))
    with_coded = [f for f in folders if store.read_cell(f / "record.json").snapshots[0].coded]
    return with_coded[0], next(f for f in folders if f not in with_coded)


def _least(folder: Path) -> float:
    return min(each.total_bits for each in store.read_cell(folder / "record.json").snapshots[0].coded)


def test_the_record_holds_both_parts_at_every_precision(runs: Path) -> None:
    """And analysis reads them; a run that did not measure them keeps the name that it had before there were any."""
    measured, plain = _runs(runs)
    snapshots = store.read_cell(measured / "record.json").snapshots
    for snapshot in snapshots:
        assert tuple(each.bits for each in snapshot.coded) == PRECISIONS
        own = sum(s.code_bits for s in snapshot.segments if s.part == "train" and s.end_bytes <= D)
        assert snapshot.coded[-1].data_bits == pytest.approx(own, rel=1e-6)
    frame = analysed.load(runs).coded
    assert set(frame["run_id"]) == {measured.name}
    row = frame[(frame["snapshot"] == "final") & (frame["precision_bits"] == 4)].iloc[0]
    four = next(each for each in snapshots[0].coded if each.bits == 4)
    assert (row["coder"], row["model_bits"], row["data_bits"]) == (four.coder, four.model_bits, four.data_bits)
    config = json.loads((plain / "record.json").read_bytes())["config"]
    assert config["measure.coded_weights"] is False
    older = {k: v for k, v in config.items() if k not in {*_NOT_RESULT, *_LATER}}
    assert plain.name == f"8x1-40KB-s0-{hashing.digest(older)}"


def test_the_size_of_the_file_is_the_recorded_two_part_code_and_another_process_decodes_it(
    runs: Path, tmp_path: Path
) -> None:
    """Within 0.1 % and 1 KB; the folder in which it is unpacked has nothing but the file."""
    measured, _ = _runs(runs)
    made = mdl("pack", measured, "-o", tmp_path / "subset.mdl", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    size = (tmp_path / "subset.mdl").stat().st_size
    assert abs(8 * size - _least(measured)) <= 0.001 * _least(measured) + 8 * 1024
    rows = [line.split(maxsplit=1) for line in made.stdout.splitlines()]
    told = dict(rows)
    assert list(told) == ["raw", "model", "data", "precision", "total", "rate", "beside", "programs"]
    assert told["rate"].startswith(f"{size / D:.4f}")
    assert f"{size:,} bytes" in told["total"]
    beside = {line.split()[0]: line for kind, line in rows if kind == "beside"}
    ppmd = len(compressors.get("ppmd").compress(self_contained.open_run(measured).corpus.train.read(0, D).tobytes()))
    assert set(beside) >= set(compressors.coders_for("text"))
    assert f"{ppmd:,} bytes, {ppmd / D:.4f}: this file is {abs(size / ppmd - 1):.1%} " in beside["ppmd"]
    assert re.match(r"not counted: mdl \d+ MB, torch [\d,]+ MB; .*gzip 0.12 MB", told["programs"])
    assert not leftovers(tmp_path)
    back = mdl("unpack", "subset.mdl", "-o", "data.bin", cwd=tmp_path, MDL_CACHE=str(tmp_path / "no-cache"))
    assert back.returncode == 0, back.stderr
    run = self_contained.open_run(measured)
    assert (tmp_path / "data.bin").read_bytes() == run.corpus.train.read(0, D).tobytes()
    inspected = mdl("inspect", "subset.mdl", cwd=tmp_path)
    assert "8x1, context 64 bytes, 2,840 parameters, in the archive" in inspected.stdout


@pytest.mark.slow
def test_without_measured_precisions_the_least_total_of_a_sample_is_taken(runs: Path, tmp_path: Path) -> None:
    """Which is the recorded one here, where the sample is the whole subset."""
    measured, plain = _runs(runs)
    recorded = min(store.read_cell(measured / "record.json").snapshots[0].coded, key=lambda each: each.total_bits)
    assert self_contained.choose_coded(self_contained.open_run(plain)).bits == recorded.bits
    assert self_contained.choose_coded(self_contained.open_run(measured)).bits == recorded.bits


@pytest.fixture(scope="module")
def strided(runs: Path) -> Path:
    """A run with a second code length."""
    plain = store.read_cell(_runs(runs)[1] / "record.json")
    config = from_flat(plain.config | {"measure.stride_bytes": 16})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDL_CACHE", str(runs.parents[1] / "cache"))
        run_cohort(Cohort((Cell(config.run_id, config),)), "strided", RunPaths(runs.parent / "strided"))
    return runs.parent / "strided" / config.run_id


@pytest.mark.slow
def test_a_run_with_a_stride_is_packed_with_it_at_its_second_code_length(strided: Path, tmp_path: Path) -> None:
    """Weights as they are: the data part is the recorded length within 0.1 % and 64 bits a block, and comes back."""
    run = self_contained.open_run(strided)
    assert run.recorded_stride == 16
    second, first = run.snapshot.overlapping, run.snapshot.segments
    assert second is not None
    own = {
        name: sum(s.code_bits for s in segments if s.part == "train")
        for name, segments in (("first", first), ("second", second.segments))
    }
    calibration = calibration_windows(run.corpus.train, D, run.shape.context_tokens)
    whole = coded_models(run.shape, run.weights, calibration, [FULL_BITS])[0]
    target = tmp_path / "x.mdl"
    stride, cpu = run.recorded_stride, torch.device("cpu")
    with compressors.packing(run, target) as part:
        packed = compressors.write_pack(run, whole, part, cpu, lambda *_: None, stride_bytes=stride)
    assert abs(packed.data_bits - own["second"]) <= 0.001 * own["second"] + 64
    assert own["second"] < own["first"]
    unpack(target, tmp_path / "x.bin", "cpu")
    assert (tmp_path / "x.bin").read_bytes() == run.corpus.train.read(0, D).tobytes()


@pytest.mark.slow
def test_the_stride_of_a_pack_is_as_recorded_unless_another_is_asked_for(strided: Path, tmp_path: Path) -> None:
    told = {}
    for asked, expected in ((None, 16), (0, None), (40, 40)):
        target = tmp_path / f"{asked}.mdl"
        told[asked] = pack_run(strided, target, Asked(tune_steps=0, stride_bytes=asked), "cpu")
        assert told[asked].content["stride_bytes"] == expected
        assert Archive(io.BytesIO(target.read_bytes())).header.stride_bytes == (expected or 0)
        unpack(target, tmp_path / "back.bin", "cpu")
        assert (tmp_path / "back.bin").read_bytes() == self_contained.open_run(strided).corpus.train.read(
            0, D
        ).tobytes()
    assert "one every 16 bytes" in "\n".join(told[None].lines)
    assert told[None].content["data_bits"] < told[0].content["data_bits"]
    with pytest.raises(MdlError, match="less than the model's context, 64 bytes"):
        pack_run(strided, tmp_path / "no.mdl", Asked(stride_bytes=64), "cpu")
    assert not (tmp_path / "no.mdl").exists()


@pytest.fixture
def one(runs: Path, tmp_path: Path) -> Path:
    """A copy of a run's folder, to be spoilt."""
    return Path(shutil.copytree(_runs(runs)[0], tmp_path / "run"))


def _forge(run: Path, **changes: object) -> None:
    record = json.loads((run / "record.json").read_bytes())
    for path, value in changes.items():
        *parts, last = path.split("__")
        where = record
        for part in parts:
            where = where[part]
        where[last] = value
    (run / "record.json").write_text(json.dumps(record))


def test_a_run_that_is_not_what_was_recorded_is_refused(one: Path, tmp_path: Path) -> None:
    usual = (one / "record.json").read_bytes()
    for changes, says in (
        ({"corpus__sha256": "ab" * 32}, "not what the run was made from"),
        ({"corpus__source": "file:/nowhere/at-all"}, "nowhere"),
        ({"status": "failed", "reason": "x", "snapshots": []}, "the run failed"),
    ):
        _forge(one, **changes)
        with pytest.raises(MdlError, match=says):
            pack_run(one, tmp_path / "x.mdl", Asked(), "cpu")
        (one / "record.json").write_bytes(usual)
    with pytest.raises(MdlError, match="no snapshot 'first'"):
        pack_run(one, tmp_path / "x.mdl", Asked(snapshot="first"), "cpu")
    with (one / "final.safetensors").open("r+b") as stream:
        stream.seek(-1, io.SEEK_END)
        stream.write(b"\x01")
    with pytest.raises(MdlError, match=r"is not what .* was measured with"):
        pack_run(one, tmp_path / "x.mdl", Asked(), "cpu")
    assert not (tmp_path / "x.mdl").exists()
    assert not leftovers(tmp_path)


def test_what_does_not_decode_is_never_written(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check reads the file itself: a bit that flips on its way to the disk is met there."""
    usual = ArchiveWriter.finish

    def spoilt(self: ArchiveWriter) -> None:
        usual(self)
        self._target.seek(-200, io.SEEK_END)
        self._target.write(b"\x00\xff")
        self._target.seek(0, io.SEEK_END)

    monkeypatch.setattr(ArchiveWriter, "finish", spoilt)
    with pytest.raises(MdlError, match="damaged"):
        pack_run(_runs(runs)[0], tmp_path / "x.mdl", Asked(), "cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_leaked_or_deduplicated_bytes_is_opened_on_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "twice.txt").write_bytes(markov_text(60_000) * 2)
    flat = {
        "source": f"file:{tmp_path / 'twice.txt'}",
        "subset_bytes": D,
        "size": "4x1",
        "context_bytes": 64,
        "steps": 2,
        "heldout_bytes": "10KB",
        "reach_ratio": 1,
        "block_bytes": 512,
    }
    for own in ({"deduplicate": True}, {"leak_fraction": 0.5}):
        config = from_flat({**flat, **own})
        paths = RunPaths(tmp_path / "s")
        run_cohort(Cohort((Cell(config.run_id, config),)), "s", paths)
        run = self_contained.open_run(paths.record(config.run_id).parent)
        trained = open_corpus(config.resolved.corpus)
        assert run.corpus.train.read(0, D).tobytes() == trained.train.read(0, D).tobytes()
        assert run.corpus.info == run.record.corpus == trained.info


def test_a_corpus_that_changes_meanwhile_is_not_packed(runs: Path, tmp_path: Path) -> None:
    """Between the opening of a run and the reading of its subset, while a precision is chosen."""
    text, target = runs.parents[1] / "text.txt", tmp_path / "x.mdl"
    old, run = text.read_bytes(), self_contained.open_run(_runs(runs)[0])
    coded = self_contained.choose_coded(run)
    try:
        text.write_bytes(markov_text(80_000, seed=1))
        with (
            pytest.raises(MdlError, match="is not what it was when it was opened"),
            compressors.packing(run, target) as part,
        ):
            compressors.write_pack(run, coded, part, torch.device("cpu"), lambda *_: None)
    finally:
        text.write_bytes(old)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pack", "."), "not a run's folder"),
        (("pack", "nowhere"), "not a run's folder"),
        (("pack", "nowhere", "-o", "plain.txt/out.mdl"), "Not a directory"),  # before anything is looked at
        (("unpack", "plain.txt", "-o", "out"), "not an mdl archive"),
        (("unpack", "nowhere.mdl"), "No such file"),
        (("unpack", "bare.mdl"), "does not hold the model"),
        (("unpack", "damaged.mdl"), "SHA-256"),
        (("unpack", "cut.mdl"), "archive"),
        (("unpack", "forged.mdl"), "coded weights are damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_user_can_mend_is_one_line_and_exit_2(
    small: bytes,
    tmp_path: Path,
    arguments: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "plain.txt").write_bytes(b"plain")
    (tmp_path / "cut.mdl").write_bytes(small[:-40])
    (tmp_path / "damaged.mdl").write_bytes(small[:300] + bytes([small[300] ^ 1]) + small[301:])
    (tmp_path / "forged.mdl").write_bytes(_with_weights(small, b"\x04\x09no weights at all"))
    bare = io.BytesIO()
    writer = ArchiveWriter(
        bare,
        Header(
            model_sha256="ab" * 32,
            shape=Shape(4, 1, 1, context_tokens=16),
            windows_per_block=1,
            embedded_bytes=0,
            writer="mdl",
        ),
    )
    writer.finish()
    (tmp_path / "bare.mdl").write_bytes(bare.getvalue())
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    assert_refused_here(arguments, says, monkeypatch, capsys)
    assert sorted(tmp_path.iterdir()) == before


SMALL, CONTENT = Shape(4, 1, 1, context_tokens=16), b"coded, and coded, and coded again"


def _arithmetic() -> dict[str, Quantised]:
    """Small whole numbers in a fixed pattern, free of any random generator."""
    return {
        name: Quantised((np.arange(each[0] * each[1]).reshape(each) * 37 + i) % 13 - 6, -5 - np.arange(each[1]) % 4)
        for i, (name, each) in enumerate(matrix_shapes(SMALL).items())
    }


@pytest.fixture(scope="module")
def small() -> bytes:
    """An archive of version 2 that is the same on every machine."""
    coded = encode_quantised(SMALL, 4, _arithmetic())
    target = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:  # such weights expand everything, which would be stored
        patch.setattr(Block, "or_stored", lambda block, content: block)
        compress_stream(io.BytesIO(CONTENT), target, load_coded(SMALL, coded.content, torch.device("cpu")))
    return target.getvalue()


def _with_weights(archive: bytes, content: bytes) -> bytes:
    """Forged, under hashes that are right."""
    length = struct.unpack_from("<I", archive, 10)[0]
    header = json.loads(archive[14 : 14 + length])
    rest = archive[14 + length + header["embedded_bytes"] :]
    header["embedded_bytes"], header["model"]["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    raw = json.dumps(header, separators=(",", ":")).encode()
    return rehashed(archive[:10] + struct.pack("<I", len(raw)) + raw + content + rest)


def test_an_archive_with_coded_weights_has_version_2_and_golden_blocks(small: bytes) -> None:
    """The stream depends on every dequantised weight: were one rounded otherwise anywhere, it would not decode."""
    archive = Archive(io.BytesIO(small))
    assert struct.unpack_from("<8sH", small) == (b"\x93MDL\r\n\x1a\n", 2)
    assert archive.header == replace(archive.header, coded=True)
    assert [block.stream.hex() for block in archive.blocks()] == GOLDEN_STREAMS
    target = io.BytesIO()
    decompress_stream(archive, target, load_embedded(archive, torch.device("cpu")))
    assert target.getvalue() == CONTENT


GOLDEN_STREAMS = ["f785d262a8eb4844603eb67242eddbccd7f0176f94aca931013526b1f0590dcb386b0296ae52dadd"]


def test_coded_weights_need_weights() -> None:
    with pytest.raises(MdlError, match="it has none"):
        Header(model_sha256="ab" * 32, shape=SMALL, windows_per_block=1, embedded_bytes=0, writer="mdl", coded=True)


def test_versions_are_not_mixed_up(small: bytes) -> None:
    """Coded weights under version 1 are not a safetensors file, and neither is read as the other."""
    as_first = rehashed(small[:8] + struct.pack("<H", 1) + small[10:])
    with pytest.raises(MdlError, match="forged"):
        load_embedded(Archive(io.BytesIO(as_first)), torch.device("cpu"))
    with pytest.raises(MdlError, match="version 5, this mdl reads 1 to 4"):
        Archive(io.BytesIO(rehashed(small[:8] + struct.pack("<H", 5) + small[10:])))
    with pytest.raises(MdlError, match="header is damaged or forged"):
        Archive(io.BytesIO(rehashed(small[:8] + struct.pack("<H", 3) + small[10:])))


def test_forged_weights_give_one_line_or_other_bytes_that_are_refused(small: bytes) -> None:
    """Every mutation of the coded weights under right hashes: an MdlError, or the content where nothing changed."""
    usual = Archive(io.BytesIO(small)).weights()
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(150):
        content = bytearray(usual)
        for _ in range(rng.integers(1, 3)):
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        cut = bytes(content)[: rng.integers(1, len(content) + 1)] if rng.integers(4) == 0 else bytes(content)
        archive = Archive(io.BytesIO(_with_weights(small, cut)))
        target = io.BytesIO()
        try:
            decompress_stream(archive, target, load_embedded(archive, torch.device("cpu")))
            outcomes.add("exact")
            assert target.getvalue() == CONTENT
        except MdlError as error:
            outcomes.add(str(error)[:40])
    assert len(outcomes) > 3


def test_calibration_changes_the_numbers_and_not_what_they_mean() -> None:
    """Two calibrations give two codes; each decodes to a model that codes and decodes the same content."""
    from mdl.models import StackedTransformer

    weights = StackedTransformer(SMALL, [3]).member(0)
    for text in (b"one calibration.", b"another one, too"):
        coded = coded_models(SMALL, weights, np.frombuffer(text, np.uint8)[None], [5])[0]
        target, back = io.BytesIO(), io.BytesIO()
        compress_stream(io.BytesIO(CONTENT), target, load_coded(SMALL, coded.content, torch.device("cpu")))
        archive = Archive(target)
        decompress_stream(archive, back, load_embedded(archive, torch.device("cpu")))
        assert back.getvalue() == CONTENT


@pytest.mark.slow
def test_any_file_and_the_corpus_in_its_own_order_are_packed_by_the_same_weights(runs: Path, tmp_path: Path) -> None:
    """`--file` takes bytes as they lie, also where the corpus is gone; `--order contiguous` the corpus's beginning;
    `--contexts` makes the file shorter."""
    measured, _ = _runs(runs)
    other = tmp_path / "other.bin"
    other.write_bytes(b"\r\n".join([b"to be or not to be"] * 300) + bytes(range(256)))
    lone = tmp_path / "lone" / measured.name
    shutil.copytree(measured, lone)
    record = json.loads((lone / "record.json").read_bytes())
    record["corpus"]["source"] = f"file:{tmp_path / 'gone'}"
    (lone / "record.json").write_text(json.dumps(record))
    with pytest.raises(MdlError, match="gone"):
        self_contained.open_run(lone)
    made = mdl("pack", lone, "--file", other, "-o", tmp_path / "other.mdl", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert f"{other.stat().st_size:,} bytes" in made.stdout
    assert mdl("unpack", "other.mdl", "-o", "other.back", cwd=tmp_path).returncode == 0
    assert (tmp_path / "other.back").read_bytes() == other.read_bytes()
    run = self_contained.open_run(measured)
    told = pack_run(measured, tmp_path / "own.mdl", Asked(order="contiguous"), "cpu")
    unpack(tmp_path / "own.mdl", tmp_path / "own.back", "cpu")
    assert (tmp_path / "own.back").read_bytes() == run.beginning.read() != run.subset.read()
    assert told.content["beside"]["gzip"] == len(compressors.get("gzip").compress(run.beginning.read()))
    mixed = pack_run(measured, tmp_path / "mixed.mdl", Asked(order="contiguous", contexts=True), "cpu")
    unpack(tmp_path / "mixed.mdl", tmp_path / "mixed.back", "cpu")
    assert (tmp_path / "mixed.back").read_bytes() == run.beginning.read()
    assert mixed.content["archive_bytes"] < told.content["archive_bytes"]
    assert mixed.content["bucket_bits"] == run.record.subset_bytes.bit_length() - 1
    assert any(line.startswith("contexts  mixed with the model") for line in mixed.lines)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--file", "none.bin"), "none.bin is not a file; name the one to pack"),
        (("--file", "empty.bin"), "empty.bin is empty; there is nothing to pack"),
        (("--order", "shufled"), "unknown order 'shufled'; did you mean 'shuffled'?"),
        (("--file", "full.bin", "--order", "contiguous"), "--order contiguous is of the run's own corpus"),
    ],
)
def test_what_cannot_be_packed_is_refused_in_a_line(
    words: tuple[str, ...],
    says: str,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.bin").touch()
    (tmp_path / "full.bin").write_bytes(b"abc")
    assert_refused_here(["pack", str(_runs(runs)[0]), *words, "-o", "never.mdl"], says, monkeypatch, capsys)
    assert not (tmp_path / "never.mdl").exists()


# Killed at the n-th call of a method of the part, or where a precision has been chosen but is not kept yet.
KILLING = """
import os, signal
from mdl.archives import header, part
from mdl.compressors import pack_writer
header._BLOCK_BYTES, header._MIXED_LANE_BYTES, header._MIXED_LANES, header.MAX_BLOCK_BYTES = 8192, 1024, 8, 8192
part._FIRST_BYTES_A_SECOND, part._SHARE = 1e18, 1e9
usual, calls = {where}, 0

def counted(*arguments, **named):
    global calls
    calls += 1
    made = usual(*arguments, **named)
    if calls == {n}:
        os.kill(os.getpid(), signal.SIGKILL)
    return made

{where} = counted
"""
CHOICE, CODING, CHECK = "pack_writer.choose_coded", "part.Part.add", "part.Part.decoded_more"


def _killing(folder: Path, where: str = CODING, n: int = 0) -> tuple[str, str]:
    (folder / "killing.py").write_text(KILLING.format(where=where, n=n))
    return "--plugin", "killing.py"


@pytest.mark.parametrize(
    "how",
    [
        pytest.param((), marks=pytest.mark.slow),
        pytest.param(("--stride-bytes", "32"), marks=pytest.mark.long),
        pytest.param(("--contexts",), marks=pytest.mark.long),
    ],
    ids=["plain", "overlapping", "mixed"],
)
def test_a_pack_that_is_killed_goes_on_and_is_that_of_an_unbroken_run(
    runs: Path, tmp_path: Path, how: tuple[str, ...]
) -> None:
    """In the choice of a precision, while it codes, and while it checks; nothing is left; and so is unpacking."""
    plain = _runs(runs)[1]
    words = ("pack", plain, "-o", "x.mdl", *how, "--device", "cpu")
    whole = mdl("pack", plain, "-o", "whole.mdl", *how, "--device", "cpu", *_killing(tmp_path), cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    for where, n in ((CHOICE, 1), (CODING, 2), (CODING, 1), (CHECK, 2), (CHECK, 1)):
        stopped = mdl(*words, *_killing(tmp_path, where, n), cwd=tmp_path)
        assert stopped.returncode == -signal.SIGKILL, stopped.stderr
        assert not (tmp_path / "x.mdl").exists()
    ended = mdl(*words, *_killing(tmp_path, CHOICE, 1), cwd=tmp_path)  # it is not chosen again
    assert ended.returncode == 0, ended.stderr
    assert "note: the precision was chosen before" in ended.stderr
    assert "note: packing goes on at 40.0 of 40.0 KB (.x.mdl." in ended.stderr
    assert "note: checking it goes on at 24.6 of 40.0 KB" in ended.stderr
    assert (tmp_path / "x.mdl").read_bytes() == (tmp_path / "whole.mdl").read_bytes()
    words = ("unpack", "x.mdl", "-o", "x.bin", "--device", "cpu")
    assert mdl(*words, *_killing(tmp_path, CHECK, 3), cwd=tmp_path).returncode == -signal.SIGKILL
    assert "unpacking goes on at 24.6 of 40.0 KB" in mdl(*words, *_killing(tmp_path), cwd=tmp_path).stderr
    assert (tmp_path / "x.bin").read_bytes() == self_contained.open_run(plain).corpus.train.read(0, D).tobytes()
    assert not leftovers(tmp_path)
