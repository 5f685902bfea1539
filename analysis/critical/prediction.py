"""What the laws of the critical size and of the rate there predict for dataset sizes that were not run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.critical.rate_law import RateLaw
from analysis.critical.resampling import middle_and_interval
from analysis.critical.size import PowerLaw
from analysis.critical.size_law import LawDraws

_COLUMNS = [
    "group",
    "subset_bytes",
    "n_params",
    "low",
    "high",
    "adjusted_rate",
    "rate_low",
    "rate_high",
    "extrapolated",
]


def predictions(
    group: str,
    found: PowerLaw,
    draws: LawDraws | None,
    *,
    rates: RateLaw | None,
    grid_bytes: Sequence[float],
    asked: Sequence[float],
) -> list[dict[str, object]]:
    """The laws at the dataset sizes `asked`; `extrapolated`: outside those of the grid. None without a law.

    With draws a size is the middle of those whose exponent may change: of the committed studies' larger dataset sizes,
    from smaller ones, it is off by 15 %, as a root of mean squares, and the straight law by 18 %.
    """
    if found.gamma is None:
        return []
    rows: list[dict[str, object]] = []
    for d in asked:
        size = (float(found.predict(d)), np.nan, np.nan)
        if draws is not None:
            size = middle_and_interval(draws.sizes(d))
        rate = (np.nan, np.nan, np.nan) if rates is None else rates.predict(d)
        outside = not min(grid_bytes) <= d <= max(grid_bytes)
        rows.append(dict(zip(_COLUMNS, (group, d, *size, *rate, outside), strict=True)))
    return rows


def prediction_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """A row per group and dataset size asked; columns as `study.Study.predictions`."""
    return pd.DataFrame(rows, columns=_COLUMNS)
