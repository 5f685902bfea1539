"""Muon on the layers' matrices and AdamW on all else, the second recipe's optimizer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mdl.optimizers.adamw import BETAS, usual_learning_rate
from mdl.optimizers.registry import MatrixForm, OptimizerSettings, matrices_by_name, register_optimizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_NARROW_RATE = 0.03
_NARROW = 64  # width times depth up to which it is the best
_WEIGHT_DECAY = 0.1
MOMENTUM = 0.95


def usual_muon_rate(width: int, depth: int, _recipe: int = 2) -> float:
    """Muon's peak rate for a shape: .03, and by the cube root of width × depth lower from 64 on (32x2).

    Found by trial: benchmarks/recipe_log.md, sections 5, 10 and 12. AdamW's rate on the rest falls in proportion.
    """
    return float(f"{_NARROW_RATE * min(1.0, (_NARROW / (width * depth)) ** (1 / 3)):.3g}")


def _make(weights: Mapping[str, Tensor], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Decay on the layers' matrices alone: the embedding, the start and the vectors have none.

    `settings.learning_rate` is the matrices'; AdamW's is in proportion to it.
    """
    from mdl.optimizers.stacked_muon import StackedMuon

    forms = matrices_by_name(weights) if settings.matrices is None else settings.matrices
    by_form: dict[MatrixForm, list[Tensor]] = defaultdict(list)
    for name, form in forms.items():
        by_form[form].append(weights[name])
    of_matrices = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    groups = [
        {"params": matrices, "parts": form.n_parts, "transposed": form.transposed, **of_matrices}
        for form, matrices in by_form.items()
    ]
    rest = [weight for name, weight in weights.items() if name not in forms]
    rest_rate = settings.learning_rate / _NARROW_RATE * usual_learning_rate(settings.width, settings.depth, 2)
    return StackedMuon(
        [*groups, {"params": rest}],
        lr=rest_rate,
        lr_scale=settings.lr_scale,
        momentum=MOMENTUM,
        betas=BETAS,
        capturable=settings.capturable,
    )


register_optimizer("muon", _make, learning_rate=usual_muon_rate, weight_decay=_WEIGHT_DECAY)
