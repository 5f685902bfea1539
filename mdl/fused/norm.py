"""The root mean square norm of wide rows by itself, with what stands beside it: the residual stream's sums.

For layers whose products are a library's: a row's values are read once on the way forward and once on the way back.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.fused.common import (
    load_gains,
    load_rows,
    over_rms,
    over_rms_backward,
    padded,
    row_blocks,
    store_rows,
    store_sum,
)

_PLACES = 4096  # of a tile


@triton.jit
def _norm_forward(
    x, added, gain, stream, normed, n_rows, C: tl.constexpr, BC: tl.constexpr, BM: tl.constexpr, ADDS: tl.constexpr
):
    m = tl.program_id(1)
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    total = load_rows(x, m, rows, columns, n_rows, C)
    if ADDS:
        total += load_rows(added, m, rows, columns, n_rows, C).to(tl.float32)
        store_rows(stream, m, rows, columns, n_rows, C, total)
    unit, _ = over_rms(total, C)
    store_rows(normed, m, rows, columns, n_rows, C, unit * load_gains(gain, m, columns, C)[None, :])


@triton.jit
def _norm_backward(
    stream, gain, dnormed, dy, dx, low, dgain, n_rows,
    C: tl.constexpr, BC: tl.constexpr, BM: tl.constexpr, WANTS_LOW: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(1)
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BC)
    unit, inverse = over_rms(load_rows(stream, m, rows, columns, n_rows, C), C)
    change = load_rows(dnormed, m, rows, columns, n_rows, C).to(tl.float32)
    store_sum(dgain, m, columns, C, change * unit)
    through = over_rms_backward(change * load_gains(gain, m, columns, C)[None, :], unit, inverse, C)
    total = load_rows(dy, m, rows, columns, n_rows, C) + through
    store_rows(dx, m, rows, columns, n_rows, C, total)
    if WANTS_LOW:
        store_rows(low, m, rows, columns, n_rows, C, total)


def _tile(C: int) -> tuple[int, int]:
    """Padded columns and rows of a tile."""
    BC = padded(C)
    return BC, max(1, _PLACES // BC)


def norm(x: Tensor, gain: Tensor, dtype: torch.dtype, added: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The stream x + `added` (M, n, C) in float32, x itself without, and its norm times the gains in `dtype`."""
    M, n, C = x.shape
    BC, BM = _tile(C)
    stream = x if added is None else torch.empty_like(x)
    normed = torch.empty_like(x, dtype=dtype)
    _norm_forward[row_blocks(n, BM, M, C)](
        x, x if added is None else added, gain, stream, normed, n, C, BC, BM, added is not None
    )
    return stream, normed


def norm_backward(
    stream: Tensor, gain: Tensor, dnormed: Tensor, dy: Tensor, low: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Gradients at the stream, of which `dy` comes past the norm, and at the gains; the first also into `low`."""
    M, n, C = stream.shape
    BC, BM = _tile(C)
    grid = row_blocks(n, BM, M, C)
    dx, dgain = torch.empty_like(stream), stream.new_empty(M, grid[0], C)
    _norm_backward[grid](
        stream, gain, dnormed, dy, dx, dx if low is None else low, dgain, n, C, BC, BM, low is not None
    )
    return dx, dgain.sum(dim=1)
