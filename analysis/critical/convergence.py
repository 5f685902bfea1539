"""Training budgets: a critical size is of a recipe, and half of the training tells whether more would still move it.

Where a sweep trains the same cell for several numbers of steps, the longest is what the report is about; the cells at
half of it, at half of that and so on are set beside it. The shapes' effects are the same at all of them, so that they
hardly count in the ratio of two critical sizes, and the ratio is judged by itself: an equivalence test (Schuirmann
1987). The gain of the last doubling says how far the limit is, for a further doubling gains 2^−½ to ½ of it, as runs of
1,500 to 24,000 steps did. How far the size will move is less sure the more of the rate is still to come: models that
have learned little move by what the next doublings teach them, which the last one does not show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from analysis.critical.estimates import Estimate, estimate_all
from analysis.critical.resampling import N_REPLICATES, columns, interval

MARGIN = 1.1  # a smaller factor is no difference
WIDEST = 4.0  # an interval's upper end over its lower one; beyond it, it is told before the size, which is a guess
_DATA = ["group", "subset_bytes"]
COLUMNS = [
    "group",
    "subset_bytes",
    "bytes_seen",
    "half_bytes_seen",
    "n_params",
    "low",
    "high",
    "n_params_half",
    "status_half",
    "ratio",
    "ratio_low",
    "ratio_high",
    "points",
    "verdict",
    "limit",
    "limit_low",
    "limit_high",
    "points_least",
    "points_most",
]
_FALL = 0.5, 1.0  # p: with b times the training a gain is b^−p of what it was
# Standard deviation of log N* of the limit about what is foretold, per share of the rate that is still to come, as
# benchmarks/coverage_of_limits.py finds it, and of what no gain explains.
_UNFORETOLD, _UNFORETOLD_ANYWAY = 1.15, 0.035
_STREAM = 1987

Ends = tuple[float, float, float]  # a number, and its 95 % interval: low, high
Chosen = Callable[[pd.DataFrame], pd.DataFrame]  # cells to one priced row a cell, as `codes.shortest_codes`


def endless(size: Ends, limit: Ends) -> Ends:
    """N* of endless training with its 95 % interval, from N* at this training and the factor that it is off by.

    Both are N*, low, high (parameters; factors), all above 0; in logarithms their errors are taken as independent.
    """
    n, low, high = map(math.log, size)
    factor, least, most = map(math.log, limit)
    down, up = math.hypot(n - low, factor - least), math.hypot(high - n, most - factor)
    return math.exp(n + factor), math.exp(n + factor - down), math.exp(n + factor + up)


def convergence_table(
    most: pd.DataFrame,
    shorter: Sequence[pd.DataFrame],
    chosen: Chosen,
    n_replicates: int = N_REPLICATES,
    seed: int = 0,
) -> pd.DataFrame:
    """N* at the whole training budget and at half of it, at half of that …: COLUMNS, one row per (group, subset_bytes)

    and shorter budget. `most` is of `records.longest`, `shorter` of `records.halved`. Both N* are of the shapes that
    were trained for both. `ratio` is whole/half, with its paired 95 % interval; `points` by how much the whole's
    adjusted rate is lower, as a fraction. `verdict`: converged (the interval lies within a factor of MARGIN),
    unconverged (it leaves out 1, and does not), undecided, or unknown (no interval, or not bracketed). `limit`: N* of
    endless training over the whole's, with the 95 % interval of the draws and of how fast gains fall; `points_least`,
    `points_most`: by how much lower the rate would be.
    """
    tables = [_beside(most, less, chosen, n_replicates, seed) for less in shorter]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def _beside(most: pd.DataFrame, less: pd.DataFrame, chosen: Chosen, n_replicates: int, seed: int) -> pd.DataFrame:
    """Of the longest training and a shorter one."""
    shape = ["group", "subset_bytes", "n_params"]
    most = most.merge(less[shape].drop_duplicates(), on=shape)
    priced = [chosen(some) for some in (most, less)]
    both = priced[0][shape].merge(priced[1][shape], on=shape).drop_duplicates()
    of_whole, of_half = (columns(some.merge(both, on=shape), n_replicates, seed) for some in priced)
    found = estimate_all([*of_whole, *of_half], n_replicates)
    whole, half = (
        {(e.column.group, e.column.subset_bytes): e for e in some}
        for some in (found[: len(of_whole)], found[len(of_whole) :])
    )
    seen = [frame.groupby(_DATA)["bytes_seen"].max() for frame in (most, less)]
    rows = []
    for place in (place for place in whole if place in half):
        most_seen, less_seen = (int(of[place]) for of in seen)
        compared = _compared(whole[place], half[place])
        limit = _limit(whole[place], half[place], most_seen / less_seen)
        rows.append((*place, most_seen, less_seen, *compared, *limit))
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


def _limit(whole: Estimate, half: Estimate, times: float) -> Sequence[float]:
    """limit to points_most of COLUMNS: what r(b) = r∞ + c·b^−p makes of the gain from a budget to `times` as much."""
    most, least = (1 / (times**p - 1) for p in _FALL)  # of that gain, what is still to come
    gain = float(str(half.row["adjusted_rate"])) - float(str(whole.row["adjusted_rate"]))
    moved = np.log(float(str(whole.row["n_params"])) / float(str(half.row["n_params"])))
    points = sorted((least * gain, most * gain))
    if not np.isfinite(moved) or whole.draws is None or half.draws is None:
        return np.nan, np.nan, np.nan, *points
    to_come = 1 / (times ** np.mean(_FALL) - 1)
    share = abs(gain) / float(str(whole.row["adjusted_rate"])) * to_come
    rng = np.random.default_rng(_STREAM)
    fall = rng.uniform(*_FALL, whole.draws.size)
    rest = rng.normal(0.0, np.hypot(_UNFORETOLD_ANYWAY, _UNFORETOLD * share), whole.draws.size)
    low, high = interval(np.exp(np.log(whole.draws / half.draws) / (times**fall - 1) + rest))
    return float(np.exp(moved * to_come)), low, high, *points


def _verdict(low: float, high: float) -> str:
    if not np.isfinite(low + high):
        return "unknown"
    if low >= 1 / MARGIN and high <= MARGIN:
        return "converged"
    return "undecided" if low <= 1 <= high else "unconverged"
