"""What `measure.stride_bytes` adds to a record, and what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mdl.config import Cohort, from_flat
from mdl.data import open_corpus
from mdl.errors import MdlError
from mdl.models import StackedTransformer, load_weights, stack
from mdl.quantization import coded_bytes
from mdl.records import CellRecord, RunPaths, Segment, read_cell
from mdl.sweeps.jobs import cohort_job
from mdl.sweeps.plan import Plan, describe_plan, plan_content
from mdl.training import run_cohort
from mdl.training.loggers import summary
from tests.conftest import markov_text
from tests.mdl.training import test_experiment

T, S = 64, 24


def cohort(text_file: Path, **settings: object) -> Cohort:
    return test_experiment.cohort(
        text_file, ("5KB", "12KB"), **{"heldout_bytes": "6KB", "stream_bytes": 8192} | settings
    )


@pytest.fixture(scope="module", params=[pytest.param(1, marks=pytest.mark.slow), 2], ids=["recipe 1", "recipe 2"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[CellRecord], list[CellRecord], RunPaths]:
    """Records with a second code length and without."""
    folder, of = tmp_path_factory.mktemp("runs"), {"recipe": request.param}
    text_file = folder / "text.txt"
    text_file.write_bytes(markov_text(100_000))
    paths = RunPaths(folder / "second")
    second = run_cohort(cohort(text_file, stride_bytes=S, **of), "s", paths)
    first = run_cohort(cohort(text_file, **of), "s", RunPaths(folder / "first"))
    return second, first, paths


def plain_bits(model: StackedTransformer, data: bytes) -> float:
    """Of all of it, each window sliced by hand and coded by the plain model."""
    total, start, done = 0.0, 0, 0
    while done < len(data):
        window = torch.frombuffer(bytearray(data[start : start + T]), dtype=torch.uint8)
        with torch.no_grad():
            rows = torch.log_softmax(model(window[None, None])[0, 0].double(), dim=-1)
        total -= float(rows[torch.arange(len(window)), window.long()][done - start :].sum()) / torch.tensor(2.0).log()
        done, start = start + len(window), start + S
    return float(total)


def bits(segments: tuple[Segment, ...], part: str) -> float:
    return sum(s.code_bits for s in segments if s.part == part)


Made = tuple[list[CellRecord], list[CellRecord], RunPaths]


def test_the_second_code_length_is_that_of_windows_sliced_by_hand(made: Made) -> None:
    """Of the own subset and of all that is held out, both snapshots."""
    records, _, paths = made
    for record in records:
        assert read_cell(paths.record(record.run_id)) == record
        corpus = open_corpus(from_flat(record.config).corpus.spec())
        for snapshot in record.snapshots:
            shape, weights = load_weights(paths.weights(record.run_id, snapshot.weights_file))
            model, second = stack(shape, [weights]), snapshot.overlapping
            assert second is not None
            assert second.stride_bytes == S
            own, heldout = corpus.train.read(0, record.subset_bytes), corpus.heldout.read(0, 6_000)
            assert bits(second.segments, "train") == pytest.approx(plain_bits(model, own.tobytes()), rel=1e-6)
            assert bits(second.segments, "heldout") == pytest.approx(plain_bits(model, heldout.tobytes()), rel=1e-6)
            ends = [s.end_bytes for s in second.segments if s.part == "train"]
            assert ends == sorted({1_000, 3_000, *([10_000] if record.subset_bytes > 10_000 else []), ends[-1]})
            assert ends[-1] == record.subset_bytes


def test_the_first_code_length_is_as_without_it(made: Made) -> None:
    """All that a record without a stride holds is in one with it, unchanged."""
    for second, first in zip(*made[:2], strict=True):
        assert [replace(snapshot, overlapping=None) for snapshot in second.snapshots] == list(first.snapshots)
        assert second.run_id != first.run_id
        assert replace(
            second,
            run_id=first.run_id,
            snapshots=first.snapshots,
            config=first.config,
            requested=first.requested,
            cohort_id=first.cohort_id,
            provenance=first.provenance,
        ) == first  # fmt: skip


def test_a_record_of_before_has_none(made: Made, tmp_path: Path) -> None:
    """Schema 1 without the key is read, as not measured."""
    _, first, _ = made
    from mdl.records import store

    raw = json.loads(store.to_json(first[0]))
    for snapshot in raw["snapshots"]:
        assert snapshot.pop("overlapping") is None
    (tmp_path / "record.json").write_text(json.dumps(raw))
    assert read_cell(tmp_path / "record.json") == first[0]


def test_wandb_hears_of_both_each_under_its_own_name(made: Made) -> None:
    second, first, _ = made
    figures, plain = summary(second[0]), summary(first[0])
    of_overlap = {key: value for key, value in figures.items() if "overlapping" in key}
    assert figures == plain | of_overlap
    assert of_overlap["final/overlapping_own_bits_per_byte"] < figures["final/own_bits_per_byte"]
    assert len(of_overlap) == 2 * len({snapshot.name for snapshot in second[0].snapshots})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride_bytes": 0}, "stride_bytes: input should be greater than or equal to 1, got 0"),
        ({"stride_bytes": -8}, "stride_bytes: -8 is not a size in bytes"),
        ({"stride_bytes": 256}, "must be less than the window, model.context_bytes 256, got 256"),
        ({"stride_bytes": 8, "objective": "prequential"}, "a prequential run codes each window once"),
        ({"stride_bytes": 8, "vocabulary": 512}, "models of tokens have no archives; use model.vocabulary 256"),
    ],
)
def test_a_stride_that_cannot_be_is_refused_in_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(MdlError, match=message) as refused:
        from_flat({"size": "16x2", **settings})
    assert "\n" not in str(refused.value)


def test_a_stride_makes_a_run_of_its_own_and_none_the_one_of_before() -> None:
    plain = from_flat({"size": "16x2"})
    assert from_flat({"size": "16x2", "stride_bytes": None}).run_id == plain.run_id
    strides = [from_flat({"size": "16x2", "measure.stride_bytes": s}) for s in (32, "64", 128)]
    assert len({plain.run_id, *(config.run_id for config in strides)}) == 4
    assert [from_flat(config.requested()) for config in strides] == strides


def test_the_cost_is_foretold(text_file: Path) -> None:
    """Of the job that a worker gets, exactly; of a plan as far as it is known before a corpus is opened."""
    first, second = cohort(text_file), cohort(text_file, stride_bytes=16)
    corpora = {spec: open_corpus(spec) for spec in {cell.resolved.corpus for cell in first.cells}}
    plans = [Plan("s", RunPaths(Path("runs/s")), (group,)) for group in (first, second)]
    costs = [cohort_job(plan, plan.cohorts[0], "", corpora).measuring_cost for plan in plans]
    both = (first.cells, second.cells)
    coded = [sum(c.resolved.measured_bytes(194_000, 6_000, coded_bytes) for c in cells) for cells in both]
    assert coded[1] - coded[0] == 4 * (5_000 + 12_000 + 2 * 6_000)
    assert costs[1] > costs[0]
    plain, told = ("\n".join(describe_plan(plan)) for plan in plans)
    assert "second code length" not in plain
    assert "second code length, of overlapping windows: 4 times the cost of the first" in told
    assert [plan_content(plan)["overlapping_bytes"] for plan in plans] == [0, 2 * 4 * 17_000]
