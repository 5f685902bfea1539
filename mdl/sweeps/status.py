"""How far a sweep is: done, running (where, since when), failed (why), left; from any machine that sees the folder."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from mdl.errors import MdlError
from mdl.records import RunPaths, read_ending, read_manifest
from mdl.sweeps.claims import Claim, latest, live
from mdl.sweeps.cohort_parts import parts_of
from mdl.sweeps.driver_status import Driver, drivers
from mdl.sweeps.in_flight import step_of, steps_taken, under_way
from mdl.sweeps.plan import Plan
from mdl.units import counted, format_seconds

_EVERY_SECONDS = 5.0
_SHOWN = 10  # failures told one by one


@dataclass(frozen=True, kw_only=True)
class HalfTrained:
    """A cohort that was stopped: the same command goes on from its checkpoint."""

    cohort_id: str
    run_ids: tuple[str, ...]  # those of it that nobody works on
    step: int | None  # of all budgets, a trunk's once; None: the checkpoint does not read, and training begins anew
    n_steps: int | None  # None: the run folder alone does not tell, nor what was trained beside the trunk


@dataclass(frozen=True, kw_only=True)
class Status:
    """Every cell of a plan is in one of five states."""

    name: str
    done: tuple[str, ...]  # run ids, as all below
    running: dict[str, Claim]
    failed: dict[str, str]  # and the reason
    left: tuple[str, ...]  # without a record, and nobody works on it
    needless: tuple[str, ...] = ()  # budgets foretold to gain too little (`train.until`)
    half_trained: tuple[HalfTrained, ...] = ()  # of these, what goes on from a checkpoint
    drivers: tuple[Driver, ...] = ()  # who works on it

    @property
    def n_cells(self) -> int:
        """All of them."""
        return sum(map(len, (self.done, self.running, self.failed, self.left, self.needless)))

    @property
    def seconds_left(self) -> float | None:
        """Until every driver has done what it has before it; None where one does not know yet, or there is none."""
        times = [driver.seconds_left for driver in self.drivers]
        known = [seconds for seconds in times if seconds is not None]
        return max(known) if known and len(known) == len(times) else None

    @property
    def is_over(self) -> bool:
        """Whether nothing runs and nothing is left."""
        return not self.running and not self.left


def status(plan: Plan) -> Status:
    """As the folder tells it now. MdlError for a record that cannot be read."""
    found = _ended(plan.name, plan.paths, [cell.run_id for cell in plan.cells])
    return replace(found, half_trained=_half_trained(plan, set(found.left)))


def folder_status(paths: RunPaths) -> Status:
    """The same of a run folder without its sweep file: the cells that its sweeps named, and all that are recorded."""
    manifest = read_manifest(paths)
    recorded = sorted(path.parent.name for path in paths.root.glob("*/record.json"))
    if not manifest and not recorded:
        raise MdlError(f"{paths.root} is not a run folder (it has no sweep.json and no records); name one, or a sweep")
    found = _ended(manifest.get("name") or paths.root.resolve().name, paths, [*manifest.get("run_ids", ()), *recorded])
    claimed: dict[str, list[str]] = {}
    for claim in latest(paths).values():
        claimed.setdefault(claim.what, []).append(claim.key)
    half = [
        HalfTrained(cohort_id=path.stem, run_ids=mine, step=step_of(path), n_steps=None)
        for path in sorted(paths.cohorts.glob("*.ckpt"))
        if (mine := tuple(sorted(set(claimed.get(path.stem, ())) & set(found.left))))
    ]
    return replace(found, half_trained=tuple(half))


def _ended(name: str, paths: RunPaths, run_ids: Iterable[str]) -> Status:
    """Every cell in its state."""
    claims = live(paths)
    done, left, needless, failed, running = [], [], [], {}, {}
    there = {path.name for path in paths.root.iterdir()} if paths.root.is_dir() else set()
    for run_id in dict.fromkeys(run_ids):
        try:
            state, reason = read_ending(paths.record(run_id)) if run_id in there else ("open", None)
        except FileNotFoundError:
            state, reason = "open", None
        if state == "ok":
            done.append(run_id)
        elif run_id in claims:
            running[run_id] = claims[run_id]
        elif state == "failed":
            failed[run_id] = reason or "?"
        elif state == "needless":
            needless.append(run_id)
        else:
            left.append(run_id)
    return Status(
        name=name,
        done=tuple(done),
        running=running,
        failed=failed,
        left=tuple(left),
        needless=tuple(needless),
        drivers=tuple(drivers(paths)),
    )


def _half_trained(plan: Plan, left: set[str]) -> tuple[HalfTrained, ...]:
    """Cohorts with a checkpoint: whole ones, and what was left of one when it was stopped."""
    found, paths = [], plan.paths
    cohorts = (part for cohort in plan.cohorts for part in parts_of(cohort, paths)) if paths.cohorts.is_dir() else ()
    for cohort in cohorts:
        mine = left & set(cohort.run_ids)
        together = under_way(cohort, mine, paths)
        for part in together.parts if together else ():
            if paths.checkpoint(part.cohort_id).exists() and (own := tuple(sorted(mine & set(part.run_ids)))):
                step, n_steps = steps_taken(part, paths), part.trained_steps
                found.append(HalfTrained(cohort_id=part.cohort_id, run_ids=own, step=step, n_steps=n_steps))
    return tuple(found)


def lines(state: Status) -> list[str]:
    """For people."""
    text = [
        f"{state.name}: {counted(state.n_cells, 'cell')}: {len(state.done)} done, {len(state.running)} running, "
        f"{len(state.failed)} failed, {len(state.left)} left"
        + (f", {len(state.needless)} needless (longer training would gain too little)" if state.needless else "")
    ]
    if state.drivers:
        text.append(_time(state))
    for driver in state.drivers:
        text.append(f"now: {', '.join(driver.running) or 'nothing yet'} ({driver.host}, process {driver.pid})")
    text += [f"running: {line}" for line in _running(state.running.values())]
    text += [f"half trained: {_half(one)}" for one in state.half_trained]
    reasons = Counter(state.failed.values())
    for reason, count in reasons.most_common(_SHOWN):
        first = next(run_id for run_id, why in state.failed.items() if why == reason)
        text.append(f"failed: {first}{f' and {count - 1} more' if count > 1 else ''}: {reason}")
    if len(reasons) > _SHOWN:
        text.append(f"failed: {len(reasons) - _SHOWN} more reasons")
    return text


def _time(state: Status) -> str:
    """How long until all that drivers have before them is done, and how many cells none of them has."""
    seconds = state.seconds_left
    text = "time left: not known yet" if seconds is None else f"time left: about {format_seconds(seconds)}"
    others = len(state.running) + len(state.left) - sum(driver.n_cells for driver in state.drivers)
    return f"{text}; no process has {others} of the cells before it yet" if others > 0 else text


def _half(one: HalfTrained) -> str:
    count = counted(len(one.run_ids), "cell")
    if one.step is None:
        return f"{count} of {one.cohort_id}, whose checkpoint cannot be read: they start again"
    of = f" of {one.n_steps:,}" if one.n_steps else ""
    return f"{count}, step {one.step:,}{of} ({one.cohort_id}.ckpt); goes on there"


def _running(claims: Iterable[Claim]) -> list[str]:
    """A line a process: what it works on, where, since when."""
    by_process = Counter((claim.host, claim.pid, claim.what, claim.since) for claim in claims)
    return [
        f"{what} ({counted(count, 'cell')}) on {host}, process {pid}, since {since}"
        for (host, pid, what, since), count in sorted(by_process.items(), key=str)
    ]


def watch(look: Callable[[], Status]) -> Iterator[Status]:
    """What `look` finds, again and again until all is over."""
    while True:
        state = look()
        yield state
        if state.is_over:
            return
        time.sleep(_EVERY_SECONDS)
