"""The time left of a sweep: right within a factor of two once a tenth is done, whatever the work is made of."""

from __future__ import annotations

import heapq
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdl.sweeps.time_left import TimeLeft
from mdl.sweeps.worker_pool import Job, Lane, in_order

BOTH = Lane(frozenset({"cohort", "baseline"}))


def simulate(jobs: list[Job], n_lanes: int, rates: dict[str, float], overhead: float) -> list[tuple[float, float]]:
    """(seconds gone, seconds told to be left) at every event of a run whose true speeds are `rates`, then its end."""
    clock, order = TimeLeft(jobs, [BOTH] * n_lanes), count()
    waiting = in_order(jobs)
    events: list[tuple[float, int, str, Job, float]] = []
    took: dict[int, float] = {}
    heard: list[tuple[float, float]] = []

    def take(now: float, start: float) -> None:
        if not waiting:
            return
        job = waiting.pop(0)
        clock.started(job, now)
        at = now + start + overhead
        for part, operations in job.parts.items():
            for step in range(21):
                heapq.heappush(events, (at + operations * rates[part] * (step / 20), next(order), part, job, step / 20))
            at += operations * rates[part]
        took[id(job)] = at - now - start
        heapq.heappush(events, (at, next(order), "end", job, 1.0))

    for _ in range(n_lanes):
        take(0.0, 4.0)
    now = 0.0
    while events:
        now, _, what, job, fraction = heapq.heappop(events)
        if what == "end":
            clock.ended(job, now, took[id(job)])
            take(now, 0.0)
        elif what != "coder":
            clock.progress(job, what, fraction, now)
        left = clock.seconds(now)
        if left is not None:
            heard.append((now, left))
    return [*heard, (now, 0.0)]


def cohort(cost: float, measuring: float) -> Job:
    return Job("c", {"kind": "cohort"}, cost + measuring, measuring_cost=measuring)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    costs=st.lists(st.floats(1e11, 3e12), min_size=4, max_size=12),
    measuring=st.floats(0.05, 0.6),
    coders=st.integers(0, 90),
    slow=st.floats(0.5, 2),
    core=st.floats(0.25, 5),
    coding=st.floats(0.2, 8),
    n_lanes=st.integers(1, 4),
)
def test_after_a_tenth_the_time_left_is_right_within_a_factor_of_two(
    costs: list[float], measuring: float, coders: int, slow: float, core: float, coding: float, n_lanes: int
) -> None:
    """Nine times in ten, and never off by more than 2.5, where measuring is the smaller part of the work, as it is as
    a rule: until a first cohort has been measured its operations count as training's do, at half to twice the speed.
    The core is a quarter to five times as slow as a usual one at training, and a fifth to eight times at coding.
    """
    jobs = [cohort(cost, measuring * cost) for cost in costs]
    jobs += [Job("x", {"kind": "baseline"}, 2e9 * 3 ** (i % 6)) for i in range(coders)]
    rates = {"training": core * 6e-11, "measuring": core * 6e-11 * slow, "coder": coding * 6e-12}
    heard = simulate(jobs, n_lanes, rates, overhead=0.2 * core)
    end = heard[-1][0]
    told_after = [(now, left) for now, left in heard if 0.1 * end < now < 0.98 * end]
    for now, left in told_after:
        assert (end - now) / 2.5 <= left <= 2.5 * (end - now)
    good = [now for now, left in told_after if (end - now) / 2 <= left <= 2 * (end - now)]
    assert len(good) >= 0.9 * len(told_after)


def test_nothing_is_told_before_anything_is_known() -> None:
    job = cohort(1e12, 1e11)
    clock = TimeLeft([job], [BOTH])
    assert clock.seconds(0.0) is None
    clock.started(job, 0.0)
    assert clock.seconds(3.0) is None
    clock.progress(job, "training", 0.5, 5.0)  # goes on from a checkpoint
    assert clock.seconds(5.0) is None
    clock.progress(job, "training", 0.6, 7.0)
    assert clock.seconds(7.0) == pytest.approx(20 * (0.4 + 0.1))


def test_parts_that_take_turns_are_each_told_by_their_own_time() -> None:
    """A cohort of two budgets: trained for 30 s and measured for 10, twice; it goes on from a checkpoint at a fifth."""
    job = cohort(1e12, 1e11)
    clock = TimeLeft([job], [BOTH])
    clock.started(job, 0.0)
    clock.progress(job, "training", 0.2, 5.0)
    clock.progress(job, "training", 0.5, 35.0)
    clock.progress(job, "measuring", 0.0, 35.0)
    clock.progress(job, "measuring", 0.5, 45.0)
    assert clock.seconds(45.0) == pytest.approx(50 + 10, rel=0.2)
    clock.progress(job, "training", 0.5, 45.0)
    clock.progress(job, "training", 0.75, 70.0)
    assert clock.seconds(70.0) == pytest.approx(25 + 10, rel=0.2)
    clock.progress(job, "training", 1.0, 95.0)
    clock.progress(job, "measuring", 0.5, 95.0)
    clock.progress(job, "measuring", 1.0, 105.0)
    assert clock.seconds(105.0) == pytest.approx(0.0)


def test_two_classical_coders_come_first_and_nothing_is_lost() -> None:
    """The cheapest, and the costliest of those that cost little: jobs of like content are still two jobs."""
    coders = [Job("x", {"kind": "baseline"}, cost) for cost in (2.0, 1000.0, 20.0, 5.0, 1000.0)]
    long = cohort(500.0, 1.0)
    order = in_order([*coders, long])
    assert [job.cost for job in order] == [2.0, 20.0, 1000.0, 1000.0, 501.0, 5.0]
    assert in_order([long, *coders[:1]]) == [*coders[:1], long]
    assert in_order([long]) == [long]


def test_coders_alone_say_nothing_of_training() -> None:
    coder, long = Job("x", {"kind": "baseline"}, 1e10), cohort(1e12, 1e11)
    clock = TimeLeft([coder, long], [BOTH])
    clock.started(coder, 0.0)
    clock.ended(coder, 1.0, 0.2)
    assert clock.seconds(1.0) is None
