"""The same cells under every price of a parameter, side by side, and what the law of the price makes of the shift."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.cost import COSTS, PAPER, Cost
from analysis.critical import CriticalSize, critical_size
from analysis.minimum import marginal_price
from analysis.study import Study, shortest_codes

Json = dict[str, Any]


def cost_models(study: Study) -> list[Json]:
    """Rows group, subset_bytes, cost, bytes_per_param (None where not one number), status, n_params (None unless

    bracketed), grid_best, adjusted_rate (there or at the best measured size), is_code, and of the law: bits_per_param,
    c, what one more parameter costs at n_params (None unless bracketed); n_predicted, the closed form's shift from the
    paper's price, N*·(c / 16)^(−1/(1+α)), α that of the study's theory under the paper's price (None: not known).

    All of `cost.COSTS` that the records allow, and the study's own where it is none of them.
    """
    costs = [*COSTS, *([study.cost] if study.cost not in COSTS else [])]
    rows = [row for cost in costs for row in _under(study, cost)]
    alpha = _exponents(study)
    paper = {(row["group"], row["subset_bytes"]): row["n_params"] for row in rows if row["cost"] == PAPER.name}
    for row in rows:
        n, a, c = paper.get((row["group"], row["subset_bytes"])), alpha.get(row["group"]), row["bits_per_param"]
        row["n_predicted"] = shifted(n, a, c) if n and a and c else None
    order = {cost.name: i for i, cost in enumerate(sorted(costs, key=_dearest_first))}
    return sorted(rows, key=lambda row: (row["group"], row["subset_bytes"], order[row["cost"]]))


def shifted(n_params: float, alpha: float, bits_per_param: float) -> float:
    """N* under another price, given that under the paper's: N* ∝ c^(−1/(1+α)), from dT/dN = 0 of the closed form."""
    return float(n_params * (bits_per_param / float(PAPER.bits_per_param or 0)) ** (-1 / (1 + alpha)))


def _dearest_first(cost: Cost) -> float:
    """Prices that depend on dataset or cell are usually between the paper's and the capacity's."""
    if cost.bytes_per_param is None:
        return -1.5 if cost.name == "logn" else -1.0
    return -cost.bytes_per_param


def _under(study: Study, cost: Cost) -> list[Json]:
    rows: list[Json] = []
    chosen = shortest_codes(study.table, cost)
    for (group, subset_bytes), own in chosen.groupby(["group", "subset_bytes"], sort=True):
        found = critical_size(own["n_params"], own["own_bits"], own["bits_per_param"])
        d = int(str(subset_bytes))
        rows.append(
            {"group": group, "subset_bytes": d, "cost": cost.name, "bytes_per_param": cost.bytes_per_param,
             "status": found.status, "n_params": found.n_params, "grid_best": found.grid_best,
             "adjusted_rate": found.total_bits / (8 * d), "is_code": cost.is_code,
             "bits_per_param": _marginal(own, found)}
        )  # fmt: skip
    return rows


def _marginal(own: pd.DataFrame, found: CriticalSize) -> float | None:
    if found.n_params is None:
        return None
    price = own.groupby("n_params")["bits_per_param"].mean()
    return marginal_price(price.index.to_numpy(np.float64), price.to_numpy(np.float64), found.n_params)


def _exponents(study: Study) -> dict[str, float]:
    """α of the own subset's code by group: the study's theory where it was made under the paper's price, else anew."""
    from analysis.estimates import estimate
    from analysis.theory import common_exponent
    from analysis.uncertainty import columns

    curves: dict[str, list[Any]] = {}
    for column in columns(shortest_codes(study.table), n_replicates=1):
        curve = estimate(column).curve
        curves.setdefault(column.group, []).extend([curve] if curve else [])
    found = {group: float(common_exponent(own)[0]) for group, own in curves.items() if own}
    return {group: alpha for group, alpha in found.items() if np.isfinite(alpha)}
