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

from mdl.sweeps.worker_pool import Job, Lane

_PARTS = ("training", "measuring")
# Operations and seconds of two coders on a core that trains at so many seconds an operation, to begin with: what is
# measured soon outweighs them. Of training nothing is said before it is seen, for devices differ a thousandfold.
_USUAL_CODERS, _USUAL_TRAINING = ((0.0, 0.15), (1e11, 0.7)), 6.5e-11
_MOST_SLOW = 8.0  # a core shared by others
_BEGIN = 0.1  # of a part: what is seen of it outweighs what is seen of the other one from there on


@dataclass
class _Running:
    """One job under way: when it began and was last heard of, how far each part is, and what was seen of it here.

    Parts take turns: a cohort of several budgets is measured after each.
    """

    began: float
    starts_a_process: bool = False
    heard: float = 0.0
    fraction: dict[str, float] = field(default_factory=dict)  # of all of a part
    seen: dict[str, tuple[float, float]] = field(default_factory=dict)  # seconds, and the fraction they took it on


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
        self._n_started = 0
        self._coders: list[tuple[float, float]] = []  # operations and seconds of those that have ended

    def started(self, job: Job, now: float) -> None:
        """A worker has it."""
        self._running[id(job)] = _Running(now, starts_a_process=self._n_started < len(self._lanes))
        self._n_started += 1

    def progress(self, job: Job, part: str, fraction: float, now: float) -> None:
        """It has come so far in a part."""
        running = self._running.setdefault(id(job), _Running(now))
        if not running.fraction:
            self._waits.append(now - running.began)
        if part in running.fraction:  # else it goes on from a checkpoint, or begins
            seconds, came = running.seen.get(part, (0.0, 0.0))
            running.seen[part] = seconds + now - running.heard, came + fraction - running.fraction[part]
        running.fraction[part], running.heard = fraction, now

    def ended(self, job: Job, now: float) -> None:
        """It needs no more time."""
        self._open.pop(id(job), None)
        running = self._running.pop(id(job), None)
        if running is None:
            return
        if not running.fraction and not running.starts_a_process and "coder" in job.parts:
            self._coders.append((job.parts["coder"], now - running.began))
        for part, seen in _measured(job, running).items():
            self._ended[part].append(seen)

    def seconds(self, now: float) -> float | None:
        """That are left; None as long as nothing is known of how fast it goes."""
        seen = self._seen()
        if not seen["training"] and not seen["measuring"] and not self._coders:
            return None
        n_lanes = len(self._lanes)
        wait = median(self._waits[n_lanes:] or [0.0])  # the first of each lane start their process too
        slow = self._slowness(seen["training"])
        coders = _line([*((n, slow * seconds) for n, seconds in _USUAL_CODERS), *self._coders])
        left = {key: self._job_seconds(job, seen, wait, coders, now) for key, job in self._open.items()}
        ends = [self._schedule(kind, left) for kind in {lane.kinds for lane in self._lanes}]
        return max(ends, default=0.0)

    def _slowness(self, seen: Sequence[_Seen]) -> float:
        """Of this machine's cores beside a usual one, as far as they train too."""
        operations = sum(some.operations for some in seen)
        if not operations or not all(len(lane.kinds) > 1 for lane in self._lanes):
            return 1.0
        slow = sum(some.seconds for some in seen) / operations / _USUAL_TRAINING
        return min(max(slow, 1 / _MOST_SLOW), _MOST_SLOW)

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
        if not running.fraction:
            return max(0.1 * whole, whole - (now - running.began))
        return sum(seconds * (1 - min(1.0, running.fraction.get(part, 0.0))) for part, seconds in parts.items())

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


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Seconds a job and seconds an operation, neither below 0, that fit the points by least squares."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    slope = min(max(slope, 0.0), mean_y / mean_x if mean_x else 0.0)
    return mean_y - slope * mean_x, slope


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
        part: _Seen(job.per_byte, seconds, came * job.parts[part])
        for part, (seconds, came) in running.seen.items()
        if came > 0 and seconds > 0 and job.parts.get(part)
    }
