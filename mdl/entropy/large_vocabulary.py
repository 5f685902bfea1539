"""The coder's integer tables for a vocabulary of any size, on a grid that is chosen for the model at hand.

As `logit_rounding` for bytes. A large vocabulary has more logits near a rounding boundary, and a model that two ways of
computing move further apart needs a wider guard band; a coarser grid keeps the list short. Rounding logits to steps δ
costs about δ²/24 nats a symbol (the variance of a rounding is δ²/12, and half of it is Kullback-Leibler divergence).

Shape letters: n positions, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from mdl.entropy.logit_rounding import grid_of
from mdl.entropy.range_coder import exponential_table
from mdl.errors import MdlError

# A sum of V weights of 2^30 is below 2^50, which `shares` needs; and every symbol takes at least 1 of 2^24.
MOST_SYMBOLS = (1 << 20) - 1
_LOW_BITS = 12
_FARTHEST = 30 * math.log(2)  # below the largest logit: there the exponential table ends

STEP_BITS = range(0, 11)  # steps of 1 to 2^-10
EPSILON_BITS = range(4, 41)
WIDEST = 2.0**-4  # guard band: an eighth of the coarsest step


@dataclass(frozen=True)
class Grid:
    """Logits are rounded to steps of 2^-step_bits; within 2^-epsilon_bits of a boundary they are listed."""

    step_bits: int
    epsilon_bits: int

    @staticmethod
    def checked(step_bits: int, epsilon_bits: int) -> Grid:
        """The grid of an archive; MdlError for one that no writer chooses."""
        if step_bits not in STEP_BITS or epsilon_bits not in EPSILON_BITS:
            raise MdlError("the archive is damaged or forged: its grid is none that a writer chooses")
        return Grid(step_bits, epsilon_bits)

    @property
    def step(self) -> float:
        """Distance of grid points."""
        return 2.0**-self.step_bits

    @property
    def epsilon(self) -> float:
        """Half width of the guard band."""
        return 2.0**-self.epsilon_bits

    def overhead_bits(self, n_relevant: float, n_vocabulary: int) -> tuple[float, float]:
        """Expected bits a symbol: of the guard list with `n_relevant` of V logits that count, and of the rounding."""
        n_listed = n_relevant * 2 * self.epsilon / self.step
        gap = n_vocabulary / max(n_listed, 1e-300)
        return n_listed * (math.log2(max(gap, 1.0)) + 2.5), self.step**2 / 24 / math.log(2)


def choose_grid(epsilon: float, n_relevant: float, n_vocabulary: int) -> Grid:
    """The grid of the least overhead whose guard band is at least ε; a step is at least eight guard bands."""
    epsilon_bits = math.floor(-math.log2(epsilon))
    grids = [Grid(bits, epsilon_bits) for bits in STEP_BITS if bits <= max(0, epsilon_bits - 3)]
    return min(grids, key=lambda grid: sum(grid.overhead_bits(n_relevant, n_vocabulary)))


@cache
def _table(step: float, device: torch.device) -> Tensor:
    return torch.from_numpy(exponential_table(step)).to(device)


def place(logits: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """As `exact.grid_of` for logits (n, V), less the places whose weight is 0 on either side."""
    nearest, index, up = grid_of(logits, grid.step, grid.epsilon)
    below = (nearest.amax(-1, keepdim=True) - nearest).reshape(-1)[index]
    counts = below < len(_table(grid.step, logits.device))
    return nearest, index[counts], up[counts]


def n_relevant(logits: Tensor) -> float:
    """How many of V symbols have a weight in the tables, on average over logits (n, V)."""
    below = logits.amax(-1, keepdim=True) - logits
    return float((below < _FARTHEST).sum(-1).double().mean())


def intervals(nearest: Tensor, symbols: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Where the table of grid logits (n, V) puts each symbol (n,): left and width of 2^24."""
    sums = _running_sums(nearest, grid)
    right = sums.gather(-1, symbols[:, None])[:, 0]
    left = sums.gather(-1, (symbols - 1).clamp(min=0)[:, None])[:, 0].where(symbols > 0, 0)
    left, right = (shares(sum_, sums[:, -1], _total(sums)) for sum_ in (left, right))
    return left + symbols, right - left + 1


def counts(nearest: Tensor, grid: Grid) -> Tensor:
    """Counts (n, V) float64 ≥ 0 that sum to 2^24 − V; each symbol has count + 1 of 2^24."""
    sums = _running_sums(nearest, grid)
    return torch.diff(shares(sums, sums[:, -1:], _total(sums)), prepend=torch.zeros_like(sums[:, :1])).double()


def shares(part: Tensor, whole: Tensor, total: int) -> Tensor:
    """floor(part · total / whole) of int64 with 0 ≤ part ≤ whole ≤ 2^50 and total < 2^24, without overflow."""
    high, low = divmod(total, 1 << _LOW_BITS)
    product = part * high
    quotient = product.div(whole, rounding_mode="floor")
    rest = ((product - quotient * whole) << _LOW_BITS) + part * low
    return (quotient << _LOW_BITS) + rest.div(whole, rounding_mode="floor")


def _running_sums(nearest: Tensor, grid: Grid) -> Tensor:
    table = _table(grid.step, nearest.device)
    return table[(nearest.amax(-1, keepdim=True) - nearest).clamp_(max=len(table) - 1)].cumsum(-1)


def _total(sums: Tensor) -> int:
    return (1 << 24) - int(sums.shape[-1])
