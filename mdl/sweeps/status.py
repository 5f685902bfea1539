"""How far a sweep is: done, running (where, since when), failed (why), left; from any machine that sees the folder."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mdl.records import read_ending
from mdl.sweeps.claims import Claim, latest
from mdl.sweeps.plan import Plan

_EVERY_SECONDS = 5.0
_SHOWN = 10  # failures told one by one


@dataclass(frozen=True)
class HalfTrained:
    """A cohort that was stopped: the same command goes on from its checkpoint."""

    cohort_id: str
    run_ids: tuple[str, ...]  # those of it that nobody works on
    step: int | None  # None: the checkpoint does not read, and training begins anew
    n_steps: int


@dataclass(frozen=True)
class Status:
    """Every cell of a plan is in one of four states."""

    name: str
    done: tuple[str, ...]  # run ids, as all below
    running: dict[str, Claim]
    failed: dict[str, str]  # and the reason
    left: tuple[str, ...]  # without a record, and nobody works on it
    half_trained: tuple[HalfTrained, ...] = ()  # of these, what goes on from a checkpoint

    @property
    def is_over(self) -> bool:
        """Whether nothing runs and nothing is left."""
        return not self.running and not self.left


def status(plan: Plan) -> Status:
    """As the folder tells it now. MdlError for a record that cannot be read."""
    claims = {key: claim for key, claim in latest(plan.paths).items() if not claim.is_stale}
    done, left, failed, running = [], [], {}, {}
    there = {path.name for path in plan.paths.root.iterdir()} if plan.paths.root.is_dir() else set()
    for cell in plan.cells:
        run_id = cell.run_id
        try:
            state, reason = read_ending(plan.paths.record(run_id)) if run_id in there else ("open", None)
        except FileNotFoundError:
            state, reason = "open", None
        if state == "ok":
            done.append(run_id)
        elif run_id in claims:
            running[run_id] = claims[run_id]
        elif state == "failed":
            failed[run_id] = reason or "?"
        else:
            left.append(run_id)
    return Status(plan.name, tuple(done), running, failed, tuple(left), _half_trained(plan, set(left)))


def _half_trained(plan: Plan, left: set[str]) -> tuple[HalfTrained, ...]:
    """Cohorts with a checkpoint: whole ones, and what was left of one when it was stopped."""
    there = {path.stem for path in plan.paths.cohorts.glob("*.ckpt")} if left else set()
    found = []
    for cohort in plan.cohorts if there else ():
        mine = left & set(cohort.run_ids)
        for part in (cohort, cohort.only(mine)) if mine else ():
            if part.cohort_id in there:
                path = plan.paths.checkpoint(part.cohort_id)
                step = _step_of(path, path.stat().st_mtime_ns)
                found.append(HalfTrained(part.cohort_id, tuple(sorted(mine)), step, cohort.recipe.steps))
                break
    return tuple(found)


@cache
def _step_of(path: Path, written: int) -> int | None:  # noqa: ARG001 - of another time it is another one
    """The step that a checkpoint was saved at; read once for each time that it was written."""
    from mdl.training import checkpoint_step

    return checkpoint_step(path)


def lines(state: Status) -> list[str]:
    """For people."""
    n_cells = len(state.done) + len(state.running) + len(state.failed) + len(state.left)
    text = [
        f"{state.name}: {n_cells} cells: {len(state.done)} done, {len(state.running)} running, "
        f"{len(state.failed)} failed, {len(state.left)} left"
    ]
    text += [f"running: {line}" for line in _running(state.running.values())]
    text += [f"half trained: {_half(one)}" for one in state.half_trained]
    reasons = Counter(state.failed.values())
    for reason, count in reasons.most_common(_SHOWN):
        first = next(run_id for run_id, why in state.failed.items() if why == reason)
        text.append(f"failed: {first}{f' and {count - 1} more' if count > 1 else ''}: {reason}")
    if len(reasons) > _SHOWN:
        text.append(f"failed: {len(reasons) - _SHOWN} reasons more")
    return text


def _half(one: HalfTrained) -> str:
    count = f"{len(one.run_ids)} cell{'s' * (len(one.run_ids) != 1)}"
    if one.step is None:
        return f"{count} of {one.cohort_id}, whose checkpoint does not read: they begin anew"
    return f"{count}, step {one.step:,} of {one.n_steps:,} ({one.cohort_id}.ckpt); the same sweep goes on from there"


def _running(claims: Iterable[Claim]) -> list[str]:
    """A line a process: what it works on, where, since when."""
    by_process = Counter((claim.host, claim.pid, claim.what, claim.since) for claim in claims)
    return [
        f"{what} ({count} cells) on {host}, process {pid}, since {since}"
        for (host, pid, what, since), count in sorted(by_process.items(), key=str)
    ]


def watch(plan: Plan) -> Iterable[list[str]]:
    """The lines again and again, each time that they have changed, until all is over."""
    told: list[str] = []
    while True:
        state = status(plan)
        now = lines(state)
        if now != told:
            yield now
        told = now
        if state.is_over:
            return
        time.sleep(_EVERY_SECONDS)
