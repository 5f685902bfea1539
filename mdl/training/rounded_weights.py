"""A cohort's training for the total, weights and data: from a step of the recipe on, its weights are rounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mdl.config import Recipe
from mdl.data import Gatherable
from mdl.models import StackedModel
from mdl.quantization import CodedModel, Rounding
from mdl.training.members import Member
from mdl.units import VOCABULARY

_READ_BYTES = 1 << 24


class Rounded(nn.Module):
    """Of stacked models, their rounding; where the recipe asks for none, it does nothing."""

    def __init__(self, model: StackedModel, members: Sequence[Member], recipe: Recipe) -> None:
        super().__init__()
        self._model, self._members, self._recipe = [model], members, recipe  # in a list: a part of another module
        self._present: Tensor | None = None  # (M, 256): does a byte value occur in a member's subset?
        self._on = False
        self.rounding: Rounding | None = None
        if recipe.weight_bits:
            self.rounding = Rounding(model.shape, recipe.weight_bits, [member.subset_length for member in members])

    def read(self, source: Gatherable) -> None:
        """Look which byte values each member's subset has."""
        if self.rounding is not None:
            self._present = torch.stack([_byte_values(source, member) for member in self._members])

    def begin_step(self, step: int) -> bool:
        """Said before a step of training; does what a step is change with this one?"""
        if self.rounding is None or step < self._recipe.rounding_step:
            return False
        fresh, self._on = not self._on, True
        if step == self._recipe.rounding_step and self._present is not None:
            (model,) = self._model
            self.rounding.begin(model.weights(), self._present.to(model.device))
        return fresh

    @contextmanager
    def weights(self) -> Iterator[Tensor | float]:
        """Within, the model computes with rounded weights, where it is time; gives nats per byte (M,) they take."""
        if self.rounding is None or not self._on:
            yield 0.0
            return
        (model,) = self._model
        with torch.autocast(model.device.type, enabled=False):
            rounded, price = self.rounding(model.weights())
        with model.computing_with(rounded):
            yield price

    def step(self, group: dict[str, Any], mean_of_ranks: Callable[[Tensor], Tensor] = lambda own: own) -> None:
        """Move what was learned, its rates in proportion to that of an optimizer's group."""
        if self.rounding is not None and self._on:
            self.rounding.step(group["lr"] / group["initial_lr"], mean_of_ranks)

    def may_be_best(self, step: int) -> bool:
        """Of weights that are rounded the last alone: those before paid less attention to their code."""
        return self.rounding is None or step == self._recipe.steps

    def coded(self, member: int) -> tuple[CodedModel, float] | None:
        """A member's trained weights as they are sent, and what their densities give, bits; None: as they are."""
        return None if self.rounding is None else self.rounding.coded(self._model[0].weights(), member)


def _byte_values(source: Gatherable, member: Member) -> Tensor:
    """(256,) of whether each occurs."""
    found, end = np.zeros(VOCABULARY, bool), member.first + member.subset_length
    for first in range(member.first, end, _READ_BYTES):
        found |= np.bincount(source.read(first, min(end, first + _READ_BYTES)), minlength=VOCABULARY) > 0
    return torch.from_numpy(found)
