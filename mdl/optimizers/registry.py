"""What moves the weights of stacked models: each kind says its usual settings and makes a torch optimizer.

To add one, register it in a file of its own and name that file with --plugin (or import it in Python):

    import torch
    from mdl.optimizers import register_optimizer

    def make(weights, settings):
        return torch.optim.Adam(weights.values(), lr=settings.learning_rate, capturable=settings.capturable)

    register_optimizer("adam", make, learning_rate=lambda width, depth, recipe: 0.1 / width, weight_decay=0.0)

Then a sweep file may say `train.optimizer: adam`. A member's result is the same in any company: every weight has a
leading member axis M, and what works on each number by itself, as Adam does, keeps members apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdl.errors import MdlError
from mdl.records import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_OF_RECIPES = {1: "adamw", 2: "muon"}


@dataclass(frozen=True)
class MatrixForm:
    """What a stacked weight (M, rows, columns) is as a matrix of a layer."""

    n_parts: int = 1
    """So many lie side by side in it: 3 for query, key and value."""
    transposed: bool = False
    """Is it (M, columns, rows), with its parts one below the other, as torch.nn.Linear keeps it?"""


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """What the optimizer of one cohort is to do."""

    width: int
    """C of the models."""
    depth: int
    """Layers of the models."""
    recipe: int = 1
    """The recipe's version."""
    learning_rate: float
    """Peak rate, above 0, before a member's own factor. Schedules multiply the `lr` of every group."""
    weight_decay: float = 0.0
    """Decoupled, on matrices."""
    lr_scale: Tensor | None = None
    """Each member's factor on every rate (M,); None: 1 for all."""
    matrices: Mapping[str, MatrixForm] | None = None
    """The layers' matrices by name; None: `matrices_by_name`."""
    same_in_company: bool = False
    """Are a member's bits on a CPU the same in any company under recipe 1 too? Its Transformers are as they were."""
    capturable: bool = False
    """May a step be recorded in a CUDA graph? The `lr` of every group is then a tensor on the device."""


Make = Callable[[Mapping[str, "Tensor"], OptimizerSettings], "torch.optim.Optimizer"]


@dataclass(frozen=True, kw_only=True)
class OptimizerKind:
    """A kind of optimizer."""

    make: Make
    """From weights (M, …) by name and the settings; `matrix_parts` tells which are matrices of layers.

    An optimizer with an attribute `scales_rates` that is true heeds `lr_scale` itself. For others a member's factor
    interpolates between its old weights and the new, which is right where an update is linear in the rate.
    """
    learning_rate: Callable[[int, int, int], float]
    """The usual peak rate for a width, a depth and a recipe's version."""
    weight_decay: Callable[[int], float]
    """The usual weight decay under a recipe's version."""


OPTIMIZERS: Registry[OptimizerKind] = Registry(
    "optimizer", {"adamw": "mdl.optimizers.adamw", "muon": "mdl.optimizers.muon"}
)


def register_optimizer(
    name: str,
    make: Make,
    *,
    learning_rate: Callable[[int, int, int], float],
    weight_decay: float | Callable[[int], float],
) -> None:
    """Add a kind under its name (see `OptimizerKind`); MdlError for a name that is taken, or for what it says wrongly.

    A weight decay that is a number is the usual one under every recipe.
    """
    decay = weight_decay if callable(weight_decay) else lambda _: weight_decay
    for recipe in _OF_RECIPES:
        rate, shrink = learning_rate(16, 2, recipe), decay(recipe)
        if not (math.isfinite(rate) and rate > 0 and math.isfinite(shrink) and shrink >= 0):
            raise MdlError(
                f"optimizer '{name}': want a learning_rate above 0 and a weight_decay of at least 0; got {rate} (of "
                f"16x2) and {shrink} with recipe {recipe}"
            )
    OPTIMIZERS.register(name, OptimizerKind(make=make, learning_rate=learning_rate, weight_decay=decay))


def usual_optimizer(recipe: int) -> str:
    """The name of a recipe's own optimizer."""
    return _OF_RECIPES[recipe]


def make_optimizer(name: str, weights: Mapping[str, Tensor], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """The optimizer of that name over stacked weights (M, …) by name.

    MdlError for a name that is unknown, naming the nearest, and for a plugin's that makes something else.
    """
    import torch

    optimizer = OPTIMIZERS[name].make(weights, settings)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise MdlError(f"optimizer '{name}': its function returns a {type(optimizer).__name__}, no torch optimizer")
    return optimizer


def matrices_by_name(weights: Mapping[str, Tensor]) -> dict[str, MatrixForm]:
    """The layers' matrices among weights that are named as the Transformer names them.

    The embedding is a table of vectors and none of them.
    """
    return {
        name: MatrixForm(3 if name.startswith("qkv_") else 1)
        for name, weight in weights.items()
        if weight.ndim == 3 and name != "embedding"
    }


def matrix_parts(weights: Mapping[str, Tensor], settings: OptimizerSettings | None = None) -> dict[str, int]:
    """The layers' matrices by name, and how many lie side by side in each: 3 for query, key, value.

    As `settings` tells them, else by their names.
    """
    told = settings.matrices if settings else None
    forms = matrices_by_name(weights) if told is None else told
    return {name: form.n_parts for name, form in forms.items()}
