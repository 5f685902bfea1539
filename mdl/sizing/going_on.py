"""What a folder was begun with as a plan: what the same command goes on with, and how much of it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mdl.config import from_flat
from mdl.records import RunPaths
from mdl.sizing.plan import Data, Setting


@dataclass(frozen=True, kw_only=True)
class GoingOn:
    """The cells that were wanted before."""

    data: Data
    setting: Setting
    cells: tuple[dict[str, Any], ...]
    n_done: int
    budget_seconds: float

    @property
    def subsets(self) -> tuple[int, ...]:
        """Bytes, the largest first."""
        return tuple(sorted({int(cell["subset_bytes"]) for cell in self.cells}, reverse=True))

    @property
    def sizes(self) -> tuple[str, ...]:
        """Shapes, ascending in parameters."""
        return tuple(sorted({str(cell["model.size"]) for cell in self.cells}, key=self.setting.n_params))

    @property
    def steps(self) -> int:
        """Of the longest training."""
        return max(int(cell["train.steps"]) for cell in self.cells)


def n_done(cells: tuple[dict[str, Any], ...], paths: RunPaths) -> int:
    """How many have a record."""
    return sum(paths.record(from_flat(cell).run_id).exists() for cell in cells)
