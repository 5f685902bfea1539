"""When training has to end, so that the answer, the report and the command's end still lie within the budget."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOOK_SECONDS = 2.0  # of an idle core: the answer as far as some dozens of cells go
_LEAST_LOOK_SECONDS, _BUDGET_PER_SECOND = 1.0, 180.0  # in a short budget few cells are trained
_MOST_SHARED = 3.0  # times as long as alone: more is not to be feared of what follows
# What follows the training, as multiples of a look: workers stop, the last look, the process ends; and with a report.
_END_LOOKS, _END_LOOKS_WITH_REPORT = 1.75, 5.25


class Deadline:
    """The end of a budget, by time.monotonic(), and of the training before it.

    A busy or a slow machine takes longer for everything, so that what is to follow is foretold by what was measured
    here: the longest look at the records, and before there is one how much of the time this process had for itself.
    """

    def __init__(self, ends: float, *, with_report: bool, budget_seconds: float = math.inf) -> None:
        """`with_report`: is one to be made within the budget? A short one has time for few cells to look at."""
        self.ends = ends
        self._looks = _END_LOOKS_WITH_REPORT if with_report else _END_LOOKS
        self._idle_seconds = min(_LOOK_SECONDS, _LEAST_LOOK_SECONDS + budget_seconds / _BUDGET_PER_SECOND)
        self._look_seconds = self._idle_seconds

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Of a computation of some seconds, in one thread: how long does a second of it take?"""
        began, computed = time.monotonic(), time.process_time()
        yield
        shared = (time.monotonic() - began) / max(time.process_time() - computed, 1e-3)
        self._look_seconds = self._idle_seconds * min(max(1.0, shared), _MOST_SHARED)

    def looked(self, seconds: float) -> None:
        """So long took a look at the records: the next may find more in them."""
        self._look_seconds = max(self._look_seconds, seconds)

    @property
    def training_ends(self) -> float:
        """By time.monotonic()."""
        return self.ends - self._looks * self._look_seconds

    def left(self) -> float:
        """Seconds of training."""
        return self.training_ends - time.monotonic()
