"""What training and measuring ask of M models stacked in one torch module, whatever their architecture.

Shape letters: M members, B windows, T bytes of a window, V = 256 byte values, or tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from mdl.models.shape import Shape
from mdl.optimizers import MatrixForm, matrices_by_name


class StackedModel(nn.Module, ABC):
    """M models of one shape; every weight has a leading member axis, and nothing mixes members."""

    shape: Shape
    recordable = True
    """May a training step be recorded in a CUDA graph?"""
    _standing_in: Mapping[str, Tensor] = {}
    note: str | None = None
    """What a user should know of how these models are trained, in one line."""

    @abstractmethod
    def forward(self, bytes_MBT: Tensor) -> Tensor:
        """Logits (M, B, T, V) for every byte of every window, each from the bytes before it, as they are measured."""

    def nats(self, bytes_MBT: Tensor, parts: Any = None) -> Tensor:
        """−ln p (M, B, T) in float32 of every byte, in training; `parts` as `fast_parts` gives them."""
        return row_nats(self(bytes_MBT), bytes_MBT)

    def measured_nats(
        self, bytes_MBT: Tensor, parts: Any = None, *, half: bool = False, n_last: int | None = None
    ) -> Tensor:
        """−ln p (M, B, T) in float32, as it is measured; (M, B, n_last) of the last bytes alone.

        Where `half`, products may be in 16 bits.
        """
        of = last(bytes_MBT, n_last)
        return row_nats(self(bytes_MBT)[:, :, of], bytes_MBT[:, :, of])

    def begin_step(self, step: int, seeds: Any) -> None:
        """Tells which step of training comes, and the members' seeds: for what draws numbers there."""

    def matrices(self) -> Mapping[str, MatrixForm]:
        """The layers' matrices (M, rows, columns) among the parameters: what Muon makes orthogonal."""
        return matrices_by_name(dict(self.named_parameters()))

    def weights(self) -> dict[str, Tensor]:
        """All that a member has learned, stacked (M, …), by its name here: parameters, and buffers that are kept."""
        return dict(self.named_parameters())

    def member(self, index: int) -> dict[str, Tensor]:
        """One member's weights without the member axis, copied to the CPU, by their names in files."""
        return {
            self.name_in_files(name): weight[index].detach().cpu().clone() for name, weight in self.weights().items()
        }

    def name_in_files(self, name: str) -> str:
        """What a weight is called where one member is written alone."""
        return name

    def weight(self, name: str) -> Tensor:
        """The stacked weight of that name, its first axis M, or what stands in for it."""
        return self._standing_in[name] if name in self._standing_in else cast(Tensor, getattr(self, name))

    @contextmanager
    def computing_with(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Within, these stacked weights stand in for the model's own of their names, wherever `weight` is asked."""
        self._standing_in = weights
        try:
            yield
        finally:
            self._standing_in = {}

    @property
    def n_members(self) -> int:
        """How many models are stacked, M."""
        return next(iter(self.parameters())).shape[0]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.parameters())).device


def last(bytes_MBT: Tensor, n_last: int | None) -> slice:
    """Of the places of a window the last so many; None: all."""
    return slice(None if n_last is None else bytes_MBT.shape[-1] - n_last, None)


def row_nats(logits: Tensor, bytes_MBT: Tensor) -> Tensor:
    """−ln p (M, B, T) in float32 of the bytes, from logits (M, B, T, V)."""
    targets = bytes_MBT.reshape(-1).long()
    nats = F.cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), targets, reduction="none")
    return nats.view(bytes_MBT.shape)
