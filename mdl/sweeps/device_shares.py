"""How many cohorts were on a device at once while one of them was, on average: beside others it takes longer."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass
class _Load:
    n_now: int = 0
    at: float = 0.0  # by time.monotonic(), when `n_now` last changed
    summed: float = 0.0  # cohorts times seconds, up to then

    def change(self, by: int, now: float) -> float:
        self.summed += self.n_now * (now - self.at)
        self.n_now, self.at = self.n_now + by, now
        return self.summed


class DeviceShares:
    """Told, from several threads, who begins and who ends."""

    def __init__(self) -> None:
        """No device has anything to do."""
        self._lock = threading.Lock()
        self._loads: defaultdict[str, _Load] = defaultdict(_Load)

    def begin(self, devices: Sequence[str]) -> Callable[[], float]:
        """A cohort is on these from now on, and until what is answered is called: it says how many were, at least 1.

        On several devices, by that with the most.
        """
        began, before = time.monotonic(), self._change(devices, 1)

        def end() -> float:
            seconds = time.monotonic() - began
            after = self._change(devices, -1)
            means = [(b - a) / seconds for a, b in zip(before, after, strict=True)] if seconds > 0 else []
            return max([1.0, *means])

        return end

    def _change(self, devices: Sequence[str], by: int) -> list[float]:
        with self._lock:
            now = time.monotonic()
            return [self._loads[device].change(by, now) for device in devices]
