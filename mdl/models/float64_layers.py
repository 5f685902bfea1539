"""One float64 model's layers over whole windows in plain products, and what the stepwise pass has in common with them.

Shape letters: B windows, T bytes, C width, H heads, V = 256 byte values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from mdl.models.block_2 import before, mixed_values, normalized_heads, shifted_keys
from mdl.models.layer import RMS_EPS, rms_normalised
from mdl.models.shape import Shape
from mdl.models.tied_model import TiedModel

_QUERIES = 64  # at a time, to their past alone

Gains = Sequence[tuple[str, str]]  # of norms, and the matrix that each is multiplied into
_GAINS = (("attention_gain", "qkv"), ("mlp_gain", "up"))

# Called with a layer, its turned keys and its values (B, H, T, C/H), and the last key (B, H, 1, C/H) not yet turned.
Keep = Callable[[int, Tensor, Tensor, Tensor], None]


def plain_residual(
    shape: Shape,
    weights: Mapping[str, Tensor],
    turn: tuple[Tensor, Tensor],
    windows_BT: Tensor,
    keep: Keep | None = None,
) -> Tensor:
    """The last residual stream (B, T, C) of folded weights, for uint8 windows on their device.

    `turn`: cos and sin of all places. With `keep` only what it is called with matters: the last layer ends there.
    """
    w, (B, T) = weights, windows_BT.shape
    x = torch.cat([w["start"].expand(B, 1, -1), w["embedding"][windows_BT[:, :-1].long()]], dim=1)
    if shape.block == 2:
        x = x + w["smear"] * before(x)
    cos, sin, first_value = turn[0][:T], turn[1][:T], None
    for layer in range(shape.depth):
        q, key, v = (normalised(x) @ w[f"qkv_{layer}"]).view(B, T, 3, shape.n_heads, -1).permute(2, 0, 3, 1, 4)
        k = key
        if shape.block == 2:
            q, k = normalized_heads(q, shifted_keys(k, before(k)), w[f"query_gain_{layer}"][None])
            v = v if first_value is None else mixed_values(v, first_value, w[f"value_mix_{layer}"][None])
            first_value = v if first_value is None else first_value
        k = _rotated(k, cos, sin)
        if keep:
            keep(layer, k, v, key[:, :, -1:])
            if layer == shape.depth - 1:
                return x
        scale = 1 / math.sqrt(q.shape[-1])
        x = x + _mixed(_rotated(q, scale * cos, scale * sin), k, v.contiguous()) @ w[f"out_{layer}"]
        x = x + F.gelu(normalised(x) @ w[f"up_{layer}"]) @ w[f"down_{layer}"]
    return x


def _mixed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention's output (B, T, C) before its last product; queries, keys and values (B, H, T, C/H), turned."""
    B, _, T, _ = q.shape
    future = torch.ones(_QUERIES, _QUERIES, dtype=torch.bool, device=q.device).triu_(1)
    mixed = torch.empty(B, T, *q.shape[1::2], dtype=q.dtype, device=q.device)  # (B, T, H, C/H)
    for first in range(0, T, _QUERIES):
        end = min(first + _QUERIES, T)
        scores = q[:, :, first:end] @ k[:, :, :end].mT
        scores[..., first:].masked_fill_(future[: end - first, : end - first], -torch.inf)
        mixed[:, first:end] = (scores.softmax(-1) @ v[:, :, :end]).transpose(1, 2)
    return mixed.view(B, T, -1)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`mdl.models.transformer.rotated` without its temporaries."""
    a, b = x.chunk(2, dim=-1)
    turned = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    one, other = turned.chunk(2, dim=-1)
    torch.mul(a, cos, out=one).addcmul_(b, sin, value=-1)
    torch.mul(a, sin, out=other).addcmul_(b, cos)
    return turned


def normalised(x: Tensor) -> Tensor:
    """x (…, C) over its root mean square, in float64; torch's own kernel takes six times as long on CUDA."""
    if not x.is_cuda:
        return rms_normalised(x)
    mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_() / x.shape[-1]
    over_it: Tensor = x * mean_square.add_(RMS_EPS).rsqrt_()
    return over_it


def folded_weights(model: TiedModel, gains: Gains = _GAINS) -> dict[str, Tensor]:
    """The weights of a one-member model without the member axis, each norm's gain multiplied into what follows it."""
    w = {name: parameter.detach()[0] for name, parameter in model.named_parameters()}
    for layer in range(model.shape.depth):
        for gain, into in gains:
            w[f"{into}_{layer}"] = w.pop(f"{gain}_{layer}")[:, None] * w[f"{into}_{layer}"]
    return w
