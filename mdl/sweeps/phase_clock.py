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

    The pace of steps is that after the first two reports of training: up to these, kernels compile and a CUDA graph is
    captured, which says nothing of later steps and would be nearly all of a few. Nor is it what passes between reports
    of the same step: after the last one the state is saved.
    """

    def __init__(self, name: str, began: float) -> None:
        """`began`, by time.monotonic(): when the worker had the job, or was started for it."""
        self._name, self._phase, self._heard = name, "start", began
        self._seconds = {"start": 0.0, _TRAINING: 0.0, _MEASURING: 0.0}
        self._n_reports = 0  # of training since it last began
        self._done = self._total = 0.0  # steps
        self._steady_seconds = self._steady_steps = 0.0

    def __call__(self, phase: str, done: float = 0.0, total: float = 0.0) -> None:
        """What passed since the last call belongs to the phase that was told then; `done` of `total` steps are."""
        now = time.monotonic()
        passed, self._heard = now - self._heard, now
        self._seconds[self._phase if self._phase in PHASES else "start"] += passed
        if phase != self._phase:
            self._phase, self._n_reports = phase, 0
            stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
            where = f"process {os.getpid()}, GPU {os.environ.get('CUDA_VISIBLE_DEVICES') or 'none'}"
            print(f"{stamp} {self._name} ({where}): {phase}", file=sys.stderr, flush=True)
        if phase == _TRAINING:
            if self._n_reports > 1 and done > self._done:
                self._steady_seconds += passed
                self._steady_steps += done - self._done
            self._n_reports, self._done, self._total = self._n_reports + 1, done, total

    def spent(self) -> Spent:
        """Up to now, all steps taken at the pace of the later ones, the rest of training as a part of the start.

        Where no pace was heard, training has 0 seconds, and they are nowhere.
        """
        self("end")
        start, trained, measuring = self._seconds.values()
        if self._steady_steps <= 0:
            return Spent(start=start, training=0.0, measuring=measuring)
        training = self._steady_seconds / self._steady_steps * self._total
        return Spent(start=start + max(0.0, trained - training), training=training, measuring=measuring)
