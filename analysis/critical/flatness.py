"""The adjusted rate between the model sizes that were run: the curve whose least is the critical size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.critical.interpolation import total_between
from analysis.critical.resampling import Column
from analysis.critical.size import LEAST_SIZES
from analysis.types import Floats

NEAR = 0.01
_PLACES = 16  # from one size to the next


def between(columns: Sequence[Column]) -> pd.DataFrame:
    """group, subset_bytes, n_params (not whole), adjusted_rate; of one or two sizes those alone."""
    rows = []
    for column in columns:
        at, total = _curve(column)
        rate = total / (8 * column.subset_bytes)
        rows.append({"group": column.group, "subset_bytes": column.subset_bytes, "n_params": at, "adjusted_rate": rate})
    names = ["group", "subset_bytes", "n_params", "adjusted_rate"]
    return (
        pd.DataFrame(rows, columns=names).explode(names[2:], ignore_index=True).astype(dict.fromkeys(names[2:], float))
    )


def near_least(column: Column) -> tuple[float, float]:
    """The model sizes between which the adjusted rate is within a hundredth of its least: how flat the minimum is."""
    at, total = _curve(column)
    best = int(total.argmin())
    beyond = np.flatnonzero(total > (1 + NEAR) * total[best])
    low, high = beyond[beyond < best].max(initial=-1) + 1, beyond[beyond > best].min(initial=at.size) - 1
    return float(at[low]), float(at[high])


def _curve(column: Column) -> tuple[Floats, Floats]:
    """Sizes, and code + parameters in bits at each."""
    if column.sizes.size < LEAST_SIZES:
        return column.sizes, column.mean + column.price * column.sizes
    places = np.arange((column.sizes.size - 1) * _PLACES + 1) / _PLACES
    at = np.exp(np.interp(places, np.arange(column.sizes.size), np.log(column.sizes)))
    at = np.clip(at, column.sizes[0], column.sizes[-1])  # of rounding
    return at, total_between(column.sizes, column.mean, column.n_seeds, column.price, at)
