"""A cohort of configurations becomes trained weights: on one device, or on several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytorch_lightning.loggers import Logger

from mdl.config import Cohort
from mdl.device import Machine, resolve_machine
from mdl.models import architecture_of, check_member
from mdl.records import RunPaths
from mdl.training.checkpoint import set_damaged_aside
from mdl.training.cohort_data import Reading
from mdl.training.cohort_module import CohortModule
from mdl.training.corpus_samples import sample_to_train
from mdl.training.data_parallel import usable
from mdl.training.loop import fit
from mdl.training.progress import COMPILING, PREPARING, Watch
from mdl.training.rank_processes import companions


@dataclass(frozen=True)
class Trained:
    """A cohort after training, and where and how long it ran: since its first step, in whatever process."""

    module: CohortModule
    machine: Machine
    seconds: float


@dataclass(frozen=True)
class Stretch:
    """Of a training: from what lies in its checkpoint, or from the start, to a step whose state is left there."""

    checkpoint: Path
    until: int

    @staticmethod
    def whole(cohort: Cohort, paths: RunPaths) -> Stretch:
        """All that a cohort of one budget takes."""
        return Stretch(paths.checkpoint(cohort.cohort_id), cohort.recipe.steps)


def train_cohort(cohort: Cohort, data: Reading, stretch: Stretch, loggers: Sequence[Logger], watch: Watch) -> Trained:
    """Train a stretch on as many devices as the cohort is to have; from the start where its checkpoint is not sound.

    Where a process on another device is lost, `watch.on_loss` is told why, and this process ends.
    """
    execution, recipe = cohort.execution, cohort.recipe
    machine = machine_of(cohort)
    watch.progress(COMPILING if machine.compiled else PREPARING, 0, 1)
    module = cohort_module(cohort, data)
    if architecture_of(cohort.shape).own_module:
        check_member(cohort.shape, module.model.member(0), sample_to_train(cohort, data.corpora[0], 0), trains=True)
    if module.model.note:
        print(module.model.note, flush=True)
    if why := set_damaged_aside(stretch.checkpoint, module):
        print(why, flush=True)
    n = usable(execution, recipe.batch_windows, machine.accelerator)
    request = {
        "configs": [cell.config.requested() for cell in cohort.cells],
        "checkpoint": str(stretch.checkpoint),
        "until": stretch.until,
    }
    with companions(n, request, watch.on_loss) as ranks:
        fit(
            module,
            data.source,
            machine,
            stretch.checkpoint,
            until=stretch.until,
            checkpoint_seconds=execution.checkpoint_seconds,
            loggers=loggers,
            progress=lambda step: watch.progress("training", step, recipe.steps),
            check=watch.check,
            ranks=ranks,
        )
    return Trained(module, machine, module.seconds)


def machine_of(cohort: Cohort) -> Machine:
    """Where and how the cohort runs here."""
    asked = cohort.cells[0].config.train
    return resolve_machine(asked.precision, asked.compile)


def cohort_module(cohort: Cohort, data: Reading) -> CohortModule:
    """The cohort before its first step."""
    return CohortModule(cohort.shape, data.members(), cohort.recipe, *data.heldout_sample())
