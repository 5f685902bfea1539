"""The optimizer of a stacked model, as its recipe names it, and whether a saved state is such a one's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mdl.config import Recipe
from mdl.models import StackedTransformer
from mdl.optimizers import OptimizerSettings, make_optimizer


def recipe_optimizer(
    model: StackedTransformer, recipe: Recipe, *, lr_scale: Tensor | None = None, capturable: bool = False
) -> torch.optim.Optimizer:
    """Before its first step; `lr_scale` (M,) and `capturable` as in `mdl.optimizers.OptimizerSettings`."""
    settings = OptimizerSettings(
        width=model.shape.width,
        depth=model.shape.depth,
        recipe=recipe.version,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        lr_scale=lr_scale,
        capturable=capturable,
    )
    return make_optimizer(recipe.optimizer, dict(model.named_parameters()), settings)


def require_state(optimizer: torch.optim.Optimizer, model: StackedTransformer, recipe: Recipe) -> None:
    """ValueError for a state that this optimizer of `model`'s weights does not leave after a step.

    What it leaves is seen by a step of a small model.
    """
    small = StackedTransformer(replace(model.shape, width=8, n_heads=1, context_tokens=2), [0])
    usual = recipe_optimizer(small, recipe)
    for own in small.parameters():
        own.grad = torch.zeros_like(own)
    usual.step()
    for weight, twin in zip(_weights(optimizer), _weights(usual), strict=True):
        found, expected = optimizer.state.get(weight, {}), usual.state[twin]
        if {name: _form(value, weight) for name, value in found.items()} != {
            name: _form(value, twin) for name, value in expected.items()
        }:
            raise ValueError("another optimizer's state")


def _weights(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _form(value: Any, weight: Tensor) -> Any:
    """What must be the same whatever the weight's size."""
    if not isinstance(value, Tensor):
        return type(value)
    return "as the weight" if value.shape == weight.shape else value.ndim
