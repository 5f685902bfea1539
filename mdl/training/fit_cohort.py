"""A cohort of configurations becomes trained weights: on one device, or on several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pytorch_lightning.loggers import Logger

from mdl.config import Cohort
from mdl.device import Machine, resolve_machine
from mdl.records import RunPaths
from mdl.training.checkpoint import set_damaged_aside
from mdl.training.cohort_data import Reading
from mdl.training.cohort_module import CohortModule
from mdl.training.companions import companions
from mdl.training.data_parallel import usable
from mdl.training.loop import fit
from mdl.training.progress import Watch


@dataclass(frozen=True)
class Trained:
    """A cohort after training, and where and how long it ran."""

    module: CohortModule
    machine: Machine
    seconds: float


def train_cohort(cohort: Cohort, data: Reading, paths: RunPaths, loggers: Sequence[Logger], watch: Watch) -> Trained:
    """Train from the cohort's checkpoint where there is a sound one, on as many devices as it is to have.

    Where a process on another device is lost, `watch.on_loss` is told why, and this process ends.
    """
    execution, recipe = cohort.execution, cohort.recipe
    machine = machine_of(cohort)
    checkpoint = paths.checkpoint(cohort.cohort_id)
    module = cohort_module(cohort, data)
    if why := set_damaged_aside(checkpoint, module):
        print(why, flush=True)
    n = usable(execution, recipe.batch_windows, machine.accelerator)
    started = time.monotonic()
    with companions(n, [cell.config.requested() for cell in cohort.cells], paths.root, watch.on_loss) as ranks:
        fit(
            module,
            data.source,
            machine,
            checkpoint,
            checkpoint_seconds=execution.checkpoint_seconds,
            loggers=loggers,
            progress=lambda step: watch.progress("training", step, recipe.steps),
            check=watch.check,
            ranks=ranks,
        )
    return Trained(module, machine, time.monotonic() - started)


def machine_of(cohort: Cohort) -> Machine:
    """Where and how the cohort runs here."""
    asked = cohort.cells[0].config.train
    return resolve_machine(asked.precision, asked.compile)


def cohort_module(cohort: Cohort, data: Reading) -> CohortModule:
    """The cohort before its first step."""
    return CohortModule(cohort.shape, data.members(), cohort.recipe, *data.heldout_sample())
