"""Lightning trains a cohort, from its checkpoint where there is one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger

from mdl.data import Gatherable
from mdl.device import Machine
from mdl.errors import MdlError
from mdl.training.batches import CohortBatches
from mdl.training.checkpoint import CheckpointFile
from mdl.training.cohort_module import CohortModule
from mdl.training.data_parallel import ALONE, Ranks
from mdl.training.lightning_warnings import quiet_lightning
from mdl.training.progress import Check
from mdl.training.stop_signal import StopAsked, StopSignal

Progress = Callable[[int], None]  # called with the number of steps done


class Watcher(pl.Callback):
    """After a step, in this order: the look at the held-out sample, the progress, the saving of the cohort's state.

    Lightning calls callbacks before the module's own hook, and a state saved before the look would lack it.
    """

    def __init__(
        self, path: Path, every_seconds: float, progress: Progress | None, check: Check, stop: StopSignal
    ) -> None:
        self.path, self.every_seconds = path, every_seconds
        self.progress, self.check, self.stop = progress, check, stop
        self._saved = self._told = time.monotonic()

    def on_train_start(self, *_: Any) -> None:
        """Once Lightning has put its own handlers of signals."""
        self.stop.put_back()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Look, tell and save, after every step."""
        assert isinstance(pl_module, CohortModule)  # noqa: S101 - `fit` trains nothing else
        pl_module.after_step()
        now = time.monotonic()
        if self.progress and now - self._told > 0.3:
            self.progress(trainer.global_step)
            self._told = now
        due = now - self._saved > self.every_seconds
        if due:
            self._saved = now  # several ranks do it a step later, once
        save, stop = pl_module.ranks.as_first(due, self.stop.requested, device=pl_module.device)
        if stop or trainer.should_stop or trainer.global_step >= trainer.max_steps:
            pl_module.ranks.part()
        if (save or stop) and pl_module.ranks.rank == 0:
            self.check()
            trainer.save_checkpoint(self.path)
            self._saved = time.monotonic()
        if stop:
            raise StopAsked


def fit(
    module: CohortModule,
    source: Gatherable,
    machine: Machine,
    checkpoint: Path,
    *,
    until: int | None = None,
    checkpoint_seconds: float = 60,
    loggers: Sequence[Logger] = (),
    progress: Progress | None = None,
    check: Check = lambda: None,
    ranks: Ranks = ALONE,
) -> None:
    """Train to the end, or to step `until`, from `checkpoint` where there is a sound one, and leave the state there.

    Rank 0 leaves it. `check` is called before every saving, and raises where another process has taken the cohort over.
    """
    module.ranks, until = ranks, module.recipe.steps if until is None else until
    module.prepare(machine, source)
    with StopSignal() as stop, quiet_lightning():
        watcher = Watcher(checkpoint, checkpoint_seconds, progress, check, stop)
        trainer = _trainer(module, machine, watcher, loggers, until)
        try:
            trainer.fit(
                module,
                train_dataloaders=CohortBatches(module, source),
                ckpt_path=checkpoint if checkpoint.exists() else None,
                weights_only=True,
            )
        finally:
            module.let_go()
        ranks.part()  # also where nothing was left to train
        if progress:
            machine.wait()
            progress(trainer.global_step)  # before the state is saved, which is no step
        if trainer.global_step < until and not bool((module.first_bad_step >= 0).all()):
            raise MdlError(f"training stopped at step {trainer.global_step} of {until}")
        if until < module.recipe.steps:
            module.branches_here()
        if ranks.rank == 0:
            check()
            trainer.save_checkpoint(checkpoint)
    if stop.requested:  # after the last step
        raise StopAsked


def _trainer(
    module: CohortModule, machine: Machine, watcher: Watcher, loggers: Sequence[Logger], until: int
) -> pl.Trainer:
    on_cuda = machine.accelerator == "cuda"
    return pl.Trainer(
        accelerator="gpu" if on_cuda else "cpu",
        devices=[module.ranks.rank] if on_cuda else 1,  # as each rank sees it, it trains alone
        precision="bf16-mixed" if machine.precision == "bf16" else "32-true",
        max_steps=until,
        max_epochs=-1,
        callbacks=[watcher],
        logger=list(loggers) or False,
        plugins=[CheckpointFile()],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
