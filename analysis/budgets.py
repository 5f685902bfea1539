"""Training budgets: a critical size is of a recipe, and half of the training tells whether more would still move it.

Where a sweep trains the same cell for several numbers of steps, the longest is what the report is about; the cells at
half of it are set beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.critical import critical_size
from analysis.uncertainty import columns

_CELL = ["group", "subset_bytes", "n_params", "seed", "shuffle_seed"]
_HALF = 0.6  # a budget up to this share of the longest counts as half of it
COLUMNS = ["group", "subset_bytes", "bytes_seen", "half_bytes_seen", "n_params", "low", "high", "n_params_half",
           "status_half", "ratio", "verdict"]  # fmt: skip

Chosen = Callable[[pd.DataFrame], pd.DataFrame]  # cells to one priced row a cell, as `study.shortest_codes`


def longest(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells trained longest, each among those of the same shape, data and seeds (the columns of `Table.cells`)."""
    return cells[cells["bytes_seen"] == _most(cells)]


def halved(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells trained about half as long as the longest of the same shape, data and seeds; none: no rows."""
    below = cells[(cells["bytes_seen"] > 0) & (cells["bytes_seen"] <= _HALF * _most(cells))]  # 0: not told
    return longest(below) if len(below) else below


def _most(cells: pd.DataFrame) -> pd.Series[int]:
    return cells.groupby(_CELL)["bytes_seen"].transform("max")


def convergence(cells: pd.DataFrame, critical: pd.DataFrame, chosen: Chosen) -> pd.DataFrame:
    """N* at the whole and at half the training budget, COLUMNS, one row per (group, subset_bytes) that has both.

    `cells` all budgets; `critical` the whole budget's sizes (`Study.critical`). `verdict`: converged (the half's N*
    lies within the whole's interval), unconverged, or unknown (no interval, or not bracketed). `ratio` is whole/half.
    """
    less = halved(cells)
    if less.empty:
        return pd.DataFrame(columns=COLUMNS)
    seen = longest(cells).groupby(["group", "subset_bytes"])["bytes_seen"].max()
    half_seen = less.groupby(["group", "subset_bytes"])["bytes_seen"].max()
    whole = {(row["group"], row["subset_bytes"]): row for row in critical.to_dict("records")}
    rows = []
    for column in columns(chosen(less), n_replicates=0, seed=0):
        key = column.group, column.subset_bytes
        if key not in whole:
            continue
        found = critical_size(column.sizes, column.mean, column.price, column.n_seeds)
        n_half = np.nan if found.n_params is None else found.n_params
        n, low, high = (float(whole[key][name]) for name in ("n_params", "low", "high"))
        rows.append((*key, seen[key], half_seen[key], n, low, high, n_half, found.status, n / n_half,
                     _verdict(n, low, high, n_half)))  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _verdict(n: float, low: float, high: float, n_half: float) -> str:
    if not np.isfinite([n, low, high, n_half]).all():
        return "unknown"
    return "converged" if low <= n_half <= high else "unconverged"
