"""A byte Transformer (or one of tokens) whose every weight has a leading member axis: M independent models in one.

Shape letters: M members, B windows, T bytes of a window, C width, H heads, V = 256 byte values, or tokens.
Small models leave an accelerator idle, so all cells of one shape are trained as one stacked model: each product is
one batched product over M. Nothing mixes members, so M = 1 is the ordinary case of the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from mdl.models import block_2
from mdl.models.layer import transformer_layer
from mdl.models.shape import Shape
from mdl.models.tied_model import TiedModel, byte_nats, embedded, initial_weights

Result = TypeVar("Result")

ROTARY_BASE = 10_000.0


def rotary_tables(shape: Shape, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin (T, C/H/2) of the rotary angles, computed in float64 and then rounded to `dtype`."""
    half = shape.width // shape.n_heads // 2
    frequency = ROTARY_BASE ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(shape.context_tokens, dtype=torch.float64)[:, None] * frequency
    return angle.cos().to(dtype), angle.sin().to(dtype)


class StackedTransformer(TiedModel):
    """M decoder-only byte Transformers: RMSNorm, rotary, tied embedding, GELU 4x, a learned start vector."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape, seeds: Sequence[int]):
        """One member a seed; a member's initial weights depend on its seed and the shape alone."""
        super().__init__(shape, [_initial(shape, seed) for seed in seeds])
        cos, sin = rotary_tables(shape, torch.float32)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def double(self) -> StackedTransformer:
        """In float64, the rotary tables recomputed: rounding them through float32 would not be the same everywhere."""
        super().double()
        cos, sin = rotary_tables(self.shape, torch.float64)
        self.cos, self.sin = cos.to(self.cos.device), sin.to(self.sin.device)
        return self

    def residual(self, bytes_MBT: Tensor, parts: Parts | None = None) -> Tensor:
        """The last residual stream (M, B, T, C)."""
        parts, T = parts or Parts(), bytes_MBT.shape[-1]
        x = parts.embed(self.weight("embedding"), self.weight("start"), bytes_MBT)
        cos, sin, n_heads = self.cos[:T], self.sin[:T], self.shape.n_heads
        if self.shape.block == 1:
            for k in range(self.shape.depth):
                x = parts.layer(x, *self._layer(k).values(), cos, sin, n_heads)
            return x
        x, first_value = parts.smear(x, self.weight("smear")), None
        for k in range(self.shape.depth):
            x, value = parts.layer_2(x, first_value, self._layer(k), cos=cos, sin=sin, n_heads=n_heads)
            first_value = value if first_value is None else first_value
        return x

    def _layer(self, k: int) -> dict[str, Tensor]:
        return {name: self.weight(f"{name}_{k}") for name in layer_shapes(self.shape, k)}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The functions that the model is made of."""

    embed: Callable[..., Tensor] = embedded
    layer: Callable[..., Tensor] = transformer_layer
    byte_nats: Callable[..., Tensor] = byte_nats
    smear: Callable[..., Tensor] = block_2.smeared
    layer_2: Callable[..., tuple[Tensor, Tensor]] = block_2.layer_2

    def compiled(self) -> Parts:
        """Each by itself: one layer is compiled for all, in a third of the time that the whole model takes."""
        return Parts(**{name: compiled(part) for name, part in vars(self).items()})


def compiled(part: Callable[..., Result]) -> Callable[..., Result]:
    """`part` by torch.compile, for one shape of everything, and nothing that was compiled before.

    One process trains many cohorts: otherwise the ninth graph of a part would silently run uncompiled.
    """
    torch.compiler.reset()
    return torch.compile(part, dynamic=False)


def compiled_for_any_windows(part: Callable[..., Result]) -> Callable[..., Result]:
    """As `compiled`, but one graph for any number of windows, axis 1 of all that has four axes, and of members, axis 0.

    One of either has a graph of its own, as torch always makes it: four graphs at most. Without gradients.
    """
    torch.compiler.reset()
    graph = torch.compile(part)

    def call(x: Tensor, *given: Any, **named: Any) -> Result:
        def marked(each: Any) -> Any:
            if not isinstance(each, Tensor) or each.shape[0] != x.shape[0]:
                return each
            each = each.detach()  # as a parameter its sizes would be fixed
            torch._dynamo.maybe_mark_dynamic(each, list(range(2 if each.ndim == x.ndim else 1)))
            return each

        return graph(*tree_map(marked, (x, *given)), **tree_map(marked, named))

    return call


def _initial(shape: Shape, seed: int) -> dict[str, Tensor]:
    return initial_weights(shape, seed, weight_shapes(shape), _CONSTANTS)


_CONSTANTS = {
    "attention_gain": 1.0,
    "mlp_gain": 1.0,
    "smear": 0.0,
    "query_gain": block_2.QUERY_GAIN,
    "value_mix": block_2.VALUE_MIX,
}


def weight_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of one member, told without making any: a forged file may name any size."""
    C = shape.width
    shapes: dict[str, tuple[int, ...]] = {"embedding": (shape.vocabulary, C), "start": (C,)}
    if shape.block == 2:
        shapes["smear"] = (C,)
    for k in range(shape.depth):
        shapes |= {f"{name}_{k}": size for name, size in layer_shapes(shape, k).items()}
    return shapes


def layer_shapes(shape: Shape, layer: int) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of one member's layer; their names end in _0, _1, … for it."""
    C = shape.width
    shapes: dict[str, tuple[int, ...]] = {
        "attention_gain": (C,),
        "qkv": (C, 3 * C),
        "out": (C, C),
        "mlp_gain": (C,),
        "up": (C, 4 * C),
        "down": (4 * C, C),
    }
    if shape.block == 2:
        shapes |= {"query_gain": (C,), **({"value_mix": (1,)} if layer else {})}
    return shapes


def stack(shape: Shape, members: Sequence[Mapping[str, Tensor]]) -> StackedTransformer:
    """A stacked model of given members' weights (see `StackedTransformer.member`)."""
    with torch.device("meta"):
        model = StackedTransformer(shape, [0])  # one, whatever there will be: first weights are drawn there, too
    for name in dict(model.named_parameters()):
        model.register_parameter(name, nn.Parameter(torch.stack([m[name] for m in members])))
    model.cos, model.sin = rotary_tables(shape, torch.float32)
    return model
