"""The adjusted rate between the model sizes that were run: the curve whose least is the critical size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.critical.interpolation import total_between
from analysis.critical.minimum import Minimum
from analysis.critical.resampling import Column
from analysis.critical.size import LEAST_SIZES
from analysis.critical.smooth_law import prices_at
from analysis.types import Floats

NEAR = 0.01
_PLACES = 16  # from one size to the next
_NAMES = ["group", "subset_bytes", "n_params", "adjusted_rate"]


def between(columns: Sequence[Column], found: Sequence[Minimum | None]) -> pd.DataFrame:
    """group, subset_bytes, n_params (not whole), adjusted_rate; of one or two sizes those alone."""
    rows = []
    for column, minimum in zip(columns, found, strict=True):
        at, total = _curve(column, minimum)
        rate = total / (8 * column.subset_bytes)
        rows.append(dict(zip(_NAMES, (column.group, column.subset_bytes, at, rate), strict=True)))
    frame = pd.DataFrame(rows, columns=_NAMES).explode(_NAMES[2:], ignore_index=True)
    return frame.astype(dict.fromkeys(_NAMES[2:], float))


def near_least(column: Column, minimum: Minimum) -> tuple[float, float]:
    """The model sizes between which the adjusted rate is within a hundredth of its least: how flat the minimum is."""
    at, total = _curve(column, minimum)
    best = int(total.argmin())
    most = (1 + NEAR) * total[best]
    beyond = np.flatnonzero(total > most)
    low, high = beyond[beyond < best].max(initial=-1), beyond[beyond > best].min(initial=at.size)
    return (
        float(at[0]) if low < 0 else _where(most, at[[low + 1, low]], total[[low + 1, low]]),
        float(at[-1]) if high == at.size else _where(most, at[[high - 1, high]], total[[high - 1, high]]),
    )


def _where(level: float, at: Floats, total: Floats) -> float:
    """The size between two at which the total, which rises from the first to the second, is at a level."""
    return float(np.exp(np.interp(level, total, np.log(at))))


def _curve(column: Column, minimum: Minimum | None) -> tuple[Floats, Floats]:
    """Sizes, and code + parameters in bits at each: by the smooth law about its minimum, else as measured."""
    if column.sizes.size < LEAST_SIZES or minimum is None:
        return column.sizes, column.mean + column.price * column.sizes
    places = np.arange((column.sizes.size - 1) * _PLACES + 1) / _PLACES
    log_n = np.interp(places, np.arange(column.sizes.size), np.log(column.sizes))
    at = np.clip(np.exp(log_n), column.sizes[0], column.sizes[-1])  # of rounding
    local = total_between(column.sizes, column.mean, column.n_seeds, column.price, at)
    smooth = np.interp(log_n, minimum.places, minimum.bits) + prices_at(column.sizes, column.price, log_n)
    share = _share_of_law(np.log(column.sizes), log_n, minimum)
    return at, np.exp(share * np.log(smooth) + (1 - share) * np.log(local))


def _share_of_law(sizes: Floats, log_n: Floats, minimum: Minimum) -> Floats:
    """1 at the shapes of the law's window, 0 from the next shape on, a slope between."""
    inside = (sizes >= minimum.window[0] - 1e-9) & (sizes <= minimum.window[1] + 1e-9)
    return np.interp(log_n, sizes, inside.astype(np.float64))
