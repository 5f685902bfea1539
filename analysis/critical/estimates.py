"""Critical sizes of a sweep: per dataset size both estimators with intervals, and draws for the laws through them."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.critical.flatness import near_least
from analysis.critical.group_fit import GroupFit, fit_group
from analysis.critical.interpolation import minima
from analysis.critical.minimum import Minimum
from analysis.critical.resampling import N_REPLICATES, Column, interval
from analysis.critical.size import LEAST_SIZES, critical_size
from analysis.critical.smooth_law import prices_at
from analysis.formatting import format_count
from analysis.types import Floats

COLUMNS = [
    "group",
    "subset_bytes",
    "n_params",
    "low",
    "high",
    "interval",
    "p_bracketed",
    "adjusted_rate",
    "raw_rate",
    "status",
    "message",
    "doubt",
    "grid_best",
    "n_sizes",
    "n_pooled",
    "n_local",
    "local_low",
    "local_high",
    "least_size",
    "most_size",
    "near_low",
    "near_high",
    "shape_sd",
    "bend_sd",
    "shapes_are_usual",
]
_NO_NUMBERS = ("group", "interval", "status", "message", "doubt", "shapes_are_usual")
_BENT = 0.02  # drifts that bend the code lengths by so much leave little of a power law
_OUTER = 1  # shapes at either end between which a minimum is hardly bracketed


class Exponent(NamedTuple):
    """α of E + A·N^−α over all shapes at the largest dataset size, where fewest models know their subset by heart."""

    alpha: float
    draws: Floats  # (R,) together with those of N*


class Estimate(NamedTuple):
    """One dataset size. Draws are (R,), together with those of the other dataset sizes of the group."""

    row: dict[str, object]  # COLUMNS
    column: Column
    minimum: Minimum | None = None  # None, as the others, with too few sizes
    draws: Floats | None = None  # of N*
    without_drift: Floats | None = None  # of N* by an exponent that does not drift
    exponent: Exponent | None = None  # of the law of all shapes, the group's


def estimate_all(columns: Sequence[Column], n_draws: int = N_REPLICATES) -> list[Estimate]:
    """Both estimators of the critical size at every dataset size, those of a group together; in the order of columns.

    The first is the least of a smooth law of the code length over the shapes about the minimum, `group_fit`, with what
    shapes leave over as noise of the shapes; the second, local, interpolates the measured code lengths.
    """
    found: dict[int, Estimate] = {}
    order = sorted(range(len(columns)), key=lambda i: columns[i].group)
    for group, same in itertools.groupby(order, key=lambda i: columns[i].group):
        at = list(same)
        enough = [i for i in at if columns[i].sizes.size >= LEAST_SIZES]
        found |= {i: Estimate(_local(columns[i]), columns[i]) for i in at}
        if enough:
            fit = fit_group([columns[i] for i in enough])
            draws = fit.draws(n_draws, [zlib.crc32(group.encode())])
            for k, i in enumerate(enough):
                row = found[i].row | _smooth(columns[i], k, fit, found[i].row)
                found[i] = Estimate(
                    row=row,
                    column=columns[i],
                    minimum=fit.minima[k],
                    draws=draws.n_params[k],
                    without_drift=draws.without_drift[k],
                    exponent=Exponent(fit.alpha, draws.alpha),
                )
    return [found[i] for i in range(len(columns))]


def _local(column: Column) -> dict[str, object]:
    """Where the grid stands, and the local estimator: the interpolated code length's, with its replicates' interval."""
    found = critical_size(column.sizes, column.mean, column.price, column.n_seeds)
    d, local = column.subset_bytes, found.n_params
    row: dict[str, object] = {
        "group": column.group,
        "subset_bytes": d,
        "interval": "none",
        "status": found.status,
        "n_params": np.nan,
        "message": found.message,
        "doubt": "",
        "adjusted_rate": found.total_bits / (8 * d),
        "raw_rate": found.code_bits / (8 * d),
        "grid_best": found.grid_best,
        "n_sizes": found.n_sizes,
        "n_pooled": found.n_pooled,
        "least_size": float(column.sizes[0]),
        "most_size": float(column.sizes[-1]),
        "n_local": np.nan if local is None else local,
    }
    if local is not None and column.draws is not None:
        drawn = minima(column.sizes, column.draws, column.n_seeds, column.price).n_params
        row["local_low"], row["local_high"] = interval(drawn)
    return row


def _smooth(column: Column, k: int, fit: GroupFit, local: dict[str, object]) -> dict[str, object]:
    """What the smooth law of the k-th of the group's dataset sizes adds."""
    minimum = fit.minima[k]
    low, high = minimum.interval
    least, most = float(column.sizes[0]), float(column.sizes[-1])
    row: dict[str, object] = {
        "low": low,
        "high": high,
        "interval": "shapes" if column.kind == "none" else column.kind,
        "p_bracketed": minimum.share_below(most) - minimum.share_below(least),
        "shape_sd": fit.effects.typical_shape,
        "bend_sd": fit.bends[k],
        "shapes_are_usual": fit.effects.is_usual,
    }
    if local["status"] != "bracketed":
        return row | {"doubt": f"the minimum is at the edge of the sizes that were run, {_between(column.sizes)}"}
    n = float(np.clip(np.exp(minimum.quantile(0.5)), least, most))
    code, d = minimum.code_bits(n), 8 * column.subset_bytes
    price = float(prices_at(column.sizes, column.price, np.log([n]))[0])
    row |= {"n_params": n, "raw_rate": code / d, "adjusted_rate": (code + price) / d}
    row["near_low"], row["near_high"] = near_least(column, minimum)
    return row | {"doubt": _doubt(column, n, (low, high), fit.bends[k])}


def _doubt(column: Column, n: float, ends: tuple[float, float], bend: float) -> str:
    """Why the law of this dataset size is to be taken with care; empty: nothing is known against it."""
    sizes = column.sizes
    if not sizes[_OUTER] <= n <= sizes[-1 - _OUTER]:
        side = "below" if n < sizes[_OUTER] else "above"
        return f"only one of the sizes that were run, {_between(sizes)}, lies {side} the minimum"
    if ends[0] < sizes[0] or ends[1] > sizes[-1]:
        return f"the interval reaches beyond the sizes that were run, {_between(sizes)}"
    if bend > _BENT:
        return "the code lengths bend otherwise than a power law with a floor does"
    return ""


def _between(sizes: Floats) -> str:
    return f"{format_count(sizes[0])} to {format_count(sizes[-1])}"


def critical_table(estimates: Sequence[Estimate]) -> pd.DataFrame:
    """A row an estimate: COLUMNS, NaN where there is nothing."""
    frame = pd.DataFrame([estimate.row for estimate in estimates], columns=COLUMNS)
    whole = ("subset_bytes", "grid_best", "n_sizes", "n_pooled")
    frame = frame.assign(shapes_are_usual=frame["shapes_are_usual"].eq(True))
    return frame.astype({name: float for name in COLUMNS if name not in (*_NO_NUMBERS, *whole)})
