"""The same code lengths under several prices of a parameter, side by side."""

from __future__ import annotations

from typing import Any

from analysis.cost import PRICES_BYTES, Cost
from analysis.critical import critical_size
from analysis.study import Study, shortest_codes

Json = dict[str, Any]


def cost_models(study: Study) -> list[Json]:
    """Rows group, subset_bytes, cost, bytes_per_param, status, n_params (None unless bracketed), grid_best.

    The named prices of `cost.PRICES_BYTES`, and the study's own where it is none of them.
    """
    costs = [Cost(name, n_bytes) for name, n_bytes in PRICES_BYTES.items()]
    if study.cost not in costs:
        costs.append(study.cost)
    rows: list[Json] = []
    for (group, subset_bytes), own in shortest_codes(study.table.cells).groupby(["group", "subset_bytes"], sort=True):
        for cost in sorted(costs, key=lambda c: -c.bytes_per_param):
            found = critical_size(own["n_params"], own["own_bits"], cost.bits_per_param)
            key = {"group": group, "subset_bytes": int(str(subset_bytes)), "cost": cost.name}
            rows.append(
                key | {"bytes_per_param": cost.bytes_per_param, "status": found.status, "n_params": found.n_params,
                       "grid_best": found.grid_best}
            )  # fmt: skip
    return rows
