"""Causal attention for small heads: a library's kernels pad heads of 8 to 32 to 64.

Softmax in one pass over blocks of the past (FlashAttention: Dao et al. 2022), the backward pass without atomic sums,
so that it adds up in a fixed order. Letters as in `mdl.models.transformer`; D = C/H, padded to BD.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.models.kernels.common import padded


@triton.jit
def _place(T, BM: tl.constexpr):
    """This program's head, counted over windows, and block of times; on one axis, since the others end at 65,535."""
    blocks = tl.cdiv(T, BM)
    return tl.program_id(0) // blocks, tl.program_id(0) % blocks


@triton.jit
def _head(base, head, T, H, D: tl.constexpr):
    """Where a head begins in (M·B, T, H, D)."""
    return base + ((head // H).to(tl.int64) * T * H + head % H) * D


@triton.jit
def _load(base, times, T, H, D: tl.constexpr, BD: tl.constexpr, whole: tl.constexpr):
    """Rows at some times of a head, zeros outside, of which there is nothing if blocks are `whole`."""
    dims = tl.arange(0, BD)
    places = base + times[:, None] * (H * D) + dims[None, :]
    if whole:
        return tl.load(places)
    return tl.load(places, mask=(times < T)[:, None] & (dims < D)[None, :], other=0.0)


@triton.jit
def _store(base, times, T, H, D: tl.constexpr, BD: tl.constexpr, whole: tl.constexpr, tile):
    dims = tl.arange(0, BD)
    places = base + times[:, None] * (H * D) + dims[None, :]
    if whole:
        tl.store(places, tile.to(base.dtype.element_ty))
    else:
        tl.store(places, tile.to(base.dtype.element_ty), mask=(times < T)[:, None] & (dims < D)[None, :])


@triton.jit
def _pair(low, high):
    """Two numbers of float32 as one of 64 bits: read together, what a loop reads ahead takes half the instructions."""
    bits = low.to(tl.uint32, bitcast=True).to(tl.uint64) | (high.to(tl.uint32, bitcast=True).to(tl.uint64) << 32)
    return bits.to(tl.int64, bitcast=True)


@triton.jit
def _pairs(base, times, T, whole: tl.constexpr):
    """The two numbers of each time, 0 outside."""
    both = tl.load(base + times) if whole else tl.load(base + times, mask=times < T, other=0)
    bits = both.to(tl.uint64, bitcast=True)
    return bits.to(tl.uint32).to(tl.float32, bitcast=True), (bits >> 32).to(tl.uint32).to(tl.float32, bitcast=True)


@triton.jit
def _mix(
    mixed, most, total, queries, k, v, begin, end, T, H, scale, D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr,
    BN: tl.constexpr, diagonal: tl.constexpr, whole: tl.constexpr,
):  # fmt: skip
    """Softmax goes on over times [begin, end): sums of values, greatest scores and sums of weights so far.

    On the `diagonal` the queries begin at `begin`, too.
    """
    for past in range(begin, end, BN):
        then = past + tl.arange(0, BN)
        scores = tl.dot(queries, tl.trans(_load(k, then, T, H, D, BD, whole)))
        if diagonal:
            earlier = tl.arange(0, BM)[:, None] >= (past - begin + tl.arange(0, BN))[None, :]
            scores = tl.where(earlier, scores, -float("inf"))
        highest = tl.maximum(most, tl.max(scores, axis=1) * scale)
        weights = tl.exp2(scores * scale - highest[:, None])
        shrink = tl.exp2(most - highest)
        total = total * shrink + tl.sum(weights, axis=1)
        mixed = tl.dot(weights.to(queries.dtype), _load(v, then, T, H, D, BD, whole), mixed * shrink[:, None])
        most = highest
    return mixed, most, total


@triton.jit
def _attention_forward(
    q, k, v, out, log_sum, T, H, scale,
    D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, whole: tl.constexpr,
):  # fmt: skip
    head, block = _place(T, BM)
    first = (tl.cdiv(T, BM) - 1 - block) * BM  # those with the longest past begin
    last = first + BM
    q, k, v, out = _head(q, head, T, H, D), _head(k, head, T, H, D), _head(v, head, T, H, D), _head(out, head, T, H, D)
    now = first + tl.arange(0, BM)
    queries = _load(q, now, T, H, D, BD, whole)
    mixed, most, total = tl.zeros((BM, BD), tl.float32), tl.full((BM,), -1e30, tl.float32), tl.zeros((BM,), tl.float32)
    mixed, most, total = _mix(mixed, most, total, queries, k, v, 0, first, T, H, scale, D, BD, BM, BN, False, whole)
    mixed, most, total = _mix(mixed, most, total, queries, k, v, first, last, T, H, scale, D, BD, BM, BN, True, whole)
    _store(out, now, T, H, D, BD, whole, mixed * (1.0 / total)[:, None])
    if log_sum is not None:
        tl.store(log_sum + head.to(tl.int64) * T + now, most + tl.log2(total), mask=now < T)


@triton.jit
def _attention_deltas(
    out, dout, log_sum, pairs, T, H, D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, whole: tl.constexpr
):
    """Beside every sum of weights, as a pair, the product of an output with its gradient."""
    head, block = _place(T, BM)
    now = block * BM + tl.arange(0, BM)
    a = _load(_head(out, head, T, H, D), now, T, H, D, BD, whole).to(tl.float32)
    b = _load(_head(dout, head, T, H, D), now, T, H, D, BD, whole).to(tl.float32)
    own = head.to(tl.int64) * T + now
    over = tl.load(log_sum + own, mask=now < T, other=0.0)
    tl.store(pairs + own, _pair(over, tl.sum(a * b, axis=1)), mask=now < T)


@triton.jit
def _from_later(
    dkeys, dvalues, keys, values, q, dout, pairs, begin, end, T, H, scale,
    D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, diagonal: tl.constexpr, whole: tl.constexpr,
):  # fmt: skip
    """What the queries of times [begin, end) add to the gradients of some keys and values, on the `diagonal` theirs."""
    for later in range(begin, end, BN):
        then = later + tl.arange(0, BN)
        queries, changes = _load(q, then, T, H, D, BD, whole), _load(dout, then, T, H, D, BD, whole)
        over, deltas = _pairs(pairs, then, T, whole)
        weights = tl.exp2(tl.dot(keys, tl.trans(queries)) * scale - over[None, :])
        if diagonal:
            is_later = (later - begin + tl.arange(0, BN))[None, :] >= tl.arange(0, BM)[:, None]
            weights = tl.where(is_later, weights, 0.0)
        dvalues = tl.dot(weights.to(keys.dtype), changes, dvalues)
        dweights = tl.dot(values, tl.trans(changes)) - deltas[None, :]
        dkeys = tl.dot((weights * dweights).to(keys.dtype), queries, dkeys)
    return dkeys, dvalues


@triton.jit
def _from_earlier(
    dqueries, queries, changes, over, deltas, k, v, begin, end, T, H, scale,
    D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, diagonal: tl.constexpr, whole: tl.constexpr,
):  # fmt: skip
    """What the keys and values of times [begin, end) add to the gradients of some queries, on the `diagonal` theirs."""
    for past in range(begin, end, BN):
        then = past + tl.arange(0, BN)
        keys = _load(k, then, T, H, D, BD, whole)
        weights = tl.exp2(tl.dot(queries, tl.trans(keys)) * scale - over[:, None])
        if diagonal:
            earlier = tl.arange(0, BM)[:, None] >= (past - begin + tl.arange(0, BN))[None, :]
            weights = tl.where(earlier, weights, 0.0)
        dweights = tl.dot(changes, tl.trans(_load(v, then, T, H, D, BD, whole))) - deltas[:, None]
        dqueries = tl.dot((weights * dweights).to(queries.dtype), keys, dqueries)
    return dqueries


@triton.jit
def _attention_backward(
    q, k, v, dout, pairs, dq, dk, dv, T, H, scale, natural_scale,
    D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, whole: tl.constexpr,
):  # fmt: skip
    """A block's keys and values from all that comes after, then its queries from all before: equal work for all."""
    head, block = _place(T, BM)
    first = block * BM
    last, own = first + BM, first + tl.arange(0, BM)
    q, k, v, dout = (
        _head(q, head, T, H, D),
        _head(k, head, T, H, D),
        _head(v, head, T, H, D),
        _head(dout, head, T, H, D),
    )
    pairs += head.to(tl.int64) * T
    zeros = tl.zeros((BM, BD), tl.float32)

    keys, values = _load(k, own, T, H, D, BD, whole), _load(v, own, T, H, D, BD, whole)
    dkeys, dvalues = _from_later(
        zeros, zeros, keys, values, q, dout, pairs, first, last, T, H, scale, D, BD, BM, BN, True, whole
    )
    dkeys, dvalues = _from_later(
        dkeys, dvalues, keys, values, q, dout, pairs, last, T, T, H, scale, D, BD, BM, BN, False, whole
    )
    _store(_head(dv, head, T, H, D), own, T, H, D, BD, whole, dvalues)
    _store(_head(dk, head, T, H, D), own, T, H, D, BD, whole, dkeys * natural_scale)

    queries, changes = _load(q, own, T, H, D, BD, whole), _load(dout, own, T, H, D, BD, whole)
    over, deltas = _pairs(pairs, own, T, whole)
    dqueries = _from_earlier(
        zeros, queries, changes, over, deltas, k, v, 0, first, T, H, scale, D, BD, BM, BN, False, whole
    )
    dqueries = _from_earlier(
        dqueries, queries, changes, over, deltas, k, v, first, last, T, H, scale, D, BD, BM, BN, True, whole
    )
    _store(_head(dq, head, T, H, D), own, T, H, D, BD, whole, dqueries * natural_scale)


# By padded head: times a block, times a turn, warps, stages; the most registers a thread, where fewer are faster,
# since more programs then run side by side. Forward and backward.
_FORWARD: dict[int, tuple[int, int, int, int, int | None]] = {
    16: (64, 64, 4, 3, None), 32: (64, 64, 4, 3, 80), 64: (64, 64, 4, 3, None), 128: (64, 64, 4, 2, None),
}  # fmt: skip
_BACKWARD: dict[int, tuple[int, int, int, int, int | None]] = {
    16: (64, 64, 4, 3, None), 32: (64, 64, 4, 3, 128), 64: (64, 32, 4, 3, None), 128: (64, 32, 4, 2, None),
}  # fmt: skip


def _whole(D: int, T: int, BM: int) -> bool:
    """Do blocks of heads hold nothing that is not there?"""
    return padded(D) == D and T % BM == 0


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, n_heads: int) -> Tensor:
        M, B, T, C = q.shape
        D, out, log_sum = C // n_heads, torch.empty_like(q), None
        if any(ctx.needs_input_grad):
            log_sum = q.new_empty(M * B, n_heads, T, dtype=torch.float32)
        BM, BN, warps, stages, registers = _FORWARD[padded(D)]
        _attention_forward[(triton.cdiv(T, BM) * M * B * n_heads,)](
            q, k, v, out, log_sum, T, n_heads, D**-0.5 / math.log(2), D, padded(D), BM, BN, _whole(D, T, BM),
            num_warps=warps, num_stages=stages, maxnreg=registers,
        )  # fmt: skip
        ctx.save_for_backward(q, k, v, out, log_sum)
        ctx.n_heads = n_heads
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, log_sum = ctx.saved_tensors
        (M, B, T, C), H = q.shape, ctx.n_heads
        D, dout, pairs = C // H, dout.contiguous(), torch.empty_like(log_sum, dtype=torch.int64)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        BM, BN, warps, stages, registers = _BACKWARD[padded(D)]
        grid, whole = (triton.cdiv(T, BM) * M * B * H,), _whole(D, T, BM)
        _attention_deltas[grid](out, dout, log_sum, pairs, T, H, D, padded(D), BM, whole)
        _attention_backward[grid](
            q, k, v, dout, pairs, dq, dk, dv, T, H, D**-0.5 / math.log(2), D**-0.5, D, padded(D), BM, BN, whole,
            num_warps=warps, num_stages=stages, maxnreg=registers,
        )  # fmt: skip
        return dq, dk, dv, None


def attention(q: Tensor, k: Tensor, v: Tensor, n_heads: int) -> Tensor:
    """Causal attention's output (M, B, T, C) from queries, keys and values of that form, heads side by side."""
    return _Attention.apply(q, k, v, n_heads)
