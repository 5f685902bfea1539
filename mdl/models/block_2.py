"""The block of version 2: bytes see their neighbor, heads are normalized, values remember the first layer's.

Four changes to the block of `mdl.models.layer`, which together took 2 to 5 % off the rate (benchmarks/recipe_log.md):

- *smear*: every embedding takes up the one before it, times a learned vector that starts at 0;
- *query and key norm* (Henry et al. 2020): each head's queries and keys over their root mean square, the queries times
  a learned vector that starts at 1.5;
- *key shift* (as in RWKV's token shift, Peng et al. 2023): of each head's pairs of channels those that turn slowly hold
  the key of the byte before; no parameters;
- *value residual* (Zhou et al. 2024): a later layer's values are mixed with the first layer's, by one learned number.

Shape letters as in `mdl.models.transformer`; D = C/H.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from mdl.models.layer import after_attention, linear, rms_normalised, rotated, scaled

QUERY_GAIN, VALUE_MIX = 1.5, 0.5  # where they start


def smeared(x: Tensor, smear: Tensor) -> Tensor:
    """x (M, B, T, C) and, times `smear` (M, C), what stands a byte before; nothing stands before a window."""
    return x + smear[:, None, None, :] * before(x)


def layer_2(
    x: Tensor, first_value: Tensor | None, own: Mapping[str, Tensor], *, cos: Tensor, sin: Tensor, n_heads: int
) -> tuple[Tensor, Tensor]:
    """The residual stream (M, B, T, C) after a layer of weights `own`, and its values (M·B, H, T, D).

    `first_value`: the first layer's values; None in the first layer, which has no `value_mix`.
    """
    M, B, T, C = x.shape
    q, k, v = before_attention_2(x, first_value, own, cos=cos, sin=sin, n_heads=n_heads)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(M, B, T, C)
    return after_attention(x, mixed, own["out"], gain=own["mlp_gain"], up=own["up"], down=own["down"]), v


def before_attention_2(
    x: Tensor, first_value: Tensor | None, own: Mapping[str, Tensor], *, cos: Tensor, sin: Tensor, n_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, normalized and turned, and values, each (M·B, H, T, D), in the products' type."""
    M, B, T, _ = x.shape
    product = linear(scaled(rms_normalised(x), own["attention_gain"]).to(own["qkv"].dtype), own["qkv"])
    q, k, v = product.view(M * B, T, 3, n_heads, -1).permute(2, 0, 3, 1, 4)
    q, k = normalized_heads(wide(q), shifted_keys(wide(k), before(wide(k))), own["query_gain"])
    q, k = rotated(q, cos, sin).to(product.dtype), rotated(k, cos, sin).to(product.dtype)
    return q, k, v if first_value is None else mixed_values(v, first_value, own["value_mix"])


def shifted_keys(k: Tensor, previous: Tensor) -> Tensor:
    """Keys (…, D) with the slow pairs' channels those of the byte before."""
    return torch.where(slow_channels(k.shape[-1], k.device), previous, k)


def slow_channels(head: int, device: torch.device) -> Tensor:
    """Which channels (D,) of a head belong to pairs that turn slowly: the later half, the smaller one if need be."""
    n_pairs = head // 2
    return torch.arange(head, device=device) % n_pairs >= (n_pairs + 1) // 2


def normalized_heads(q: Tensor, k: Tensor, query_gain: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys (M·B, H, T, D) over their root mean square; queries times `query_gain` (M, C)."""
    M, (MB, H, T, D) = query_gain.shape[0], q.shape
    gained = rms_normalised(q).view(M, MB // M, H, T, D) * query_gain.view(M, 1, H, 1, D)
    return gained.view(MB, H, T, D), rms_normalised(k)


def mixed_values(v: Tensor, first_value: Tensor, value_mix: Tensor) -> Tensor:
    """Values (M·B, H, T, D) moved towards the first layer's by the fraction `value_mix` (M, 1)."""
    M = value_mix.shape[0]
    apart = (wide(first_value) - wide(v)).view(M, -1, *v.shape[1:])
    return (wide(v) + (value_mix.view(M, 1, 1, 1, 1) * apart).view(v.shape)).to(v.dtype)


def before(x: Tensor) -> Tensor:
    """x (…, T, C) of the byte before; zeros before the window."""
    return F.pad(x, (0, 0, 1, 0))[..., :-1, :]


def wide(x: Tensor) -> Tensor:
    """In float32 where products are in a half precision."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
