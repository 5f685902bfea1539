"""Gradients of narrow weights: a library gives such a product to a few of the chip's processors."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.models.kernels.common import load_rows, padded, store_part

_NARROW = 64  # columns of the narrower side, at the most
_BM, _MOST_BN, _N_BLOCKS = 128, 64, 32


@triton.jit
def _weight_gradient(
    x, dy, partial, n_rows, n_turns, P: tl.constexpr, Q: tl.constexpr, BM: tl.constexpr,
    BP: tl.constexpr, BQ: tl.constexpr,
):  # fmt: skip
    m, n_tiles = tl.program_id(2), tl.cdiv(Q, BQ)
    i = tl.program_id(1) // n_tiles * BP + tl.arange(0, BP)
    j = tl.program_id(1) % n_tiles * BQ + tl.arange(0, BQ)
    total = tl.zeros((BP, BQ), tl.float32)
    for turn in range(0, n_turns):
        rows = (tl.program_id(0) * n_turns + turn) * BM + tl.arange(0, BM)
        total = tl.dot(tl.trans(load_rows(x, m, rows, i, n_rows, P)), load_rows(dy, m, rows, j, n_rows, Q), total)
    store_part(partial, m, tl.num_programs(2), i, j, P, Q, total)


def weight_gradient(x: Tensor, dy: Tensor) -> Tensor:
    """xᵀ·dy (M, P, Q) in float32 of rows x (M, n, P) and dy (M, n, Q), added up in a fixed order."""
    (M, n, P), Q = x.shape, dy.shape[2]
    if min(P, Q) > _NARROW:
        return torch.bmm(x.mT, dy).float()
    BP, BQ = min(padded(P), _MOST_BN), min(padded(Q), _MOST_BN)
    partial = x.new_empty(_N_BLOCKS, M, P, Q, dtype=torch.float32)
    grid = (_N_BLOCKS, triton.cdiv(P, BP) * triton.cdiv(Q, BQ), M)
    _weight_gradient[grid](x, dy, partial, n, triton.cdiv(n, _N_BLOCKS * _BM), P, Q, _BM, BP, BQ, num_stages=3)
    return partial.sum(dim=0)
