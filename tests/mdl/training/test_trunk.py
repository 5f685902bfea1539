"""One trunk for all budgets: a branch is the separate run to the bit, wherever whoever trains it is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mdl.config import Cohort, Recipe
from mdl.records import CellRecord, RunPaths, read_cell
from mdl.sweeps.claims import tidy
from mdl.sweeps.grid import cohorts_of, grid_cells
from mdl.training import cohort_run, fit_cohort, run_cohort
from mdl.training.checkpoint import checkpoint_step
from mdl.training.cohort_module import CohortModule
from tests.command import leftovers

BUDGETS = (9, 20, 43)


def grid(text: Path, **more: Any) -> Cohort:
    """All cells as one cohort: three members (of 100 bytes: less than a batch) and three budgets."""
    settings: dict[str, Any] = {
        "source": f"file:{text}",
        "size": "4x1",
        "subset_bytes": (100, "10KB"),
        "context_bytes": 64,
        "steps": BUDGETS,
        "warmup_steps": 5,
        "decay_start": 0.7,
        "evaluate_every": 7,
        "block_bytes": 512,
        "heldout_bytes": "5KB",
        "heldout_sample_bytes": 1024,
        "reach_ratio": 1,
        "stream_bytes": 0,
        **more,
    }
    cells = grid_cells({key: value if isinstance(value, tuple) else (value,) for key, value in settings.items()})
    (cohort,) = cohorts_of(cells)
    return cohort


def separately(cohort: Cohort, paths: RunPaths) -> dict[str, CellRecord]:
    """Each budget from its own start."""
    return {record.run_id: record for branch in cohort.branches for record in run_cohort(branch, "s", paths)}


def same(one: CellRecord, other: CellRecord) -> bool:
    """All but where, when and what was shared; the weights go by their hash."""
    training = replace(one.training, shared_steps=other.training.shared_steps)
    return replace(one, provenance=other.provenance, training=training) == other


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"lr_scale": (0.5, 1.0, 1e30)},  # the last diverges at once
        {"lr_scale": 1e30},  # nobody is left, and training ends at the first look
        {"decay_start": 0.5, "steps": (1, 2, 3, 10)},  # a decay of one step, and no step in common
        {"recipe": 2, "lr_scale": (0.5, 1.0, 1e30)},
        *(
            pytest.param(more, marks=pytest.mark.slow)
            for more in (
                {"evaluate_every": 1, "seed": (0, 1)},
                {"warmup_steps": 30},  # reaches into the decay of the shorter ones
                {"decay_start": 1},
                {"vocabulary": 300, "subset_bytes": "10KB"},
                {"recipe": 2},
            )
        ),
    ],
    ids=lambda more: ",".join(more),
)
def test_a_branch_is_the_separate_run_to_the_bit(more: dict[str, Any], text_file: Path, tmp_path: Path) -> None:
    cohort = grid(text_file, **more)
    paths = RunPaths(tmp_path / "trunk")
    records = {record.run_id: record for record in run_cohort(cohort, "s", paths)}
    alone = separately(cohort, RunPaths(tmp_path / "alone"))
    assert set(records) == set(alone) == set(cohort.run_ids)
    assert all(same(records[run_id], alone[run_id]) for run_id in alone)
    assert any(record.status == "ok" for record in alone.values()) == (more.get("lr_scale") != 1e30)
    assert not paths.cohorts.exists()


def test_a_step_of_the_trunk_is_taken_once(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And every budget is recorded before the trunk goes on."""
    cohort, paths = grid(text_file), RunPaths(tmp_path)
    taken: list[tuple[int, int, int]] = []  # from where, to where, records that there are
    plain = fit_cohort.fit

    def fit(module: Any, source: Any, machine: Any, checkpoint: Path, *, until: int, **settings: Any) -> None:
        before = checkpoint_step(checkpoint) or 0
        plain(module, source, machine, checkpoint, until=until, **settings)
        taken.append((before, module.global_step, len(list(tmp_path.glob("*/record.json")))))

    monkeypatch.setattr(fit_cohort, "fit", fit)
    told: list[tuple[str, float, float]] = []
    records = run_cohort(cohort, "s", paths, progress=lambda *words: told.append(words))
    assert taken == [(0, 7, 0), (7, 9, 0), (7, 14, 2), (14, 20, 2), (14, 31, 4), (31, 43, 4)]
    assert sum(end - start for start, end, _ in taken) == cohort.trained_steps == 31 + 2 + 6 + 12
    assert [record.training.shared_steps for record in records] == [0, 0, 7, 7, 14, 14]
    assert sum(r.training.n_steps - r.training.shared_steps for r in records) == 2 * cohort.trained_steps
    for record in records:
        seconds = record.provenance.shared_seconds
        assert (seconds > 0) == (record.training.shared_steps > 0)
        assert seconds < record.provenance.training_seconds
    for phase in ("training", "measuring"):
        shares = [done / total for name, done, total in told if name == phase]
        assert shares == sorted(shares)
        assert shares[-1] == 1, "of the whole cohort"


def stopped_in_the_second_branch(cohort: Cohort, paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """At step 16 of 20, which left the trunk at 14."""
    look = CohortModule.after_step

    def stopped(self: CohortModule) -> None:
        if self.recipe.steps == BUDGETS[1] and self.global_step == 16:
            raise SystemExit
        look(self)

    with monkeypatch.context() as patch:
        patch.setattr(CohortModule, "after_step", stopped)
        with pytest.raises(SystemExit):
            run_cohort(cohort, "s", paths)
    assert checkpoint_step(paths.checkpoint(cohort.branches[1].cohort_id)) == 15
    assert checkpoint_step(paths.checkpoint(cohort.cohort_id)) == 14


@pytest.mark.parametrize(
    "what",
    [
        *(pytest.param(what, marks=pytest.mark.slow) for what in ("the trunk's", "the branch's", "both")),
        "of another budget",
    ],
)
def test_a_state_that_is_damaged_or_of_another_budgets_decay_is_not_gone_on_from(
    what: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort, paths = grid(text_file, checkpoint_seconds=1e-9), RunPaths(tmp_path / "a")
    whole = {record.run_id: record for record in run_cohort(cohort, "s", RunPaths(tmp_path / "b"))}
    stopped_in_the_second_branch(cohort, paths, monkeypatch)
    trunk, branch, longer = (paths.checkpoint(one.cohort_id) for one in (cohort, *cohort.branches[1:]))
    if what == "of another budget":
        longer.write_bytes(branch.read_bytes())
    for path in {"the trunk's": [trunk], "the branch's": [branch], "both": [trunk, branch]}.get(what, []):
        path.write_bytes(path.read_bytes()[:-1])
    run_cohort(cohort, "s", paths)
    assert all(same(read_cell(paths.record(run_id)), whole[run_id]) for run_id in cohort.run_ids)
    aside = {path.name.removesuffix(".damaged") for path in paths.cohorts.glob("*.damaged")}
    damaged = {"the trunk's": {trunk}, "the branch's": {branch}, "both": {trunk, branch}}.get(what, {longer})
    assert aside == {path.name for path in damaged}


@pytest.mark.slow
def test_a_branchs_curve_begins_with_the_trunks_and_a_resumed_runs_with_what_was_before(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As loggers are told them: the same file of a separate run that was never stopped."""
    cohort, paths = grid(text_file, logger="csv", evaluate_every=2, checkpoint_seconds=1e-9), RunPaths(tmp_path / "a")
    separately(cohort, RunPaths(tmp_path / "b"))
    stopped_in_the_second_branch(cohort, paths, monkeypatch)
    (first, *_) = run_cohort(cohort, "s", paths)
    assert first.run_id in cohort.branches[1].run_ids
    for run_id in cohort.run_ids:
        mine, theirs = ((tmp_path / name / run_id / "curves/metrics.csv").read_text() for name in "ab")
        assert mine == theirs
        assert mine.count("\n") >= 1 + 9 // 2


@pytest.mark.parametrize("steps", [1, 2, 10, 99, 1500])
@pytest.mark.parametrize("decay_start", [0.01, 0.3, 0.5, 0.7, 0.99, 1.0])
def test_up_to_the_branching_no_rate_depends_on_the_length(steps: int, decay_start: float) -> None:
    recipe = Recipe(steps=steps, batch_windows=4, learning_rate=1e-2, warmup_steps=7, decay_start=decay_start)
    longer = replace(recipe, steps=3 * steps)
    assert 0 <= recipe.branch_step < steps
    for step in range(recipe.branch_step):
        assert recipe.lr_factor(step) == longer.lr_factor(step)
    after = recipe.branch_step + 1
    if decay_start < 1 and after < min(steps, longer.branch_step):
        assert recipe.lr_factor(after) < longer.lr_factor(after), "and no later"


@pytest.mark.slow
def test_what_is_recorded_is_not_trained_again_and_a_lost_record_is_made_alone(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that was deleted while the trunk is past it: its budget starts anew."""
    cohort, paths = grid(text_file), RunPaths(tmp_path / "a")
    whole = {record.run_id: record for record in run_cohort(cohort, "s", RunPaths(tmp_path / "b"))}
    plain = cohort_run.write_record

    def full(record: CellRecord, path: Path) -> None:
        if record.training.n_steps == BUDGETS[-1]:
            raise OSError("no space")
        plain(record, path)

    with monkeypatch.context() as patch:
        patch.setattr(cohort_run, "write_record", full)
        with pytest.raises(OSError, match="no space"):
            run_cohort(cohort, "s", paths)
    assert checkpoint_step(paths.checkpoint(cohort.cohort_id)) == 31
    lost = cohort.branches[0].run_ids[0]
    paths.record(lost).unlink()
    made = run_cohort(cohort, "s", paths)
    assert [record.run_id for record in made] == [*cohort.branches[0].run_ids, *cohort.branches[2].run_ids]
    assert all(same(read_cell(paths.record(run_id)), whole[run_id]) for run_id in cohort.run_ids)
    assert run_cohort(cohort, "s", paths) == []


@pytest.mark.slow
def test_members_of_other_budgets_share_none(text_file: Path, tmp_path: Path) -> None:
    """What is left of a cohort after some cells were recorded elsewhere."""
    whole = grid(text_file, seed=(0, 1))
    rest = whole.only(set(whole.run_ids) - {whole.run_ids[0], whole.run_ids[-1]})
    assert [len(part.branches) for part in rest.parts] == [2, 3, 2]
    records = {record.run_id: record for record in run_cohort(rest, "s", RunPaths(tmp_path / "b"))}
    assert set(records) == set(rest.run_ids)
    for part in rest.parts:
        alone = separately(part, RunPaths(tmp_path / "a"))
        assert all(same(records[run_id], alone[run_id]) for run_id in part.run_ids)


# A worker that kills itself at its n-th writing of anything, in whatever phase that is.
DYING = """
import json, os, signal, sys
from pathlib import Path
from mdl.records import RunPaths
from mdl.sweeps import worker
from mdl.training import cohort_run, loop, shared_steps, snapshots
left = [int(sys.argv[2])]

def dies(holder, name):
    plain = getattr(holder, name)
    def counted(*arguments, **settings):
        left[0] -= 1
        if not left[0]:
            print("died at", name, file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments, **settings)
    setattr(holder, name, counted)

dies(loop.CheckpointFile, "save_checkpoint")
dies(cohort_run, "write_record")
dies(snapshots, "keep_once")
dies(shared_steps, "write_atomically")
dies(RunPaths, "forget_checkpoints")
job = json.loads(Path(sys.argv[1]).read_text())
worker._serve(job, lambda event, **fields: print(json.dumps({"event": event, **fields}), file=sys.stderr),
              worker.WandbServer())
"""


@pytest.mark.long
def test_a_worker_killed_at_any_writing_goes_on_to_the_records_of_an_unbroken_run(
    text_file: Path, tmp_path: Path
) -> None:
    """In the trunk, in a branch, and between: a state is saved after every step."""
    cohort, paths = grid(text_file, checkpoint_seconds=1e-9, steps=(4, 7, 12)), RunPaths(tmp_path / "broken")
    whole = {record.run_id: record for record in run_cohort(cohort, "s", RunPaths(tmp_path / "whole"))}
    configs = [cell.config.requested() for cell in cohort.cells]
    job = {"kind": "cohort", "configs": configs, "sweep": "s", "root": str(paths.root), "command": ""}
    (tmp_path / "job.json").write_text(json.dumps(job))
    died: list[str] = []
    while not died or died[-1]:
        words = [sys.executable, "-c", DYING, str(tmp_path / "job.json"), str(8 + len(died) % 4)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        assert '"error"' not in done.stderr
        died.append(done.stderr.partition("died at ")[2].strip())
        assert len(died) < 30, "it gets on"
    print(died)
    assert len(died) > 4
    assert len(set(died)) > 2, "in several phases"
    assert all(same(read_cell(paths.record(run_id)), whole[run_id]) for run_id in cohort.run_ids)
    tidy(paths)  # as the driver does
    assert leftovers(paths.root) == []
    assert not paths.cohorts.exists()
    assert not paths.claims.exists()
