"""Critical sizes of a sweep: per dataset size both estimators with intervals, and draws for the laws through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.critical.closed_form import CapacityFit, Curve, closed_form, fit_capacity, is_determined, near_best
from analysis.critical.flatness import near_least
from analysis.critical.interpolation import marginal_price, minima
from analysis.critical.resampling import Column, interval
from analysis.critical.size import critical_size
from analysis.types import Floats

COLUMNS = ["group", "subset_bytes", "n_params", "low", "high", "interval", "p_bracketed", "adjusted_rate", "raw_rate",
           "status", "message", "grid_best", "n_sizes", "n_pooled", "n_closed_form", "closed_low", "closed_high",
           "span_low", "span_high", "least_size", "most_size", "near_low", "near_high", "alpha", "alpha_low",
           "alpha_high"]  # fmt: skip


class Estimate(NamedTuple):
    """One dataset size. Draws are (R,), at an edge of the sizes the edge's size; None: nothing was replicated."""

    row: dict[str, object]  # COLUMNS
    draws: Floats | None  # for this dataset alone
    joint: Floats | None  # for laws through all of the group
    curve: Curve | None  # measured, one draw; None unless bracketed, or where a code has no length
    joint_curve: Curve | None


def estimate(column: Column) -> Estimate:
    """Both estimators of the critical size at one dataset size."""
    d = column.subset_bytes
    found = critical_size(column.sizes, column.mean, column.price, column.n_seeds)
    row: dict[str, object] = {
        "group": column.group, "subset_bytes": d, "interval": column.kind, "status": found.status,
        "n_params": np.nan if found.n_params is None else found.n_params, "message": found.message,
        "adjusted_rate": found.total_bits / (8 * d), "raw_rate": found.code_bits / (8 * d),
        "grid_best": found.grid_best, "n_sizes": found.n_sizes, "n_pooled": found.n_pooled,
        "least_size": float(column.sizes[0]), "most_size": float(column.sizes[-1]),
    }  # fmt: skip
    if found.status == "too few sizes":
        return Estimate(row | {"interval": "none"}, None, None, None, None)
    draws = joint = None
    if column.draws is not None and column.joint is not None:
        at = minima(column.sizes, column.draws, column.n_seeds, column.price)
        draws, joint = at.n_params, minima(column.sizes, column.joint, column.n_seeds, column.price).n_params
        inside = (at.best > 0) & (at.best < column.sizes.size - 1)
        row["low"], row["high"] = interval(draws)
        row["p_bracketed"] = float(inside.mean())
    if found.status != "bracketed":
        return Estimate(row, draws, joint, None, None)
    row["near_low"], row["near_high"] = near_least(column)
    best = int(np.searchsorted(column.sizes, found.grid_best))
    curve = near_best(d, column.sizes, column.mean[None], best)
    if (curve.bits <= 0).any():
        return Estimate(row, draws, joint, None, None)  # a code of no bits has no relative error
    drawn, together = (
        None if bits is None else near_best(d, column.sizes, bits, best) for bits in (column.draws, column.joint)
    )
    c = marginal_price(column.sizes, column.price, float(found.n_params or found.grid_best))
    return Estimate(row | _second(curve, drawn, column.sizes, c), draws, joint, curve, together)


def _second(curve: Curve, drawn: Curve | None, sizes: Floats, bits_per_param: float) -> dict[str, object]:
    """The closed form's estimate and its α; not given outside the sizes, nor where these do not determine α.

    A draw outside counts as at the edge.
    """

    def located(of: Curve, fit: CapacityFit) -> Floats:
        return closed_form(fit.alpha, fit.A, of.subset_bytes, bits_per_param)

    fit = fit_capacity(curve)
    n = float(located(curve, fit)[0])
    if not (sizes[0] <= n <= sizes[-1] and is_determined(fit.alpha)[0]):
        return {}
    found: dict[str, object] = {"n_closed_form": n, "alpha": float(fit.alpha[0])}
    if drawn is None:
        return found
    fits = fit_capacity(drawn)
    low, high = interval(np.clip(located(drawn, fits), sizes[0], sizes[-1]))
    alpha_low, alpha_high = interval(fits.alpha)
    return found | {"closed_low": low, "closed_high": high, "alpha_low": alpha_low, "alpha_high": alpha_high}


def critical_table(estimates: Sequence[Estimate]) -> pd.DataFrame:
    """A row an estimate: COLUMNS, NaN where there is nothing; of bracketed ones the span of both intervals."""
    frame = pd.DataFrame([estimate.row for estimate in estimates], columns=COLUMNS)
    numbers = ["low", "high", "p_bracketed", *COLUMNS[COLUMNS.index("n_closed_form") :]]
    frame, inside = frame.astype(dict.fromkeys(numbers, float)), frame["status"] == "bracketed"
    return frame.assign(
        span_low=frame[["low", "closed_low"]].min(axis=1).where(inside),
        span_high=frame[["high", "closed_high"]].max(axis=1).where(inside),
    )
