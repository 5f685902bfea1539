"""What the built-in architectures have in common: a residual stream that begins and ends at one table of vectors.

Position t of the stream begins with the vector of byte t − 1, or a learned start vector, and ends, normalized, in a
product with all vectors: the logits of byte t. Shape letters: M members, B windows, T bytes, C width, V = 256 byte
values, or tokens.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from mdl.models.layer import rms_normalised
from mdl.models.shape import Shape
from mdl.models.stacked_model import StackedModel, last

_WRITING = ("out", "down")  # to the residual stream


class TiedModel(StackedModel):
    """M models whose embedding is their output head. `parts` stand in for plain functions, compiled for example."""

    def __init__(self, shape: Shape, members: Sequence[Mapping[str, Tensor]]) -> None:
        """Of every member's weights."""
        super().__init__()
        self.shape = shape
        for name in members[0]:
            self.register_parameter(name, nn.Parameter(torch.stack([m[name] for m in members])))

    @abstractmethod
    def residual(self, bytes_MBT: Tensor, parts: Any = None) -> Tensor:
        """The last residual stream (M, B, T, C)."""

    def forward(self, bytes_MBT: Tensor, n_last: int | None = None) -> Tensor:
        """Logits (M, B, T, V) for every byte of every window, each from the bytes before it in its window.

        (M, B, n_last, V) of the last ones alone.
        """
        x = self.hidden(bytes_MBT)[:, :, last(bytes_MBT, n_last)]
        M, B, T, C = x.shape
        return torch.bmm(x.reshape(M, B * T, C), self.weight("embedding").mT).view(M, B, T, -1)

    def hidden(self, bytes_MBT: Tensor) -> Tensor:
        """The normalised last residual stream (M, B, T, C)."""
        return rms_normalised(self.residual(bytes_MBT))

    def nats(self, bytes_MBT: Tensor, parts: Any = None) -> Tensor:
        """−ln p (M, B, T) of every byte in float32."""
        return self._nats(self.residual(bytes_MBT, parts), bytes_MBT, parts)

    def measured_nats(
        self, bytes_MBT: Tensor, parts: Any = None, *, half: bool = False, n_last: int | None = None
    ) -> Tensor:
        """As `StackedModel` says. Where `half`, products of layers are in float16, those of the head are not."""
        with torch.autocast("cuda", torch.float16, enabled=half):
            x = self.residual(bytes_MBT, parts)
        of = last(bytes_MBT, n_last)
        return self._nats(x[:, :, of].float(), bytes_MBT[:, :, of], parts)

    def _nats(self, x: Tensor, bytes_MBT: Tensor, parts: Any) -> Tensor:
        function = parts.byte_nats if parts else byte_nats
        nats: Tensor = function(x, self.weight("embedding"), bytes_MBT)
        return nats


def embedded(embedding: Tensor, start: Tensor, bytes_MBT: Tensor) -> Tensor:
    """The start vector (M, C), then the embeddings (M, V, C) of all bytes but the last: (M, B, T, C)."""
    M, B, T = bytes_MBT.shape
    V = embedding.shape[1]
    table = embedding.reshape(M * V, -1)  # one look-up for all members
    offset = torch.arange(M, device=bytes_MBT.device).view(M, 1, 1) * V
    previous = F.embedding(bytes_MBT[:, :, : T - 1].long() + offset, table)
    return torch.cat([start[:, None, None, :].expand(M, B, 1, -1), previous], dim=2)


def byte_nats(x: Tensor, embedding: Tensor, bytes_MBT: Tensor) -> Tensor:
    """−ln p (M, B, T) of the bytes in float32, from the last residual stream (M, B, T, C)."""
    M, B, T, C = x.shape
    logits = torch.bmm(rms_normalised(x).reshape(M, B * T, C), embedding.mT)
    nats = F.cross_entropy(logits.view(-1, embedding.shape[1]), bytes_MBT.reshape(-1).long(), reduction="none")
    return nats.view(M, B, T)


def initial_weights(
    shape: Shape, seed: int, sizes: Mapping[str, tuple[int, ...]], constants: Mapping[str, float]
) -> dict[str, Tensor]:
    """Normal matrices of variance 1/fan-in, those that write to the residual stream scaled down by the depth.

    `constants`: where weights of a kind, their names without their layers, begin instead.
    """
    generator = torch.Generator().manual_seed(seed)
    residual = 1 / math.sqrt(2 * shape.depth)

    def initial(name: str, size: tuple[int, ...]) -> Tensor:
        kind = name.rstrip("_0123456789")
        if kind in constants:
            return torch.full(size, constants[kind])
        std = 1 / math.sqrt(shape.width) if kind in ("embedding", "start") else size[0] ** -0.5
        rows = size if len(size) == 2 else (1, *size)
        return (torch.randn(rows, generator=generator) * (residual * std if kind in _WRITING else std)).view(size)

    return {name: initial(name, size) for name, size in sizes.items()}
