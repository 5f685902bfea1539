"""Whose turn it is on a free lane, by what is left to do on every device: `schedule.turn`, told of what really runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from mdl.sweeps.cost_model import Spent
from mdl.sweeps.schedule import turn, weight


class DeviceTurns:
    """Lanes of one device each have turns; those of several, and of none, take whatever comes next.

    Not safe from several threads, but for `left` of a job that has begun.
    """

    def __init__(self) -> None:
        """There are no lanes."""
        self._n_lanes: Counter[str] = Counter()  # of one device each, that still take jobs
        self._left: defaultdict[str, dict[Hashable, float]] = defaultdict(dict)  # seconds, by device and job

    def lanes(self, devices: Sequence[str], by: int) -> None:
        """So many more lanes of these devices take jobs from now on."""
        if len(devices) == 1:
            self._n_lanes[devices[0]] += by

    def of(self, devices: Sequence[str], waiting: Sequence[Spent]) -> int | None:
        """Which of those that wait, in the order in which they begin, a free lane takes now; None: none yet."""
        if len(devices) != 1 or not waiting:
            return 0 if waiting else None
        loads = {device: sum(self._left[device].values()) for device, n in self._n_lanes.items() if n > 0}
        return turn(devices[0], (self._weight(spent, devices[0]) for spent in waiting), loads)

    def begin(self, devices: Sequence[str], job: Hashable, spent: Spent) -> None:
        """A job is taken, of which nothing is done."""
        for device in devices:
            self._left[device][job] = self._weight(spent, device)

    def left(self, devices: Sequence[str], job: Hashable, seconds: float) -> None:
        """So much is left of a job, its start behind it."""
        for device in devices:
            self._left[device][job] = seconds

    def end(self, devices: Sequence[str], job: Hashable) -> None:
        """A job has ended, whether done or not."""
        for device in devices:
            self._left[device].pop(job, None)

    def _weight(self, spent: Spent, device: str) -> float:
        return weight(spent, max(1, self._n_lanes[device]))
