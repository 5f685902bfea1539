"""Several budgets of one cohort: their flat phase is trained once, the trunk, and each budget's decay branches off it.

The trunk's state lies in the checkpoint of the whole, and stands still where a budget branches off until that budget is
recorded. The branch begins as a copy of it, in the checkpoint of the budget's own cohort, and is from there on what a
separate run is. So what lies on disk is enough wherever a process is killed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mdl.config import Cell, Cohort
from mdl.records import RunPaths
from mdl.storage import remove_own, write_atomically
from mdl.training.checkpoint import keep_members, kept_members
from mdl.training.cohort_data import reading
from mdl.training.fit_cohort import Stretch, train_cohort
from mdl.training.progress import Watch


@dataclass(frozen=True)
class Trunk:
    """Of a cohort whose members have the same budgets, `whole`, those cells that are still to be trained: `left`."""

    whole: Cohort
    left: Cohort
    paths: RunPaths

    @property
    def state(self) -> Path:
        """Where its state lies."""
        return self.paths.checkpoint(self.whole.cohort_id)

    @cached_property
    def _longest(self) -> Cohort:
        return self.left.branches[-1]

    def begin(self, branch: Cohort, watch: Watch) -> None:
        """Train to where a budget branches off, and leave that state as the branch's own, unless it has one.

        Where the trunk is past it already, the branch has none, and trains from its start.
        """
        own, until = self.paths.checkpoint(branch.cohort_id), branch.recipe.branch_step
        if kept_members(self.state) not in (None, _names(self.left)):  # chosen by another `train.until`
            remove_own(self.state)
        alone = len(self.left.branches) == 1 and not self.state.exists()
        if alone or not until or own.exists():
            return
        trained = train_cohort(self._longest, reading(self._longest), Stretch(self.state, until), (), watch)
        if trained.module.global_step <= until:
            watch.check()
            write_atomically(own, self.state.read_bytes())

    def going_on(self, cells: set[str]) -> Trunk:
        """With those of its cells alone; members without any are taken out of its state."""
        members = self.left.members
        rows = [m for m, budgets in enumerate(members) if any(cell.run_id in cells for cell in budgets)]
        if 0 < len(rows) < len(members):
            keep_members(self.state, rows, _names(self.left))
        return replace(self, left=self.left.only(cells))

    def budgets_of(self, run_id: str) -> tuple[Cell, ...]:
        """All of the member that a cell is of, the shortest first."""
        return next(budgets for budgets in self.whole.members if any(cell.run_id == run_id for cell in budgets))


def _names(cohort: Cohort) -> list[str]:
    """A member's is the run id of its longest budget."""
    return [budgets[-1].run_id for budgets in cohort.members]
