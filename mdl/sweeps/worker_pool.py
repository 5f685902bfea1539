"""Jobs over worker processes: one thread here a process there, each taking the next job whose turn is on its lane."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TextIO

from mdl.errors import MdlError
from mdl.sweeps.claims import stands
from mdl.sweeps.cost_model import NOTHING, Spent, Work
from mdl.sweeps.device_shares import DeviceShares, Share
from mdl.sweeps.device_turns import DeviceTurns
from mdl.sweeps.kept_memory import KEEPING
from mdl.sweeps.seen_cohorts import remember

# Of the environment of processes that run side by side, and of those that leave the GPUs to others.
SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
ON_A_CORE = SINGLE_THREADED | {"CUDA_VISIBLE_DEVICES": ""}
_STOP_SECONDS = 30.0  # a stopped worker has this long to save its checkpoint
_ASK_SECONDS = 1.0  # a lane whose device is to take nothing now asks again this often
_FIRST_SHARE = 0.02  # at most, of what all classical coders cost: the larger one of the two that come first
_SLURM_TASKS = {"SLURM_NTASKS", "SLURM_NPROCS", "SLURM_NTASKS_PER_NODE"}


@dataclass(frozen=True)
class Job:
    """What a worker is asked (see `sweeps.worker`), how the display names it, and its cost to order and weigh it by."""

    name: str
    request: dict[str, Any]
    cost: float
    _: KW_ONLY
    n_bytes: int = 0  # to be trained on, repeats and all members counted
    records: dict[str, Path] = field(default_factory=dict)  # what it makes: key of the claim → file
    work: Work | None = None  # of a cohort: what it asks of a machine
    n_devices: int = 1  # a lane of so many takes it
    measuring_cost: float = 0.0  # of a cohort: what of its cost comes after training
    foretold: Spent = NOTHING  # that it will take; the longest begins first

    @property
    def parts(self) -> dict[str, float]:
        """Its cost in parts: training and measuring, or coder."""
        if self.request["kind"] != "cohort":
            return {"coder": self.cost}
        return {"training": self.cost - self.measuring_cost, "measuring": self.measuring_cost}

    def share_done(self, done: Mapping[str, float]) -> float:
        """Of its cost, where such fractions of its parts are done."""
        return sum(cost * done.get(part, 0.0) for part, cost in self.parts.items()) / max(self.cost, 1e-300)

    @property
    def per_byte(self) -> float:
        """Its cost for a byte that it trains on: larger for larger shapes."""
        return self.cost / max(1, self.n_bytes)

    @property
    def open(self) -> list[str]:
        """The keys that have no record yet, or one that is to be replaced."""
        replace = self.request.get("retry", {})
        return [key for key, record in self.records.items() if not stands(record, replace.get(key))]


@dataclass(frozen=True)
class Lane:
    """A place for one process: which kinds of job it takes, and what its environment adds.

    One of several devices falls into `parts` once no job that wants as many is waiting.
    """

    kinds: frozenset[str]
    environment: dict[str, str] = field(default_factory=dict)
    _: KW_ONLY
    n_devices: int = 1
    parts: tuple[Lane, ...] = ()

    @property
    def gpus(self) -> list[str]:
        """That its process sees."""
        return [device for device in self.environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if device]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: `error` is one line, or None."""

    job: Job
    error: str | None
    result: dict[str, Any]


class Listener(Protocol):
    """Hears what happens, from several threads."""

    def started(self, job: Job) -> None:
        """A worker has it."""

    def progress(self, job: Job, phase: str, fraction: float) -> None:
        """A job has come so far in a phase."""

    def stage(self, job: Job, name: str) -> None:
        """A job is at something before its first step, such as "compiling"."""

    def note(self, job: Job, message: str) -> None:
        """A job has something to say that is no failure."""

    def outcome(self, outcome: Outcome) -> None:
        """A job has ended."""


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """Longest first, so that lanes end together; but before them two classical coders, a small and a larger one.

    Those two tell how long the others will take, which are many, tell nothing while they run, and come last.
    """
    order = sorted(jobs, key=lambda job: (-job.foretold.at_work, -job.cost))
    coders = [job for job in order if job.request["kind"] == "baseline"]
    small = _FIRST_SHARE * sum(job.cost for job in coders)
    first = coders[-1:] + [job for job in coders[:-1] if job.cost <= small][:1]
    return first + [job for job in order if not any(job is one for one in first)]


class Pool:
    """Runs jobs to their end on as many processes as there are lanes, in the order of `in_order`."""

    def __init__(self, lanes: Sequence[Lane], log: Path) -> None:
        """Everything that workers print goes to the file `log`."""
        self._lanes, self._log = lanes, log
        self._ended = threading.Condition()  # of a job; its lock is that of all that follows
        self._waiting: list[Job] = []
        self._shares, self._turns = DeviceShares(), DeviceTurns()
        self._workers: set[subprocess.Popen[str]] = set()
        self._stopping = False
        self._fatal: str | None = None

    def run(self, jobs: Sequence[Job], listener: Listener, until: float = math.inf) -> None:
        """Return when all are done, or at `until` by time.monotonic(): every worker then saves its checkpoint first.

        So it does at a KeyboardInterrupt, which goes on up. MdlError where the disk takes no more.
        """
        self._waiting = in_order(jobs)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as log:
            threads = self._threads(self._lanes, log, listener)
            try:
                for thread in threads:
                    while thread.is_alive() and not self._fatal and time.monotonic() < until:
                        thread.join(timeout=0.2)
            except KeyboardInterrupt:
                self._stop()
                raise
            if any(thread.is_alive() for thread in threads) and not self._fatal:
                self._stop()
        if self._fatal:
            self._stop()
            raise MdlError(f"{self._fatal}; what is finished is recorded, run the same command to go on")

    def _threads(self, lanes: Sequence[Lane], log: TextIO, listener: Listener) -> list[threading.Thread]:
        with self._ended:
            for lane in lanes:
                self._turns.lanes(lane.gpus, 1)
        threads = [threading.Thread(target=self._serve, args=(lane, log, listener), daemon=True) for lane in lanes]
        for thread in threads:
            thread.start()
        return threads

    def _stop(self) -> None:
        with self._ended:
            self._stopping = True
            workers = list(self._workers)
            self._ended.notify_all()
        for worker in workers:
            worker.terminate()
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(_STOP_SECONDS)
            worker.kill()

    def _next(self, lane: Lane) -> Job | None:
        """What the lane takes, once it is its turn; None: nothing is left for it."""
        with self._ended:
            while not self._stopping:
                fit = [j for j in self._waiting if j.request["kind"] in lane.kinds and j.n_devices == lane.n_devices]
                if not fit:
                    return None
                if (chosen := self._turns.of(lane.gpus, [job.foretold for job in fit])) is not None:
                    job = fit[chosen]
                    self._waiting.remove(job)
                    self._turns.begin(lane.gpus, id(job), job.foretold)
                    return job
                self._ended.wait(_ASK_SECONDS)
        return None

    def _serve(self, lane: Lane, log: TextIO, listener: Listener) -> None:
        try:
            self._serve_all(lane, log, listener)
        finally:  # nothing is left for a lane that is gone, also where this thread fails
            with self._ended:
                self._turns.lanes(lane.gpus, -1)
                self._ended.notify_all()
        for thread in self._threads(() if self._fatal else lane.parts, log, listener):
            thread.join()

    def _serve_all(self, lane: Lane, log: TextIO, listener: Listener) -> None:
        """Every job that the lane takes, one after another."""
        worker: subprocess.Popen[str] | None = None
        while job := self._next(lane):
            share = self._shares.of(lane.gpus)
            try:
                if worker is None or worker.poll() is not None:
                    worker = self._start(lane, log)
                listener.started(job)
                outcome = _ask(worker, job, listener, share, partial(self._turns.left, lane.gpus, id(job)))
            finally:
                share.end()
                with self._ended:  # whoever waits may have their turn now
                    self._turns.end(lane.gpus, id(job))
                    self._ended.notify_all()
            if outcome.result.get("fatal"):
                self._fatal = outcome.error
                return
            if not self._stopping:
                listener.outcome(outcome)
            if job.work and (spent := outcome.result.get("spent")):
                remember(job.work, Spent(**spent), share=share.average, on_gpu=bool(lane.gpus))
        if worker is not None:
            self._end(worker)

    def _start(self, lane: Lane, log: TextIO) -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [sys.executable, "-m", "mdl.sweeps.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # Lightning would take the tasks of a Slurm job for its own: a worker is one process on one device.
            env=KEEPING | {k: v for k, v in os.environ.items() if k not in _SLURM_TASKS} | lane.environment,
            start_new_session=True,  # a Ctrl-C reaches the driver alone, which then stops its workers in order
        )
        with self._ended:
            self._workers.add(worker)
            if self._stopping:
                worker.kill()
        return worker

    def _end(self, worker: subprocess.Popen[str]) -> None:
        try:
            with contextlib.suppress(OSError):
                worker.communicate('"end"\n', timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:  # all is recorded; what still waits is a library that says goodbye
            worker.kill()
        worker.wait()
        with self._ended:
            self._workers.discard(worker)


def _ask(
    worker: subprocess.Popen[str], job: Job, listener: Listener, share: Share, tell_left: Callable[[float], None]
) -> Outcome:
    """`share` begins with the first step: until then the job leaves its device to others."""
    assert worker.stdin is not None  # noqa: S101 - both are pipes
    assert worker.stdout is not None  # noqa: S101
    done: dict[str, float] = {}
    at_first: float | None = None
    with contextlib.suppress(OSError):  # a dead worker is noticed below
        worker.stdin.write(json.dumps(job.request) + "\n")
        worker.stdin.flush()
    for line in worker.stdout:
        event = json.loads(line)
        if event["event"] == "progress":
            share.begin()
            done[event["phase"]] = event["done"] / max(1, event["total"])
            at_first = job.share_done(done) if at_first is None else at_first  # more than 0 of what goes on
            tell_left(job.foretold.at_work * max(0.0, 1 - job.share_done(done)) / max(1 - at_first, 1e-9))
            listener.progress(job, event["phase"], done[event["phase"]])
        elif event["event"] == "stage":
            listener.stage(job, event["name"])
        elif event["event"] == "note":
            listener.note(job, event["message"])
        else:
            if event.get("ends"):
                worker.wait()
            return Outcome(job, event.get("message"), event)
    code = worker.wait()
    why = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
    return Outcome(job, f"its process {why} (out of memory? see the log)", {})
