"""Which cohorts are cut in two so that all of them end sooner: longest first on the lanes there are, simulated.

Members are independent, so a cohort may be cut anywhere between them. Lanes of one GPU share it: what happens before
the first step goes on side by side, and of n that train each gets an n-th.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mdl.config import Cohort
from mdl.sweeps.cost_model import Spent

_WORTH_SHARE, _WORTH_SECONDS = 0.02, 1.0  # the end must come sooner by this much, for a cut
_MOST_CUTS = 64

SecondsOf = Callable[[Cohort], Spent]


@dataclass
class _Running:
    device: int
    start: float  # seconds that are left of it
    work: float  # of the device, alone


def end_of(works: Sequence[Spent], devices: Sequence[int]) -> float:
    """When all are done, in seconds: each lane, on the device that it is given, takes the next of `works` when free."""
    waiting, free, running, now = list(works), list(devices), list[_Running](), 0.0
    while waiting or running:
        while waiting and free:
            spent = waiting.pop(0)
            running.append(_Running(free.pop(0), spent.start, spent.at_work))
        busy = [one.device for one in running if one.start <= 0]
        ends = [one.start if one.start > 0 else one.work * busy.count(one.device) for one in running]
        passed = min(ends)
        now += passed
        for one, end in zip(running, ends, strict=True):
            if one.start > 0:
                one.start = 0.0 if end <= passed else one.start - passed
            else:
                one.work = 0.0 if end <= passed else one.work - passed / busy.count(one.device)
        free += [one.device for one in running if one.start <= 0 and one.work <= 0]
        running = [one for one in running if one.start > 0 or one.work > 0]
    return now


def longest_first(cohorts: Sequence[Cohort], seconds: SecondsOf) -> list[Cohort]:
    """By the seconds that they take."""
    return sorted(cohorts, key=lambda cohort: -seconds(cohort).at_work)


def cut(
    cohorts: Sequence[Cohort], seconds: SecondsOf, devices: Sequence[int], may_cut: Callable[[Cohort], bool]
) -> list[Cohort]:
    """The same cells, the longest first, in cohorts that are cut in two where that brings the end nearer.

    One cut alone may gain nothing where two cohorts are too long: as many as a time of the end as there are devices.
    On one device there is none to gain: a stack's members take less of it together than they would side by side.
    """
    now = longest_first(cohorts, seconds)
    if len(set(devices)) == 1:
        return now
    end = _end(now, seconds, devices)
    for _ in range(_MOST_CUTS):
        better, plan = end, now
        candidate = now
        for _ in range(len(set(devices))):
            whole = next((one for one in candidate if len(one.members) > 1 and may_cut(one)), None)
            if whole is None:
                break
            rest = [one for one in candidate if one is not whole]
            candidate = longest_first([*rest, *whole.halves], seconds)
            if (then := _end(candidate, seconds, devices)) < better:
                better, plan = then, candidate
        if end - better <= max(_WORTH_SECONDS, _WORTH_SHARE * end):
            return now
        now, end = plan, better
    return now


def _end(cohorts: Sequence[Cohort], seconds: SecondsOf, devices: Sequence[int]) -> float:
    return end_of([seconds(cohort) for cohort in cohorts], devices)
