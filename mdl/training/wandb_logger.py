"""Lightning's logger of W&B runs, through which nothing of W&B reaches the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import WandbLogger

from mdl.training.wandb_runs import CarefulRun


class HarmlessWandbLogger(WandbLogger):
    """Logs what it can."""

    def __init__(self, careful: CarefulRun) -> None:
        super().__init__(experiment=careful.run)
        self.careful = careful

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """As WandbLogger; a failure of W&B's is one line."""
        with self.careful.harmless("curve"):
            super().log_metrics(metrics, step)
