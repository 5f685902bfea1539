"""What `measure.contexts` adds to a record, and what it leaves alone."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import torch

from mdl.archives import Archive
from mdl.cli.inspect_runs import inspect
from mdl.cli.pack import Asked, pack, unpack
from mdl.compressors import compress_stream, load_model, open_run
from mdl.config import from_flat
from mdl.data import open_corpus
from mdl.errors import MdlError
from mdl.mixing import bucket_bits
from mdl.records import CellRecord, RunPaths, read_cell
from mdl.sweeps.plan import Plan, describe_plan
from mdl.training import run_cohort
from mdl.training.loggers import summary
from tests.conftest import markov_text
from tests.mdl.training.test_overlapping import bits, cohort

Made = tuple[list[CellRecord], list[CellRecord], RunPaths]


@pytest.fixture(
    scope="module", params=[pytest.param(0, marks=pytest.mark.slow), 24], ids=["side by side", "overlapping"]
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Records with a second code length and without."""
    folder = tmp_path_factory.mktemp("runs")
    text_file = folder / "text.txt"
    text_file.write_bytes(markov_text(100_000))
    stride = {"stride_bytes": request.param} if request.param else {}
    paths = RunPaths(folder / "mixed")
    mixed = run_cohort(cohort(text_file, contexts=True, recipe=2, **stride), "s", paths)
    plain = run_cohort(cohort(text_file, recipe=2), "s", RunPaths(folder / "plain"))
    return mixed, plain, paths


def test_the_second_code_length_is_that_of_the_streams_of_an_archive(made: Made) -> None:
    """Of the own subset and of what is held out, to two words and .2 %; it is shorter than the first."""
    records, _, paths = made
    for record in records:
        assert read_cell(paths.record(record.run_id)) == record
        corpus, snapshot = open_corpus(from_flat(record.config).corpus.spec()), record.snapshots[0]
        exact = load_model(paths.weights(record.run_id, snapshot.weights_file), torch.device("cpu"))
        second = snapshot.overlapping
        assert second is not None
        assert second.bucket_bits == bucket_bits(record.subset_bytes)
        stride = record.config["measure.stride_bytes"]
        for part, view, n_bytes in (
            ("train", corpus.train, record.subset_bytes),
            ("heldout", corpus.heldout, len(corpus.heldout)),
        ):
            target, data = io.BytesIO(), view.read(0, n_bytes).tobytes()
            compress_stream(io.BytesIO(data), target, exact, stride_bytes=stride, bucket_bits=bucket_bits(n_bytes))
            found = bits(second.segments, part)
            assert found == pytest.approx(8 * Archive(target).stream_bytes, abs=64 + 2e-3 * found)
            first = sum(s.code_bits for s in snapshot.segments if s.part == part and s.end_bytes <= n_bytes)
            assert found < first


def test_nothing_else_of_a_record_changes(made: Made) -> None:
    """Weights and first code length are those of a cell without; its name is another."""
    for mixed, plain in zip(*made[:2], strict=True):
        assert mixed.run_id != plain.run_id
        for one, other in zip(mixed.snapshots, plain.snapshots, strict=True):
            assert (one.weights_sha256, one.segments) == (other.weights_sha256, other.segments)
            assert other.overlapping is None


def test_at_its_default_it_leaves_the_names_of_runs_as_they_are() -> None:
    plain = from_flat({"size": "16x2"})
    assert from_flat({"size": "16x2", "measure.contexts": False}).run_id == plain.run_id
    assert from_flat({"size": "16x2", "measure.contexts": True}).run_id != plain.run_id


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"objective": "prequential"}, "measure.contexts: a prequential run codes each window once; leave it out"),
        ({"vocabulary": 512}, "measure.contexts measures what archives of bytes decode, and models of tokens have no"),
        ({"contexts": "perhaps"}, "contexts"),
    ],
)
def test_what_cannot_be_mixed_is_refused_in_a_line(settings: dict[str, object], says: str) -> None:
    with pytest.raises(MdlError, match=says) as refused:
        from_flat({"size": "16x2", "contexts": True} | settings)
    assert "\n" not in str(refused.value)


def test_a_dry_run_tells_what_it_costs(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(markov_text(100_000))
    plan = Plan("s", RunPaths(Path("runs/s")), (cohort(tmp_path / "text.txt", contexts=True),))
    assert any("second code length, mixed with contexts" in line for line in describe_plan(plan))


def test_without_numba_nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, before the first step."""
    (tmp_path / "text.txt").write_bytes(markov_text(100_000))
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(MdlError, match=r"numba; pip install 'mdl-critical-size\[mixing\]'"):
        run_cohort(cohort(tmp_path / "text.txt", contexts=True), "s", RunPaths(tmp_path))


@pytest.mark.slow
def test_a_run_is_packed_as_it_was_recorded_unless_asked_otherwise(made: Made, tmp_path: Path) -> None:
    """With contexts, and with the recorded stride where there is one; inspect and W&B tell of it by its name."""
    records, _, paths = made
    record = records[0]
    folder, stride = paths.record(record.run_id).parent, record.config["measure.stride_bytes"]
    told = {
        contexts: pack(folder, tmp_path / f"{contexts}.mdl", Asked(tune_steps=0, contexts=contexts), "cpu").content
        for contexts in (None, False)
    }
    assert [told[key]["bucket_bits"] for key in (None, False)] == [bucket_bits(record.subset_bytes), None]
    assert {content["stride_bytes"] for content in told.values()} == {stride}
    assert told[None]["archive_bytes"] < told[False]["archive_bytes"]
    unpack(tmp_path / "None.mdl", tmp_path / "back", "cpu")
    assert (tmp_path / "back").read_bytes() == open_run(folder).subset.read()
    assert any("mixed, stride" in line for line in inspect(folder).lines)
    assert {key for key in summary(record) if "mixed" in key} == {
        f"{snapshot.name}/mixed_{part}_bits_per_byte" for snapshot in record.snapshots for part in ("own", "heldout")
    }
