"""`mdl sweep` on this machine: what is missing becomes jobs, jobs run on this machine's processors, records appear."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field
from rich.console import Console

from mdl.config import Cohort
from mdl.errors import Terminated
from mdl.sweeps import claims
from mdl.sweeps.backends.registry import Ended, Request, register_backend
from mdl.sweeps.cohort_parts import forget_states
from mdl.sweeps.driver_status import DriverStatus
from mdl.sweeps.hardware import count_gpus, n_cores, this_machine
from mdl.sweeps.jobs import baseline_jobs, cohort_job, left_of
from mdl.sweeps.layout import Layout, advice_on_memory, auto_per_gpu, most_per_gpu
from mdl.sweeps.manifest import open_corpora, write_manifest
from mdl.sweeps.messages import say
from mdl.sweeps.plan import Plan, at_most
from mdl.sweeps.progress import Display
from mdl.sweeps.schedule import Place, makespan
from mdl.sweeps.seen_cohorts import cost_model
from mdl.sweeps.wait_for_others import WaitForOthers
from mdl.sweeps.worker_pool import ON_A_CORE, SINGLE_THREADED, Job, Lane, Pool
from mdl.units import counted, format_seconds


@dataclass(frozen=True)
class LocalOptions:
    """How this machine is used; None: what it has."""

    workers: Annotated[int, Field(ge=1)] | None = None  # processes at once
    per_gpu: Annotated[int, Field(ge=1)] | None = None  # cohorts that share a GPU; None: as many as fit, up to three


class LocalBackend:
    """All of it here, now."""

    options = LocalOptions

    def run(self, request: Request, options: LocalOptions) -> Ended:
        """Make every missing record."""
        if advice := advice_on_memory(request.plan):
            say(request.console, advice)
        return run_sweep(
            request.plan,
            request.command,
            request.console,
            n_workers=options.workers,
            with_baselines=request.with_baselines,
            retry_failed=request.retry_failed,
            per_gpu=options.per_gpu,
        )

    def preview(self, request: Request, options: LocalOptions) -> str:
        """The plan says it all."""
        return foretell(request, options)

    def incarnation(self) -> None:
        """Nobody starts a local process again."""


def run_sweep(
    plan: Plan,
    command: str,
    console: Console,
    *,
    n_workers: int | None = None,
    with_baselines: bool = True,
    retry_failed: bool = False,
    whole: bool = True,
    with_cohorts: bool = True,
    per_gpu: int | None = None,
    wait: bool = True,
    until: float = math.inf,
) -> Ended:
    """Make every missing record of the plan.

    What another process works on is left to it, and waited for (it may die) with `wait`. `whole`: the plan is all of
    its sweep, not a part. `per_gpu` cohorts share a GPU (None: as many as fit). `until`, by time.monotonic(), what is
    unfinished is saved.
    """
    corpora = open_corpora(plan, console)
    whole_cohorts = left_of(plan, plan.cohorts if with_cohorts else (), retry_failed=retry_failed)
    places = _places(whole_cohorts, n_workers=n_workers, per_gpu=per_gpu, wait=wait, until=until)
    on_gpu = count_gpus() > 0
    layout = Layout(plan, corpora, cost_model(on_gpu=on_gpu), _training_places(places, whole_cohorts))
    left = layout.cut(whole_cohorts, keep=True)
    how = {"retry_failed": retry_failed, "on_gpu": on_gpu}
    jobs = [cohort_job(plan, c, command, corpora, foretold=layout.seconds(c), **how) for c in left]
    n_left = sum(len(job.open) for job in jobs)
    if with_baselines:
        jobs += baseline_jobs(plan, corpora)
    write_manifest(plan, corpora.values(), command, whole=whole)
    n_cells = len(plan.cells)
    asked, to_do = counted(n_cells, "cell"), f"{n_left} to do in {counted(len(left), 'cohort')}"
    console.print(f"{plan.name}: {asked}, {n_cells - n_left} done, {to_do}")
    for one in whole_cohorts:
        if (n := sum(set(part.run_ids) <= set(one.run_ids) for part in left)) > 1:
            name = f"{one.shape.label} ×{len(one.members)}"
            say(console, f"{name}: trains in {n} parts, so that all end sooner")
    if left and (why := _unused()):
        say(console, why)
    with _terminate_as_interrupt():
        ended = _run_jobs(plan, jobs, console, places)
    forget_states(plan.cohorts, plan.paths)
    claims.tidy(plan.paths)
    return ended


def foretell(request: Request, options: LocalOptions) -> str:
    """How long this machine would take for what is left, in a line."""
    seconds, source = foretold_seconds(request, options)
    if not seconds:
        return "nothing is left to do\n"
    where = counted(count_gpus(), "GPU") if count_gpus() else counted(options.workers or n_cores(), "core")
    where += f" ({this_machine(on_gpu=count_gpus() > 0)})"
    told = f"here, on {where}: {at_most(request.plan) or 'about '}{format_seconds(seconds)}, foretold {source}\n"
    advice = advice_on_memory(request.plan)
    return f"{advice}\n{told}" if advice else told


def foretold_seconds(request: Request, options: LocalOptions) -> tuple[float, str]:
    """Of what is left of a plan, on this machine, and by what; corpora that only the network has are not counted."""
    plan, on_gpu = request.plan, count_gpus() > 0
    corpora = open_corpora(plan, Console(quiet=True), fetch=False)
    cohorts = [c for c in plan.cohorts if all(cell.config.corpus.spec() in corpora for cell in c.cells)]
    left = left_of(plan, cohorts, retry_failed=request.retry_failed)
    places = _places(left, n_workers=options.workers, per_gpu=options.per_gpu)
    model = cost_model(on_gpu=on_gpu)
    layout = Layout(plan, corpora, model, _training_places(places, left))
    known = replace(plan, cohorts=tuple(cohorts))
    coders = [job.foretold.at_work for job in baseline_jobs(known, corpora)] if request.with_baselines else []
    cohorts = layout.cut(left, keep=False)
    if not on_gpu:
        return layout.end_seconds(cohorts, coders), model.source
    coded = makespan(sorted(coders, reverse=True), _n_coders())
    return max(layout.end_seconds(cohorts), coded), model.source


@dataclass(frozen=True, kw_only=True)
class _Places:
    """How jobs are run: processes (None: what the machine has), cohorts a GPU, whether to wait for others."""

    n_workers: int | None
    per_gpu: int
    wait: bool
    until: float = math.inf


def _places(
    cohorts: Sequence[Cohort],
    *,
    n_workers: int | None,
    per_gpu: int | None,
    wait: bool = True,
    until: float = math.inf,
) -> _Places:
    """With as many cohorts a GPU as fit, where nothing is asked for."""
    return _Places(
        n_workers=n_workers,
        per_gpu=per_gpu or auto_per_gpu(cohorts, count_gpus(), n_cores()),
        wait=wait,
        until=until,
    )


def _training_places(places: _Places, cohorts: Sequence[Cohort]) -> list[Place]:
    """As `_lanes` for these cohorts: on a GPU, on several, or each on a core of its own."""
    n_gpus = count_gpus()
    if not n_gpus:
        return [Place((str(i),)) for i in range(places.n_workers or n_cores())]
    widths = {min(cohort.execution.n_devices, n_gpus) for cohort in cohorts}
    return [_place(lane) for lane in _lanes(places, len(cohorts), widths) if "cohort" in lane.kinds]


def _place(lane: Lane) -> Place:
    return Place(tuple(lane.gpus), tuple(map(_place, lane.parts)))


def _run_jobs(plan: Plan, jobs: list[Job], console: Console, places: _Places) -> Ended:
    """Rounds of all that is left and that no other process works on, until nothing is."""
    ended, waiting = Ended(), WaitForOthers(console)
    while jobs:
        live = claims.live(plan.paths)
        free = [job for job in jobs if any(key not in live for key in job.open)]
        if free:
            lanes = _lanes(places, len(free), {job.n_devices for job in free})
            pool = Pool(lanes, plan.paths.root / "log.txt")
            n_left = sum(len(job.open) for job in jobs if job.request["kind"] == "cohort")
            cells = len(plan.cells) - n_left, len(plan.cells)
            with DriverStatus(plan.paths) as telling, Display(free, lanes, console, cells, telling) as display:
                pool.run(free, display, places.until)
            n_errors = len(display.given_up)
            ended = Ended(
                n_errors=ended.n_errors + n_errors,
                n_failed=ended.n_failed + display.failures - n_errors,
                n_made=ended.n_made + display.n_made,
                reason=ended.reason or display.reason,
            )
            jobs = [job for job in jobs if job not in display.given_up]
        jobs = [job for job in jobs if job.open]
        if (not places.wait and not free) or time.monotonic() >= places.until:
            break
        waiting(jobs, live)
    return ended


def _lanes(places: _Places, n_jobs: int, widths: AbstractSet[int] = frozenset({1})) -> list[Lane]:
    """One process a GPU for cohorts and some for baselines beside; without a GPU one single-threaded process a core.

    `widths`: how many GPUs the jobs want; as many GPUs are one lane as long as such jobs wait.
    """
    cores, n_gpus = n_cores(), count_gpus()
    if not n_gpus:
        both = frozenset({"cohort", "baseline"})
        return [Lane(both, SINGLE_THREADED)] * min(n_jobs, places.n_workers or cores)
    devices = [place["CUDA_VISIBLE_DEVICES"] for place in gpu_places()]
    n_lanes = places.n_workers or n_gpus * places.per_gpu
    gpus = _split(devices, sorted(widths - {1}, reverse=True))
    gpus += _split(devices * (places.per_gpu - 1), [])
    return gpus[:n_lanes] + [Lane(frozenset({"baseline"}), ON_A_CORE)] * _n_coders()


def _n_coders() -> int:
    """Processes of classical coders beside GPUs."""
    return max(1, min(8, n_cores() // 2))


def _split(devices: Sequence[str], widths: Sequence[int]) -> list[Lane]:
    """Lanes of the first of `widths` (descending) GPUs, each to be split further; what is left over at once."""
    kinds = frozenset({"cohort"})
    if not widths:
        return [Lane(kinds, {"CUDA_VISIBLE_DEVICES": device}) for device in devices]
    wide, *others = widths
    groups = [devices[i : i + wide] for i in range(0, len(devices) - wide + 1, wide)]
    lanes = [
        Lane(kinds, {"CUDA_VISIBLE_DEVICES": ",".join(group)}, n_devices=wide, parts=tuple(_split(group, others)))
        for group in groups
    ]
    return lanes + _split(devices[len(groups) * wide :], others)


def has_gpu() -> bool:
    """Do cohorts train on a GPU here?"""
    return count_gpus() > 0


def n_places() -> int:
    """How many cohorts are trained at once where nothing else is asked for: one a core, or up to three a GPU."""
    n_gpus, cores = count_gpus(), n_cores()
    return n_gpus * most_per_gpu(n_gpus, cores) if n_gpus else cores


def gpu_places() -> list[dict[str, str]]:
    """What the environment of a process on each of this machine's GPUs adds; none without one."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count_gpus())))).split(",")
    return [{"CUDA_VISIBLE_DEVICES": device} for device in visible[: count_gpus()]]


def _unused() -> str | None:
    if sys.platform == "linux":
        return None  # spares it the import of torch: no accelerator that goes unused is known there
    from mdl.device import unused_accelerator

    return unused_accelerator()


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM stops a sweep as Ctrl-C does: workers save, and the same command goes on later."""

    def interrupt(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


register_backend("local", LocalBackend())
