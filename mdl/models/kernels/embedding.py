"""The residual stream's first state, and the gradient of the embedding as a product: sums in a fixed order."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.models.kernels.common import load_gains, load_rows, padded, row_blocks, store_part, store_rows


@triton.jit
def _embedding_forward(
    embedding, start, symbols, x, n_rows, T, V: tl.constexpr, C: tl.constexpr, BC: tl.constexpr, BM: tl.constexpr
):
    m = tl.program_id(1)
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    first = rows % T == 0
    before = tl.load(symbols + m.to(tl.int64) * n_rows + rows - 1, mask=(rows < n_rows) & ~first, other=0).to(tl.int32)
    inside = (rows < n_rows)[:, None] & (columns < C)[None, :]
    looked_up = tl.load(embedding + (m * V + before)[:, None] * C + columns[None, :], mask=inside, other=0.0)
    begun = load_gains(start, m, columns, C)
    store_rows(x, m, rows, columns, n_rows, C, tl.where(first[:, None], begun[None, :], looked_up))


@triton.jit
def _embedding_backward(
    symbols, dx, partial, n_rows, T, n_turns, V: tl.constexpr, C: tl.constexpr, BM: tl.constexpr,
    BV: tl.constexpr, BN: tl.constexpr, low: tl.constexpr,
):  # fmt: skip
    m, n_tiles = tl.program_id(2), tl.cdiv(C, BN)
    some = tl.program_id(1) // n_tiles * BV + tl.arange(0, BV)
    columns = tl.program_id(1) % n_tiles * BN + tl.arange(0, BN)
    total = tl.zeros((BV, BN), tl.float32)
    for turn in range(0, n_turns):
        rows = (tl.program_id(0) * n_turns + turn) * BM + tl.arange(0, BM)
        follows = (rows < n_rows) & (rows % T != 0)
        before = tl.load(symbols + m.to(tl.int64) * n_rows + rows - 1, mask=follows, other=0).to(tl.int32)
        chosen = ((some[:, None] == before[None, :]) & follows[None, :]).to(low)
        gradient = load_rows(dx, m, rows, columns, n_rows, C)
        high = gradient.to(low)  # and what that leaves: sixteen bits of the gradient
        total = tl.dot(chosen, high, total)
        total = tl.dot(chosen, (gradient - high.to(tl.float32)).to(low), total)
    store_part(partial, m, tl.num_programs(2), some, columns, V, C, total)


def _low(x: Tensor) -> tl.dtype:
    return tl.bfloat16 if x.is_cuda else tl.float32  # Triton's interpreter multiplies no bfloat16


_BM, _BV, _MOST_BN, _N_BLOCKS = 64, 128, 64, 16


class _Embedded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, embedding: Tensor, start: Tensor, symbols: Tensor) -> Tensor:
        (M, B, T), (_, V, C) = symbols.shape, embedding.shape
        x = embedding.new_empty(M, B, T, C)
        _embedding_forward[row_blocks(B * T, _BM, M)](embedding, start, symbols, x, B * T, T, V, C, padded(C), _BM)
        ctx.save_for_backward(symbols)
        ctx.n_values = V
        return x

    @staticmethod
    def backward(ctx: Any, dx: Tensor) -> tuple[Tensor | None, ...]:
        (symbols,) = ctx.saved_tensors
        (M, B, T, C), V = dx.shape, ctx.n_values
        BN = min(padded(C), _MOST_BN)
        partial = dx.new_empty(_N_BLOCKS, M, V, C)
        n_turns = triton.cdiv(B * T, _N_BLOCKS * _BM)
        _embedding_backward[(_N_BLOCKS, triton.cdiv(V, _BV) * triton.cdiv(C, BN), M)](
            symbols, dx.contiguous(), partial, B * T, T, n_turns, V, C, _BM, _BV, BN, _low(dx), num_warps=8
        )
        return partial.sum(dim=0), dx[:, :, 0].sum(dim=1), None


def embedded(embedding: Tensor, start: Tensor, symbols: Tensor) -> Tensor:
    """As `embedded`: the start vector (M, C), then the vectors (M, V, C) of all bytes but the last."""
    return _Embedded.apply(embedding, start, symbols.contiguous())
