"""Muon on the layers' matrices and AdamW on all else, the second recipe's optimizer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mdl.optimizers.adamw import BETAS, usual_learning_rate
from mdl.optimizers.registry import OptimizerSettings, matrix_parts, register_optimizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Of every shape: benchmarks/recipe_log.md, section 5. The rest has its own, three times the first recipe's table.
_USUAL_RATE = 0.03
_WEIGHT_DECAY = 0.1
MOMENTUM = 0.95


def _make(weights: Mapping[str, Tensor], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Decay on the layers' matrices alone: the embedding, the start and the vectors have none.

    `settings.learning_rate` is the matrices'; AdamW's is in proportion to it.
    """
    from mdl.optimizers.stacked_muon import StackedMuon

    parts, by_parts = matrix_parts(weights), defaultdict(list)
    for name, n in parts.items():
        by_parts[n].append(weights[name])
    of_matrices = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    groups = [{"params": matrices, "parts": n, **of_matrices} for n, matrices in by_parts.items()]
    rest = [weight for name, weight in weights.items() if name not in parts]
    rest_rate = settings.learning_rate / _USUAL_RATE * usual_learning_rate(settings.width, settings.depth, 2)
    return StackedMuon(
        [*groups, {"params": rest}],
        lr=rest_rate,
        lr_scale=settings.lr_scale,
        momentum=MOMENTUM,
        betas=BETAS,
        capturable=settings.capturable,
    )


register_optimizer("muon", _make, learning_rate=lambda *_: _USUAL_RATE, weight_decay=_WEIGHT_DECAY)
