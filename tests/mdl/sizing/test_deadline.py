"""The training ends so early that what follows it still lies within the budget, on a busy machine too."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from mdl.sizing.deadline import Deadline
from mdl.storage import seconds_since_start


def test_a_slow_look_ends_the_training_earlier_and_a_report_does_so_more() -> None:
    kept = {}
    for with_report in (False, True):
        deadline = Deadline(1000.0, with_report=with_report)
        before = deadline.training_ends
        deadline.looked(20.0)
        kept[with_report] = before - deadline.training_ends
        assert before < 1000.0
    assert kept[True] > kept[False] > 0


def test_a_short_budget_keeps_less_for_what_follows_the_training_and_a_long_one_as_much_as_ever() -> None:
    """Few cells fit into it, so that a look at them is short; half of a minute was kept on a busy machine."""
    kept = [
        1000.0 - Deadline(1000.0, with_report=True, budget_seconds=budget).training_ends
        for budget in (30, 60, 180, 600)
    ]
    assert kept[0] < kept[1] < kept[2] == kept[3]
    assert kept[3] == 1000.0 - Deadline(1000.0, with_report=True).training_ends


def test_a_process_that_waits_for_its_core_expects_to_wait_for_it_again() -> None:
    """What was computed in the trial is much less than the time that it took."""
    deadline = Deadline(1000.0, with_report=True)
    before = deadline.training_ends
    with deadline.trial():
        ends = time.process_time() + 0.1
        while time.process_time() < ends:
            pass
        time.sleep(0.3)
    assert 1000.0 - deadline.training_ends > 2 * (1000.0 - before)


def test_a_process_knows_how_long_it_has_been_running() -> None:
    said = "import time; time.sleep(1.0); from mdl.storage import seconds_since_start as s; print(s())"
    began = time.monotonic()
    found = float(subprocess.run([sys.executable, "-c", said], capture_output=True, check=True).stdout)
    assert 0.9 < found < time.monotonic() - began + 0.1
    assert seconds_since_start() == pytest.approx(seconds_since_start(), abs=1.0)
