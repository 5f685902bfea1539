"""Which cohorts are cut in two so that all of them end sooner: longest first on the lanes there are, simulated.

Members are independent, so a cohort may be cut anywhere between them. Lanes of one GPU share it: what happens before
the first step goes on side by side, and of n that train each gets an n-th.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mdl.config import Cohort
from mdl.sweeps.cost_model import Spent

_WORTH_SHARE, _WORTH_SECONDS = 0.02, 1.0  # the end must come sooner by this much, for a cut
_MOST_CUTS = 64

SecondsOf = Callable[[Cohort], Spent]


@dataclass(frozen=True)
class Place:
    """Where one process trains: devices, and what these fall into once no cohort that wants as many is waiting."""

    devices: tuple[str, ...]
    parts: tuple[Place, ...] = ()


@dataclass
class _Running:
    place: Place
    start: float  # seconds that are left of it
    work: float  # of its devices, alone


def end_of(works: Sequence[Spent], places: Sequence[Place], wants: Sequence[int] = ()) -> float:
    """When all are done, in seconds: whatever place is free takes the next of `works` that wants as many devices.

    `wants`: how many each does; none: one.
    """
    wants = wants or [1] * len(works)
    devices = [device for place in places for device in place.devices]
    if len(set(devices)) == len(devices) == len(places):
        return makespan((spent.start + spent.at_work for spent in works), len(places))
    waiting, free, running, now = list(zip(works, wants, strict=True)), list(places), list[_Running](), 0.0
    while waiting or running:
        running += _begun(waiting, free)
        busy = Counter(device for one in running if one.start <= 0 for device in one.place.devices)
        shared = [max(busy[device] for device in one.place.devices) for one in running]
        ends = [one.start if one.start > 0 else one.work * n for one, n in zip(running, shared, strict=True)]
        passed = min(ends)
        now += passed
        for one, n, end in zip(running, shared, ends, strict=True):
            if one.start > 0:
                one.start = 0.0 if end <= passed else one.start - passed
            else:
                one.work = 0.0 if end <= passed else one.work - passed / n
        free += [one.place for one in running if one.start <= 0 and one.work <= 0]
        running = [one for one in running if one.start > 0 or one.work > 0]
    return now


def makespan(seconds: Iterable[float], n_places: int) -> float:
    """The same, of jobs that share nothing: in this order, each in the place that is free first."""
    free = [0.0] * n_places
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def _begun(waiting: list[tuple[Spent, int]], free: list[Place]) -> list[_Running]:
    """What begins now, taken out of both."""
    begun, idle = list[_Running](), list[Place]()
    while free:
        place = free.pop(0)
        i = next((i for i, (_, wanted) in enumerate(waiting) if wanted == len(place.devices)), None)
        if i is not None:
            spent, _ = waiting.pop(i)
            begun.append(_Running(place, spent.start, spent.at_work))
        elif place.parts:
            free += place.parts
        else:
            idle.append(place)
    free += idle
    return begun


def longest_first(cohorts: Sequence[Cohort], seconds: SecondsOf) -> list[Cohort]:
    """By the seconds that they take."""
    return sorted(cohorts, key=lambda cohort: -seconds(cohort).at_work)


def cut(
    cohorts: Sequence[Cohort], seconds: SecondsOf, places: Sequence[Place], may_cut: Callable[[Cohort], bool]
) -> list[Cohort]:
    """The same cells, the longest first, in cohorts that are cut in two where that brings the end nearer.

    One cut alone may gain nothing where two cohorts are too long: as many as a time of the end as there are devices.
    On one device there is none to gain: a stack's members take less of it together than they would side by side.
    """
    now, n_devices = longest_first(cohorts, seconds), _n_devices(places)
    if n_devices == 1:
        return now
    end = finished(now, seconds, places)
    for _ in range(_MOST_CUTS):
        better, plan = end, now
        candidate = now
        for _ in range(n_devices):
            whole = next((one for one in candidate if len(one.members) > 1 and may_cut(one)), None)
            if whole is None:
                break
            rest = [one for one in candidate if one is not whole]
            candidate = longest_first([*rest, *whole.halves], seconds)
            if (then := finished(candidate, seconds, places)) < better:
                better, plan = then, candidate
        if end - better <= max(_WORTH_SECONDS, _WORTH_SHARE * end):
            return now
        now, end = plan, better
    return now


def finished(
    cohorts: Sequence[Cohort], seconds: SecondsOf, places: Sequence[Place], after: Sequence[Spent] = ()
) -> float:
    """When these are, in their order, and what comes `after`, in seconds.

    A cohort that wants more devices than there are gets all.
    """
    n_devices = _n_devices(places)
    wants = [min(cohort.execution.n_devices, n_devices) for cohort in cohorts] + [1] * len(after)
    return end_of([*map(seconds, cohorts), *after], places, wants)


def _n_devices(places: Sequence[Place]) -> int:
    return len({device for place in places for device in place.devices})
