"""Who works on which cell, on a folder that any number of processes share, without a server and without locks.

A claim on a cell is a file `claims/<key>.<generation>`, made by `os.link` so that one process makes it (NFS keeps that
promise, it does not keep flock's). A claim is *stale* once its holder is known to be dead, or has not touched the file
for STALE_SECONDS by the file server's clock, or has given it back; then the next generation may be claimed. Nothing is
deleted while a cell is open: whoever takes over by deleting may delete its successor's claim. A cell is closed by its
record, which is made by link too: at worst work starts twice, a record is unique.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mdl.errors import MdlError
from mdl.records import RecordError, RunPaths, read_plain, shown
from mdl.storage import Process, create_once, remove_dead_temporaries, remove_own, temporary_beside, this_process
from mdl.sweeps.backends.registry import incarnations

HEARTBEAT_SECONDS = 15.0
# Eight beats: a client of NFS may see a file's time a minute late.
STALE_SECONDS = 120.0
_MOST_BYTES = 1 << 16  # of a claim
_MOST_SHOWN = 200  # characters of each thing that it says


class SupersededError(MdlError):
    """Another process took over a claim of this one, which was silent for too long."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The newest claim on a key, as anyone reads it."""

    path: Path
    key: str
    generation: int
    is_stale: bool
    host: str  # of the holder, for people
    pid: int
    since: str  # ISO time by the holder's clock
    what: str  # the cohort or baseline it belongs to


def latest(paths: RunPaths) -> dict[str, Claim]:
    """The newest claim of every key that has one."""
    newest: dict[str, tuple[int, str]] = {}
    with contextlib.suppress(FileNotFoundError):
        for path in list(paths.claims.iterdir()):
            key, _, generation = path.name.rpartition(".")
            if generation.isdecimal() and not key.startswith("."):
                newest[key] = max(newest.get(key, (-1, "")), (int(generation), path.name))
    if not newest:
        return {}
    now = server_clock(paths.claims)
    read = (_read(paths.claims / name, key, generation, now) for key, (generation, name) in newest.items())
    return {claim.key: claim for claim in read if claim}


def live(paths: RunPaths) -> dict[str, Claim]:
    """Of these the ones whose holder works on the key."""
    return {key: claim for key, claim in latest(paths).items() if not claim.is_stale}


def server_clock(folder: Path) -> float:
    """The file server's time, seconds, where files of `folder` lie: this host's clock may differ."""
    probe = temporary_beside(folder / f"clock.{threading.get_ident()}")
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:  # a folder that one may only read
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _read(path: Path, key: str, generation: int, now: float) -> Claim | None:
    try:
        age = now - path.stat().st_mtime
        content = json.loads(read_plain(path, _MOST_BYTES) or b"{}")
    except FileNotFoundError:  # closed in the meantime
        return None
    except (ValueError, RecursionError, RecordError):
        content = None
    content = content if isinstance(content, dict) else {}  # whatever it is, it is someone's claim
    holder = Process.parse(str(content.get("process")))
    if age < -STALE_SECONDS:  # the clock was set back: from now on the ordinary rule holds
        with contextlib.suppress(OSError):
            os.utime(path)
    dead = (holder is not None and holder.is_dead) or _was_requeued(content)
    host, since, what = (shown(str(content.get(name, "?"))[:_MOST_SHOWN]) for name in ("host", "since", "what"))
    return Claim(
        path=path,
        key=key,
        generation=generation,
        is_stale=dead or age > STALE_SECONDS,
        host=host,
        pid=holder.pid if holder else 0,
        since=since,
        what=what,
    )


def _was_requeued(content: Mapping[str, Any]) -> bool:
    """Whether the holder is an earlier start of the very job that this process is (see `Backend.incarnation`)."""
    there = content.get("incarnations", {"slurm": content.get("slurm")})  # the key of older claims
    if not isinstance(there, dict):
        return False
    for name, (job, start) in incarnations().items():
        match there.get(name):
            case [str(other), int(earlier)] if other == job and earlier < start:
                return True
    return False


@dataclass
class Claims:
    """The claims that this process holds, kept alive by a thread until the block ends."""

    paths: RunPaths
    what: str  # for people: the cohort, the baseline
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    _held: dict[str, tuple[int, Path]] = field(default_factory=dict, init=False)  # key → generation, record
    _ended: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        for key in list(self._held):
            self._let_go(key)
        with contextlib.suppress(OSError):  # not empty, or already gone
            self.paths.claims.rmdir()

    def take(self, wanted: Mapping[str, Path], replace: Mapping[str, int] | None = None) -> list[str]:
        """Claim keys, each with the record that closes it; those won, that have no record yet.

        `replace`: records to be made anew, by the time of change (ns) they had when that was decided.
        """
        known, replace = latest(self.paths), replace or {}
        won = []
        for key, record in wanted.items():
            before = known.get(key)
            if stands(record, replace.get(key)) or (before and not before.is_stale):
                continue
            generation = before.generation + 1 if before else 0
            if not self._create(self._path(key, generation)):
                break  # someone takes the same cells in the same order: all to the quicker, none cut in two
            with self._lock:
                self._held[key] = (generation, record)
            if stands(record, replace.get(key)):  # made between the first look and the claim
                self._let_go(key)
                continue
            if not remove_own(record):
                raise MdlError(
                    f"{record} is to be written again, but is a link or lies in a linked folder; remove the link"
                )
            if before:
                remove_dead_temporaries(record.parent)
            won.append(key)
        return won

    def check(self) -> None:
        """SupersededError where a successor has taken a claim: this process was taken for dead."""
        for key, (generation, _) in list(self._held.items()):
            if self._path(key, generation + 1).exists():
                raise SupersededError(f"{key} was taken over by another process while this one was suspended")

    def _path(self, key: str, generation: int) -> Path:
        return self.paths.claims / f"{key}.{generation}"

    def _create(self, path: Path) -> bool:
        content = {
            "process": this_process().token,
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "what": self.what,
            "incarnations": incarnations(),
        }
        return create_once(path, json.dumps(content).encode(), synced=False)

    def _let_go(self, key: str) -> None:
        """Delete the claims on a closed cell; give an open one back, for others to claim at once."""
        with self._lock:
            generation, record = self._held.pop(key)
        if record.exists():
            for g in range(generation + 1):
                remove_own(self._path(key, g))
        else:
            with contextlib.suppress(OSError):
                os.utime(self._path(key, generation), (0, 0))

    def _beat(self) -> None:
        while not self._ended.wait(self.heartbeat_seconds):
            with self._lock:
                for key, (generation, _) in self._held.items():
                    if not self._path(key, generation + 1).exists():
                        with contextlib.suppress(OSError):
                            os.utime(self._path(key, generation))


def stands(record: Path, replace: int | None) -> bool:
    """Whether there is a record that is not the one to be replaced, changed at that time (ns)."""
    try:
        return record.stat().st_mtime_ns != replace
    except FileNotFoundError:
        return False


def tidy(paths: RunPaths) -> None:
    """Remove what processes that died left behind: claims on closed cells, half-written files."""
    for claim in latest(paths).values():
        for record in (paths.record(claim.key), paths.baseline(claim.key)):
            if claim.is_stale and record.exists():
                remove_dead_temporaries(record.parent)
                for g in range(claim.generation + 1):
                    remove_own(paths.claims / f"{claim.key}.{g}")
    for path in paths.drivers.glob("*.json"):
        if (process := Process.parse(path.stem)) and process.is_dead:
            remove_own(path)
    for folder in (paths.root, paths.baselines, paths.cohorts, paths.claims, paths.drivers):
        remove_dead_temporaries(folder)
    for folder in (paths.cohorts, paths.claims, paths.drivers):
        with contextlib.suppress(OSError):  # not empty, or already gone
            folder.rmdir()
