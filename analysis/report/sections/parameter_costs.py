"""The same cells under every price of a parameter, side by side, and what the law of the price makes of the shift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.costs import PAPER, ParameterCost, known_costs
from analysis.critical import (
    Column,
    Curve,
    columns,
    common_exponent,
    critical_size,
    estimate,
    fit_power_law,
    interval,
    marginal_price,
    minima,
)
from analysis.study import Study, shortest_codes
from analysis.types import Json


def cost_models(study: Study) -> list[Json]:
    """Rows as of `side_by_side` under all of `cost.COSTS` that the records allow and the study's own, dearest first."""
    costs = list({cost.name: cost for cost in [*known_costs(), study.cost]}.values())
    order = {cost.name: i for i, cost in enumerate(sorted(costs, key=lambda cost: -cost.rank))}
    rows = side_by_side(study, costs)
    return sorted(rows, key=lambda row: (row["group"], row["subset_bytes"], order[row["cost"]]))


def side_by_side(study: Study, costs: Sequence[ParameterCost]) -> list[Json]:
    """Rows group, subset_bytes, cost, bytes_per_param (None where not one number), status, n_params (None unless

    bracketed), low, high (95 % interval, None without one), grid_best, adjusted_rate (there or at the best measured
    size), is_code, and of the law: bits_per_param, c, what one more parameter costs at n_params (None unless
    bracketed); n_predicted, the closed form's shift from the paper's price, N*·(c / 16)^(−1/(1+α)), α that of the own
    subset's code under the paper's price (None: not known); ratio_low and ratio_high, 95 % of n_params / n_predicted.
    A cost that the records do not have gives no rows.
    """
    paper = {(column.group, column.subset_bytes): _Found(column) for column in columns(shortest_codes(study.table))}
    alpha, rows = _exponents([found.column for found in paper.values()]), []
    for cost in costs:
        for column in columns(shortest_codes(study.table, cost)):
            found, before = _Found(column), paper.get((column.group, column.subset_bytes))
            rows.append(found.row(cost) | _by_the_law(found, before, alpha.get(column.group)))
    return rows


def cost_laws(rows: Sequence[Json]) -> list[Json]:
    """Rows group, cost, gamma, gamma_se, n_points of N* ∝ D^γ under each cost; None where too few sizes are known."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        known = found.setdefault((row["group"], row["cost"]), [])
        known.append((row["subset_bytes"], np.nan if row["n_params"] is None else row["n_params"]))
    laws = {key: fit_power_law(*zip(*known, strict=True)) for key, known in found.items()}
    return [
        {"group": group, "cost": cost, "gamma": law.gamma, "gamma_se": law.gamma_se, "n_points": law.n_points}
        for (group, cost), law in laws.items()
    ]


class _Found:
    """The critical size of a column, with its draws."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.size = critical_size(column.sizes, column.mean, column.price, column.n_seeds)
        self.c = self.draws = None
        if self.size.n_params is not None:
            self.c = marginal_price(column.sizes, column.price, self.size.n_params)
        if column.draws is not None:
            self.draws = minima(column.sizes, column.draws, column.n_seeds, column.price).n_params

    def row(self, cost: ParameterCost) -> Json:
        """What is measured of a row of `side_by_side`."""
        column, size = self.column, self.size
        low, high = (None, None) if self.draws is None else interval(self.draws)
        return {
            "group": column.group, "subset_bytes": column.subset_bytes, "cost": cost.name,
            "bytes_per_param": cost.bytes_per_param, "status": size.status, "n_params": size.n_params, "low": low,
            "high": high, "grid_best": size.grid_best, "adjusted_rate": size.total_bits / (8 * column.subset_bytes),
            "is_code": cost.is_code, "bits_per_param": self.c,
        }  # fmt: skip


def _by_the_law(found: _Found, paper: _Found | None, alpha: float | None) -> Json:
    """n_predicted, ratio_low and ratio_high; draws of both costs are of the same noise, cell by cell."""
    rows: Json = {"n_predicted": None, "ratio_low": None, "ratio_high": None}
    if paper is None or paper.size.n_params is None or alpha is None or not found.c:
        return rows
    rows["n_predicted"] = shifted(paper.size.n_params, alpha, found.c)
    if found.draws is not None and paper.draws is not None:
        shift = shifted(1.0, alpha, found.c)
        rows["ratio_low"], rows["ratio_high"] = interval(found.draws / (paper.draws * shift))
    return rows


def shifted(n_params: float, alpha: float, bits_per_param: float) -> float:
    """N* under another price, given that under the paper's: N* ∝ c^(−1/(1+α)), from dT/dN = 0 of the closed form."""
    return float(n_params * (bits_per_param / float(PAPER.bits_per_param or 0)) ** (-1 / (1 + alpha)))


def _exponents(paper: Sequence[Column]) -> dict[str, float]:
    """α of the own subset's code by group, of columns under the paper's price."""
    curves: dict[str, list[Curve]] = {}
    for column in paper:
        curve = estimate(column).curve
        curves.setdefault(column.group, []).extend([curve] if curve else [])
    found = {group: float(common_exponent(own)[0]) for group, own in curves.items() if own}
    return {group: alpha for group, alpha in found.items() if np.isfinite(alpha)}
