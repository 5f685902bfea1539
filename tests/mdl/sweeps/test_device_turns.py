"""Whose turn it is: lanes that wait for another device, and what they know of it."""

from __future__ import annotations

import io
import json
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mdl.sweeps import schedule
from mdl.sweeps.cost_model import Spent
from mdl.sweeps.device_shares import DeviceShares
from mdl.sweeps.device_turns import DeviceTurns
from mdl.sweeps.schedule import Place, end_of, turn
from mdl.sweeps.worker import _listen
from mdl.sweeps.worker_pool import Job, _ask


def one(seconds: float, start: float = 0.0) -> Spent:
    return Spent(start=start, training=seconds, measuring=0.0)


@pytest.fixture
def turns() -> DeviceTurns:
    """Two lanes each on GPUs 0 and 1; a job of 100 s on the first."""
    made = DeviceTurns()
    for device in "0101":
        made.lanes([device], 1)
    made.begin(["0"], "long", one(100))
    return made


def test_a_lane_beside_a_long_job_waits_until_its_device_has_the_least_left(turns: DeviceTurns) -> None:
    assert turns.of(["0"], [one(40), one(20)]) is None
    assert turns.of(["1"], [one(40), one(20)]) == 0
    turns.begin(["1"], "other", one(40))
    turns.left(["0"], "long", 30)
    assert turns.of(["0"], [one(20)]) == 0
    turns.end(["1"], "other")
    assert turns.of(["0"], [one(20)]) is None
    assert turns.of(["0"], [one(20), one(20), one(20)]) == 2, "those before it are the other's"
    assert turns.of(["0", "1"], [one(20)]) == 0, "of both devices"
    assert turns.of([], [one(20)]) == 0, "of none"


def test_a_device_whose_lanes_are_gone_is_waited_for_by_nobody(turns: DeviceTurns) -> None:
    for _ in range(2):
        assert turns.of(["0"], [one(20)]) is None
        turns.lanes(["1"], -1)
    assert turns.of(["0"], [one(20)]) == 0


def test_short_jobs_that_are_mostly_start_have_lanes_beside_a_long_one() -> None:
    """A hundred that compile for 6 s and train for .1 s: they need lanes, not a GPU."""
    places = [Place((device,)) for device in "010101"]
    assert end_of([one(120, 6.0), *[one(0.1, 6.0)] * 100], places) < 135


def test_one_lane_is_asked_where_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven long cohorts on eight GPUs, 493 short ones for the eighth: all fourteen idle lanes would say the same."""
    asked = 0

    def counted(*given: Any) -> int | None:
        nonlocal asked
        asked += 1
        return turn(*given)

    monkeypatch.setattr(schedule, "turn", counted)
    places = [Place((str(i),)) for _ in range(3) for i in range(8)]
    assert end_of([*[one(2000, 6.0)] * 7, *[one(2, 6.0)] * 493], places) == pytest.approx(2006)
    assert asked < 2 * 500 + 500, "each cohort as it begins, and once an event"


class Nobody:
    """Hears everything, and says nothing."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


@pytest.mark.parametrize(
    ("heard", "left"),
    [
        ([("training", 0.0), ("training", 0.5), ("training", 1.0), ("measuring", 0.5)], [100, 60, 20, 10]),
        ([("training", 0.75), ("training", 0.875), ("measuring", 1.0)], [100, 75, 25]),  # 40 % were left, now 10 %
    ],
)
def test_what_is_left_of_a_job_that_goes_on_is_of_what_was_left_when_it_began(
    heard: list[tuple[str, float]], left: list[float]
) -> None:
    """100 s are foretold of the rest; the worker tells of the whole, four fifths of which are training."""
    events = [{"event": "progress", "phase": phase, "done": done, "total": 1} for phase, done in heard]
    script = f"import json\nfor event in {[*events, {'event': 'done'}]!r}: print(json.dumps(event))"
    told: list[float] = []
    job = Job("8x1", {"kind": "cohort"}, 10.0, measuring_cost=2.0, foretold=one(100))
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as worker:
        _ask(worker, job, Nobody(), DeviceShares().of([]), told.append)
    assert told == pytest.approx(left)


def test_a_job_that_came_late_has_no_longer_a_start() -> None:
    """Of the first it is since the process began; what a lane waits for its turn is nobody's."""

    def lines() -> Iterator[str]:
        yield json.dumps({"kind": "first"})
        time.sleep(0.3)
        yield json.dumps({"kind": "second"})
        yield json.dumps("end")

    class Source(io.StringIO):
        def __iter__(self) -> Iterator[str]:  # type: ignore[override]
            return lines()

    jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
    before = time.monotonic()
    _listen(Source(), jobs)
    first, second, end = (jobs.get() for _ in range(3))
    assert first is not None
    assert second is not None
    assert first["began"] < before
    assert second["began"] - before >= 0.3
    assert end is None
