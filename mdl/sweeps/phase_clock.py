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
    """Told of every progress.

    How fast steps are is heard from the third word on: before the second one a step is recorded, which says nothing of
    the others, and of a few steps it would be nearly all.
    """

    def __init__(self, name: str, began: float) -> None:
        """`began`, by time.monotonic(): when the worker had the job, or was started for it."""
        self._name, self._phase, self._heard = name, "start", began
        self._seconds = {"start": 0.0, _TRAINING: 0.0, _MEASURING: 0.0}
        self._n_told, self._done, self._total = 0, 0.0, 0.0  # of steps, since training was last begun; in all
        self._steady_seconds = self._steady_steps = 0.0

    def __call__(self, phase: str, done: float = 0.0, total: float = 0.0) -> None:
        """What passed since the last call belongs to the phase that was told then; `done` of `total` steps are."""
        now = time.monotonic()
        passed, self._heard = now - self._heard, now
        self._seconds[self._phase if self._phase in PHASES else "start"] += passed
        if phase != self._phase:
            self._phase, self._n_told = phase, 0
            stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
            where = f"process {os.getpid()}, GPU {os.environ.get('CUDA_VISIBLE_DEVICES') or 'none'}"
            print(f"{stamp} {self._name} ({where}): {phase}", file=sys.stderr, flush=True)
        if phase == _TRAINING:
            if self._n_told > 1:
                self._steady_seconds += passed
                self._steady_steps += done - self._done
            self._n_told, self._done, self._total = self._n_told + 1, done, total

    def spent(self) -> Spent:
        """Up to now: all steps at the pace of those that were heard, and 0 where none were; the rest is the start."""
        self("end")
        trained = self._seconds[_TRAINING]
        pace = self._steady_seconds / self._steady_steps if self._steady_steps > 0 else 0.0
        training = min(trained, pace * self._total)
        start = self._seconds["start"] + trained - training
        return Spent(start=start, training=training, measuring=self._seconds[_MEASURING])
