"""What share of its device a cohort had: of n that train there at once, each gets an n-th."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
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
    """Told, from several threads, who begins to train and who has ended."""

    def __init__(self) -> None:
        """No device has anything to do."""
        self._lock = threading.Lock()
        self._devices: defaultdict[str, _Device] = defaultdict(_Device)

    def of(self, devices: Sequence[str]) -> Share:
        """That of a cohort which will train on these."""
        return Share(self, devices)

    def change(self, devices: Sequence[str], by: int) -> list[float]:
        """So many more train on these from now on. What one that was there since the beginning has had of each."""
        with self._lock:
            now = time.monotonic()
            return [self._devices[device].change(by, now) for device in devices]


class Share:
    """Of its devices, from a cohort's first step to its end."""

    def __init__(self, of: DeviceShares, devices: Sequence[str]) -> None:
        """Nothing has begun."""
        self._of, self._devices = of, devices
        self._began: tuple[float, list[float]] | None = None
        self.average = 1.0  # in (0, 1]: of several devices the least; of none, and of what never began, 1

    def begin(self) -> None:
        """The first step is taken. Later calls change nothing."""
        if self._began is None:
            self._began = time.monotonic(), self._of.change(self._devices, 1)

    def end(self) -> None:
        """All is trained and measured, or never will be."""
        if self._began is None:
            return
        since, before = self._began
        after, seconds = self._of.change(self._devices, -1), time.monotonic() - since
        if seconds > 0:
            self.average = min([1.0, *((b - a) / seconds for a, b in zip(before, after, strict=True))])
