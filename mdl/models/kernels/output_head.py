"""The output head in one kernel each way: norm, product with the embedding, log-softmax. No logits are written."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.models.kernels.common import load_rows, matrix_of, over_rms, over_rms_backward, padded, row_blocks, store_rows
from mdl.models.kernels.weight_gradient import weight_gradient


@triton.jit
def _begin(symbols, member, rows, n_rows, BM: tl.constexpr):
    """Where a member's rows lie among all, their symbols, and what `_go_on` gives of no bytes."""
    own = member.to(tl.int64) * n_rows + rows
    symbol = tl.load(symbols + own, mask=rows < n_rows, other=0)
    zeros = tl.zeros((BM,), tl.float32)
    return own, symbol, tl.full((BM,), -float("inf"), tl.float32), zeros, zeros


@triton.jit
def _go_on(most, total, chosen, logits, some, symbol, V: tl.constexpr):
    """Log-softmax over some more bytes: the greatest logit, the sum of exponentials over it, the symbol's own logit."""
    logits = tl.where((some < V)[None, :], logits, -float("inf"))
    chosen += tl.sum(tl.where(symbol[:, None] == some[None, :], logits, 0.0), axis=1)
    highest = tl.maximum(most, tl.max(logits, axis=1))
    total = total * tl.exp(most - highest) + tl.sum(tl.exp(logits - highest[:, None]), axis=1)
    return highest, total, chosen


@triton.jit
def _head_forward(
    x, embedding, symbols, nats, log_sum, n_rows, V: tl.constexpr, C: tl.constexpr, BC: tl.constexpr, BM: tl.constexpr,
    BV: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(1)
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    unit, _ = over_rms(load_rows(x, m, rows, columns, n_rows, C), C)
    low = unit.to(embedding.dtype.element_ty)
    own, symbol, most, total, chosen = _begin(symbols, m, rows, n_rows, BM)
    for v in range(0, V, BV):
        some = v + tl.arange(0, BV)
        logits = tl.dot(low, tl.trans(matrix_of(embedding, m, some, columns, V, C)))
        most, total, chosen = _go_on(most, total, chosen, logits, some, symbol, V)
    over = most + tl.log(total)
    tl.store(log_sum + own, over, mask=rows < n_rows)
    tl.store(nats + own, over - chosen, mask=rows < n_rows)


@triton.jit
def _measuring_forward(
    x, coarse_table, fine_table, symbols, nats, n_rows, V: tl.constexpr, C: tl.constexpr, BC: tl.constexpr,
    BM: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """In float32, a number as the sum of two of float16 and a product as three: exact to some 22 bits."""
    m = tl.program_id(1)
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    unit, _ = over_rms(load_rows(x, m, rows, columns, n_rows, C), C)
    coarse = unit.to(tl.float16)
    fine = (unit - coarse.to(tl.float32)).to(tl.float16)
    own, symbol, most, total, chosen = _begin(symbols, m, rows, n_rows, BM)
    for v in range(0, V, BV):
        some = v + tl.arange(0, BV)
        table = tl.trans(matrix_of(coarse_table, m, some, columns, V, C))
        logits = tl.dot(coarse, tl.trans(matrix_of(fine_table, m, some, columns, V, C)))
        logits = tl.dot(fine, table, logits)
        logits = tl.dot(coarse, table, logits)
        most, total, chosen = _go_on(most, total, chosen, logits, some, symbol, V)
    tl.store(nats + own, most + tl.log(total) - chosen, mask=rows < n_rows)


@triton.jit
def _head_backward(
    x, embedding, symbols, log_sum, dnats, unit_out, dlogits, dx, n_rows, V: tl.constexpr, C: tl.constexpr,
    BC: tl.constexpr, BM: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(1)
    dtype = embedding.dtype.element_ty
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    unit, inverse = over_rms(load_rows(x, m, rows, columns, n_rows, C), C)
    low = unit.to(dtype)
    store_rows(unit_out, m, rows, columns, n_rows, C, low)
    own = m.to(tl.int64) * n_rows + rows
    symbol = tl.load(symbols + own, mask=rows < n_rows, other=0)
    over = tl.load(log_sum + own, mask=rows < n_rows, other=0.0)
    share = tl.load(dnats + own, mask=rows < n_rows, other=0.0)
    dunit = tl.zeros((BM, BC), tl.float32)
    for v in range(0, V, BV):
        some = v + tl.arange(0, BV)
        table = matrix_of(embedding, m, some, columns, V, C)
        chances = tl.exp(tl.dot(low, tl.trans(table)) - over[:, None])
        change = (chances - (symbol[:, None] == some[None, :]).to(tl.float32)) * share[:, None]
        store_rows(dlogits, m, rows, some, n_rows, V, change)
        dunit = tl.dot(change.to(dtype), table, dunit)
    store_rows(dx, m, rows, columns, n_rows, C, over_rms_backward(dunit, unit, inverse, C))


_BM, _BV = 64, 64  # rows a block, bytes a turn


class _Nats(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, embedding: Tensor, symbols: Tensor, dtype: torch.dtype) -> Tensor:
        (M, B, T, C), V = x.shape, embedding.shape[1]
        low = embedding.to(dtype)
        nats, log_sum = x.new_empty(2, M, B, T)
        _head_forward[row_blocks(B * T, _BM, M)](
            x, low, symbols, nats, log_sum, B * T, V, C, padded(C), _BM, _BV, num_stages=2
        )
        ctx.save_for_backward(x, low, symbols, log_sum)
        return nats

    @staticmethod
    def backward(ctx: Any, dnats: Tensor) -> tuple[Tensor | None, ...]:
        x, embedding, symbols, log_sum = ctx.saved_tensors
        (M, B, T, C), V = x.shape, embedding.shape[1]
        unit, dlogits = (x.new_empty(M, B * T, n, dtype=embedding.dtype) for n in (C, V))
        dx = torch.empty_like(x)
        _head_backward[row_blocks(B * T, _BM, M)](
            x, embedding, symbols, log_sum, dnats.contiguous(), unit, dlogits, dx, B * T, V, C, padded(C), _BM, _BV,
            num_stages=2,
        )  # fmt: skip
        return dx, weight_gradient(dlogits, unit), None, None


def nats(x: Tensor, embedding: Tensor, symbols: Tensor, dtype: torch.dtype) -> Tensor:
    """−ln p (M, B, T) in float32 of the bytes (or tokens) from the last residual stream (M, B, T, C) in float32."""
    return _Nats.apply(x, embedding, symbols.contiguous(), dtype)


# By padded width: rows a block, bytes a turn, warps, stages.
_MEASURING = dict.fromkeys((16, 32, 64), (64, 64, 4, 2)) | dict.fromkeys((128, 256), (128, 64, 8, 1))


def measured_nats(x: Tensor, embedding: Tensor, symbols: Tensor) -> Tensor:
    """As `nats`, without gradients, nearly as exact as float32, from an embedding (M, V, C) in float32."""
    (M, B, T, C), V = x.shape, embedding.shape[1]
    BM, BV, warps, stages = _MEASURING[padded(C)]
    coarse, result = embedding.half().contiguous(), x.new_empty(M, B, T)
    fine = (embedding - coarse).half()
    _measuring_forward[row_blocks(B * T, BM, M)](
        x.contiguous(), coarse, fine.contiguous(), symbols.contiguous(), result, B * T, V, C, padded(C), BM, BV,
        num_warps=warps, num_stages=stages,
    )  # fmt: skip
    return result
