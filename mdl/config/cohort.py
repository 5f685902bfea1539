"""Cells, and cohorts of cells that train as one stacked model.

Cells that differ only in their number of steps, their *budget*, are one member: the flat phase of all its budgets is
trained once, the *trunk*, and each budget's decay is a *branch* off it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

from mdl.config.resolved import Execution, Recipe, ResolvedConfig
from mdl.config.run_config import RunConfig
from mdl.models import Shape, forward_flops_per_byte
from mdl.storage import digest


@dataclass(frozen=True)
class Cell:
    """One record to be made."""

    run_id: str
    config: RunConfig
    whole_id: str = ""  # of the sweep's cohort that it belongs to, where it may be trained with a part of that alone

    def __hash__(self) -> int:
        """By the run id alone, which follows from the rest: plans look cohorts of many cells up."""
        return hash(self.run_id)

    @property
    def resolved(self) -> ResolvedConfig:
        """Its configuration with every choice made."""
        return self.config.resolved


@dataclass(frozen=True)
class Cohort:
    """Cells that train as one stacked model. Its membership is a function of the sweep file alone."""

    cells: tuple[Cell, ...]

    @property
    def cohort_id(self) -> str:
        """Shape + 8 hex of the members."""
        return f"{self.shape.label}-{digest(self.run_ids)}"

    @property
    def recorded_ids(self) -> list[str]:
        """What each cell's record says it belongs to: the sweep's cohort, whatever part of it trains together."""
        return [cell.whole_id or self.cohort_id for cell in self.cells]

    @property
    def run_ids(self) -> list[str]:
        """The run ids of its cells, in their order."""
        return [cell.run_id for cell in self.cells]

    @property
    def shape(self) -> Shape:
        """The members' common shape."""
        return self.cells[0].resolved.shape

    @property
    def recipe(self) -> Recipe:
        """How all members are trained; of several budgets the longest."""
        return max((cell.resolved.recipe for cell in self.cells), key=lambda recipe: recipe.steps)

    @property
    def execution(self) -> Execution:
        """Where and how they run."""
        return self.cells[0].resolved.execution

    @cached_property
    def members(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells of each member, the shortest budget first."""
        found: dict[Hashable, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(cell.config.member_key(), []).append(cell)
        return tuple(tuple(sorted(cells, key=_steps)) for cells in found.values())

    @property
    def parts(self) -> tuple[Cohort, ...]:
        """Members of the same budgets together: those of a part share one trunk to its end."""
        found: dict[Hashable, list[Cell]] = {}
        for cells in self.members:
            found.setdefault(tuple(map(_steps, cells)), []).extend(cells)
        return tuple(Cohort(tuple(cells)) for cells in found.values())

    @property
    def branches(self) -> tuple[Cohort, ...]:
        """A cohort a budget, the shortest first, with its members in this one's order."""
        found: dict[int, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(_steps(cell), []).append(cell)
        return tuple(Cohort(tuple(found[steps])) for steps in sorted(found))

    @property
    def state_ids(self) -> list[str]:
        """Of all cohorts that training this one may leave a state of."""
        parts = self.parts
        return [self.cohort_id, *(one.cohort_id for part in parts for one in (part, *part.branches))]

    @property
    def trained_steps(self) -> int:
        """That each member of a part takes: one trunk, and what every budget takes by itself."""
        recipes = [branch.recipe for branch in self.branches]
        return recipes[-1].branch_step + sum(recipe.steps - recipe.branch_step for recipe in recipes)

    @property
    def bytes_seen(self) -> int:
        """Training bytes of all members, repeats counted; those of a trunk once."""
        each = self.recipe.batch_windows * self.shape.context_tokens
        return each * sum(part.trained_steps * len(part.members) for part in self.parts)

    @property
    def training_flops(self) -> float:
        """Of all members: 3 forward passes a byte seen."""
        return 3.0 * forward_flops_per_byte(self.shape) * self.bytes_seen

    @property
    def halves(self) -> tuple[Cohort, Cohort]:
        """Half of its members each."""
        members = self.members
        first, second = members[: len(members) // 2], members[len(members) // 2 :]
        return Cohort(tuple(c for cells in first for c in cells)), Cohort(tuple(c for cells in second for c in cells))

    def only(self, run_ids: set[str]) -> Cohort:
        """The members among `run_ids`."""
        return Cohort(tuple(cell for cell in self.cells if cell.run_id in run_ids))


def _steps(cell: Cell) -> int:
    return cell.resolved.recipe.steps
