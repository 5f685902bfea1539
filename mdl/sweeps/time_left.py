"""How long a sweep will still take, by the seconds that its own work has taken so far.

A job's cost has parts (training, measuring, coding), each in operations. What an operation of each part takes is
measured in this run, most of all on shapes like the job's own; the longest-first schedule of what is left over the
lanes is the time that is left.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import numpy as np

from mdl.sweeps.worker_pool import Job, Lane

_PARTS = ("training", "measuring")
# Operations and seconds of two classical coders on a usual core: until two have ended, which are the first jobs of all.
# Of training nothing is said before it is seen, for devices differ a thousandfold.
_USUAL_CODERS = ((0.0, 0.04), (1e11, 0.55))
_USUAL_WEIGHT = 0.01
_BEGIN = 0.1  # of a part: what is seen of it outweighs what is seen of the other one from there on


def usual_coder_seconds(operations: float) -> float:
    """Of a classical coder on a usual core."""
    (_, at_all), (many, long) = _USUAL_CODERS
    return at_all + (long - at_all) / many * operations


class _Part(NamedTuple):
    """How far a part of a job is, as a fraction of all of it, and what was seen of it here."""

    fraction: float
    seconds: float = 0.0
    came: float = 0.0  # the fraction that those seconds took it on


@dataclass
class _Running:
    """One job under way: when it began and was last heard of, how far each part is, and what was seen of it here.

    Parts take turns: a cohort of several budgets is measured after each.
    """

    began: float
    heard: float = 0.0
    parts: dict[str, _Part] = field(default_factory=dict)


@dataclass(frozen=True)
class _Seen:
    """What a part of one cohort took so far."""

    per_byte: float  # operations
    seconds: float
    operations: float


class TimeLeft:
    """Hears what happens; not safe to be called from several threads at once."""

    def __init__(self, jobs: Sequence[Job], lanes: Sequence[Lane]) -> None:
        self._open = {id(job): job for job in jobs}
        self._lanes = [leaf for lane in lanes for leaf in _leaves(lane)]
        self._running: dict[int, _Running] = {}
        self._ended: dict[str, list[_Seen]] = {part: [] for part in _PARTS}  # cohorts that have
        self._waits: list[float] = []  # from a cohort's beginning to its first step
        self._coders: list[tuple[float, float]] = []  # operations and seconds of the classical ones that have ended

    def started(self, job: Job, now: float) -> None:
        """A worker has it."""
        self._running[id(job)] = _Running(now)

    def progress(self, job: Job, part: str, fraction: float, now: float) -> None:
        """It has come so far in a part."""
        running = self._running.setdefault(id(job), _Running(now))
        if not running.parts:
            self._waits.append(now - running.began)
        if before := running.parts.get(part):
            seconds, came = before.seconds + now - running.heard, before.came + fraction - before.fraction
            running.parts[part] = _Part(fraction, seconds, came)
        else:  # it goes on from a checkpoint, or begins
            running.parts[part] = _Part(fraction)
        running.heard = now

    def ended(self, job: Job, now: float, seconds: float | None = None) -> None:
        """It needs no more time; it took `seconds`, where its worker tells, which may have had to start before."""
        self._open.pop(id(job), None)
        running = self._running.pop(id(job), None)
        if running is None:
            return
        if seconds is not None and "coder" in job.parts:
            self._coders.append((job.parts["coder"], seconds))
        for part, seen in _measured(job, running).items():
            self._ended[part].append(seen)

    def seconds(self, now: float) -> float | None:
        """That are left; None as long as nothing is known of how fast it goes."""
        seen = self._seen()
        trains = any("training" in job.parts for job in self._open.values())
        if trains and not seen["training"] and not seen["measuring"]:
            return None
        n_lanes = len(self._lanes)
        wait = median(self._waits[n_lanes:] or [0.0])  # the first of each lane start their process too
        coders = _line(self._coders)
        left = {key: self._job_seconds(job, seen, wait, coders, now) for key, job in self._open.items()}
        ends = [self._schedule(kind, left) for kind in {lane.kinds for lane in self._lanes}]
        return max(ends, default=0.0)

    def _seen(self) -> dict[str, list[_Seen]]:
        """Of each part what has ended, and what runs as far as it is."""
        seen = {part: list(ended) for part, ended in self._ended.items()}
        for key, running in self._running.items():
            if key in self._open:
                for part, some in _measured(self._open[key], running).items():
                    seen[part].append(some)
        return seen

    def _job_seconds(
        self, job: Job, seen: dict[str, list[_Seen]], wait: float, coders: tuple[float, float], now: float
    ) -> float:
        """That a job still takes. `coders`: seconds a job and seconds an operation."""
        running = self._running.get(id(job))
        if "coder" in job.parts:
            whole = coders[0] + coders[1] * job.parts["coder"]
            return whole if running is None else max(0.1 * whole, whole - (now - running.began))
        parts = self._parts(job, seen)
        whole = sum(parts.values()) + wait
        if running is None:
            return whole
        if not running.parts:
            return max(0.1 * whole, whole - (now - running.began))
        done = {part: min(1.0, heard.fraction) for part, heard in running.parts.items()}
        return sum(seconds * (1 - done.get(part, 0.0)) for part, seconds in parts.items())

    def _parts(self, job: Job, seen: dict[str, list[_Seen]]) -> dict[str, float]:
        """Seconds of each part of a cohort, as was seen of this part, and of either while that is little."""
        either = [some for part in _PARTS for some in seen[part]]
        usual = _rate(job.per_byte, either)
        parts = {}
        for part, operations in job.parts.items():
            begin = _Seen(job.per_byte, usual * _BEGIN * operations, _BEGIN * operations)
            parts[part] = operations * _rate(job.per_byte, [begin, *seen[part]])
        return parts

    def _schedule(self, kinds: frozenset[str], left: dict[int, float]) -> float:
        """When the last lane of a kind is done: what runs now first, then the costliest, each where there is room."""
        n_lanes = sum(lane.kinds == kinds for lane in self._lanes)
        mine = [key for key, job in self._open.items() if job.request["kind"] in kinds]
        mine.sort(key=lambda key: (key not in self._running, -self._open[key].cost))
        lanes = [0.0] * n_lanes
        for key in mine:
            wide = min(n_lanes, self._open[key].n_devices)
            starts = [heapq.heappop(lanes) for _ in range(wide)]
            for _ in starts:
                heapq.heappush(lanes, max(starts) + left[key])
        return max(lanes, default=0.0)


def _leaves(lane: Lane) -> list[Lane]:
    return [leaf for part in lane.parts for leaf in _leaves(part)] or [lane]


def _line(seen: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Seconds a job and seconds an operation, neither below 0, whose relative error is least of what was `seen`.

    So the many small jobs, which come last, count as much as the few large ones.
    """
    x, y = np.array([*_USUAL_CODERS, *seen]).T
    (_, usual_0), (x_1, usual_1) = _USUAL_CODERS
    weight = 1 / (usual_0 + (usual_1 - usual_0) / x_1 * x)
    weight[: len(_USUAL_CODERS)] *= _USUAL_WEIGHT
    parts = np.stack([weight, weight * x], axis=1)
    line = np.linalg.lstsq(parts, weight * y)[0]
    if line.min() < 0:
        part = parts * (line > 0)
        line = part.T @ (weight * y) / np.maximum((part**2).sum(0), np.finfo(float).tiny)
    return float(line[0]), float(line[1])


def _rate(per_byte: float, seen: Sequence[_Seen]) -> float:
    """Seconds an operation: of cohorts with as many operations a byte more than of others, by the ratio of the two.

    Small shapes take longer for an operation than large ones, and which does by how much depends on the device.
    """
    alike = [min(per_byte, s.per_byte) / max(per_byte, s.per_byte) for s in seen]
    operations = sum(like * s.operations for like, s in zip(alike, seen, strict=True))
    return sum(like * s.seconds for like, s in zip(alike, seen, strict=True)) / operations if operations else 0.0


def _measured(job: Job, running: _Running) -> dict[str, _Seen]:
    """Of a cohort, every part that was heard of twice."""
    return {
        part: _Seen(job.per_byte, heard.seconds, heard.came * job.parts[part])
        for part, heard in running.parts.items()
        if heard.came > 0 and heard.seconds > 0 and job.parts.get(part)
    }
