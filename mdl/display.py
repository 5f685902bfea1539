"""One progress display for a sweep: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mdl.pool import Job, Outcome

_LINE_EVERY_SECONDS = 10.0
# Measuring codes the corpus once or twice while training passes over it often: its usual share of a cohort's work.
_TRAINING_SHARE = 0.75


class Display:
    """Called by the pool from its threads; rich's own lock keeps the bars whole."""

    def __init__(self, n_jobs: int, total_cost: float, console: Console) -> None:
        self.console, self.n_jobs, self.total_cost = console, n_jobs, total_cost
        self.n_done, self.cost_done, self.failures = 0, 0.0, 0
        self._partial: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}
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
        self._partial[job.name] = job.cost * min(1.0, share)
        if job.name not in self._tasks:
            self._tasks[job.name] = self._bars.add_task(job.name, total=1.0)
        self._bars.update(self._tasks[job.name], completed=share, description=f"{job.name} {phase}")
        self._tell_all()

    def outcome(self, outcome: Outcome) -> None:
        """A job has ended."""
        job = outcome.job
        self._partial.pop(job.name, None)
        self.n_done += 1
        self.cost_done += job.cost
        if job.name in self._tasks:
            self._bars.remove_task(self._tasks.pop(job.name))
        failed = outcome.result.get("failed", {})
        self.failures += bool(outcome.error) + len(failed)
        for run_id, reason in failed.items():
            self.console.print(f"failed: {run_id}: {reason}", style="red", markup=False, soft_wrap=True)
        if outcome.error:
            self.console.print(f"failed: {job.name}: {outcome.error}", style="red", markup=False, soft_wrap=True)
        elif job.request["kind"] == "cohort" and not self.console.is_terminal:
            self._line(f"{job.name} done")
        self._tell_all()

    def _tell_all(self) -> None:
        done = self.cost_done + sum(list(self._partial.values()))
        self._bars.update(self._all, completed=done, description=f"sweep: {self.n_done}/{self.n_jobs} jobs")
        now = time.monotonic()
        if not self.console.is_terminal and now - self._told > _LINE_EVERY_SECONDS:
            self._told = now
            running = ", ".join(self._partial) or "baselines"
            spent = now - self._started
            left = spent * (self.total_cost - done) / done if done else 0.0
            self._line(f"{done / self.total_cost:4.0%}, {self.n_done}/{self.n_jobs} jobs, {left:.0f} s left: {running}")

    def _line(self, text: str) -> None:
        self.console.print(f"[{time.monotonic() - self._started:5.0f} s] {text}", markup=False, highlight=False)
