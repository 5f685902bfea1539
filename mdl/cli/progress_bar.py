"""The bar of a command that works through bytes: what it does, how far it is, how long yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from mdl.cli.options import console
from mdl.units import format_seconds

_BAR_COLUMNS = 24


class _TimeLeft(ProgressColumn):
    """About 12 s left."""

    def render(self, task: Task) -> Text:
        """Nothing once it is done."""
        left = task.time_remaining
        if task.finished:
            return Text("")
        return Text("time left not known yet" if left is None else f"about {format_seconds(left)} left")


@contextmanager
def byte_bar(what: str, n_bytes: int | None) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on a terminal that goes when it is done, nothing elsewhere; `n_bytes` None: how many is not known yet."""
    shown = console()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(_BAR_COLUMNS), DownloadColumn(), _TimeLeft())
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        yield bar, bar.add_task(what, total=n_bytes)
