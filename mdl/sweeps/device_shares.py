"""What share of its device a cohort had: of n that are there at once, each gets an n-th."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass
class _Device:
    n_cohorts: int = 0
    at: float = 0.0  # by time.monotonic(), when there came to be so many
    each_had: float = 0.0  # seconds that one cohort, there since the beginning, would have had it for itself until then

    def change(self, by: int, now: float) -> float:
        if self.n_cohorts:
            self.each_had += (now - self.at) / self.n_cohorts
        self.n_cohorts, self.at = self.n_cohorts + by, now
        return self.each_had


class DeviceShares:
    """Told, from several threads, who begins and who ends."""

    def __init__(self) -> None:
        """No device has anything to do."""
        self._lock = threading.Lock()
        self._devices: defaultdict[str, _Device] = defaultdict(_Device)

    def begin(self, devices: Sequence[str]) -> Callable[[], float]:
        """A cohort is on these devices from now on.

        Returns a function to call at its end, which returns its share of them since, in (0, 1]: of several devices
        the least, and 1 of none.
        """
        began, before = time.monotonic(), self._change(devices, 1)

        def end() -> float:
            after, seconds = self._change(devices, -1), time.monotonic() - began
            shares = [(b - a) / seconds for a, b in zip(before, after, strict=True)] if seconds > 0 else []
            return min([1.0, *shares])

        return end

    def _change(self, devices: Sequence[str], by: int) -> list[float]:
        with self._lock:
            now = time.monotonic()
            return [self._devices[device].change(by, now) for device in devices]
