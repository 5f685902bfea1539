"""What the fused kernels share: the root mean square norm and GELU, forward and backward, on tiles.

Letters as in `models.transformer`; a tile is BM rows (bytes of windows) of all C columns, padded to BC, a power of two.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from mdl.errors import MdlError
from mdl.models import layer as plain

RMS_EPS = tl.constexpr(plain.RMS_EPS)
MOST_ROWS = 2**21  # 2^31 places of four times the greatest width


def padded(n: int) -> int:
    """The least power of two that holds n and that a product of tiles takes."""
    return max(16, triton.next_power_of_2(n))


def row_blocks(n_rows: int, block: int, n_members: int) -> tuple[int, int]:
    """The grid of kernels that take a block of rows of one member each; places in a member are counted in 32 bits."""
    if n_rows > MOST_ROWS:
        raise MdlError(
            f"a batch has {n_rows} bytes a member, at most {MOST_ROWS} go through the model at once; "
            "lower train.batch_windows"
        )
    return triton.cdiv(n_rows, block), n_members


@triton.jit
def load_rows(base, member, rows, columns, n_rows, C: tl.constexpr):
    """A tile of a member's rows (M, n_rows, C), zeros outside."""
    places = base + member.to(tl.int64) * n_rows * C + rows[:, None] * C + columns[None, :]
    return tl.load(places, mask=(rows < n_rows)[:, None] & (columns < C)[None, :], other=0.0)


@triton.jit
def store_rows(base, member, rows, columns, n_rows, C: tl.constexpr, tile):
    """Write a tile to where `load_rows` reads it, in the precision that is there."""
    places = base + member.to(tl.int64) * n_rows * C + rows[:, None] * C + columns[None, :]
    tl.store(places, tile.to(base.dtype.element_ty), mask=(rows < n_rows)[:, None] & (columns < C)[None, :])


@triton.jit
def store_sum(partial, member, columns, C: tl.constexpr, tile):
    """Write the sum over the rows of this block's tile to (M, blocks, C), to be added up in a fixed order."""
    block = member * tl.num_programs(0) + tl.program_id(0)
    tl.store(partial + block * C + columns, tl.sum(tile, axis=0), mask=columns < C)


@triton.jit
def store_part(parts, member, n_members, rows, columns, R: tl.constexpr, C: tl.constexpr, tile):
    """Write what this program adds up of a member's matrix to (programs, M, R, C), likewise."""
    places = (tl.program_id(0).to(tl.int64) * n_members + member) * (R * C) + rows[:, None] * C + columns[None, :]
    tl.store(parts + places, tile, mask=(rows < R)[:, None] & (columns < C)[None, :])


@triton.jit
def load_gains(gain, member, columns, C: tl.constexpr):
    """A member's gains (M, C), zeros outside."""
    return tl.load(gain + member * C + columns, mask=columns < C, other=0.0)


@triton.jit
def matrix_of(base, member, rows, columns, R: tl.constexpr, C: tl.constexpr, whole: tl.constexpr = False):
    """A member's piece of a stacked matrix (M, R, C), zeros outside, of which there is nothing if it is `whole`."""
    places = base + member.to(tl.int64) * (R * C) + rows[:, None] * C + columns[None, :]
    if whole:
        return tl.load(places)
    return tl.load(places, mask=(rows < R)[:, None] & (columns < C)[None, :], other=0.0)


@triton.jit
def tile_of(base, member, first, rows, R: tl.constexpr, C: tl.constexpr, BN: tl.constexpr):
    """Columns first … first + BN of a member's stacked matrix (M, R, C) that lies as `tiled` puts it."""
    places = base + member.to(tl.int64) * (R * C) + first * R + rows[:, None] * BN + tl.arange(0, BN)[None, :]
    return tl.load(places)


@triton.jit
def over_rms(x, C: tl.constexpr):
    """x over its root mean square, and one over that."""
    inverse = 1.0 / tl.sqrt(tl.sum(x * x, axis=1) / C + RMS_EPS)
    return x * inverse[:, None], inverse


@triton.jit
def over_rms_backward(gradient, unit, inverse, C: tl.constexpr):
    """The gradient at x, of `over_rms`, from that at its first result `unit`."""
    return inverse[:, None] * (gradient - unit * (tl.sum(gradient * unit, axis=1) / C)[:, None])


@triton.jit
def upper_tail(a):
    """1 − Φ(a) of the standard normal distribution for a ≥ 0, within 2e-6: two to the power of a polynomial.

    The power is near a parabola. Its coefficients are those of degree 5 by which a · (1 − Φ(a)) is off least, 6e-7.
    """
    slope = -1.15098217 + a * (-0.45962032 + a * (-0.052131404 + a * (0.007194265 + a * -0.00048761)))
    return tl.exp2(-1.000005105 + a * slope)


@triton.jit
def gelu(x):
    """x · Φ(x), within 6e-7."""
    a = tl.abs(x)
    return tl.maximum(x, 0.0) - a * upper_tail(a)


@triton.jit
def normal(x):
    """Φ(x), the standard normal distribution function, and its density."""
    tail = upper_tail(tl.abs(x))
    return tl.where(x > 0, 1.0 - tail, tail), tl.exp2(x * x * -0.7213475204444817) * 0.3989422804014327


@triton.jit
def angles(table, t, n, half: tl.constexpr, BN: tl.constexpr):
    """A table (T, half) at times t for the pairs of columns n, n + 1, …"""
    return tl.load(table + t[:, None] * half + ((n // 2 + tl.arange(0, BN // 2)) % half)[None, :])


@triton.jit
def turned(x, c, s, BM: tl.constexpr, BN: tl.constexpr):
    """Neighboring columns (BM, BN) as the plane's coordinates, turned."""
    a, b = tl.split(tl.reshape(x, (BM, BN // 2, 2)))
    return tl.reshape(tl.join(a * c - b * s, a * s + b * c), (BM, BN))


def tiled(matrix: Tensor, n_columns: int) -> Tensor:
    """(M, R, C) with so many columns at a time one after another: (M, C / `n_columns`, R, `n_columns`)."""
    M, R, C = matrix.shape
    return matrix.view(M, R, C // n_columns, n_columns).transpose(1, 2).contiguous()


def paired(x: Tensor, half: int) -> Tensor:
    """(…, C) with the two columns of a head that rotation mixes side by side; a head has 2 · `half`."""
    return x.view(*x.shape[:-1], -1, 2, half).transpose(-1, -2).reshape(x.shape)


def unpaired(x: Tensor, half: int) -> Tensor:
    """The other way."""
    return x.view(*x.shape[:-1], -1, half, 2).transpose(-1, -2).reshape(x.shape)
