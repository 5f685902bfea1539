"""One progress display for a sweep: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mdl.sweeps.worker_pool import Job, Outcome
from mdl.units import format_bytes

_LINE_EVERY_SECONDS = 10.0
# Measuring codes the corpus once or twice while training passes over it often: its usual share of a cohort's work.
_TRAINING_SHARE = 0.75


class Display:
    """Called by the pool from its threads; rich's own lock keeps the bars whole."""

    def __init__(self, n_jobs: int, total_cost: float, console: Console) -> None:
        self.console, self.n_jobs, self.total_cost = console, n_jobs, total_cost
        self.n_done, self.cost_done, self.failures = 0, 0.0, 0
        self.n_made = 0  # cells recorded here
        self.given_up: list[Job] = []  # ended in an error
        self._partial: dict[int, float] = {}  # by id(job), as all below: two cohorts may have one name
        self._names: dict[int, str] = {}
        self._tasks: dict[int, TaskID] = {}
        self._first: dict[int, float] = {}  # where training stood when it was first heard of
        self._trained: dict[int, float] = {}  # bytes, since then
        self._started = self._told = time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._all = self._bars.add_task("sweep", total=total_cost)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def progress(self, job: Job, phase: str, fraction: float) -> None:
        """A job has come so far in a phase."""
        share = _TRAINING_SHARE * fraction if phase == "training" else _TRAINING_SHARE + 0.25 * fraction
        self._partial[id(job)], self._names[id(job)] = job.cost * min(1.0, share), job.name
        trained = fraction if phase == "training" else 1.0
        self._trained[id(job)] = job.n_bytes * (trained - self._first.setdefault(id(job), trained))
        if id(job) not in self._tasks:
            self._tasks[id(job)] = self._bars.add_task(job.name, total=1.0)
        self._bars.update(self._tasks[id(job)], completed=share, description=f"{job.name} {phase}")
        self._tell_all()

    def note(self, job: Job, message: str) -> None:
        """A job has something to say."""
        self.console.print(f"{job.name}: {message}", style="yellow", markup=False, soft_wrap=True)

    def outcome(self, outcome: Outcome) -> None:
        """A job has ended."""
        job = outcome.job
        self._partial.pop(id(job), None)
        self.n_done += 1
        self.cost_done += job.cost
        if id(job) in self._tasks:
            self._bars.remove_task(self._tasks.pop(id(job)))
        failed = outcome.result.get("failed", {})
        self.n_made += outcome.result.get("n_cells", 0)
        self.failures += bool(outcome.error) + len(failed)
        for run_id, reason in failed.items():
            self.console.print(f"failed: {run_id}: {reason}", style="red", markup=False, soft_wrap=True)
        if outcome.error:
            self.given_up.append(job)
            self.console.print(f"failed: {job.name}: {outcome.error}", style="red", markup=False, soft_wrap=True)
        elif outcome.result.get("n_cells") and not self.console.is_terminal:
            self._line(f"{job.name} done")
        self._tell_all()

    def _tell_all(self) -> None:
        done = self.cost_done + sum(list(self._partial.values()))
        now = time.monotonic()
        spent = now - self._started
        trained = sum(list(self._trained.values()))
        speed = f", {format_bytes(trained / spent)}/s trained" if trained else ""
        self._bars.update(self._all, completed=done, description=f"sweep: {self.n_done}/{self.n_jobs} jobs{speed}")
        if not self.console.is_terminal and now - self._told > _LINE_EVERY_SECONDS:
            self._told = now
            running = ", ".join(self._names[job] for job in list(self._partial)) or "baselines"
            left = spent * (self.total_cost - done) / done if done else 0.0
            share = f"{done / self.total_cost:4.0%}, {self.n_done}/{self.n_jobs} jobs"
            self._line(f"{share}{speed}, {left:.0f} s left: {running}")

    def _line(self, text: str) -> None:
        self.console.print(f"[{time.monotonic() - self._started:5.0f} s] {text}", markup=False, highlight=False)


_TELL_DOWNLOAD_SECONDS = 2.0


class Download:
    """Tells about a download, or a corpus being made, now and then."""

    def __init__(self, console: Console) -> None:
        self.console, self.told = console, 0.0

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Bytes `done` of `total`, of `what`."""
        now = time.monotonic()
        if now - self.told > _TELL_DOWNLOAD_SECONDS or done == total:
            self.told = now
            of = f" of {format_bytes(total)}" if total else ""
            self.console.print(f"{what}: {format_bytes(done)}{of}", soft_wrap=True)
