"""The optimizer of a stacked model, as its recipe names it, and whether a saved state is such a one's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mdl.config import Recipe
from mdl.models import TRANSFORMER, StackedModel
from mdl.optimizers import OptimizerSettings, make_optimizer


def recipe_optimizer(
    model: StackedModel, recipe: Recipe, *, lr_scale: Tensor | None = None, capturable: bool = False
) -> torch.optim.Optimizer:
    """Before its first step; `lr_scale` (M,) and `capturable` as in `mdl.optimizers.OptimizerSettings`."""
    return make_optimizer(recipe.optimizer, trained(model), _settings(model, recipe, lr_scale, capturable))


def trained(model: StackedModel) -> dict[str, Tensor]:
    """The weights that are not frozen, by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _settings(
    model: StackedModel, recipe: Recipe, lr_scale: Tensor | None = None, capturable: bool = False
) -> OptimizerSettings:
    return OptimizerSettings(
        width=model.shape.width,
        depth=model.shape.depth,
        recipe=recipe.version,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        lr_scale=lr_scale,
        matrices=model.matrices(),
        same_in_company=model.shape.architecture != TRANSFORMER,
        capturable=capturable,
    )


def require_state(optimizer: torch.optim.Optimizer, model: StackedModel, recipe: Recipe) -> None:
    """ValueError for a state that this optimizer of `model`'s weights does not leave after a step.

    What it leaves is seen by a step of weights as many and named alike, but small.
    """
    forms = model.matrices()
    small = {
        name: _small(weight, forms[name].n_parts if name in forms else 1) for name, weight in trained(model).items()
    }
    usual = make_optimizer(recipe.optimizer, small, _settings(model, recipe))
    usual.step()
    for weight, twin in zip(_weights(optimizer), _weights(usual), strict=True):
        found, expected = optimizer.state.get(weight, {}), usual.state[twin]
        if {name: _form(value, weight) for name, value in found.items()} != {
            name: _form(value, twin) for name, value in expected.items()
        }:
            raise ValueError("another optimizer's state")


def _small(weight: Tensor, n_parts: int) -> Tensor:
    """Of as many axes, with a gradient, and columns that divide into parts."""
    small = torch.zeros(1, *(8 * n_parts for _ in weight.shape[1:])).requires_grad_()
    small.grad = torch.zeros_like(small)
    return small


def _weights(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _form(value: Any, weight: Tensor) -> Any:
    """What must be the same whatever the weight's size."""
    if not isinstance(value, Tensor):
        return type(value)
    return "as the weight" if value.shape == weight.shape else value.ndim
