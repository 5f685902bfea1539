"""The output head in one kernel each way: norm, product with the embedding, log-softmax. No logits are written."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.models.kernels.common import (
    RMS_EPS,
    load_rows,
    matrix_of,
    over_rms,
    over_rms_backward,
    padded,
    row_blocks,
    store_rows,
)
from mdl.models.kernels.weight_gradient import weight_gradient


@triton.jit
def _head_forward(
    x, embedding, symbols, nats, log_sum, n_rows, V: tl.constexpr, C: tl.constexpr, BC: tl.constexpr, BM: tl.constexpr,
    BV: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(1)
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    unit, _ = over_rms(load_rows(x, m, rows, columns, n_rows, C), C)
    low = unit.to(embedding.dtype.element_ty)
    own = m.to(tl.int64) * n_rows + rows
    symbol = tl.load(symbols + own, mask=rows < n_rows, other=0)
    most, total, chosen = (
        tl.full((BM,), -float("inf"), tl.float32),
        tl.zeros((BM,), tl.float32),
        tl.zeros((BM,), tl.float32),
    )
    for v in range(0, V, BV):
        some = v + tl.arange(0, BV)
        logits = tl.dot(low, tl.trans(matrix_of(embedding, m, some, columns, V, C)))
        logits = tl.where((some < V)[None, :], logits, -float("inf"))
        chosen += tl.sum(tl.where(symbol[:, None] == some[None, :], logits, 0.0), axis=1)
        highest = tl.maximum(most, tl.max(logits, axis=1))
        total = total * tl.exp(most - highest) + tl.sum(tl.exp(logits - highest[:, None]), axis=1)
        most = highest
    over = most + tl.log(total)
    tl.store(log_sum + own, over, mask=rows < n_rows)
    tl.store(nats + own, over - chosen, mask=rows < n_rows)


@triton.jit
def _measuring_forward(
    x, embedding, symbols, nats, n_rows, V: tl.constexpr, C: tl.constexpr, BM: tl.constexpr, BV: tl.constexpr,
    BK: tl.constexpr,
):  # fmt: skip
    """In float32, each product as three of tf32. Columns come in turns: whole rows of float32 would fill the chip.

    The rows' norms are known after the last turn, and so divide the logits instead of the rows.
    """
    m = tl.program_id(1)
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    own = m.to(tl.int64) * n_rows + rows
    symbol = tl.load(symbols + own, mask=rows < n_rows, other=0)
    most, total, chosen = (
        tl.full((BM,), -float("inf"), tl.float32),
        tl.zeros((BM,), tl.float32),
        tl.zeros((BM,), tl.float32),
    )
    for v in range(0, V, BV):
        some = v + tl.arange(0, BV)
        logits, squares = tl.zeros((BM, BV), tl.float32), tl.zeros((BM,), tl.float32)
        for k in range(0, C, BK):
            columns = k + tl.arange(0, BK)
            part = load_rows(x, m, rows, columns, n_rows, C)
            squares += tl.sum(part * part, axis=1)
            table = tl.trans(matrix_of(embedding, m, some, columns, V, C))
            logits = tl.dot(part, table, logits, input_precision="tf32x3")
        logits *= (1.0 / tl.sqrt(squares / C + RMS_EPS))[:, None]
        logits = tl.where((some < V)[None, :], logits, -float("inf"))
        chosen += tl.sum(tl.where(symbol[:, None] == some[None, :], logits, 0.0), axis=1)
        highest = tl.maximum(most, tl.max(logits, axis=1))
        total = total * tl.exp(most - highest) + tl.sum(tl.exp(logits - highest[:, None]), axis=1)
        most = highest
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


# Of measuring, at the most: rows a block, bytes a turn, columns a turn; warps, stages.
_MEASURING = (128, 128, 32, 8, 3)


def measured_nats(x: Tensor, embedding: Tensor, symbols: Tensor) -> Tensor:
    """As `nats`, without gradients, as exact as float32 from an embedding (M, V, C) in float32."""
    (M, B, T, C), V = x.shape, embedding.shape[1]
    BM, most_BV, most_BK, warps, stages = _MEASURING
    result = x.new_empty(M, B, T)
    _measuring_forward[row_blocks(B * T, BM, M)](
        x.contiguous(), embedding.contiguous(), symbols.contiguous(), result, B * T, V, C, BM,
        min(padded(V), most_BV), min(padded(C), most_BK), num_warps=warps, num_stages=stages,
    )  # fmt: skip
    return result
