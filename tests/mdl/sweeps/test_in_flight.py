"""What was stopped goes on where it stood, whatever was recorded before and since; only the rest counts as left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mdl.config import Cohort
from mdl.data import Corpus, CorpusSpec, open_corpus
from mdl.records import RunPaths
from mdl.sweeps import in_flight
from mdl.sweeps.cohort_parts import forget_states, keep_parts, parts_of
from mdl.sweeps.grid import cohorts_of, grid_cells
from mdl.sweeps.in_flight import open_cells, steps_taken, under_way
from mdl.sweeps.jobs import cohort_work, missing, work_left
from mdl.training import checkpoint_step, run_cohort
from mdl.training.cohort_module import CohortModule
from tests.command import records
from tests.mdl.training.test_trunk import grid

STEPS = (10, 20, 40)


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Raises SystemExit once that many steps are taken, `at`; counts them, `taken`."""
    look, told = CohortModule.after_step, {"at": 0, "taken": 0}

    def stopped(self: CohortModule) -> None:
        look(self)
        told["taken"] += 1
        if told["taken"] == told["at"]:
            raise SystemExit

    monkeypatch.setattr(CohortModule, "after_step", stopped)
    return told


def of(cohort: Cohort, subset: int, *steps: int) -> set[str]:
    return {c.run_id for c in cohort.cells if c.config.subset_bytes == subset and c.resolved.recipe.steps in steps}


@pytest.mark.parametrize("at", [13, 38, 60])
def test_an_extended_sweep_that_is_stopped_loses_no_step_of_its_trunk(
    at: int, text_file: Path, tmp_path: Path, stop_at: dict[str, int]
) -> None:
    """One budget of one size had been recorded: what trains has never been all of the cohort."""
    cohort = grid(text_file, steps=STEPS, checkpoint_seconds=1e-9)
    small = min(cell.config.subset_bytes for cell in cohort.cells)
    paths, once = RunPaths(tmp_path / "stopped" / "s"), RunPaths(tmp_path / "once" / "s")
    for one in (paths, once):
        run_cohort(cohort.only(of(cohort, small, 10)), "s", one)
    left = missing(cohort, once)
    assert left is not None
    assert len(left.parts) == 2, "of other budgets"
    stop_at["taken"] = 0
    run_cohort(left, "s", once)
    all_steps, stop_at["taken"], stop_at["at"] = stop_at["taken"], 0, at
    with pytest.raises(SystemExit):
        run_cohort(left, "s", paths)
    again = missing(cohort, paths)
    assert again == left
    taken = sum(steps_taken(part, paths) or 0 for part in left.parts)
    run_cohort(again, "s", paths)
    assert stop_at["taken"] <= all_steps + 1, "no more than the step at whose end it was stopped"
    assert taken in (at, at - 1)
    assert records(paths.root) == records(once.root)
    assert not paths.cohorts.exists()


def test_a_part_that_is_done_hides_no_other_one_that_is_under_way(
    text_file: Path, tmp_path: Path, stop_at: dict[str, int]
) -> None:
    """Of two members of different budgets; the shortest budget of the one under way was recorded before."""
    cohort = grid(text_file, steps=(10, 20, 40, 80), checkpoint_seconds=1e-9)
    small, large = sorted({cell.config.subset_bytes for cell in cohort.cells})
    paths = RunPaths(tmp_path)
    for earlier in (of(cohort, small, 10, 20), of(cohort, large, 10)):
        run_cohort(cohort.only(earlier), "s", paths)
    left = missing(cohort, paths)
    assert left is not None
    first, second = left.parts
    stop_at["taken"], stop_at["at"] = 0, first.trained_steps + 30
    with pytest.raises(SystemExit):
        run_cohort(left, "s", paths)
    again = missing(cohort, paths)
    assert again is not None
    assert (steps_taken(second, paths) or 0) >= 29
    taken = stop_at["taken"]
    run_cohort(again, "s", paths)
    assert stop_at["taken"] - taken <= second.trained_steps - 29
    assert not paths.cohorts.exists()


def test_of_a_thousand_cells_what_is_under_way_is_found_at_the_longest_pauses(tmp_path: Path) -> None:
    """Cells of a budget are recorded one right after the other."""
    settings = {"size": ("4x1",), "seed": tuple(range(300)), "steps": STEPS, "context_bytes": (64,)}
    (cohort,) = cohorts_of(grid_cells(settings))
    paths, order = RunPaths(tmp_path), [run_id for branch in cohort.branches for run_id in branch.run_ids]
    for n, run_id in enumerate(order[:600]):
        paths.record(run_id).parent.mkdir()
        paths.record(run_id).touch()
        os.utime(paths.record(run_id), ns=(n, n + 10**9 * (n >= 300)))
    left = set(order[600:])
    together = cohort.only(set(order[300:]))
    paths.cohorts.mkdir()
    paths.checkpoint("8x1-00000000").touch()
    assert under_way(cohort, left, paths) is None
    paths.checkpoint(together.cohort_id).touch()
    assert under_way(cohort, left, paths) == together


def test_what_was_recorded_before_it_began_is_no_part_of_it(text_file: Path, tmp_path: Path) -> None:
    cohort, paths = grid(text_file, steps=STEPS), RunPaths(tmp_path)
    earlier, later, *left = cohort.run_ids
    for at, run_id in enumerate((later, earlier)):
        paths.record(run_id).parent.mkdir()
        paths.record(run_id).touch()
        os.utime(paths.record(run_id), (at, at))
    together = cohort.only({earlier, *left})
    paths.cohorts.mkdir()
    assert under_way(cohort, set(left), paths) is None
    paths.checkpoint(together.cohort_id).touch()
    assert under_way(cohort, set(left), paths) == together, "recorded since: the newer one"
    assert under_way(cohort, set(), paths) is None
    assert open_cells(cohort, paths) == set(left)


@pytest.fixture
def corpora(text_file: Path) -> dict[CorpusSpec, Corpus]:
    spec = grid(text_file).cells[0].config.corpus.spec()
    return {spec: open_corpus(spec)}


def test_what_is_left_is_less_by_the_steps_taken_and_by_what_is_recorded(
    text_file: Path, tmp_path: Path, stop_at: dict[str, int], corpora: dict[CorpusSpec, Corpus]
) -> None:
    cohort, paths = grid(text_file, steps=STEPS, checkpoint_seconds=1e-9), RunPaths(tmp_path)
    whole = cohort_work(cohort, corpora)
    assert work_left(cohort, corpora, paths) == whole
    stop_at["at"] = cohort.branches[0].recipe.steps + 6
    with pytest.raises(SystemExit):
        run_cohort(cohort, "s", paths)
    half = work_left(cohort, corpora, paths)
    share = 1 - (stop_at["at"] - 1) / cohort.trained_steps
    assert half.n_steps == pytest.approx(share * whole.n_steps, abs=1.5)
    assert half.n_bytes == pytest.approx(share * whole.n_bytes, rel=0.03)
    assert half.measured_bytes * 3 == whole.measured_bytes * 2, "one budget of three is recorded"


def test_a_cohort_that_another_process_had_begun_whole_goes_on_whole(
    text_file: Path, tmp_path: Path, stop_at: dict[str, int]
) -> None:
    """Though it was cut in the meantime; once a part has a state too, in its parts. Nothing of either is left."""
    cohort, paths = grid(text_file, steps=40, checkpoint_seconds=1e-9), RunPaths(tmp_path)
    assert keep_parts(cohort, cohort.halves, paths) == cohort.halves
    assert keep_parts(cohort, [cohort], paths) == list(cohort.halves), "whoever was first is right"
    stop_at["at"] = 8
    with pytest.raises(SystemExit):
        run_cohort(cohort, "s", paths)
    assert parts_of(cohort, paths) == [cohort]
    assert missing(cohort, paths) == cohort
    stop_at["at"] = stop_at["taken"] + 5
    with pytest.raises(SystemExit):
        run_cohort(cohort.halves[0], "s", paths)
    assert (checkpoint_step(paths.checkpoint(cohort.cohort_id)) or 0) > 0
    assert parts_of(cohort, paths) == list(cohort.halves)
    run_cohort(cohort.halves[0], "s", paths)
    assert parts_of(cohort, paths) == list(cohort.halves), "one of them is recorded"
    paths.checkpoint(cohort.halves[0].cohort_id).touch()  # by one who was superseded
    run_cohort(cohort.halves[1], "s", paths)
    forget_states([cohort], paths)
    assert not paths.cohorts.exists()


def test_a_state_whose_cells_are_all_recorded_goes_when_a_sweep_ends(text_file: Path, tmp_path: Path) -> None:
    """Its process was killed between the last record and the removal."""
    cohort, paths = grid(text_file, steps=STEPS), RunPaths(tmp_path)
    paths.cohorts.mkdir()
    states = [paths.checkpoint(one.cohort_id) for one in (cohort, *cohort.branches)]
    for state in states:
        state.touch()
    for run_id in cohort.run_ids:
        assert all(state.exists() for state in states)
        forget_states([cohort], paths)
        paths.record(run_id).parent.mkdir()
        paths.record(run_id).touch()
    forget_states([cohort], paths)
    assert not paths.cohorts.exists()


def test_states_too_large_to_be_read_count_as_none(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpora: dict[CorpusSpec, Corpus]
) -> None:
    cohort, paths = grid(text_file, steps=40), RunPaths(tmp_path)
    paths.cohorts.mkdir()
    with paths.checkpoint(cohort.cohort_id).open("wb") as state:
        state.truncate(1 << 33)  # a hole
    monkeypatch.setattr(in_flight, "_read_step", None)
    assert work_left(cohort, corpora, paths) == cohort_work(cohort, corpora)
