"""What the block of version 2 adds, each in one kernel a way: the smear, and what heads become before attention.

`first_half` gives queries, keys and values that are not turned yet (its angles 0); here keys of slow pairs become those
of the byte before, heads are normalized, queries take their gains, both are turned, and values are mixed with the first
layer's. A head's columns are in the order of `attention_input`: the two that rotation mixes side by side.
Letters as in `mdl.models.transformer`; D = C/H, padded to BD.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.models.block_2 import slow_channels
from mdl.models.kernels.common import (
    angles,
    load_gains,
    load_rows,
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


@triton.jit
def _smear_forward(x, smear, y, n_rows, T, C: tl.constexpr, BC: tl.constexpr, BM: tl.constexpr):
    m = tl.program_id(1)
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    before = load_rows(x, m, tl.where(rows % T == 0, n_rows, rows - 1), columns, n_rows, C)
    own = load_rows(x, m, rows, columns, n_rows, C)
    store_rows(y, m, rows, columns, n_rows, C, own + load_gains(smear, m, columns, C)[None, :] * before)


@triton.jit
def _smear_backward(x, smear, dy, dx, dsmear, n_rows, T, C: tl.constexpr, BC: tl.constexpr, BM: tl.constexpr):
    m = tl.program_id(1)
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    before = load_rows(x, m, tl.where(rows % T == 0, n_rows, rows - 1), columns, n_rows, C)
    after = load_rows(dy, m, tl.where((rows + 1) % T == 0, n_rows, rows + 1), columns, n_rows, C)
    own = load_rows(dy, m, rows, columns, n_rows, C)
    store_rows(dx, m, rows, columns, n_rows, C, own + load_gains(smear, m, columns, C)[None, :] * after)
    store_sum(dsmear, m, columns, C, own * before)


@triton.jit
def _head(h, dims, C: tl.constexpr, D: tl.constexpr, BD: tl.constexpr):
    """A head's columns among all C; C, which is none of them, past its end."""
    if D == BD:
        return h * D + dims
    return tl.where(dims < D, h * D + dims, C)


@triton.jit
def _heads_forward(
    q, k, v, first, gain, mix, slow, cos, sin, q_out, k_out, v_out, n_rows, T, H,
    C: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, later: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    m, dims = tl.program_id(1), tl.arange(0, BD)
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    before = tl.where(rows % T == 0, n_rows, rows - 1)
    c, s = angles(cos, rows % T, 0, D // 2, BD), angles(sin, rows % T, 0, D // 2, BD)
    is_slow = (tl.load(slow + dims, mask=dims < D, other=0) > 0)[None, :]
    for h in range(0, H):
        head = _head(h, dims, C, D, BD)
        unit, _ = over_rms(load_rows(q, m, rows, head, n_rows, C).to(tl.float32), D)
        unit = unit * load_gains(gain, m, head, C)[None, :]
        store_rows(q_out, m, rows, head, n_rows, C, turned(unit, c, s, BM, BD))
        own = load_rows(k, m, rows, head, n_rows, C).to(tl.float32)
        unit, _ = over_rms(tl.where(is_slow, load_rows(k, m, before, head, n_rows, C).to(tl.float32), own), D)
        store_rows(k_out, m, rows, head, n_rows, C, turned(unit, c, s, BM, BD))
        if later:
            value = load_rows(v, m, rows, head, n_rows, C).to(tl.float32)
            apart = load_rows(first, m, rows, head, n_rows, C).to(tl.float32) - value
            store_rows(v_out, m, rows, head, n_rows, C, value + tl.load(mix + m) * apart)


@triton.jit
def _key_gradient(
    k, dk, cos, sin, m, rows, head, is_slow, n_rows, T,
    C: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """At the keys of `rows` as they are after the shift and before the norm."""
    before = tl.where(rows % T == 0, n_rows, rows - 1)
    own = load_rows(k, m, rows, head, n_rows, C).to(tl.float32)
    past = load_rows(k, m, before, head, n_rows, C).to(tl.float32)
    unit, inverse = over_rms(tl.where(is_slow, past, own), D)
    c, s = angles(cos, rows % T, 0, D // 2, BD), angles(sin, rows % T, 0, D // 2, BD)
    gradient = turned(load_rows(dk, m, rows, head, n_rows, C).to(tl.float32), c, -s, BM, BD)
    return over_rms_backward(gradient, unit, inverse, D)


@triton.jit
def _heads_backward(
    q, k, v, first, gain, mix, slow, cos, sin, dq_out, dk_out, dv_out, dq, dk, dv, dfirst, dgain, dmix, n_rows, T, H,
    C: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, later: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    m, dims = tl.program_id(1), tl.arange(0, BD)
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    after = tl.where((rows + 1) % T == 0, n_rows, rows + 1)  # past the end everything is 0
    c, s = angles(cos, rows % T, 0, D // 2, BD), angles(sin, rows % T, 0, D // 2, BD)
    is_slow = (tl.load(slow + dims, mask=dims < D, other=0) > 0)[None, :]
    block = m * tl.num_programs(0) + tl.program_id(0)
    mixed = tl.zeros((BM,), tl.float32)
    for h in range(0, H):
        head = _head(h, dims, C, D, BD)
        unit, inverse = over_rms(load_rows(q, m, rows, head, n_rows, C).to(tl.float32), D)
        turned_back = turned(load_rows(dq_out, m, rows, head, n_rows, C).to(tl.float32), c, -s, BM, BD)
        through = over_rms_backward(turned_back * load_gains(gain, m, head, C)[None, :], unit, inverse, D)
        store_rows(dq, m, rows, head, n_rows, C, through)
        store_sum(dgain, m, head, C, turned_back * unit)
        here = _key_gradient(k, dk_out, cos, sin, m, rows, head, is_slow, n_rows, T, C, D, BD, BM)
        there = _key_gradient(k, dk_out, cos, sin, m, after, head, is_slow, n_rows, T, C, D, BD, BM)
        store_rows(dk, m, rows, head, n_rows, C, tl.where(is_slow, there, here))
        if later:
            given, share = load_rows(dv_out, m, rows, head, n_rows, C).to(tl.float32), tl.load(mix + m)
            value = load_rows(v, m, rows, head, n_rows, C).to(tl.float32)
            apart = load_rows(first, m, rows, head, n_rows, C).to(tl.float32) - value
            mixed += tl.sum(given * apart, axis=1)
            store_rows(dv, m, rows, head, n_rows, C, given * (1 - share))
            store_rows(dfirst, m, rows, head, n_rows, C, given * share)
    if later:
        tl.store(dmix + block, tl.sum(mixed))


_BM = 64


class _Smeared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, smear: Tensor) -> Tensor:
        (M, B, T, C), y = x.shape, torch.empty_like(x)
        _smear_forward[row_blocks(B * T, _BM, M)](x, smear, y, B * T, T, C, padded(C), _BM)
        ctx.save_for_backward(x, smear)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        x, smear = ctx.saved_tensors
        (M, B, T, C), dx = x.shape, torch.empty_like(x)
        grid = row_blocks(B * T, _BM, M)
        dsmear = x.new_empty(M, grid[0], C)
        _smear_backward[grid](x, smear, dy.contiguous(), dx, dsmear, B * T, T, C, padded(C), _BM)
        return dx, dsmear.sum(dim=1)


def smeared(x: Tensor, smear: Tensor) -> Tensor:
    """As `block_2.smeared`, in float32."""
    return _Smeared.apply(x, smear)


class _Heads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, first: Tensor | None, gain: Tensor, mix: Tensor | None,
        cos: Tensor, sin: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        (M, B, T, C), D = q.shape, 2 * cos.shape[1]
        gain, slow = paired(gain, D // 2), paired(slow_channels(D, q.device), D // 2).to(torch.int32)
        later, outs = first is not None, [torch.empty_like(each) for each in (q, k, v)]
        given = (q, k, v, first if later else v, gain, mix if later else gain, slow, cos, sin)
        _heads_forward[row_blocks(B * T, _BM, M)](*given, *outs, B * T, T, C // D, C, D, padded(D), later, _BM)
        ctx.save_for_backward(*given)
        ctx.later = later
        return outs[0], outs[1], outs[2] if later else v.view_as(v)

    @staticmethod
    def backward(ctx: Any, *douts: Tensor) -> tuple[Tensor | None, ...]:
        given, later = ctx.saved_tensors, ctx.later
        (M, B, T, C), D = given[0].shape, 2 * given[7].shape[1]
        grid, douts = row_blocks(B * T, _BM, M), tuple(each.contiguous() for each in douts)
        dq, dk, dv, dfirst = (torch.empty_like(given[0]) if i < 2 or later else given[0] for i in range(4))
        dgain, dmix = (given[4].new_empty(M, grid[0], n) for n in (C, 1))
        _heads_backward[grid](
            *given, *douts, dq, dk, dv, dfirst, dgain, dmix, B * T, T, C // D, C, D, padded(D), later, _BM
        )
        dgain = unpaired(dgain.sum(dim=1), D // 2)
        if not later:
            return dq, dk, douts[2], None, dgain, None, None, None
        return dq, dk, dv, dfirst, dgain, dmix.sum(dim=1), None, None


def heads(
    parts: tuple[Tensor, Tensor, Tensor], first: Tensor | None, gain: Tensor, mix: Tensor | None,
    cos: Tensor, sin: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Queries, keys and values (M, B, T, C) as attention wants them, of those of `first_half` with angles 0.

    `first`: the first layer's values, None there; query gains (M, C), value mix (M, 1); angles (T, D/2).
    """
    return _Heads.apply(*parts, first, gain, mix, cos, sin)
