"""A byte Transformer (or one of tokens) whose every weight has a leading member axis: M independent models in one.

Shape letters: M members, B windows, T bytes of a window, C width, H heads, V = 256 byte values, or tokens.
Small models leave an accelerator idle, so all cells of one shape are trained as one stacked model: each product is
one batched product over M. Nothing mixes members, so M = 1 is the ordinary case of the same code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from mdl.models.shape import Shape

Result = TypeVar("Result")

RMS_EPS = 1e-6
ROTARY_BASE = 10_000.0


def rotary_tables(shape: Shape, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin (T, C/H/2) of the rotary angles, computed in float64 and then rounded to `dtype`."""
    half = shape.width // shape.n_heads // 2
    frequency = ROTARY_BASE ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(shape.context_tokens, dtype=torch.float64)[:, None] * frequency
    return angle.cos().to(dtype), angle.sin().to(dtype)


class StackedTransformer(nn.Module):
    """M decoder-only byte Transformers: RMSNorm, rotary, tied embedding, GELU 4x, a learned start vector."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape, seeds: Sequence[int]):
        """One member a seed; a member's initial weights depend on its seed and the shape alone."""
        super().__init__()
        self.shape = shape
        members = [_initial_weights(shape, seed) for seed in seeds]
        for name in members[0]:
            self.register_parameter(name, nn.Parameter(torch.stack([m[name] for m in members])))
        cos, sin = rotary_tables(shape, torch.float32)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    @property
    def n_members(self) -> int:
        """How many models are stacked, M."""
        return self.weight("embedding").shape[0]

    def weight(self, name: str) -> Tensor:
        """The stacked weight of that name, its first axis M."""
        return cast(Tensor, getattr(self, name))

    def double(self) -> StackedTransformer:
        """In float64, the rotary tables recomputed: rounding them through float32 would not be the same everywhere."""
        super().double()
        cos, sin = rotary_tables(self.shape, torch.float64)
        self.cos, self.sin = cos.to(self.cos.device), sin.to(self.sin.device)
        return self

    def forward(self, bytes_MBT: Tensor) -> Tensor:
        """Logits (M, B, T, V) for every byte of every window, each from the bytes before it in its window."""
        x = self.hidden(bytes_MBT)
        M, B, T, C = x.shape
        return torch.bmm(x.reshape(M, B * T, C), self.weight("embedding").mT).view(M, B, T, -1)

    def hidden(self, bytes_MBT: Tensor) -> Tensor:
        """The normalised last residual stream (M, B, T, C)."""
        return rms_normalised(self.residual(bytes_MBT))

    def residual(self, bytes_MBT: Tensor, parts: Parts | None = None) -> Tensor:
        """The last residual stream (M, B, T, C)."""
        parts, T = parts or Parts(), bytes_MBT.shape[-1]
        x = parts.embed(self.weight("embedding"), self.weight("start"), bytes_MBT)
        for k in range(self.shape.depth):
            weights = [self.weight(f"{name}_{k}") for name in LAYER_WEIGHTS]
            x = parts.layer(x, *weights, self.cos[:T], self.sin[:T], self.shape.n_heads)
        return x

    def nats(self, bytes_MBT: Tensor, parts: Parts | None = None) -> Tensor:
        """−ln p (M, B, T) of every byte in float32; `parts` stand in for the functions below, compiled for example."""
        parts = parts or Parts()
        return parts.byte_nats(self.residual(bytes_MBT, parts), self.weight("embedding"), bytes_MBT)

    def member(self, index: int) -> dict[str, Tensor]:
        """One member's weights without the member axis, copied to the CPU."""
        return {name: weight[index].detach().cpu().clone() for name, weight in self.named_parameters()}


LAYER_WEIGHTS = ("attention_gain", "qkv", "out", "mlp_gain", "up", "down")  # each with _0, _1, … for its layer


def embedded(embedding: Tensor, start: Tensor, bytes_MBT: Tensor) -> Tensor:
    """The start vector (M, C), then the embeddings (M, V, C) of all bytes but the last: (M, B, T, C)."""
    M, B, T = bytes_MBT.shape
    V = embedding.shape[1]
    table = embedding.reshape(M * V, -1)  # one look-up for all members
    offset = torch.arange(M, device=bytes_MBT.device).view(M, 1, 1) * V
    previous = F.embedding(bytes_MBT[:, :, : T - 1].long() + offset, table)
    return torch.cat([start[:, None, None, :].expand(M, B, 1, -1), previous], dim=2)


def transformer_layer(
    x: Tensor,
    attention_gain: Tensor,
    qkv: Tensor,
    out: Tensor,
    mlp_gain: Tensor,
    up: Tensor,
    down: Tensor,
    cos: Tensor,
    sin: Tensor,
    n_heads: int,
) -> Tensor:
    """The residual stream (M, B, T, C) after causal attention and a GELU network of 4 C; weights with their axis M."""
    M, B, T, C = x.shape
    q, k, v = before_attention(x, attention_gain, qkv, cos=cos, sin=sin, n_heads=n_heads)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    mixed = mixed.transpose(1, 2).reshape(M, B, T, C)
    return after_attention(x, mixed, out, gain=mlp_gain, up=up, down=down)


def before_attention(
    x: Tensor, gain: Tensor, qkv: Tensor, cos: Tensor, sin: Tensor, n_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, turned, and values, each (M·B, H, T, C/H), of the residual stream (M, B, T, C)."""
    M, B, T, _ = x.shape
    mixing = _linear(_scaled(rms_normalised(x), gain), qkv)
    q, k, v = mixing.view(M * B, T, 3, n_heads, -1).permute(2, 0, 3, 1, 4)
    return rotated(q, cos, sin), rotated(k, cos, sin), v


def after_attention(x: Tensor, mixed: Tensor, out: Tensor, gain: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """The residual stream (M, B, T, C) after attention's output `mixed`, of the same form, and the GELU network."""
    x = x + _linear(mixed, out)
    return x + _linear(F.gelu(_linear(_scaled(rms_normalised(x), gain), up)), down)


def byte_nats(x: Tensor, embedding: Tensor, bytes_MBT: Tensor) -> Tensor:
    """−ln p (M, B, T) of the bytes in float32, from the last residual stream (M, B, T, C)."""
    M, B, T, C = x.shape
    logits = torch.bmm(rms_normalised(x).reshape(M, B * T, C), embedding.mT)
    nats = F.cross_entropy(logits.view(-1, embedding.shape[1]), bytes_MBT.reshape(-1).long(), reduction="none")
    return nats.view(M, B, T)


@dataclass(frozen=True)
class Parts:
    """The functions that the model is made of."""

    embed: Callable[..., Tensor] = embedded
    layer: Callable[..., Tensor] = transformer_layer
    byte_nats: Callable[..., Tensor] = byte_nats

    def compiled(self) -> Parts:
        """Each by itself: one layer is compiled for all, in a third of the time that the whole model takes."""
        return Parts(*(compiled(part) for part in (self.embed, self.layer, self.byte_nats)))


def compiled(part: Callable[..., Result]) -> Callable[..., Result]:
    """`part` by torch.compile, for one shape of everything, and nothing that was compiled before.

    One process trains many cohorts: otherwise the ninth graph of a part would silently run uncompiled.
    """
    torch.compiler.reset()
    return torch.compile(part, dynamic=False)


def _scaled(x: Tensor, gain: Tensor) -> Tensor:
    return x * gain[:, None, None, :]


def _linear(x: Tensor, weight: Tensor) -> Tensor:
    M, B, T, C = x.shape
    return torch.bmm(x.reshape(M, B * T, C), weight).view(M, B, T, -1)


def rms_normalised(x: Tensor) -> Tensor:
    """x over its root mean square along the last axis."""
    return F.rms_norm(x, x.shape[-1:], eps=RMS_EPS)


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries or keys (…, T, C/H) turned by the rotary angles (T, C/H/2)."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _initial_weights(shape: Shape, seed: int) -> dict[str, Tensor]:
    """Normal matrices of variance 1/fan-in, those that write to the residual stream scaled down by the depth."""
    generator = torch.Generator().manual_seed(seed)
    C = shape.width

    def normal(rows: int, columns: int, std: float) -> Tensor:
        return torch.randn(rows, columns, generator=generator) * std

    residual = 1 / math.sqrt(2 * shape.depth)
    weights = {
        "embedding": normal(shape.vocabulary, C, 1 / math.sqrt(C)),
        "start": normal(1, C, 1 / math.sqrt(C))[0],
    }
    for layer in range(shape.depth):
        weights |= {
            f"attention_gain_{layer}": torch.ones(C),
            f"qkv_{layer}": normal(C, 3 * C, C**-0.5),
            f"out_{layer}": normal(C, C, residual * C**-0.5),
            f"mlp_gain_{layer}": torch.ones(C),
            f"up_{layer}": normal(C, 4 * C, C**-0.5),
            f"down_{layer}": normal(4 * C, C, residual * (4 * C) ** -0.5),
        }
    return weights


def weight_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of one member, told without making any: a forged file may name any size."""
    C = shape.width
    shapes: dict[str, tuple[int, ...]] = {"embedding": (shape.vocabulary, C), "start": (C,)}
    for layer in range(shape.depth):
        shapes |= {
            f"attention_gain_{layer}": (C,),
            f"qkv_{layer}": (C, 3 * C),
            f"out_{layer}": (C, C),
            f"mlp_gain_{layer}": (C,),
            f"up_{layer}": (C, 4 * C),
            f"down_{layer}": (4 * C, C),
        }
    return shapes


def stack(shape: Shape, members: Sequence[dict[str, Tensor]]) -> StackedTransformer:
    """A stacked model of given members' weights (see `StackedTransformer.member`)."""
    with torch.device("meta"):
        model = StackedTransformer(shape, [0] * len(members))
    model.load_state_dict({name: torch.stack([m[name] for m in members]) for name in members[0]}, assign=True)
    model.cos, model.sin = rotary_tables(shape, torch.float32)
    return model
