"""`mdl status`: of a sweep file or a run folder, once, as JSON, or again and again until nothing is left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from mdl.cli.path_resolution import is_sweep_file
from mdl.errors import UnknownNameError
from mdl.records import RunPaths
from mdl.sweeps import load_sweep, plan_sweep
from mdl.sweeps import status as progress

log = logging.getLogger(__name__)
_TELL_SECONDS = 30.0  # in a log, where nothing but the time has changed


def looking_at(place: Path | None, runs: Path) -> Callable[[], progress.Status]:
    """What returns the state of cells: a sweep file's under `runs`, a run folder's, or the newest one's (None).

    Where a plugin of a sweep file is missing, its cells have no names: its run folder tells those that it was to hold.
    """
    if place is not None and is_sweep_file(place):
        try:
            plan = plan_sweep(place, runs)
        except UnknownNameError as error:
            paths = RunPaths(runs / load_sweep(place).name)
            if not paths.root.is_dir():
                raise
            log.warning("%s; this is the status of %s alone", error, paths.root)
            return lambda: progress.folder_status(paths)
        return lambda: progress.status(plan)
    paths = RunPaths(RunPaths.newest(runs) if place is None else place)
    return lambda: progress.folder_status(paths)


def content(state: progress.Status) -> dict[str, Any]:
    """The state for scripts."""
    running = {
        run_id: {"host": claim.host, "process": claim.pid, "since": claim.since}
        for run_id, claim in state.running.items()
    }
    return {
        "name": state.name,
        "n_cells": state.n_cells,
        "done": list(state.done),
        "left": list(state.left),
        "failed": dict(state.failed),
        "needless": list(state.needless),
        "running": running,
        "half_trained": [asdict(one) for one in state.half_trained],
        "seconds_left": state.seconds_left,
    }


def tell(look: Callable[[], progress.Status]) -> None:
    """Once, for people."""
    typer.echo("\n".join(progress.lines(look())))


def watch(look: Callable[[], progress.Status]) -> None:
    """On a terminal in one place; in a log each time that more than the time has changed, or after a while."""
    console = Console(highlight=False)
    if not console.is_terminal:
        _log(look)
        return
    with Live(console=console, auto_refresh=False) as live:
        for state in progress.watch(look):
            live.update(Text("\n".join(progress.lines(state)), overflow="fold"), refresh=True)


def _log(look: Callable[[], progress.Status]) -> None:
    before, at = None, 0.0
    for state in progress.watch(look):
        now = (state.done, state.failed, state.left, state.needless, tuple(state.running), state.half_trained)
        if now != before or time.monotonic() - at > _TELL_SECONDS:
            typer.echo("\n".join(progress.lines(state)))
            before, at = now, time.monotonic()
