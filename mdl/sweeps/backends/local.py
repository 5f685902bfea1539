"""`mdl sweep` on this machine: what is missing becomes jobs, jobs run on this machine's processors, records appear."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field
from rich.console import Console

from mdl.errors import Terminated
from mdl.sweeps import claims
from mdl.sweeps.backends.registry import Ended, Request, register_backend
from mdl.sweeps.claims import Claim
from mdl.sweeps.drivers import Telling
from mdl.sweeps.jobs import baseline_jobs, cohort_job, missing
from mdl.sweeps.manifest import open_corpora, write_manifest
from mdl.sweeps.messages import say
from mdl.sweeps.plan import Plan
from mdl.sweeps.progress import Display
from mdl.sweeps.worker_pool import Job, Lane, Pool
from mdl.units import counted

_WAIT_SECONDS = 2.0


@dataclass(frozen=True)
class LocalOptions:
    """How this machine is used; None: what it has."""

    workers: Annotated[int, Field(ge=1)] | None = None  # processes at once
    per_gpu: Annotated[int, Field(ge=1)] = 1  # cohorts that share a GPU


class LocalBackend:
    """All of it here, now."""

    options = LocalOptions

    def run(self, request: Request, options: LocalOptions) -> Ended:
        """Make every missing record."""
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
        return ""

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
    per_gpu: int = 1,
    wait: bool = True,
    until: float = math.inf,
) -> Ended:
    """Make every missing record of the plan.

    What another process works on is left to it, and waited for (it may die) with `wait`. `whole`: the plan is all of
    its sweep, not a part. `per_gpu` cohorts share a GPU. `until`, by time.monotonic(), what is unfinished is saved.
    """
    corpora = open_corpora(plan, console)
    cohorts = plan.cohorts if with_cohorts else ()
    left = [c for cohort in cohorts if (c := missing(cohort, plan.paths, retry_failed=retry_failed))]
    on_gpu = _n_gpus() > 0
    jobs = [cohort_job(plan, c, command, corpora, retry_failed=retry_failed, on_gpu=on_gpu) for c in left]
    n_left = sum(len(job.open) for job in jobs)
    if with_baselines:
        jobs += baseline_jobs(plan, corpora)
    write_manifest(plan, corpora.values(), command, whole=whole)
    n_cells = len(plan.cells)
    asked, to_do = counted(n_cells, "cell"), f"{n_left} to do in {counted(len(left), 'cohort')}"
    console.print(f"{plan.name}: {asked}, {n_cells - n_left} done, {to_do}")
    if left and (why := _unused()):
        say(console, why)
    with _terminate_as_interrupt():
        places = _Places(n_workers=n_workers, per_gpu=per_gpu, wait=wait, until=until)
        ended = _run_jobs(plan, jobs, console, places)
    claims.tidy(plan.paths)
    return ended


@dataclass(frozen=True, kw_only=True)
class _Places:
    """How jobs are run: processes (None: what the machine has), cohorts a GPU, whether to wait for others."""

    n_workers: int | None
    per_gpu: int
    wait: bool
    until: float = math.inf


def _run_jobs(plan: Plan, jobs: list[Job], console: Console, places: _Places) -> Ended:
    """Rounds of all that is left and that no other process works on, until nothing is."""
    ended, waiting, jobs = Ended(), Waiting(console), _fitting(jobs)
    while jobs:
        live = {key: claim for key, claim in claims.latest(plan.paths).items() if not claim.is_stale}
        free = [job for job in jobs if any(key not in live for key in job.open)]
        if free:
            lanes = _lanes(places, len(free), {job.n_devices for job in free})
            pool = Pool(lanes, plan.paths.root / "log.txt")
            n_left = sum(len(job.open) for job in jobs if job.request["kind"] == "cohort")
            cells = len(plan.cells) - n_left, len(plan.cells)
            with Telling(plan.paths) as telling, Display(free, lanes, console, cells, telling) as display:
                pool.run(free, display, places.until)
            n_errors = len(display.given_up)
            ended = Ended(
                ended.n_errors + n_errors, ended.n_failed + display.failures - n_errors, ended.n_made + display.n_made
            )
            jobs = [job for job in jobs if job not in display.given_up]
        jobs = [job for job in jobs if job.open]
        if (not places.wait and not free) or time.monotonic() >= places.until:
            break
        waiting(jobs, live)
    return ended


class Waiting:
    """Lets a moment pass where all that is left is with others, and says so when that changes."""

    def __init__(self, console: Console) -> None:
        self.console, self.told = console, ""

    def __call__(self, jobs: Sequence[Job], live: Mapping[str, Claim]) -> None:
        """`jobs` are left; `live` claims were on some of their records."""
        held = [live[key] for job in jobs for key in job.open if key in live]
        if not held:
            return
        who = ", ".join(sorted({f"{claim.host} (process {claim.pid})" for claim in held}))
        text = f"waiting for {len(held)} that {who} works on; Ctrl-C leaves them there"
        if text != self.told:
            say(self.console, text)
            self.told = text
        time.sleep(_WAIT_SECONDS)


def _fitting(jobs: list[Job]) -> list[Job]:
    """The same, none asking for more GPUs than there are: it then trains on fewer, and on a CPU in one lane."""
    at_most = max(1, _n_gpus())
    return [replace(job, n_devices=min(job.n_devices, at_most)) for job in jobs]


def _lanes(places: _Places, n_jobs: int, widths: AbstractSet[int] = frozenset({1})) -> list[Lane]:
    """One process a GPU for cohorts and some for baselines beside; without a GPU one single-threaded process a core.

    `widths`: how many GPUs the jobs want; as many GPUs are one lane as long as such jobs wait.
    """
    cores, n_gpus = _n_cores(), _n_gpus()
    single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if not n_gpus:
        both = frozenset({"cohort", "baseline"})
        return [Lane(both, single)] * min(n_jobs, places.n_workers or cores)
    devices = [place["CUDA_VISIBLE_DEVICES"] for place in gpu_places()]
    n_lanes = places.n_workers or n_gpus * places.per_gpu
    gpus = _split(devices, sorted(widths - {1}, reverse=True))
    gpus += _split(devices * (places.per_gpu - 1), [])
    return gpus[:n_lanes] + [Lane(frozenset({"baseline"}), {**single, "CUDA_VISIBLE_DEVICES": ""})] * max(
        1, min(8, cores // 2)
    )


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


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_places() -> int:
    """How many cohorts are trained at once where nothing else is asked for: one a GPU, or one a core."""
    return _n_gpus() or _n_cores()


def gpu_places() -> list[dict[str, str]]:
    """What the environment of a process on each of this machine's GPUs adds; none without one."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(_n_gpus())))).split(",")
    return [{"CUDA_VISIBLE_DEVICES": device} for device in visible[: _n_gpus()]]


def _unused() -> str | None:
    if sys.platform == "linux":
        return None  # spares it the import of torch: no accelerator that goes unused is known there
    from mdl.device import unused_accelerator

    return unused_accelerator()


def _n_gpus() -> int:
    if not Path("/proc/driver/nvidia/gpus").exists() and sys.platform == "linux":
        return 0  # spares a machine without one the two seconds of importing torch
    import torch

    return torch.cuda.device_count()


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
