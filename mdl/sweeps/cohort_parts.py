"""A cohort that trains in parts is written down in the run folder, so that a stopped part goes on from its checkpoint.

The file lies where the checkpoints lie, under the whole cohort's id, and goes when all of its cells are recorded. What
trained together stands in each record: `cohort_id` and `provenance.cohort_size`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from mdl.config import Cohort
from mdl.records import RecordError, RunPaths, read_plain
from mdl.storage import create_once, remove_own
from mdl.sweeps.in_flight import open_cells, under_way

_MOST_BYTES = 1 << 22


def parts_of(cohort: Cohort, paths: RunPaths) -> list[Cohort]:
    """The cohort itself, or the parts that it was cut into, every cell in one of them."""
    named = _read(cohort, paths)
    parts = [part for run_ids in named if (part := cohort.only(set(run_ids))).cells]
    if parts and _goes_on_whole(cohort, parts, paths):
        return [cohort]
    rest = cohort.only(set(cohort.run_ids) - {run_id for part in parts for run_id in part.run_ids})
    return [*parts, rest] if parts and rest.cells else parts or [cohort]


def _goes_on_whole(cohort: Cohort, parts: Sequence[Cohort], paths: RunPaths) -> bool:
    """Whether another process had begun it whole before it was cut, and no part is done or has a state."""
    left = open_cells(cohort, paths)
    for part in parts:
        own = left & set(part.run_ids)
        if not own or under_way(part, own, paths):
            return False
    return under_way(cohort, left, paths) is not None


def keep_parts(cohort: Cohort, parts: Sequence[Cohort], paths: RunPaths) -> Sequence[Cohort]:
    """Write down how it is cut. Returns what it is cut into: whoever was first is right."""
    content = json.dumps([part.run_ids for part in parts])
    paths.cohorts.mkdir(parents=True, exist_ok=True)
    ours = create_once(paths.split(cohort.cohort_id), content.encode(), synced=False)
    return parts if ours else parts_of(cohort, paths)


def forget_states(cohorts: Sequence[Cohort], paths: RunPaths) -> None:
    """Of cohorts whose cells are all recorded, whole or in parts: who was killed right after a record left them."""
    for cohort in cohorts if paths.cohorts.is_dir() else ():
        if not open_cells(cohort, paths):
            states = [state for one in (cohort, *parts_of(cohort, paths)) for state in one.state_ids]
            remove_own(paths.split(cohort.cohort_id))
            paths.forget_checkpoints(*states)


def _read(cohort: Cohort, paths: RunPaths) -> list[list[str]]:
    """Disjoint lists of run ids; nothing where there is no file, or one that says something else."""
    try:
        content = json.loads(read_plain(paths.split(cohort.cohort_id), _MOST_BYTES))
    except (OSError, ValueError, RecursionError, RecordError):
        return []
    if not isinstance(content, list) or not all(isinstance(part, list) for part in content):
        return []
    names = [run_id for part in content for run_id in part if isinstance(run_id, str)]
    return content if len(names) == len(set(names)) == sum(map(len, content)) else []
