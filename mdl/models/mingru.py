"""Stacked minGRUs (Feng et al. 2024): a recurrence whose gates see the input alone, so that training is parallel.

    h_t = (1 − z_t) · h_{t−1} + z_t · c_t,   z_t = σ(x_t·W_z + bias),   c_t = x_t·W_c

With a = 1 − z and b = z·c that is the linear recurrence of `mdl.models.linear_scan`. It takes attention's place in the
Transformer's layer. The rest is the same: norms, a GELU network of 4 C, a tied embedding; and embeddings take up the
one before them as in `mdl.models.block_2`. Shape letters as in `mdl.models.transformer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mdl.models.block_2 import smeared, wide
from mdl.models.layer import after_attention, linear, rms_normalised, scaled
from mdl.models.linear_scan import linear_scan
from mdl.models.shape import Shape
from mdl.models.tied_model import TiedModel, embedded, initial_weights
from mdl.optimizers import MatrixForm

_SHORTEST, _LONGEST = 1.0, -4.0  # where the gates' biases begin: channels that remember 1.4 to 55 bytes


class StackedMinGru(TiedModel):
    """M minGRUs."""

    @classmethod
    def from_seeds(cls, shape: Shape, seeds: Sequence[int]) -> StackedMinGru:
        """One member a seed; a member's initial weights depend on its seed and the shape alone."""
        biases = torch.linspace(_SHORTEST, _LONGEST, shape.width)
        constants = {"mixing_gain": 1.0, "mlp_gain": 1.0, "smear": 0.0, "gate_bias": 0.0}
        members = [initial_weights(shape, seed, weight_shapes(shape), constants) for seed in seeds]
        for member, k in ((member, k) for member in members for k in range(shape.depth)):
            member[f"gate_bias_{k}"] = biases.clone()
        return cls(shape, members)

    def residual(self, bytes_MBT: Tensor, parts: Any = None) -> Tensor:
        """The last residual stream (M, B, T, C)."""
        embed = parts.embed if parts else embedded
        x = smeared(embed(self.weight("embedding"), self.weight("start"), bytes_MBT), self.weight("smear"))
        for k in range(self.shape.depth):
            w = {name: self.weight(f"{name}_{k}") for name in _LAYER}
            gates = linear(scaled(rms_normalised(x), w["mixing_gain"]), w["gates"])
            mixed = linear_scan(*decay_and_input(gates, w["gate_bias"][:, None, None])).to(gates.dtype)
            x = after_attention(x, mixed, w["out"], gain=w["mlp_gain"], up=w["up"], down=w["down"])
        return x

    def matrices(self) -> Mapping[str, MatrixForm]:
        """Gate and candidate lie side by side."""
        return {
            name: MatrixForm(2 if name.startswith("gates_") else 1)
            for name, weight in self.named_parameters()
            if weight.ndim == 3 and name != "embedding"
        }


def decay_and_input(gates: Tensor, gate_bias: Tensor) -> tuple[Tensor, Tensor]:
    """a and b (…, C) of the recurrence in float32 at least, from both products (…, 2 C)."""
    gate, candidate = wide(gates).chunk(2, dim=-1)
    gate = gate + gate_bias
    return torch.sigmoid(-gate), torch.sigmoid(gate) * candidate


_LAYER = ("mixing_gain", "gates", "gate_bias", "out", "mlp_gain", "up", "down")


def weight_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of one member."""
    C = shape.width
    sizes = ((C,), (C, 2 * C), (C,), (C, C), (C,), (C, 4 * C), (4 * C, C))
    shapes: dict[str, tuple[int, ...]] = {"embedding": (shape.vocabulary, C), "start": (C,), "smear": (C,)}
    for k in range(shape.depth):
        shapes |= {f"{name}_{k}": size for name, size in zip(_LAYER, sizes, strict=True)}
    return shapes
