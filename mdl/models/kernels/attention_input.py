"""The first half of a layer but attention itself, in one kernel each way: norm, product, rotation.

Queries and keys are turned by the rotary angles while they are still on the chip, in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.models.kernels.common import (
    angles,
    load_gains,
    load_rows,
    matrix_of,
    over_rms,
    over_rms_backward,
    padded,
    paired,
    row_blocks,
    store_rows,
    store_sum,
    turned,
    unpaired,
)
from mdl.models.kernels.weight_gradient import weight_gradient


@triton.jit
def _columns(part, n, C: tl.constexpr, BN: tl.constexpr):
    """Places n, n + 1, … of part 0 (queries), 1 (keys) or 2 (values): in the part, and among all 3 C; there are 3 C."""
    some = n + tl.arange(0, BN)
    if C % BN == 0:
        return some, part * C + some
    return some, tl.where(some < C, part * C + some, 3 * C)


@triton.jit
def _first_half_forward(
    x, gain, weight, cos, sin, out, n_rows, T, stride,
    C: tl.constexpr, BC: tl.constexpr, half: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, wide: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(1)
    low = weight.dtype.element_ty
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    own = load_rows(x, m, rows, columns, n_rows, C)
    if wide:  # plus a product that is 0: a sum of products is kept where the next one takes it from, in registers
        own = tl.dot(tl.zeros((BM, 16), low), tl.zeros((16, BC), low), own)
    unit, _ = over_rms(own, C)
    normed = (unit * load_gains(gain, m, columns, C)[None, :]).to(low)
    c, s = angles(cos, rows % T, 0, half, BN), angles(sin, rows % T, 0, half, BN)
    for part in tl.static_range(3):
        for n in range(0, C, BN):
            some, column = _columns(part, n, C, BN)
            product = tl.dot(normed, matrix_of(weight, m, columns, column, C, 3 * C, C == BC))
            if part < 2:
                if (BN // 2) % half != 0:  # else all turns have the same angles
                    c, s = angles(cos, rows % T, n, half, BN), angles(sin, rows % T, n, half, BN)
                product = turned(product, c, s, BM, BN)
            store_rows(out + part * stride.to(tl.int64), m, rows, some, n_rows, C, product)


@triton.jit
def _first_half_backward(
    x, gain, weight, cos, sin, dq, dk, dv, dy, normed_out, dqkv, dx, dgain, n_rows, T,
    C: tl.constexpr, BC: tl.constexpr, half: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(1)
    dtype = weight.dtype.element_ty
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    dnormed = tl.zeros((BM, BC), tl.float32)
    c, s = angles(cos, rows % T, 0, half, BN), angles(sin, rows % T, 0, half, BN)
    for part in tl.static_range(3):
        given = dq if part == 0 else (dk if part == 1 else dv)
        for n in range(0, C, BN):
            some, column = _columns(part, n, C, BN)
            change = load_rows(given, m, rows, some, n_rows, C)
            if part < 2:
                if (BN // 2) % half != 0:
                    c, s = angles(cos, rows % T, n, half, BN), angles(sin, rows % T, n, half, BN)
                change = turned(change.to(tl.float32), c, -s, BM, BN).to(dtype)
            dnormed = tl.dot(change, tl.trans(matrix_of(weight, m, columns, column, C, 3 * C, C == BC)), dnormed)
            store_rows(dqkv, m, rows, column, n_rows, 3 * C, change)
    gains = load_gains(gain, m, columns, C)
    unit, inverse = over_rms(load_rows(x, m, rows, columns, n_rows, C), C)
    store_rows(normed_out, m, rows, columns, n_rows, C, unit * gains[None, :])
    store_sum(dgain, m, columns, C, dnormed * unit)
    through = over_rms_backward(dnormed * gains[None, :], unit, inverse, C)
    store_rows(dx, m, rows, columns, n_rows, C, load_rows(dy, m, rows, columns, n_rows, C) + through)


# By padded width: rows a block, columns a turn, warps, stages; forward and backward.
_FORWARD = {16: (128, 16, 4, 2), 32: (64, 32, 4, 2), 64: (64, 64, 4, 3), 128: (64, 64, 4, 3), 256: (64, 64, 4, 3)}
_BACKWARD = {16: (128, 16, 4, 2), 32: (64, 32, 4, 2), 64: (128, 64, 8, 2), 128: (64, 64, 4, 3), 256: (64, 64, 8, 3)}


def _paired(weight: Tensor, half: int) -> Tensor:
    """(M, C, 3 C) with the two columns of queries and keys that rotation mixes side by side.

    Attention takes a head's columns in any order, if queries and keys have the same.
    """
    C = weight.shape[1]
    return torch.cat([paired(weight[:, :, : 2 * C], half), weight[:, :, 2 * C :]], dim=2)


def _unpaired(weight: Tensor, half: int) -> Tensor:
    """The other way."""
    C = weight.shape[1]
    return torch.cat([unpaired(weight[:, :, : 2 * C], half), weight[:, :, 2 * C :]], dim=2)


class _FirstHalf(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gain: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        (M, B, T, C), half = x.shape, cos.shape[1]
        BC, low = padded(C), _paired(weight.to(dtype), half)
        BM, BN, warps, stages = _FORWARD[BC]
        out = x.new_empty(3, M, B, T, C, dtype=dtype)
        _first_half_forward[row_blocks(B * T, BM, M)](
            x, gain, low, cos, sin, out, B * T, T, x.numel(), C, BC, half, BM, BN, BC == 256,
            num_warps=warps, num_stages=stages,
        )  # fmt: skip
        ctx.save_for_backward(x, gain, low, cos, sin)
        return x.view_as(x), out[0], out[1], out[2]

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *dparts: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, weight, cos, sin = ctx.saved_tensors
        M, B, T, C = x.shape
        BC, half = padded(C), cos.shape[1]
        BM, BN, warps, stages = _BACKWARD[BC]
        grid = row_blocks(B * T, BM, M)
        dy, (dq, dk, dv) = dy.contiguous(), (part.contiguous() for part in dparts)
        normed, dqkv = (x.new_empty(M, B * T, n * C, dtype=weight.dtype) for n in (1, 3))
        dx, dgain = torch.empty_like(x), x.new_empty(M, grid[0], C)
        _first_half_backward[grid](
            x, gain, weight, cos, sin, dq, dk, dv, dy, normed, dqkv, dx, dgain, B * T, T, C, BC, half, BM, BN,
            num_warps=warps, num_stages=stages,
        )  # fmt: skip
        dweight = _unpaired(weight_gradient(normed, dqkv), half)
        return dx, dgain.sum(dim=1), dweight, None, None, None


def first_half(
    x: Tensor, gain: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """The residual stream (M, B, T, C) itself, and queries, keys and values (M, B, T, C) of it, in `dtype`.

    Queries and keys are turned by the angles cos, sin (T, C/H/2), their columns in an order of their own. The stream
    is handed through so that its gradient, which comes from two sides, is added up here.
    """
    return _FirstHalf.apply(x, gain, weight, cos, sin, dtype)
