"""Cells, and cohorts of cells that train as one stacked model."""

from __future__ import annotations

from dataclasses import dataclass

from mdl.config.schema import RunConfig
from mdl.models import Shape, forward_flops_per_byte, training_bytes
from mdl.storage import digest


@dataclass(frozen=True)
class Cell:
    """One record to be made."""

    run_id: str
    config: RunConfig


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
        """The members' names."""
        return [cell.run_id for cell in self.cells]

    @property
    def shape(self) -> Shape:
        """The members' common shape."""
        return shape_of(self.cells[0].config)

    @property
    def training_flops(self) -> float:
        """Of all members: 3 forward passes a byte seen."""
        return sum(training_flops(cell.config) for cell in self.cells)

    def only(self, run_ids: set[str]) -> Cohort:
        """The members among `run_ids`."""
        return Cohort(tuple(cell for cell in self.cells if cell.run_id in run_ids))


def shape_of(config: RunConfig) -> Shape:
    """The configuration's model shape."""
    return Shape(*config.model.dimensions(), config.model.context_bytes, config.model.vocabulary)


def bytes_seen(config: RunConfig) -> int:
    """Training bytes, repeats counted."""
    return config.train.steps * config.train.batch_windows * config.model.context_bytes


def training_flops(config: RunConfig) -> float:
    """Forward and backward (twice a forward) over every byte seen, head and attention included."""
    return 3.0 * forward_flops_per_byte(shape_of(config)) * bytes_seen(config)


def n_devices(config: RunConfig) -> int:
    """Devices to train on: as many as asked for, or as one member's estimated memory needs, which batches divide."""
    train, shape = config.train, shape_of(config)
    divisors = (n for n in range(1, train.batch_windows + 1) if train.batch_windows % n == 0)
    fitting = (n for n in divisors if training_bytes(shape, train.batch_windows // n) <= train.memory_bytes)
    return train.devices or next(fitting, 1)
