"""Where a cohort's seconds go in its worker: up to the first step, training, measuring; each change is in the log."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime

from mdl.sweeps.cost_model import Spent
from mdl.training import PHASES

_TRAINING, _MEASURING = PHASES


class PhaseClock:
    """Told of every progress."""

    def __init__(self, name: str, began: float) -> None:
        """`began`, by time.monotonic(): when the worker had the job, or was started for it."""
        self._name, self._phase, self._heard = name, "start", began
        self._seconds = {"start": 0.0, _TRAINING: 0.0, _MEASURING: 0.0}

    def __call__(self, phase: str) -> None:
        """What passed since the last call belongs to the phase that was told then."""
        now = time.monotonic()
        self._seconds[self._phase if self._phase in PHASES else "start"] += now - self._heard
        self._heard = now
        if phase != self._phase:
            self._phase = phase
            stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
            where = f"process {os.getpid()}, GPU {os.environ.get('CUDA_VISIBLE_DEVICES') or 'none'}"
            print(f"{stamp} {self._name} ({where}): {phase}", file=sys.stderr, flush=True)

    def spent(self) -> Spent:
        """Up to now."""
        self("end")
        seconds = self._seconds
        return Spent(start=seconds["start"], training=seconds[_TRAINING], measuring=seconds[_MEASURING])
