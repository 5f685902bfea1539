"""Training budgets: a critical size is of a recipe, and half of the training tells whether more would still move it.

Where a sweep trains the same cell for several numbers of steps, the longest is what the report is about; the cells at
half of it are set beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.critical.estimates import critical_table, estimate
from analysis.critical.resampling import N_REPLICATES, columns
from analysis.records import halved, longest

_DATA = ["group", "subset_bytes"]
COLUMNS = ["group", "subset_bytes", "bytes_seen", "half_bytes_seen", "n_params", "low", "high", "n_params_half",
           "status_half", "ratio", "verdict"]  # fmt: skip

Chosen = Callable[[pd.DataFrame], pd.DataFrame]  # cells to one priced row a cell, as `study.shortest_codes`


def convergence_table(
    cells: pd.DataFrame, chosen: Chosen, n_replicates: int = N_REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """N* at the whole and at half the training budget, COLUMNS, one row per (group, subset_bytes) that has both.

    `cells` all budgets. Both of the shapes that were trained for both: N* moves with the shapes too. `low`, `high`: the
    span of both estimators' intervals. `verdict`: converged (the half's N* lies within the whole's interval),
    unconverged, or unknown (no interval, or not bracketed). `ratio` is whole/half.
    """
    less = halved(cells)
    if less.empty:
        return pd.DataFrame(columns=COLUMNS)
    most, shape = longest(cells), ["group", "subset_bytes", "n_params"]
    most = most.merge(less[shape].drop_duplicates(), on=shape)
    whole = _sizes(chosen(most), n_replicates, seed).drop(columns=["low", "high"])
    half = _sizes(chosen(less), 0, seed)[["n_params", "status"]].add_suffix("_half")
    seen = most.groupby(_DATA)["bytes_seen"].max(), less.groupby(_DATA)["bytes_seen"].max().rename("half_bytes_seen")
    both = pd.concat([whole, half, *seen], axis=1, join="inner").reset_index()
    both = both.rename(columns={"span_low": "low", "span_high": "high"})
    both["ratio"] = both["n_params"] / both["n_params_half"]
    judged = both[["n_params", "low", "high", "n_params_half"]].astype(float)
    both["verdict"] = [_verdict(*row) for row in judged.itertuples(index=False)]
    return both[COLUMNS]


def _sizes(chosen: pd.DataFrame, n_replicates: int, seed: int) -> pd.DataFrame:
    """`estimates.critical_table` by (group, subset_bytes); no rows for no cells, as of a price that these have not."""
    return critical_table([estimate(column) for column in columns(chosen, n_replicates, seed)]).set_index(_DATA)


def _verdict(n: float, low: float, high: float, n_half: float) -> str:
    if not np.isfinite([n, low, high, n_half]).all():
        return "unknown"
    return "converged" if low <= n_half <= high else "unconverged"
