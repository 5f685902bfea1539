"""The same cells under every price of a parameter, side by side, and what the law of the price makes of the shift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.costs import PAPER, ParameterCost, known_costs
from analysis.critical import (
    Estimate,
    columns,
    estimate_all,
    fit_power_law,
    interval,
    marginal_price,
)
from analysis.formatting import format_bytes, format_count
from analysis.report.elements import Block, Heading, Text, named_grid
from analysis.report.section import WideSection, register_section
from analysis.study import Study, shortest_codes
from analysis.types import Json


def cost_models(study: Study) -> list[Json]:
    """Rows as of `side_by_side` under all of `cost.COSTS` that the records allow and the study's own, dearest first."""
    costs = known_costs(study.cost)
    order = {cost.name: i for i, cost in enumerate(sorted(costs, key=lambda cost: -cost.rank))}
    rows = side_by_side(study, costs)
    return sorted(rows, key=lambda row: (row["group"], row["subset_bytes"], order[row["cost"]]))


def side_by_side(study: Study, costs: Sequence[ParameterCost]) -> list[Json]:
    """Rows group, subset_bytes, cost, bytes_per_param (None where not one number), status, n_params (None unless

    bracketed), low, high (95 % interval, None without one), grid_best, adjusted_rate (there or at the best measured
    size), is_code, and of the law: bits_per_param, c, what one more parameter costs at n_params (None unless
    bracketed); n_predicted, the closed form's shift from the paper's price, N*·(c / 16)^(−1/(1+α)), α that of the own
    subset's code under the paper's price (None: not known); ratio_low and ratio_high, 95 % of n_params / n_predicted.
    label, is_coded and precision_bits are the cost's. A cost that the records do not have gives no rows.
    """
    paper = _under(study, PAPER)
    alpha, rows = _exponents([found.estimate for found in paper.values()]), []
    for cost in costs:
        for place, found in (paper if cost == PAPER else _under(study, cost)).items():
            rows.append(
                found.row(cost) | _by_the_law(found, paper.get(place), alpha.get(str(found.estimate.row["group"])))
            )
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

    def __init__(self, estimate: Estimate) -> None:
        self.estimate, column = estimate, estimate.column
        n = float(str(estimate.row["n_params"]))
        self.n_params = None if np.isnan(n) else n
        self.c = None if self.n_params is None else marginal_price(column.sizes, column.price, self.n_params)

    def row(self, cost: ParameterCost) -> Json:
        """What is measured of a row of `side_by_side`."""
        row = self.estimate.row
        return {
            "group": row["group"], "subset_bytes": row["subset_bytes"], "cost": cost.name,
            "bytes_per_param": cost.bytes_per_param, "status": row["status"], "n_params": self.n_params,
            "low": row.get("low"), "high": row.get("high"), "grid_best": row["grid_best"],
            "adjusted_rate": row["adjusted_rate"], "is_code": cost.is_code, "bits_per_param": self.c,
            "label": cost.label, "is_coded": cost.is_coded, "precision_bits": cost.precision_bits,
        }  # fmt: skip


def _under(study: Study, cost: ParameterCost) -> dict[tuple[str, int], _Found]:
    """By group and dataset size."""
    found = estimate_all(columns(shortest_codes(study.table, cost)))
    return {(one.column.group, one.column.subset_bytes): _Found(one) for one in found}


def _by_the_law(found: _Found, paper: _Found | None, alpha: float | None) -> Json:
    """n_predicted, ratio_low and ratio_high; draws of both costs are of the same noise, cell by cell."""
    rows: Json = {"n_predicted": None, "ratio_low": None, "ratio_high": None}
    if paper is None or paper.n_params is None or alpha is None or not found.c:
        return rows
    rows["n_predicted"] = shifted(paper.n_params, alpha, found.c)
    drawn, under_paper = found.estimate.draws, paper.estimate.draws
    if drawn is not None and under_paper is not None:
        shift = shifted(1.0, alpha, found.c)
        rows["ratio_low"], rows["ratio_high"] = interval(drawn / (under_paper * shift))
    return rows


def shifted(n_params: float, alpha: float, bits_per_param: float) -> float:
    """N* under another price, given that under the paper's: N* ∝ c^(−1/(1+α)), from dT/dN = 0 of the closed form."""
    return float(n_params * (bits_per_param / float(PAPER.bits_per_param or 0)) ** (-1 / (1 + alpha)))


def _exponents(paper: Sequence[Estimate]) -> dict[str, float]:
    """α of the own subset's code by group, of estimates under the paper's price."""
    return {one.column.group: one.exponent.alpha for one in paper if one.exponent and one.exponent.alpha > 0}


def write(summary: Json) -> list[Block]:
    """The critical size under each price of a parameter, and what the law of the price makes of the shift."""
    rows = summary["costs"]
    if all(row["status"] == "too few sizes" for row in rows):
        return []
    names = list(dict.fromkeys((row["cost"], row["label"]) for row in rows))
    found = {(row["group"], row["subset_bytes"], row["cost"]): row for row in rows}
    laws = {(law["group"], law["cost"]): law for law in summary["cost_laws"] if law["gamma"] is not None}
    cells: list[tuple[str, ...]] = []
    groups: list[str] = []
    for group in dict.fromkeys(row["group"] for row in rows):
        own = [(format_bytes(d), *(located(found.get((group, d, name))) for name, _ in names))
               for d in dict.fromkeys(row["subset_bytes"] for row in rows if row["group"] == group)]  # fmt: skip
        if any((group, name) in laws for name, _ in names):
            own.append(("γ (s.e.)", *(_exponent(laws.get((group, name))) for name, _ in names)))
        cells, groups = [*cells, *own], [*groups, *[group] * len(own)]
    header = ("dataset", *(label for _, label in names))
    grid = named_grid(header, cells, "l" + "r" * len(names), groups)
    by_the_law = _law_of_price(_not_elsewhere(summary), _sizes_run(summary))
    return [Heading("What a parameter costs"), Text(_ABOUT), grid, *by_the_law]


_ABOUT = (
    "The critical size, in parameters, under several prices of a parameter. The decoder's program and the "
    "hyper-parameters are left out of all of them. A capacity is a bound, not a code: nobody can decode from so few "
    "bits. Where parameters are free, only noise, poor training and the grid end the growth. γ: exponent of N* ∝ D^γ "
    "through the sizes inside the grid, with its standard error where there are three."
)


def _exponent(law: Json | None) -> str:
    if law is None:
        return "–"
    return f"{law['gamma']:.2f}" + ("" if law["gamma_se"] is None else f" ({law['gamma_se']:.2g})")


def located(row: Json | None) -> str:
    """A critical size as a cell of a table: 10.8 K, or ≤ 2.84 K where it is beyond the grid."""
    if row is None:
        return "–"
    if row["status"] == "bracketed":
        return format_count(row["n_params"])
    sign = {"below": "≤ ", "above": "≥ "}.get(row["status"])
    return f"{sign}{format_count(row['grid_best'])}" if sign else row["status"]


def _price_verdict(rows: list[Json]) -> str:
    """How many measured sizes' intervals leave out what the law makes of float16's."""
    sure = [row for row in rows if None not in (row.get("ratio_low"), row.get("ratio_high"))]
    if not sure:
        return ""
    off = sum(not row["ratio_low"] <= 1 <= row["ratio_high"] for row in sure)
    return (
        f" At {off} of {len(sure)} the 95 % interval of measured over law leaves out 1: shapes that do not lie on one "
        "smooth curve, or no one exponent."
    )


def _sizes_run(summary: Json) -> dict[tuple[str, int], list[float]]:
    sizes: dict[tuple[str, int], list[float]] = {}
    for row in summary["rates"]:
        sizes.setdefault((row["group"], row["subset_bytes"]), []).append(row["n_params"])
    return sizes


def _not_elsewhere(summary: Json) -> list[Json]:
    """The section on precisions sets coded weights against the law where there are several precisions."""
    coded = bool(summary.get("precisions"))
    return [row for row in summary["costs"] if not (coded and row["is_coded"])]


def _law_of_price(rows: list[Json], sizes: dict[tuple[str, int], list[float]]) -> list[Block]:
    known = [row for row in rows if row["n_predicted"] is not None and row["cost"] != "float16"]
    if not known:
        return []
    run = [sizes[row["group"], row["subset_bytes"]] for row in known]
    outside = [not min(own) <= row["n_predicted"] <= max(own) for row, own in zip(known, run, strict=True)]
    cells = [
        (format_bytes(row["subset_bytes"]), row["label"],
         f"{row['bits_per_param']:.3g}", format_count(row["n_params"]),
         f"{format_count(row['n_predicted'])}{' †' if out else ''}", f"{row['n_params'] / row['n_predicted']:.2f}")
        for row, out in zip(known, outside, strict=True)
    ]  # fmt: skip
    text = (
        "The closed form has N* ∝ c^(−1/(1+α)): from float16's critical size and α of its code lengths it says where "
        "every other price would put it. c: bits that one more parameter costs there."
    )
    text += _price_verdict(known)
    if any(outside):
        text += " †: beyond the sizes that were run, so that the measured one cannot be equal."
    header = ("dataset", "cost", "c, bits", "N* measured", "N* by the law", "measured / law")
    return [Text(text), named_grid(header, cells, "llrrrr", [row["group"] for row in known])]


def _measure(study: Study) -> dict[str, list[Json]]:
    rows = cost_models(study)
    return {"costs": rows, "cost_laws": cost_laws(rows)}


register_section(WideSection(name="costs", measure=_measure, write=write))
