"""One progress display for a sweep: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from mdl.sweeps.driver_status import DriverStatus
from mdl.sweeps.messages import say
from mdl.sweeps.time_left import TimeLeft
from mdl.sweeps.worker_pool import Job, Lane, Outcome
from mdl.units import counted, format_bytes, format_seconds

_LINE_EVERY_SECONDS = 10.0
_BAR_EVERY_SECONDS = 0.5
_BAR_COLUMNS = 24
_UNKNOWN = "time left not known yet"


class Display:
    """Called by the pool from its threads; one lock keeps what it adds up whole, rich's own the bars."""

    def __init__(
        self,
        jobs: Sequence[Job],
        lanes: Sequence[Lane],
        console: Console,
        cells: tuple[int, int],
        telling: DriverStatus | None = None,
    ) -> None:
        """`cells`: of the whole sweep, how many have a record, and how many there are. `telling`: others hear too."""
        self.console = console
        self.n_done, self.n_cells = cells
        self.failures = 0
        self.n_made = 0  # cells recorded here
        self.reason = ""  # of the first failure
        self.given_up: list[Job] = []  # ended in an error
        self._telling = telling
        self._open = {id(job): len(job.open) for job in jobs if job.request["kind"] == "cohort"}  # cells to be made
        self._counted: dict[int, int] = {}  # of these, what is counted as recorded
        self._time_left = TimeLeft(jobs, lanes)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)
        self._running: dict[int, str] = {}  # what runs, by id(job), as below: two cohorts may have one name
        self._noted: set[str] = set()
        self._tasks: dict[int, TaskID] = {}
        self._started = self._told = time.monotonic()
        self._share = 0.0
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(_BAR_COLUMNS),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._all = self._bars.add_task(self._cells(), total=1.0, left=_UNKNOWN)
        n_coders = sum(job.request["kind"] != "cohort" for job in jobs)
        self._coders = self._bars.add_task("coders", total=n_coders, left="", visible=n_coders > 0)

    def __enter__(self) -> Self:
        self._bars.start()
        self._clock.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._clock.join()
        self._bars.stop()

    def _tick(self) -> None:
        """Some jobs say nothing for long, and time goes on."""
        while not self._over.wait(_BAR_EVERY_SECONDS):
            self._tell_all()

    def started(self, job: Job) -> None:
        """A worker has it."""
        with self._lock:
            self._time_left.started(job, time.monotonic())
            self._running[id(job)] = job.name if job.request["kind"] != "cohort" else f"{job.name} starting"

    def progress(self, job: Job, phase: str, fraction: float) -> None:
        """A job has come so far in a phase."""
        with self._lock:
            self._time_left.progress(job, phase, fraction, time.monotonic())
            if phase == "training" and "measuring" in self._running.get(id(job), ""):  # a budget has been recorded
                self._count(job, self._open.get(id(job), 0) - len(job.open))
            self._running[id(job)] = f"{job.name} {phase} {100 * fraction:.0f} %"
            if id(job) not in self._tasks:
                self._tasks[id(job)] = self._bars.add_task(job.name, total=1.0, left="")
            self._bars.update(self._tasks[id(job)], completed=fraction, description=f"{job.name} {phase}")
        self._tell_all()

    def stage(self, job: Job, name: str) -> None:
        """A job is at something before its first step."""
        with self._lock:
            self._running[id(job)] = f"{job.name} {name}"
            if id(job) not in self._tasks:
                self._tasks[id(job)] = self._bars.add_task(job.name, total=1.0, left="")
            self._bars.update(self._tasks[id(job)], description=f"{job.name} {name}")
        self._tell_all()

    def note(self, job: Job, message: str) -> None:
        """A job has something to say; what another one has said, such as the other part of its cohort, is known."""
        with self._lock:
            is_known = message in self._noted
            self._noted.add(message)
        if not is_known:
            say(self.console, f"{job.name}: {message}", "yellow")

    def outcome(self, outcome: Outcome) -> None:
        """A job has ended."""
        job = outcome.job
        failed = outcome.result.get("failed", {})
        with self._lock:
            self._time_left.ended(job, time.monotonic(), outcome.result.get("seconds"))
            self._running.pop(id(job), None)
            if id(job) in self._tasks:
                self._bars.remove_task(self._tasks.pop(id(job)))
            n_made, of_all = outcome.result.get("n_cells", 0), ""
            if job.request["kind"] == "cohort":
                if outcome.error:  # a process that died tells nothing, but what it has recorded stays
                    asked = self._open[id(job)] + self._counted.get(id(job), 0)
                    n_made = asked - len(job.open)
                    of_all = f"; {n_made} of its {counted(asked, 'cell')} stand" if n_made > 0 else ""
                self._count(job, max(0, n_made - self._counted.get(id(job), 0)))
                del self._open[id(job)]
            else:
                self._bars.advance(self._coders)
            self.failures += bool(outcome.error) + len(failed)
            self.reason = self.reason or next(iter(failed.values()), outcome.error) or ""
        for run_id, reason in failed.items():
            say(self.console, f"failed: {run_id}: {reason}", "red")
        if outcome.error:
            self.given_up.append(job)
            say(self.console, f"failed: {job.name}: {outcome.error}{of_all}", "red")
        elif n_made and not self.console.is_terminal:
            self._line(f"{self._cells()}, {job.name} done")
        self._tell_all()

    def _count(self, job: Job, n_cells: int) -> None:
        """So many more cells of a cohort have a record."""
        self.n_made += n_cells
        self.n_done += n_cells
        self._open[id(job)] -= n_cells
        self._counted[id(job)] = self._counted.get(id(job), 0) + n_cells

    def _cells(self) -> str:
        return f"{self.n_done} of {counted(self.n_cells, 'cell')}"

    def _tell_all(self) -> None:
        every = _BAR_EVERY_SECONDS if self.console.is_terminal else _LINE_EVERY_SECONDS
        with self._lock:
            now = time.monotonic()
            if now - self._told < every:
                return
            self._told = now
            spent, left = now - self._started, self._time_left.seconds(now)
            running, n_open = list(self._running.values()), sum(self._open.values())
            self._share = max(self._share, 0.0 if left is None else spent / (spent + left))  # it never goes back
        said = _UNKNOWN if left is None else f"about {format_seconds(left)} left"
        if self.console.is_terminal:
            self._bars.update(self._all, completed=self._share, description=self._cells(), left=said)
        elif running:
            self._line(f"{100 * self._share:.0f} %, {self._cells()}, {said}: {', '.join(running)}")
        if self._telling:
            self._telling(running, left, n_open)

    def _line(self, text: str) -> None:
        gone = format_seconds(time.monotonic() - self._started)
        say(self.console, f"after {gone}: {text}")


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
            say(self.console, f"{what}: {format_bytes(done)}{of}")
