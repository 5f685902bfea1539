"""Cells, and cohorts of cells that train as one stacked model."""

from __future__ import annotations

from dataclasses import dataclass

from mdl.config.resolved import Execution, Recipe, ResolvedConfig
from mdl.config.run_config import RunConfig
from mdl.models import Shape
from mdl.storage import digest


@dataclass(frozen=True)
class Cell:
    """One record to be made."""

    run_id: str
    config: RunConfig

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
    def run_ids(self) -> list[str]:
        """The run ids of its cells, in their order."""
        return [cell.run_id for cell in self.cells]

    @property
    def shape(self) -> Shape:
        """The members' common shape."""
        return self.cells[0].resolved.shape

    @property
    def recipe(self) -> Recipe:
        """How all members are trained."""
        return self.cells[0].resolved.recipe

    @property
    def execution(self) -> Execution:
        """Where and how they run."""
        return self.cells[0].resolved.execution

    @property
    def bytes_seen(self) -> int:
        """Training bytes of all members, repeats counted."""
        return sum(cell.resolved.bytes_seen for cell in self.cells)

    @property
    def training_flops(self) -> float:
        """Of all members: 3 forward passes a byte seen."""
        return sum(cell.resolved.training_flops for cell in self.cells)

    def only(self, run_ids: set[str]) -> Cohort:
        """The members among `run_ids`."""
        return Cohort(tuple(cell for cell in self.cells if cell.run_id in run_ids))
