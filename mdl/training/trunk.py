"""Several budgets of one cohort: their flat phase is trained once, the trunk, and each budget's decay branches off it.

The trunk's state lies in the checkpoint of the whole, and stands still where a budget branches off until that budget is
recorded. The branch begins as a copy of it, in the checkpoint of the budget's own cohort, and is from there on what a
separate run is. So what lies on disk is enough wherever a process is killed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mdl.config import Cohort
from mdl.records import RunPaths
from mdl.storage import write_atomically
from mdl.training.cohort_data import Reading, reading
from mdl.training.fit_cohort import Stretch, train_cohort
from mdl.training.progress import Watch


@dataclass(frozen=True)
class Trunk:
    """What all budgets of a cohort have in common; its members have the same ones."""

    cohort: Cohort
    paths: RunPaths

    @cached_property
    def _longest(self) -> Cohort:
        return self.cohort.branches[-1]

    @cached_property
    def _data(self) -> Reading:
        return reading(self._longest)

    def begin(self, branch: Cohort, watch: Watch) -> None:
        """Train to where a budget branches off, and leave that state as the branch's own, unless it has one.

        Where the trunk is past it already, the branch has none, and trains from its start.
        """
        own, until = self.paths.checkpoint(branch.cohort_id), branch.recipe.branch_step
        if len(self.cohort.branches) == 1 or not until or own.exists():
            return
        state = self.paths.checkpoint(self.cohort.cohort_id)
        trained = train_cohort(self._longest, self._data, Stretch(state, until), (), watch)
        if trained.module.global_step <= until:
            watch.check()
            write_atomically(own, state.read_bytes())
