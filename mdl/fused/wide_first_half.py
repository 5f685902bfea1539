"""The first half of a wide layer: norm and rotation in kernels, the products by a library.

The wider a layer, the more of its time its products take, at which a library is better; what is saved is what lies
between them.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.fused.common import padded, row_blocks
from mdl.fused.norm import norm, norm_backward

_PLACES = 2048  # pairs of columns of a tile


@triton.jit
def _rotation(
    queries, keys, cos, sin, joined, n_rows, T,
    C: tl.constexpr, half: tl.constexpr, BH: tl.constexpr, BM: tl.constexpr, BACK: tl.constexpr,
):  # fmt: skip
    """Turn a head's pairs of columns where they stand; or back, into the first two thirds of `joined` (M, n, 3 C)."""
    m, head = tl.program_id(1), tl.program_id(2)
    rows, pair = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BH)
    mask = (rows < n_rows)[:, None] & (pair < half)[None, :]
    angle = (rows % T)[:, None] * half + pair[None, :]
    c, s = tl.load(cos + angle, mask=mask, other=0.0), tl.load(sin + angle, mask=mask, other=0.0)
    row = m.to(tl.int64) * n_rows + rows
    places = row[:, None] * C + head * 2 * half + pair[None, :]
    for part in tl.static_range(2):
        base = queries if part == 0 else keys
        a = tl.load(base + places, mask=mask, other=0.0).to(tl.float32)
        b = tl.load(base + places + half, mask=mask, other=0.0).to(tl.float32)
        if BACK:
            to = joined + row[:, None] * 3 * C + part * C + head * 2 * half + pair[None, :]
            one, other = a * c + b * s, b * c - a * s
        else:
            to = base + places
            one, other = a * c - b * s, a * s + b * c
        tl.store(to, one.to(base.dtype.element_ty), mask=mask)
        tl.store(to + half, other.to(base.dtype.element_ty), mask=mask)


def _rotate(
    queries: Tensor, keys: Tensor, cos: Tensor, sin: Tensor, joined: Tensor | None, n_heads: int, T: int
) -> None:
    M, n, C = queries.shape
    half = cos.shape[1]
    BH = padded(half)
    BM = max(1, _PLACES // BH)
    grid = (*row_blocks(n, BM, M, C), n_heads)
    _rotation[grid](
        queries, keys, cos, sin, queries if joined is None else joined, n, T, C, half, BH, BM, joined is not None
    )


class _WideFirstHalf(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gain: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, n_heads: int, dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        M, B, T, C = x.shape
        rows, low = x.view(M, B * T, C), weight.to(dtype)
        _, normed = norm(rows, gain, dtype)
        parts = [torch.bmm(normed, third) for third in low.chunk(3, dim=2)]
        _rotate(parts[0], parts[1], cos, sin, None, n_heads, T)
        ctx.save_for_backward(rows, gain, low, cos, sin, normed)
        ctx.n_heads = n_heads
        return x.view_as(x), *(part.view(M, B, T, C) for part in parts)

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *dparts: Tensor) -> tuple[Tensor | None, ...]:
        rows, gain, low, cos, sin, normed = ctx.saved_tensors
        M, n, C = rows.shape
        T = dy.shape[2]
        dq, dk, dv = (part.contiguous().view(M, n, C) for part in dparts)
        joined = normed.new_empty(M, n, 3 * C)
        _rotate(dq, dk, cos, sin, joined, ctx.n_heads, T)
        joined[:, :, 2 * C :] = dv
        dweight = torch.bmm(normed.mT, joined).float()
        dx, dgain = norm_backward(rows, gain, torch.bmm(joined, low.mT), dy.contiguous().view(M, n, C))
        return dx.view_as(dy), dgain, dweight, None, None, None, None


def wide_first_half(
    x: Tensor, gain: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, n_heads: int, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """As `first_half`: the residual stream (M, B, T, C) itself, and queries, keys and values of it, in `dtype`."""
    return _WideFirstHalf.apply(x, gain, weight, cos, sin, n_heads, dtype)
