"""Who trains where, and which cohorts are cut in two so that all end sooner: longest first on the lanes, simulated.

Members are independent, so a cohort may be cut anywhere between them. Lanes of one GPU share it: what happens before
the first step goes on side by side, and of n that train each gets an n-th. So a free lane is no reason to begin a
cohort beside the longest one, where another GPU would end it sooner.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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


def turn(device: str, waiting: Iterable[float], loads: Mapping[str, float]) -> int | None:
    """Which of those that wait a free lane of a device takes now; None: none, other devices end them all sooner.

    `waiting`: seconds each, in the order in which they begin. `loads`: of every device the seconds of work that is
    left of what it has begun. One after another is meant for the device with the least work.
    """
    if loads[device] <= min(loads.values()):
        return 0 if next(iter(waiting), None) is not None else None
    waiting, ahead = list(waiting), sum(max(0.0, loads[device] - left) for left in loads.values())
    if sum(waiting) <= ahead:
        return None
    idlest = [(left, each != device, each) for each, left in loads.items()]
    heapq.heapify(idlest)
    for i, seconds in enumerate(waiting):
        left, is_other, each = idlest[0]
        if each == device:
            return i
        heapq.heapreplace(idlest, (left + seconds, is_other, each))
    return None


def end_of(works: Sequence[Spent], places: Sequence[Place], wants: Sequence[int] = ()) -> float:
    """When all are done, in seconds: a place that is free takes the next of `works` whose `turn` it is.

    One of several devices takes the next that wants as many. `wants`: how many each does; none: one.
    """
    wants = wants or [1] * len(works)
    devices = [device for place in places for device in place.devices]
    if len(set(devices)) == len(devices) == len(places):
        return makespan((spent.start + spent.at_work for spent in works), len(places))
    waiting: dict[int, list[Spent]] = {}  # by the devices that each wants
    for spent, wanted in zip(works, wants, strict=True):
        waiting.setdefault(wanted, []).append(spent)
    free, running, now = list(places), list[_Running](), 0.0
    while any(waiting.values()) or running:
        running += _begun(waiting, free, running)
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


def _begun(waiting: dict[int, list[Spent]], free: list[Place], running: Sequence[_Running]) -> list[_Running]:
    """What begins now, taken out of the first two. Places of several devices first, then the least laden."""
    begun = list[_Running]()
    while place := next((each for each in free if len(each.devices) > 1 and _fits(each, waiting)), None):
        free.remove(place)
        if wide := waiting.get(len(place.devices)):
            spent = wide.pop(0)
            begun.append(_Running(place, spent.start, spent.at_work))
        else:
            free += place.parts
    fit, singles = waiting.get(1, []), [place for place in free if len(place.devices) == 1]
    lanes = [*singles, *(one.place for one in running if len(one.place.devices) == 1)]
    n_lanes = Counter(place.devices[0] for place in lanes)
    loads = _loads(n_lanes, [*running, *begun])
    while singles and fit:
        place = min(singles, key=lambda each: loads[each.devices[0]])
        (device,) = place.devices
        chosen = turn(device, (weight(spent, n_lanes[device]) for spent in fit), loads)
        if chosen is None:
            break  # nor is it the turn of any that has more to do
        spent = fit.pop(chosen)
        begun.append(_Running(place, spent.start, spent.at_work))
        loads[device] += weight(spent, n_lanes[device])
        singles.remove(place)
        free.remove(place)
    return begun


def _fits(place: Place, waiting: Mapping[int, Sequence[Spent]]) -> bool:
    """Can something be done with a place of several devices: a job of its width begun, or itself split?"""
    return bool(waiting.get(len(place.devices)) or place.parts)


def weight(spent: Spent, n_lanes: int) -> float:
    """Seconds that a cohort is worth on a device where so many pass their starts side by side."""
    return spent.at_work + spent.start / n_lanes


def _loads(n_lanes: Mapping[str, int], running: Sequence[_Running]) -> dict[str, float]:
    """Of every device that has lanes of its own, the seconds that are left there."""
    loads = dict.fromkeys(n_lanes, 0.0)
    for one in running:
        for device in set(one.place.devices) & loads.keys():
            loads[device] += one.work + one.start / n_lanes[device]
    return loads


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
