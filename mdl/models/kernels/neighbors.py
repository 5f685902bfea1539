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
    load_gains,
    load_rows,
    over_rms,
    over_rms_backward,
    padded,
    row_blocks,
    store_rows,
    store_sum,
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
def _head_rows(base, m, rows, h, dims, n_rows, C: tl.constexpr, D: tl.constexpr):
    """A head's tile of rows (M, n_rows, C) in float32, zeros outside."""
    places = base + m.to(tl.int64) * n_rows * C + rows[:, None] * C + h * D + dims[None, :]
    return tl.load(places, mask=(rows < n_rows)[:, None] & (dims < D)[None, :], other=0.0).to(tl.float32)


@triton.jit
def _store_head(base, m, rows, h, dims, n_rows, C: tl.constexpr, D: tl.constexpr, tile):
    places = base + m.to(tl.int64) * n_rows * C + rows[:, None] * C + h * D + dims[None, :]
    tl.store(places, tile.to(base.dtype.element_ty), mask=(rows < n_rows)[:, None] & (dims < D)[None, :])


@triton.jit
def _head_gains(gain, m, h, dims, C: tl.constexpr, D: tl.constexpr):
    return tl.load(gain + m * C + h * D + dims, mask=dims < D, other=0.0)


@triton.jit
def _angles(table, t, D: tl.constexpr, BD: tl.constexpr):
    """A table (T, D/2) at times t."""
    pairs = tl.arange(0, BD // 2)
    return tl.load(table + t[:, None] * (D // 2) + pairs[None, :], mask=(pairs < D // 2)[None, :], other=0.0)


@triton.jit
def _turned(x, c, s, BM: tl.constexpr, BD: tl.constexpr):
    """Neighboring columns (BM, BD) as the plane's coordinates, turned."""
    a, b = tl.split(tl.reshape(x, (BM, BD // 2, 2)))
    return tl.reshape(tl.join(a * c - b * s, a * s + b * c), (BM, BD))


@triton.jit
def _heads_forward(
    q, k, v, first, gain, mix, slow, cos, sin, q_out, k_out, v_out, n_rows, T, H,
    C: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, later: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    m, dims = tl.program_id(1), tl.arange(0, BD)
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    before = tl.where(rows % T == 0, n_rows, rows - 1)
    c, s = _angles(cos, rows % T, D, BD), _angles(sin, rows % T, D, BD)
    is_slow = (tl.load(slow + dims, mask=dims < D, other=0) > 0)[None, :]
    for h in range(0, H):
        unit, _ = over_rms(_head_rows(q, m, rows, h, dims, n_rows, C, D), D)
        unit = unit * _head_gains(gain, m, h, dims, C, D)[None, :]
        _store_head(q_out, m, rows, h, dims, n_rows, C, D, _turned(unit, c, s, BM, BD))
        own = _head_rows(k, m, rows, h, dims, n_rows, C, D)
        unit, _ = over_rms(tl.where(is_slow, _head_rows(k, m, before, h, dims, n_rows, C, D), own), D)
        _store_head(k_out, m, rows, h, dims, n_rows, C, D, _turned(unit, c, s, BM, BD))
        if later:
            value = _head_rows(v, m, rows, h, dims, n_rows, C, D)
            apart = _head_rows(first, m, rows, h, dims, n_rows, C, D) - value
            _store_head(v_out, m, rows, h, dims, n_rows, C, D, value + tl.load(mix + m) * apart)


@triton.jit
def _key_gradient(
    k, dk, cos, sin, m, rows, h, dims, is_slow, n_rows, T,
    C: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """At the keys of `rows` as they are after the shift and before the norm."""
    before = tl.where(rows % T == 0, n_rows, rows - 1)
    own, past = (_head_rows(k, m, rows, h, dims, n_rows, C, D), _head_rows(k, m, before, h, dims, n_rows, C, D))
    unit, inverse = over_rms(tl.where(is_slow, past, own), D)
    c, s = _angles(cos, rows % T, D, BD), _angles(sin, rows % T, D, BD)
    return over_rms_backward(_turned(_head_rows(dk, m, rows, h, dims, n_rows, C, D), c, -s, BM, BD), unit, inverse, D)


@triton.jit
def _heads_backward(
    q, k, v, first, gain, mix, slow, cos, sin, dq_out, dk_out, dv_out, dq, dk, dv, dfirst, dgain, dmix, n_rows, T, H,
    C: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, later: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    m, dims = tl.program_id(1), tl.arange(0, BD)
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    after = tl.where((rows + 1) % T == 0, n_rows, rows + 1)  # past the end everything is 0
    c, s = _angles(cos, rows % T, D, BD), _angles(sin, rows % T, D, BD)
    is_slow = (tl.load(slow + dims, mask=dims < D, other=0) > 0)[None, :]
    block = m * tl.num_programs(0) + tl.program_id(0)
    mixed = tl.zeros((BM,), tl.float32)
    for h in range(0, H):
        unit, inverse = over_rms(_head_rows(q, m, rows, h, dims, n_rows, C, D), D)
        turned_back = _turned(_head_rows(dq_out, m, rows, h, dims, n_rows, C, D), c, -s, BM, BD)
        through = over_rms_backward(turned_back * _head_gains(gain, m, h, dims, C, D)[None, :], unit, inverse, D)
        _store_head(dq, m, rows, h, dims, n_rows, C, D, through)
        tl.store(dgain + block * C + h * D + dims, tl.sum(turned_back * unit, axis=0), mask=dims < D)
        here = _key_gradient(k, dk_out, cos, sin, m, rows, h, dims, is_slow, n_rows, T, C, D, BD, BM)
        there = _key_gradient(k, dk_out, cos, sin, m, after, h, dims, is_slow, n_rows, T, C, D, BD, BM)
        _store_head(dk, m, rows, h, dims, n_rows, C, D, tl.where(is_slow, there, here))
        if later:
            given, share = _head_rows(dv_out, m, rows, h, dims, n_rows, C, D), tl.load(mix + m)
            apart = _head_rows(first, m, rows, h, dims, n_rows, C, D) - _head_rows(v, m, rows, h, dims, n_rows, C, D)
            mixed += tl.sum(given * apart, axis=1)
            _store_head(dv, m, rows, h, dims, n_rows, C, D, given * (1 - share))
            _store_head(dfirst, m, rows, h, dims, n_rows, C, D, given * share)
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
        gain, slow = _paired(gain, D), _paired(slow_channels(D, q.device)[None], D)[0].to(torch.int32)
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
        dgain = _unpaired(dgain.sum(dim=1), D)
        if not later:
            return dq, dk, douts[2], None, dgain, None, None, None
        return dq, dk, dv, dfirst, dgain, dmix.sum(dim=1), None, None


def _paired(x: Tensor, D: int) -> Tensor:
    """(…, C) with the two columns of a head that rotation mixes side by side."""
    return x.view(*x.shape[:-1], -1, 2, D // 2).transpose(-1, -2).reshape(x.shape)


def _unpaired(x: Tensor, D: int) -> Tensor:
    """The other way."""
    return x.view(*x.shape[:-1], -1, D // 2, 2).transpose(-1, -2).reshape(x.shape)


def heads(
    parts: tuple[Tensor, Tensor, Tensor], first: Tensor | None, gain: Tensor, mix: Tensor | None,
    cos: Tensor, sin: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Queries, keys and values (M, B, T, C) as attention wants them, of those of `first_half` with angles 0.

    `first`: the first layer's values, None there; query gains (M, C), value mix (M, 1); angles (T, D/2).
    """
    return _Heads.apply(*parts, first, gain, mix, cos, sin)
