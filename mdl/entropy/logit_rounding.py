"""Float64 logits rounded to integers so that every machine gets the same ones.

The parallel pass (`float64_parallel`) and the step-by-step pass (`float64_stepwise`) of one model differ by some 1e-13
in the logits, and so do thread counts, batch sizes, devices and library versions. Rounded to the coder's grid they
agree unless a logit lies within that distance of a rounding boundary. The encoder lists every logit within `EPSILON` of
one, with the side it took; there the decoder takes the side it is told (the *guard band*).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from mdl.entropy.range_coder import GRID, TOTAL, exponential_table
from mdl.errors import MdlError

# Logits this near to a rounding boundary are written down: thousands of times the measured difference.
EPSILON = 1e-9
# The difference grows with the logits; trained models stay below 100. Above this the bound is not trusted.
MAX_LOGIT = 1000.0


def grid_of(logits: Tensor, step: float = GRID, epsilon: float | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Of float64 logits: nearest grid points (…, V) int64, the flat places near a boundary, and whether each went up.

    Near is within epsilon (None: EPSILON). MdlError where a logit is not finite or so large that that is no bound.
    """
    largest = float(logits.abs().amax()) if logits.numel() else 0.0
    if not largest <= MAX_LOGIT:
        raise MdlError(
            f"the model's largest logit is {largest:g}; exact decoding is promised up to {MAX_LOGIT:g}; "
            "use another model"
        )
    epsilon = EPSILON if epsilon is None else epsilon
    scaled = logits.contiguous() / step  # exact: a power of two
    nearest = (scaled + 0.5).floor()
    places = ((scaled - nearest).abs_() >= 0.5 - epsilon / step).view(-1).nonzero()[:, 0]
    return nearest.long(), places, nearest.view(-1)[places] > scaled.view(-1)[places].floor()


def nearest_grid(logits: Tensor, step: float = GRID) -> Tensor:
    """Grid points (n, V) of a decoder's logits, which may be anything where an archive is forged."""
    return (_finite_scaled(logits, step) + 0.5).floor_().long()


def guided_grid(logits: Tensor, index: Tensor, up: Tensor, step: float = GRID) -> Tensor:
    """The encoder's grid points (n, V) from the decoder's logits, with the listed sides at the flat places `index`."""
    nearest = nearest_grid(logits, step)
    nearest.view(-1)[index] = _finite_scaled(logits, step).view(-1)[index].floor().long() + up
    return nearest


def _finite_scaled(logits: Tensor, step: float) -> Tensor:
    return torch.nan_to_num(logits.contiguous() / step).clamp_(-(2.0**40), 2.0**40)


@cache
def _table_on(device: torch.device) -> Tensor:
    return torch.from_numpy(exponential_table()).to(device)


def _cumulative_weights(grid: Tensor) -> Tensor:
    """Running sums (…, V) int64 of the exponential table's weights."""
    table = _table_on(grid.device)
    below = (grid.amax(-1, keepdim=True) - grid).clamp_(max=len(table) - 1)
    return table[below].cumsum(-1)


def cumulative_counts(grid: Tensor) -> Tensor:
    """Cumulative counts (…, V) int64 of integer grid logits, the last TOTAL: `coder.counts` on any device."""
    cumulative = _cumulative_weights(grid)
    return cumulative * TOTAL // cumulative[..., -1:]


def symbol_intervals(grid: Tensor, symbols: Tensor) -> tuple[Tensor, Tensor]:
    """Where the coder's table puts each symbol (n,), from grid logits (n, V): left and width of 2^24."""
    cumulative = _cumulative_weights(grid)
    right = cumulative.gather(-1, symbols[:, None])[:, 0]
    left = cumulative.gather(-1, (symbols - 1).clamp(min=0)[:, None])[:, 0].where(symbols > 0, 0)
    left, right = (sums * TOTAL // cumulative[:, -1] for sums in (left, right))
    return left + symbols, right - left + 1


def float64_counts(grid: Tensor) -> Tensor:
    """The coder's counts (n, V) of integer grid logits as float64, which is what it reads."""
    cumulative = cumulative_counts(grid)
    return torch.diff(cumulative, prepend=torch.zeros_like(cumulative[:, :1])).double()
