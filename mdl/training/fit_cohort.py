"""A cohort of configurations becomes trained weights: on one device, or on several."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger

from mdl.config.schema import from_flat
from mdl.device import Machine, resolve_machine
from mdl.records.schema import RunPaths
from mdl.sweeps.grid import Cell, Cohort, n_devices
from mdl.training.checkpoint import remove_damaged
from mdl.training.cohort_data import Reading, reading
from mdl.training.cohort_module import CohortModule, Recipe
from mdl.training.data_parallel import Ranks, companions, usable
from mdl.training.loop import Check, fit

# phase ("training", "measuring"), done, total
Progress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Trained:
    """A cohort after training, and where and how long it ran."""

    module: CohortModule
    machine: Machine
    seconds: float


def train_cohort(
    cohort: Cohort, data: Reading, paths: RunPaths, loggers: Sequence[Logger], progress: Progress | None,
    check: Check = lambda: None,
) -> Trained:  # fmt: skip
    """Train from the cohort's checkpoint where there is a sound one, on as many devices as it is to have."""
    first = cohort.cells[0].config
    config, machine = first.train, resolve_machine(first.train.precision, first.train.compile)
    checkpoint = paths.checkpoint(cohort.cohort_id)
    if why := remove_damaged(checkpoint):
        print(f"{why}; training again from the start", flush=True)
    module = _module(cohort, data)
    tell = (lambda step: progress("training", step, config.steps)) if progress else None
    n = usable(config.devices, n_devices(first), config.batch_windows, machine.accelerator)
    started = time.monotonic()
    with companions(n, [cell.config.flat() for cell in cohort.cells], paths.root) as ranks:
        fit(
            module, data.source, machine, checkpoint, checkpoint_seconds=config.checkpoint_seconds, loggers=loggers,
            progress=tell, check=check, ranks=ranks,
        )  # fmt: skip
    return Trained(module, machine, time.monotonic() - started)


def train_along(configs: Sequence[Mapping[str, Any]], root: Path, ranks: Ranks) -> None:
    """Train as one of the companions of the process that `train_cohort` runs in."""
    cells = [Cell(config.run_id, config) for config in map(from_flat, configs)]
    cohort, config = Cohort(tuple(cells)), cells[0].config
    torch.set_num_threads(config.train.threads)
    data = reading(cohort)
    machine = resolve_machine(config.train.precision, config.train.compile)
    fit(_module(cohort, data), data.source, machine, RunPaths(root).checkpoint(cohort.cohort_id), ranks=ranks)


def _module(cohort: Cohort, data: Reading) -> CohortModule:
    config = cohort.cells[0].config.train
    flat = cohort.cells[0].config.flat()
    recipe = Recipe(
        config.steps, config.batch_windows, flat["train.learning_rate"], config.weight_decay, config.clip_norm,
        config.warmup_steps, config.decay_start, config.final_lr_fraction, config.evaluate_every,
        config.objective == "prequential",
    )  # fmt: skip
    return CohortModule(cohort.shape, data.members(), recipe, *data.heldout_sample())
