"""The second half of a layer in one kernel each way: attention's output product, the norm and the GELU network.

x₁ = x + a·O,  y = x₁ + GELU(norm(x₁)·U)·D: what lies between never leaves the chip on the way forward, and is made
again on the way back, where only what the weights' gradients need is written.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.models.kernels.common import (
    gelu,
    load_gains,
    load_rows,
    matrix_of,
    normal,
    over_rms,
    over_rms_backward,
    padded,
    row_blocks,
    store_rows,
    store_sum,
    tile_of,
    tiled,
)
from mdl.models.kernels.weight_gradient import weight_gradient


@triton.jit
def _after_attention(x, mixed, out, m, rows, columns, n_rows, C: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr):
    """x + a·O in float32."""
    total = load_rows(x, m, rows, columns, n_rows, C)
    for k in range(0, C, BK):
        some = k + tl.arange(0, BK)
        a = load_rows(mixed, m, rows, some, n_rows, C)
        total = tl.dot(a, matrix_of(out, m, some, columns, C, C, C == BC), total)
    return total


@triton.jit
def _second_half_forward(
    x, mixed, out, gain, up, down, y, n_rows, C: tl.constexpr, BC: tl.constexpr, BM: tl.constexpr, BH: tl.constexpr,
    BK: tl.constexpr, in_tiles: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(1)
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    total = _after_attention(x, mixed, out, m, rows, columns, n_rows, C, BC, BK)
    gains = load_gains(gain, m, columns, C)
    unit, _ = over_rms(total, C)
    normed = (unit * gains[None, :]).to(up.dtype.element_ty)
    for h in range(0, 4 * C, BH):
        hidden = h + tl.arange(0, BH)
        if in_tiles:
            before = tl.dot(normed, tile_of(up, m, h, columns, C, 4 * C, BH))
        else:
            before = tl.dot(normed, matrix_of(up, m, columns, hidden, C, 4 * C, C == BC))
        active = gelu(before).to(up.dtype.element_ty)
        total = tl.dot(active, matrix_of(down, m, hidden, columns, 4 * C, C, C == BC), total)
    store_rows(y, m, rows, columns, n_rows, C, total)


@triton.jit
def _second_half_backward(
    x, mixed, out, gain, up, down, dy,
    normed_out, dy_out, active_out, dbefore_out, dx, dx_out, dmixed, dgain, n_rows,
    C: tl.constexpr, BC: tl.constexpr, BM: tl.constexpr, BH: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(1)
    dtype = up.dtype.element_ty
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    gains = load_gains(gain, m, columns, C)
    unit, _ = over_rms(_after_attention(x, mixed, out, m, rows, columns, n_rows, C, BC, BK), C)
    normed = (unit * gains[None, :]).to(dtype)
    store_rows(normed_out, m, rows, columns, n_rows, C, normed)
    low = load_rows(dy, m, rows, columns, n_rows, C).to(dtype)
    store_rows(dy_out, m, rows, columns, n_rows, C, low)
    dnormed = tl.zeros((BM, BC), tl.float32)
    for h in range(0, 4 * C, BH):
        hidden = h + tl.arange(0, BH)
        ups = matrix_of(up, m, columns, hidden, C, 4 * C, C == BC)
        before = tl.dot(normed, ups)
        dactive = tl.dot(low, tl.trans(matrix_of(down, m, hidden, columns, 4 * C, C, C == BC)))
        share, density = normal(before)
        dbefore = (dactive * (share + before * density)).to(dtype)
        store_rows(active_out, m, rows, hidden, n_rows, 4 * C, before * share)
        store_rows(dbefore_out, m, rows, hidden, n_rows, 4 * C, dbefore)
        dnormed = tl.dot(dbefore, tl.trans(ups), dnormed)
    # Again, rather than kept over the loop: registers are short there.
    unit, inverse = over_rms(_after_attention(x, mixed, out, m, rows, columns, n_rows, C, BC, BK), C)
    store_sum(dgain, m, columns, C, dnormed * unit)
    through = over_rms_backward(dnormed * gains[None, :], unit, inverse, C)
    total = load_rows(dy, m, rows, columns, n_rows, C) + through
    store_rows(dx, m, rows, columns, n_rows, C, total)
    low = total.to(dtype)
    store_rows(dx_out, m, rows, columns, n_rows, C, low)
    for k in range(0, C, BK):
        some = k + tl.arange(0, BK)
        change = tl.dot(low, tl.trans(matrix_of(out, m, some, columns, C, C, C == BC)))
        store_rows(dmixed, m, rows, some, n_rows, C, change)


# By padded width: rows a block, hidden units a turn, columns a turn, warps, stages; forward and backward. There is no
# backward pass of width 256: what it would save in memory's time its products would lose.
_FORWARD = {16: (64, 64, 16, 4, 2), 32: (64, 64, 32, 4, 2), 64: (64, 64, 64, 4, 2), 128: (64, 32, 64, 4, 3),
            256: (128, 32, 64, 8, 3)}  # fmt: skip
_BACKWARD = {16: (64, 64, 16, 4, 2), 32: (64, 32, 32, 4, 2), 64: (64, 32, 64, 4, 4), 128: (64, 32, 32, 4, 3)}


class _SecondHalf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mixed: Tensor, out: Tensor, gain: Tensor, up: Tensor, down: Tensor) -> Tensor:
        M, C = gain.shape
        n_rows, BC, y = x.numel() // (M * C), padded(C), torch.empty_like(x)
        low = [weight.to(mixed.dtype) for weight in (out, up, down)]
        BM, BH, BK, warps, stages = _FORWARD[BC]
        in_tiles = C == 256  # rows of BH columns are half a line of the cache; narrower ones gain nothing by it
        ups = tiled(low[1], BH) if in_tiles else low[1]
        _second_half_forward[row_blocks(n_rows, BM, M)](
            x, mixed, low[0], gain, ups, low[2], y, n_rows, C, BC, BM, BH, BK, in_tiles,
            num_warps=warps, num_stages=stages,
        )  # fmt: skip
        ctx.save_for_backward(x, mixed, low[0], gain, low[1], low[2])
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        x, mixed, out, gain, up, down = ctx.saved_tensors
        M, C = gain.shape
        n_rows, BC, dy = x.numel() // (M * C), padded(C), dy.contiguous()
        BM, BH, BK, warps, stages = _BACKWARD[BC]
        grid = row_blocks(n_rows, BM, M)
        wide = x.new_empty(2, M, n_rows, 4 * C, dtype=mixed.dtype)
        narrow = x.new_empty(4, M, n_rows, C, dtype=mixed.dtype)
        dx, dgain = torch.empty_like(x), x.new_empty(M, grid[0], C)
        _second_half_backward[grid](
            x, mixed, out, gain, up, down, dy, narrow[0], narrow[1], wide[0], wide[1], dx, narrow[2], narrow[3], dgain,
            n_rows, C, BC, BM, BH, BK, num_warps=warps, num_stages=stages,
        )  # fmt: skip
        normed, low_dy, low_dx, dmixed = narrow
        active, dbefore = wide
        dout = weight_gradient(mixed.view(M, n_rows, C), low_dx)
        dup, ddown = weight_gradient(normed, dbefore), weight_gradient(active, low_dy)
        return dx, dmixed.view_as(mixed), dout, dgain.sum(dim=1), dup, ddown


def second_half(x: Tensor, mixed: Tensor, out: Tensor, gain: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """The residual stream (M, B, T, C) in float32 after the second half of a layer.

    `mixed` is attention's output (M, B, T, C) in the low precision; the weights are float32 with their axis M.
    """
    return _SecondHalf.apply(x, mixed, out, gain, up, down)
