"""Training budgets: a critical size is of a recipe, and half of the training tells whether more would still move it.

Where a sweep trains the same cell for several numbers of steps, the longest is what the report is about; the cells at
half of it are set beside it. The shapes' effects are the same at both, so that they hardly count in the ratio of the
two critical sizes, and the ratio is judged by itself: an equivalence test (Schuirmann 1987).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from analysis.critical.estimates import Estimate, estimate_all
from analysis.critical.resampling import N_REPLICATES, columns, interval
from analysis.records import halved, longest

MARGIN = 1.1  # a smaller factor is no difference
_DATA = ["group", "subset_bytes"]
COLUMNS = ["group", "subset_bytes", "bytes_seen", "half_bytes_seen", "n_params", "low", "high", "n_params_half",
           "status_half", "ratio", "ratio_low", "ratio_high", "points", "verdict"]  # fmt: skip

Chosen = Callable[[pd.DataFrame], pd.DataFrame]  # cells to one priced row a cell, as `study.shortest_codes`


def convergence_table(
    cells: pd.DataFrame, chosen: Chosen, n_replicates: int = N_REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """N* at the whole and at half the training budget, COLUMNS, one row per (group, subset_bytes) that has both.

    `cells` all budgets. Both of the shapes that were trained for both: N* moves with the shapes too. `ratio` is
    whole/half, with its paired 95 % interval; `points` by how much the whole's adjusted rate is lower, as a fraction.
    `verdict`: converged (the interval lies within a factor of MARGIN), unconverged (it leaves out 1, and does not),
    undecided, or unknown (no interval, or not bracketed).
    """
    less = halved(cells)
    if less.empty:
        return pd.DataFrame(columns=COLUMNS)
    most, shape = longest(cells), ["group", "subset_bytes", "n_params"]
    most = most.merge(less[shape].drop_duplicates(), on=shape)
    of_whole, of_half = (columns(chosen(some), n_replicates, seed) for some in (most, less))
    found = estimate_all([*of_whole, *of_half], n_replicates)
    whole, half = (
        {(e.column.group, e.column.subset_bytes): e for e in some}
        for some in (found[: len(of_whole)], found[len(of_whole) :])
    )
    seen = [frame.groupby(_DATA)["bytes_seen"].max() for frame in (most, less)]
    rows = [
        (*place, *(int(of[place]) for of in seen), *_compared(whole[place], half[place]))
        for place in whole
        if place in half
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _compared(whole: Estimate, half: Estimate) -> Sequence[object]:
    """n_params to verdict of COLUMNS."""
    n, n_half, rate, rate_half = (
        float(str(one.row[name])) for name in ("n_params", "adjusted_rate") for one in (whole, half)
    )
    low = high = np.nan
    if np.isfinite(n / n_half) and whole.draws is not None and half.draws is not None:
        low, high = interval(whole.draws / half.draws)
    ends = (whole.row.get("low", np.nan), whole.row.get("high", np.nan))
    return (n, *ends, n_half, half.row["status"], n / n_half, low, high, rate_half - rate, _verdict(low, high))


def _verdict(low: float, high: float) -> str:
    if not np.isfinite(low + high):
        return "unknown"
    if low >= 1 / MARGIN and high <= MARGIN:
        return "converged"
    return "undecided" if low <= 1 <= high else "unconverged"
