"""Who does something: a process, named so that any other can tell whether it still lives. Standard library only."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process of one boot of one host. A pid alone is not enough: it is used again, and containers number anew."""

    place: str  # 8 hex of the boot and of the pid namespace: where `pid` has a meaning
    pid: int
    started: int  # clock ticks from boot to its start, which no change of the clock moves; 0 where unknown

    @property
    def token(self) -> str:
        """The same, fit for a file's name."""
        return f"{self.place}-{self.pid}-{self.started}"

    @staticmethod
    def parse(token: str) -> Process | None:
        """The process of a token; None for anything else."""
        match = re.fullmatch(r"([0-9a-f]{8})-(\d+)-(\d+)", token)
        return Process(match[1], int(match[2]), int(match[3])) if match else None

    @property
    def is_dead(self) -> bool:
        """Whether it surely is. False where only that other host could tell."""
        if self.place != _place():
            return False
        if Path("/proc/self/stat").exists():
            return _started(self.pid) != self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # someone else's
            return False
        return False


def this_process() -> Process:
    """The one that asks."""
    return Process(_place(), os.getpid(), _started(os.getpid()) or 0)


def seconds_since_start() -> float:
    """How long this process has been running; where the system does not tell, how long it has computed."""
    computed, started = time.process_time(), _started(os.getpid())
    if started is None:
        return computed
    return max(computed, time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK"))


@functools.cache
def _place() -> str:
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # Linux only
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    if len(parts) < 3:
        parts.append(str(uuid.getnode()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _started(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; None where there is no such process, or a zombie: what is over but not yet reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold spaces and brackets
    return None if fields[0] in "ZX" else int(fields[19])
