"""A layer of stacked Transformers: RMS norm, rotary attention, a GELU network of 4 C.

Shape letters as in `mdl.models.transformer`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

RMS_EPS = 1e-6


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
    mixing = linear(scaled(rms_normalised(x), gain), qkv)
    q, k, v = mixing.view(M * B, T, 3, n_heads, -1).permute(2, 0, 3, 1, 4)
    return rotated(q, cos, sin), rotated(k, cos, sin), v


def after_attention(x: Tensor, mixed: Tensor, out: Tensor, gain: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """The residual stream (M, B, T, C) after attention's output `mixed`, of the same form, and the GELU network."""
    x, units = hidden_units(x, mixed, out, gain=gain, up=up)
    return plus_network(x, F.gelu(units), down)


def hidden_units(x: Tensor, mixed: Tensor, out: Tensor, gain: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """The residual stream (M, B, T, C) after attention's output, and the network's units (M, B, T, 4 C) before GELU."""
    x = x + linear(mixed, out)
    return x, linear(scaled(rms_normalised(x), gain), up)


def plus_network(x: Tensor, active: Tensor, down: Tensor) -> Tensor:
    """The residual stream (M, B, T, C) and what its network makes of its active units (M, B, T, 4 C)."""
    return x + linear(active, down)


def scaled(x: Tensor, gain: Tensor) -> Tensor:
    """x (M, B, T, C) times each member's gain (M, C)."""
    return x * gain[:, None, None, :]


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x (M, B, T, C) times each member's matrix (M, C, out)."""
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
