"""What of a cohort was under way when its process ended: whose states lie in the run folder, and how far these are."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path

from mdl.config import Cohort
from mdl.records import RunPaths

_MOST_PAUSES = 64  # between records that are tried: each takes as long as the cohort has cells


def under_way(cohort: Cohort, left: AbstractSet[str], paths: RunPaths) -> Cohort | None:
    """Those of its cells whose training, together, has left a state; `left`, run ids, is what is still to be done.

    They are the ones that were not recorded when that training began: what is left, and what has been recorded since.
    """
    states = _states(cohort, paths) if left else set()
    if not states:
        return None
    written = {run_id: _written(paths.record(run_id)) for run_id in cohort.run_ids if run_id not in left}
    recorded = sorted(written, key=lambda run_id: written[run_id])
    for n_before in _pauses([written[run_id] for run_id in recorded]):
        together = cohort.only({*left, *recorded[n_before:]})
        if any(one.cohort_id in states for one in (together, *together.parts) if left & set(one.run_ids)):
            return together
    return None


def _states(cohort: Cohort, paths: RunPaths) -> set[str]:
    """Of models of this shape."""
    names = paths.cohorts.glob("*.ckpt")
    return {path.stem for path in names if path.name.startswith(f"{cohort.shape.label}-")}


def _pauses(times: Sequence[int]) -> list[int]:
    """How many records may have been there when a training began: none, all, or those before one of the longest pauses.

    `times` rise. Of very many only some are tried: cells of one budget are recorded one right after the other.
    """
    inside = sorted(range(1, len(times)), key=lambda n: times[n - 1] - times[n])[:_MOST_PAUSES]
    return sorted({0, len(times), *inside})


def open_cells(cohort: Cohort, paths: RunPaths) -> set[str]:
    """Run ids without a record."""
    return {run_id for run_id in cohort.run_ids if not paths.record(run_id).exists()}


def steps_taken(part: Cohort, paths: RunPaths) -> int | None:
    """By each member of a part, those of the trunk and of branches that are recorded or under way.

    None where the state does not read: training begins anew.
    """
    left, state = open_cells(part, paths), paths.checkpoint(part.cohort_id)
    if not left:
        return part.trained_steps
    steps = step_of(state)
    if steps is None or len(part.branches) == 1:
        return steps
    for branch in part.branches:
        own, recipe = paths.checkpoint(branch.cohort_id), branch.recipe
        if not left & set(branch.run_ids):
            steps += recipe.steps - recipe.branch_step
        elif own.exists():
            steps += max(0, (step_of(own) or 0) - recipe.branch_step)
    return steps


def step_of(path: Path) -> int | None:
    """The step that a checkpoint was saved at; 0 where there is none."""
    written = _written(path)
    return _read_step(path, written) if written else 0


@cache
def _read_step(path: Path, written: int) -> int | None:  # noqa: ARG001 - of another time it is another one
    from mdl.training import checkpoint_step

    return checkpoint_step(path)


def _written(path: Path) -> int:
    """When, in ns; 0: it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
