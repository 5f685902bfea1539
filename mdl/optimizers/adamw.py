"""AdamW (0.9, 0.95) on everything, the first recipe's optimizer, and the table of its rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from mdl.optimizers.registry import OptimizerSettings, register_optimizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Peak learning rate by width, two layers; deeper models take a little less from width 64 on. Found by trial on text at
# one to a few thousand steps.
_BY_WIDTH = {
    4: 2e-2,
    8: 1.5e-2,
    16: 1.2e-2,
    32: 8e-3,
    64: 5e-3,
    128: 3.5e-3,
    256: 2.2e-3,
    512: 1.2e-3,
    1024: 6e-4,
}
_TIMES_TABLE = {1: 1, 2: 3}  # by recipe: benchmarks/recipe_log.md, sections 1 and 5
_WEIGHT_DECAY = {1: 0.01, 2: 0.1}
BETAS = (0.9, 0.95)


@cache
def usual_learning_rate(width: int, depth: int, recipe: int = 1) -> float:
    """AdamW's peak rate for a shape: a table interpolated in log width, × 0.85 a doubling of the depth past two.

    Recipe 2 takes three times the table.
    """
    widths = sorted(_BY_WIDTH)
    clamped = min(max(width, widths[0]), widths[-1])
    low = max(w for w in widths if w <= clamped)
    high = min(w for w in widths if w >= clamped)
    share = 0.0 if low == high else math.log(clamped / low) / math.log(high / low)
    rate = math.exp((1 - share) * math.log(_BY_WIDTH[low]) + share * math.log(_BY_WIDTH[high]))
    of_table = float(f"{rate * 0.85 ** max(0.0, math.log2(depth / 2)):.3g}")
    return float(f"{_TIMES_TABLE[recipe] * of_table:.4g}")


def _make(weights: Mapping[str, Tensor], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Decay on all that has rows and columns, the embedding among it.

    Recipe 1 of the Transformer is torch's own to the bit for ever, though that one rounds the last numbers of a tensor
    otherwise: at widths 4, 6, 10, 12 and 20 a member's last bits depend on its company. Recipe 2's do not.
    """
    import torch

    from mdl.optimizers.stacked_adamw import StackedAdamW

    groups = [
        {"params": [w for w in weights.values() if w.ndim >= 3], "weight_decay": settings.weight_decay},
        {"params": [w for w in weights.values() if w.ndim < 3], "weight_decay": 0.0},
    ]
    rate, capturable = settings.learning_rate, settings.capturable
    if settings.recipe == 1 and not settings.same_in_company:
        return torch.optim.AdamW(groups, lr=rate, betas=BETAS, fused=True, capturable=capturable)
    return StackedAdamW(groups, lr=rate, lr_scale=settings.lr_scale, betas=BETAS, capturable=capturable)


register_optimizer("adamw", _make, learning_rate=usual_learning_rate, weight_decay=_WEIGHT_DECAY.__getitem__)
