"""What each driver of a sweep says of itself in the run folder, for `mdl status` on any machine: how far, how long yet.

A file a driver, written anew every few seconds and removed at the end. It is for people alone: nothing waits for it,
and where it cannot be written the sweep goes on.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from mdl.records import RecordError, RunPaths, read_plain, shown
from mdl.storage import Process, remove_own, this_process, write_atomically
from mdl.sweeps.claims import STALE_SECONDS, server_clock

_EVERY_SECONDS = 5.0
_MOST_BYTES = 1 << 16
_MOST_SHOWN, _MOST_RUNNING = 200, 100  # characters of each thing that it says, and how many run


class DriverStatus:
    """This process's file, until the block ends."""

    def __init__(self, paths: RunPaths) -> None:
        self._path = paths.drivers / f"{this_process().token}.json"
        self._told = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            remove_own(self._path)
            self._path.parent.rmdir()  # not empty: another driver's

    def __call__(self, running: Sequence[str], seconds_left: float | None, n_cells: int) -> None:
        """What runs, and that `n_cells` without a record will still take so long (None: not known)."""
        if time.monotonic() - self._told < _EVERY_SECONDS:
            return
        self._told = time.monotonic()
        content = {
            "host": socket.gethostname(),
            "running": list(running),
            "seconds_left": seconds_left,
            "n_cells": n_cells,
        }
        with contextlib.suppress(OSError):
            write_atomically(self._path, json.dumps(content).encode())


@dataclass(frozen=True, kw_only=True)
class Driver:
    """One that lives, as anyone reads it."""

    host: str
    pid: int
    running: tuple[str, ...]
    seconds_left: float | None  # from now on
    n_cells: int  # that it will have made by then


def drivers(paths: RunPaths) -> list[Driver]:
    """All that have said something lately; what is not theirs is passed over."""
    now, found = None, []
    for path in sorted(paths.drivers.glob("*.json")):
        process = Process.parse(path.stem)
        if process is None or process.is_dead:
            continue
        now = server_clock(paths.drivers) if now is None else now
        with contextlib.suppress(OSError, ValueError, RecursionError, RecordError):
            age = now - path.stat().st_mtime
            content = json.loads(read_plain(path, _MOST_BYTES))
            if age < STALE_SECONDS and (driver := _driver(content, process.pid, max(0.0, age))):
                found.append(driver)
    return found


def _driver(content: Any, pid: int, age: float) -> Driver | None:
    """None for what no driver says."""
    match content:
        case {"host": str(host), "running": list(running), "seconds_left": left, "n_cells": int(n_cells)}:
            known = isinstance(left, int | float) and math.isfinite(left)
            return Driver(
                host=_short(host),
                pid=pid,
                running=tuple(_short(word) for word in running[:_MOST_RUNNING]),
                seconds_left=max(0.0, left - age) if known else None,
                n_cells=n_cells,
            )
    return None


def _short(value: object) -> str:
    return shown(str(value)[:_MOST_SHOWN])
