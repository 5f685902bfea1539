"""May the members of a user's module train as one? Tried out with three small members before anything is trained.

They may where a forward pass, its gradients and an eval pass succeed under torch.func, are those of a plain loop, and
on a CPU do not depend on how many members there are, to the bit. The answer is a matter of the module and its shape
alone, so that a member trains in the same way in any company.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from mdl.errors import MdlError
from mdl.models.module_predictor import without_warnings
from mdl.models.own_module import OwnModule
from mdl.models.stacked_model import StackedModel

_TOLERANCE = 1e-5  # of gradients of a mean of nats; they are of order 1 and less
_ROWS_TOLERANCE = 1e-3  # nats
_WINDOWS = 2

Stack = Callable[..., StackedModel]  # as `mdl.models.stacked_modules.StackedModules`


@lru_cache(maxsize=256)
def reason_against_stacking(own: OwnModule, stack: Stack) -> str:
    """Why members must train one after another, in a few words; nothing where they need not.

    MdlError where the module fails by itself.
    """
    generator = torch.Generator().manual_seed(0)
    windows = torch.randint(0, 256, (3, _WINDOWS, own.shape.context_tokens), generator=generator)
    with torch.random.fork_rng(devices=[]), without_warnings():
        one_by_one = _stacked(own, stack, [0, 1, 2], one_by_one=True)
        with own.named("has no gradients for"):
            plain = _Trial(one_by_one, windows)
        if plain.sparse:
            raise MdlError(f"{own} gives sparse gradients of '{plain.sparse[0]}'; leave sparse=True out")
        if plain.changed:
            return f"training changes {plain.changed} in place, as BatchNorm does its statistics"
        if _draws(one_by_one, windows, plain.nats):
            return "it draws random numbers in training, as dropout does"
        try:
            together = _Trial(_stacked(own, stack, [0, 1, 2], one_by_one=False), windows)
            alone = _Trial(_stacked(own, stack, [1], one_by_one=False), windows[1:2])
        except Exception as error:  # whatever torch.func or the module says of each other
            cause = error.__cause__ or error
            return f"torch.func cannot: {' '.join(str(cause).split())[:120]}"
    if not together.agrees(plain):
        return "under torch.func its results are others"
    if not together.has_to_the_bit(alone, 1):
        return "under torch.func its last bits depend on how many members there are"
    return ""


def _stacked(own: OwnModule, stack: Stack, seeds: Sequence[int], *, one_by_one: bool) -> StackedModel:
    return stack(own.shape, own, [own.build(seed)[1] for seed in seeds], one_by_one=one_by_one)


class _Trial:
    """Rows, gradients and eval rows of members on their windows (M, B, T)."""

    def __init__(self, model: StackedModel, windows: Tensor) -> None:
        before = {name: weight.detach().clone() for name, weight in model.weights().items()}
        nats = model.nats(windows)
        changed = [name for name, weight in model.weights().items() if not torch.equal(weight, before[name])]
        self.changed = model.name_in_files(changed[0]) if changed else ""
        nats.flatten(1).mean(dim=1).sum().backward()  # type: ignore[no-untyped-call]
        self.nats = nats.detach()
        self.gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        self.sparse = [model.name_in_files(name) for name, gradient in self.gradients.items() if gradient.is_sparse]
        with torch.no_grad():
            self.rows = model(windows).log_softmax(-1)

    def agrees(self, other: _Trial) -> bool:
        """Are all numbers those of another way, but for rounding?"""
        near = {name: _near(gradient, other.gradients.get(name)) for name, gradient in self.gradients.items()}
        rows = (self.rows.clamp_min(-60) - other.rows.clamp_min(-60)).abs().max()
        return all(near.values()) and bool(rows <= _ROWS_TOLERANCE)

    def has_to_the_bit(self, alone: _Trial, m: int) -> bool:
        """Is member `m` what it is alone?"""
        pairs = [(self.nats, alone.nats), (self.rows, alone.rows)]
        pairs += [(gradient, alone.gradients[name]) for name, gradient in self.gradients.items()]
        return all(torch.equal(whole[m], own[0]) for whole, own in pairs)


def _draws(model: StackedModel, windows: Tensor, nats: Tensor) -> bool:
    """Does another step with the same weights give other numbers?"""
    model.begin_step(1, [1] * len(windows))
    return not torch.equal(model.nats(windows).detach(), nats)


def _near(gradient: Tensor, other: Tensor | None) -> bool:
    if other is None:
        return not bool(gradient.any())
    return bool(((gradient - other).abs() <= _TOLERANCE * (1 + other.abs())).all())
