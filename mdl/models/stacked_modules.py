"""Members of a user's torch module: as one by torch.func where that can be, else one after another.

Their weights are stacked either way, so that optimizers, clipping, snapshots and checkpoints are those of any other
architecture. Shape letters as in `mdl.models.stacked_model`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mdl.models.module_predictor import without_warnings
from mdl.models.own_module import OwnModule
from mdl.models.own_module_trial import reason_against_stacking
from mdl.models.shape import Shape
from mdl.models.stacked_model import StackedModel, row_nats
from mdl.optimizers import MatrixForm

_OWN = "own/"  # before the names of a user's weights, whose dots are slashes: no attribute of ours is called so
_INNER, _OUTER = str.maketrans("./", "/\x1f"), str.maketrans("/\x1f", "./")


class StackedModules(StackedModel):
    """M modules of a user's. In training they are in train mode, otherwise in eval mode."""

    recordable = False  # nobody knows what a user's code does on a device

    def __init__(
        self,
        shape: Shape,
        own: OwnModule,
        members: Sequence[Mapping[str, Tensor]],
        *,
        one_by_one: bool | None = None,
    ) -> None:
        """Of the weights of every member. `one_by_one`: trained one after another; None: where they must be."""
        super().__init__()
        self.shape, self._own = shape, own
        module, learned = own.build(0)
        self._hidden = (module,)  # in a tuple: its own weights are none of these models'
        for name, tensor in learned.items():
            stacked = torch.stack([member[name] for member in members]).detach()
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(_inner(name), nn.Parameter(stacked, requires_grad=tensor.requires_grad))
            else:
                self.register_buffer(_inner(name), stacked)
        reason = reason_against_stacking(own, StackedModules) if one_by_one is None else "asked for" * one_by_one
        self.one_by_one = bool(reason)
        if reason:
            self.note = f"architecture '{own.name}': members train one after another ({reason})"
        self._step, self._seeds = 0, [0] * len(members)

    @property
    def module(self) -> nn.Module:
        """The user's module, whatever its weights are now."""
        return self._hidden[0]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """What is neither learned nor kept, a mask say, moves along."""
        self.module._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def begin_step(self, step: int, seeds: Any) -> None:
        """Random numbers of a step, as dropout draws them, follow from a member's seed and the step alone."""
        self._step, self._seeds = step, list(seeds)

    def matrices(self) -> dict[str, MatrixForm]:
        """As `OwnModule.matrices` tells them."""
        return {_inner(name): form for name, form in self._own.matrices.items()}

    def weights(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers."""
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}

    def name_in_files(self, name: str) -> str:
        """As the user's module calls it: its own `load_state_dict` reads a member's file."""
        return _outer(name)

    def forward(self, bytes_MBT: Tensor) -> Tensor:
        """Logits (M, B, T, 256) in eval mode, row t of byte t."""
        return self._rows(bytes_MBT, train=False)

    def nats(self, bytes_MBT: Tensor, parts: Any = None) -> Tensor:
        """−ln p (M, B, T) of every byte in train mode."""
        return row_nats(self._rows(bytes_MBT, train=True), bytes_MBT)

    def _rows(self, bytes_MBT: Tensor, *, train: bool) -> Tensor:
        windows, module = bytes_MBT.to(torch.long, copy=True), self.module  # it may write into what it is given
        module.train(train)
        with self._own.named("fails on"), without_warnings():
            rows = self._one_by_one(windows, train) if self.one_by_one else self._at_once(windows)
        return self._own.aligned(module, rows)

    def _at_once(self, windows: Tensor) -> Tensor:
        """All members in one call. A single one is doubled: kernels for a batch of one add in another order."""
        weights = {_outer(name): weight for name, weight in self.weights().items()}
        n = len(windows)
        if n == 1:
            windows = windows.expand(2, -1, -1)
            weights = {name: torch.cat([weight, weight]) for name, weight in weights.items()}

        def of_member(own: dict[str, Tensor], windows_BT: Tensor) -> Tensor:
            return self._checked(torch.func.functional_call(self.module, own, (windows_BT,)), windows_BT)

        rows: Tensor = torch.vmap(of_member)(weights, windows)
        return rows[:n]

    def _one_by_one(self, windows: Tensor, train: bool) -> Tensor:
        """Member after member; what a module changes in place is kept in training alone."""
        weights = {_outer(name): weight for name, weight in self.weights().items()}
        copies = {name: [own.clone() for own in weight.unbind()] for name, weight in weights.items()}
        rows = []
        for m, windows_BT in enumerate(windows):
            given = {name: own[m] for name, own in copies.items()}
            with self._drawing(m, train):
                rows.append(self._checked(torch.func.functional_call(self.module, given, (windows_BT,)), windows_BT))
            for name, own in given.items() if train else ():
                weights[name].detach()[m] = own.detach()
        return torch.stack(rows)

    def _checked(self, rows: Any, windows_BT: Tensor) -> Tensor:
        return self._own.checked(self.module, windows_BT, rows)

    @contextmanager
    def _drawing(self, m: int, train: bool) -> Iterator[None]:
        """Within, random numbers are a member's and a step's own."""
        if not train:
            yield
            return
        seed = hashlib.sha256(f"{self._seeds[m]},{self._step}".encode()).digest()[:7]
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int.from_bytes(seed))
            yield


def _inner(name: str) -> str:
    return _OWN + name.translate(_INNER)


def _outer(name: str) -> str:
    return name.removeprefix(_OWN).translate(_OUTER)
