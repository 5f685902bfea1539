"""What may stand for the embedding's table (256, C) in `benchmarks.recipe_model`, with fewer parameters.

rank r   left (256, r) · right (r, C)
nibbles  the sum of two of 32 rows: one for a byte's upper half, one for its lower
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

TABLES = ("rank", "nibbles")


class ByteTables:
    """The tables of a stack's members; a member without a switch keeps its embedding."""

    def __init__(self, switches: Sequence[Mapping[str, float]], embedding: Tensor) -> None:
        M, V, C = embedding.shape
        self.initial: dict[str, Tensor] = {}
        self.live: dict[str, Tensor] = {}  # 0: neither learned nor counted
        self._with = {name: torch.tensor([float(name in own) for own in switches]) for name in TABLES}
        spread, generator = float(embedding.std()), torch.Generator().manual_seed(0)
        if self._with["rank"].any():
            ranks = torch.tensor([own.get("rank", 0) for own in switches])
            kept = (torch.arange(C) < ranks[:, None]).float()
            self.live |= {"left": kept[:, None, :], "right": kept[:, :, None]}
            left, right = torch.randn(M, V, C, generator=generator), torch.randn(M, C, C, generator=generator)
            self.initial["left"] = left * spread * self.live["left"]
            self.initial["right"] = right / ranks.clamp(min=1).sqrt()[:, None, None] * self.live["right"]
        if self._with["nibbles"].any():
            self.live["halves"] = self._with["nibbles"][:, None, None]
            drawn = torch.randn(M, 32, C, generator=generator)
            self.initial["halves"] = drawn * spread / 2**0.5 * self.live["halves"]
        if self.live:
            self.live["embedding"] = (1 - sum(self._with.values()))[:, None, None]

    def made(self, weights: Mapping[str, Tensor]) -> Tensor:
        """(M, 256, C) of every member, which is also its head."""
        table = weights["embedding"]
        if "left" in weights:
            table = self._chosen("rank", torch.bmm(weights["left"], weights["right"]), table)
        if "halves" in weights:
            upper, lower = weights["halves"][:, :16, None], weights["halves"][:, None, 16:]
            table = self._chosen("nibbles", (upper + lower).flatten(1, 2), table)
        return table

    def _chosen(self, name: str, made: Tensor, table: Tensor) -> Tensor:
        return torch.where(self._with[name].to(table.device)[:, None, None] > 0, made, table)
