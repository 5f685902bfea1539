"""The second half of a wide layer in training: norm and GELU in kernels, GELU's gradient with the product before it.

Where the width has a forward kernel (`second_half`), that may take its place (`IN_ONE_KERNEL`): it then writes what it
has on the chip for the way back.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.fused import MOST_WIDTH, second_half
from mdl.fused.common import load_rows, matrix_of, normal, row_blocks, store_rows
from mdl.fused.norm import norm, norm_backward

IN_ONE_KERNEL = False  # the way forward, where the width has such a kernel; not measured yet
_BM, _BN, _BK, _WARPS, _STAGES = 128, 128, 64, 8, 3


@triton.jit
def _tile(n_columns: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """Rows and columns of this program; those of the same rows follow each other, so that they find them in cache."""
    n_tiles: tl.constexpr = (n_columns + BN - 1) // BN
    tile = tl.program_id(0)
    return tile // n_tiles * BM + tl.arange(0, BM), tile % n_tiles * BN + tl.arange(0, BN)


@triton.jit
def _hidden_forward(
    normed, up, before_out, active_out, n_rows, C: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    KEEPS: tl.constexpr,
):  # fmt: skip
    """GELU(normed·U), and what it is of."""
    m = tl.program_id(1)
    rows, hidden = _tile(4 * C, BM, BN)
    before = tl.zeros((BM, BN), tl.float32)
    for k in range(0, C, BK):
        some = k + tl.arange(0, BK)
        before = tl.dot(load_rows(normed, m, rows, some, n_rows, C), matrix_of(up, m, some, hidden, C, 4 * C), before)
    if KEEPS:
        store_rows(before_out, m, rows, hidden, n_rows, 4 * C, before)
    share, _density = normal(before)
    store_rows(active_out, m, rows, hidden, n_rows, 4 * C, before * share)


@triton.jit
def _hidden_backward(
    dy, down, before, active_out, dbefore_out, n_rows,
    C: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """GELU again, and the gradient at what it is of: (dy·Dᵀ)·GELU'."""
    m = tl.program_id(1)
    rows, hidden = _tile(4 * C, BM, BN)
    dactive = tl.zeros((BM, BN), tl.float32)
    for k in range(0, C, BK):
        some = k + tl.arange(0, BK)
        weights = matrix_of(down, m, hidden, some, 4 * C, C)
        dactive = tl.dot(load_rows(dy, m, rows, some, n_rows, C), tl.trans(weights), dactive)
    was = load_rows(before, m, rows, hidden, n_rows, 4 * C).to(tl.float32)
    share, density = normal(was)
    store_rows(active_out, m, rows, hidden, n_rows, 4 * C, was * share)
    store_rows(dbefore_out, m, rows, hidden, n_rows, 4 * C, dactive * (share + was * density))


def _tiles(n_rows: int, M: int, C: int) -> tuple[int, int]:
    blocks, members = row_blocks(n_rows, _BM, M, C)
    return blocks * triton.cdiv(4 * C, _BN), members


def _forward(
    x: Tensor, mixed: Tensor, gain: Tensor, low: list[Tensor], *, trained: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The stream after the layer; and, if trained, the stream and its norm before the network, and GELU's inputs."""
    if IN_ONE_KERNEL and x.shape[2] <= MOST_WIDTH:
        kept = (torch.empty_like(x), torch.empty_like(mixed), mixed.new_empty(*x.shape[:2], 4 * x.shape[2]))
        return second_half.forward(x, mixed, gain, low, kept), kept
    (M, n, C), (out, up, down) = x.shape, low
    stream, normed = norm(x, gain, mixed.dtype, torch.bmm(mixed, out))
    active = normed.new_empty(M, n, 4 * C)
    before = torch.empty_like(active) if trained else active
    _hidden_forward[_tiles(n, M, C)](
        normed, up, before, active, n, C, _BM, _BN, _BK, trained, num_warps=_WARPS, num_stages=_STAGES
    )
    return stream + torch.bmm(active, down), (stream, normed, before)


class _WideSecondHalf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mixed: Tensor, out: Tensor, gain: Tensor, up: Tensor, down: Tensor) -> Tensor:
        M, C = gain.shape
        low = [weight.to(mixed.dtype) for weight in (out, up, down)]
        rows, mixed = x.view(M, -1, C), mixed.contiguous().view(M, -1, C)
        y, kept = _forward(rows, mixed, gain, low, trained=any(ctx.needs_input_grad))
        ctx.save_for_backward(mixed, gain, *low, *kept)
        return y.view_as(x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        mixed, gain, out, up, down, stream, normed, before = ctx.saved_tensors
        M, n, C = stream.shape
        rows = dy.contiguous().view(M, n, C)
        low = rows.to(mixed.dtype)
        active, dbefore = torch.empty_like(before), torch.empty_like(before)
        _hidden_backward[_tiles(n, M, C)](
            low, down, before, active, dbefore, n, C, _BM, _BN, _BK, num_warps=_WARPS, num_stages=_STAGES
        )
        ddown, dup = torch.bmm(active.mT, low).float(), torch.bmm(normed.mT, dbefore).float()
        dlow = torch.empty_like(low)
        dx, dgain = norm_backward(stream, gain, torch.bmm(dbefore, up.mT), rows, dlow)
        dout, dmixed = torch.bmm(mixed.mT, dlow).float(), torch.bmm(dlow, out.mT)
        return dx.view_as(dy), dmixed.view_as(dy), dout, dgain, dup, ddown


def wide_second_half(x: Tensor, mixed: Tensor, out: Tensor, gain: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """As `second_half`: the residual stream (M, B, T, C) in float32 after the second half of a layer."""
    return _WideSecondHalf.apply(x, mixed, out, gain, up, down)
