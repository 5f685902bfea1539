"""The same cells under every price of a parameter, side by side, and what the law of the price makes of the shift."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from analysis.costs import PAPER, ParameterCost, known_costs
from analysis.critical import (
    LEAST_FOR_LAW,
    Estimate,
    fit_power_law,
    interval,
    marginal_price,
)
from analysis.formatting import (
    UNKNOWN,
    format_beside,
    format_bytes,
    format_count,
    format_counted,
    format_known,
    format_size,
)
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Heading, Text, named_grid
from analysis.report.rows.comparisons import CostLawRow, CostRow
from analysis.report.section import WideSection, register_section
from analysis.report.summary_keys import Summary
from analysis.study import Study


def cost_models(study: Study) -> list[CostRow]:
    """Rows as of `side_by_side` under all of `cost.COSTS` that the records allow and the study's own, dearest first."""
    costs = known_costs(study.cost)
    order = {cost.name: i for i, cost in enumerate(sorted(costs, key=lambda cost: -cost.rank))}
    rows = side_by_side(study, costs)
    return sorted(rows, key=lambda row: (row["group"], row["subset_bytes"], order[row["cost"]]))


def side_by_side(study: Study, costs: Sequence[ParameterCost]) -> list[CostRow]:
    """A row per (group, dataset size, price). A price that the records do not have gives no rows.

    `n_predicted` is the closed form's shift from the paper's price, N*·(c / 16)^(−1/(1+a)), with a that of the own
    subset's code under the paper's price.
    """
    paper = _under(study, PAPER)
    alpha, rows = _exponents([found.estimate for found in paper.values()]), []
    for cost in costs:
        best = _best_bits(study, cost)
        for place, found in (paper if cost == PAPER else _under(study, cost)).items():
            law = _by_the_law(found, paper.get(place), alpha.get(str(found.estimate.row["group"])))
            rows.append(found.row(cost, law, best.get(place)))
    return rows


def cost_laws(rows: Sequence[CostRow]) -> list[CostLawRow]:
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


@dataclass(frozen=True)
class _ByTheLaw:
    """What the law of the price makes of the paper's critical size; None: not known."""

    n_predicted: float | None = None
    ratio_low: float | None = None  # 95 % of n_params / n_predicted
    ratio_high: float | None = None


class _Found:
    """The critical size of a column, with its draws."""

    def __init__(self, estimate: Estimate) -> None:
        self.estimate, column = estimate, estimate.column
        n = float(str(estimate.row["n_params"]))
        self.n_params = None if np.isnan(n) else n
        self.c = None if self.n_params is None else marginal_price(column.sizes, column.price, self.n_params)

    def row(self, cost: ParameterCost, law: _ByTheLaw, best_bits: int | None) -> CostRow:
        """A row of `side_by_side`."""
        row: dict[str, Any] = self.estimate.row
        return {
            "group": row["group"],
            "subset_bytes": row["subset_bytes"],
            "cost": cost.name,
            "bytes_per_param": cost.bytes_per_param,
            "status": row["status"],
            "n_params": self.n_params,
            "low": row.get("low"),
            "high": row.get("high"),
            "grid_best": row["grid_best"],
            "adjusted_rate": row["adjusted_rate"],
            "is_code": cost.is_code,
            "bits_per_param": self.c,
            "label": cost.label,
            "is_coded": cost.is_coded,
            "precision_bits": cost.precision_bits,
            "best_bits": best_bits,
            "n_predicted": law.n_predicted,
            "ratio_low": law.ratio_low,
            "ratio_high": law.ratio_high,
        }


def _under(study: Study, cost: ParameterCost) -> dict[tuple[str, int], _Found]:
    """By group and dataset size."""
    return {(one.column.group, one.column.subset_bytes): _Found(one) for one in study.codes.estimates(cost)}


def _best_bits(study: Study, cost: ParameterCost) -> dict[tuple[str, int], int]:
    """By group and dataset size, where a price leaves the precision open."""
    if not cost.is_coded or cost.precision_bits is not None:
        return {}
    at = study.codes.under(cost).reindex(columns=["group", "subset_bytes", "precision_bits"]).dropna()
    places = zip(at["group"].tolist(), at["subset_bytes"].tolist(), strict=True)
    return dict(zip(places, at["precision_bits"].astype(int).tolist(), strict=True))


def _by_the_law(found: _Found, paper: _Found | None, alpha: float | None) -> _ByTheLaw:
    """Draws of both costs are of the same noise, cell by cell."""
    if paper is None or paper.n_params is None or alpha is None or not found.c:
        return _ByTheLaw()
    predicted = shifted(paper.n_params, alpha, found.c)
    drawn, under_paper = found.estimate.draws, paper.estimate.draws
    if drawn is None or under_paper is None:
        return _ByTheLaw(predicted)
    return _ByTheLaw(predicted, *interval(drawn / (under_paper * shifted(1.0, alpha, found.c))))


def shifted(n_params: float, alpha: float, bits_per_param: float) -> float:
    """N* under another price, given that under the paper's: N* ∝ c^(−1/(1+a)), from dT/dN = 0 of the closed form."""
    return float(n_params * (bits_per_param / float(PAPER.bits_per_param or 0)) ** (-1 / (1 + alpha)))


def _exponents(paper: Sequence[Estimate]) -> dict[str, float]:
    """a of the own subset's code by group, of estimates under the paper's price."""
    return {one.column.group: one.exponent.alpha for one in paper if one.exponent and one.exponent.alpha > 0}


def write(summary: Summary) -> list[Block]:
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
        own = [
            (format_bytes(d), *(located(found.get((group, d, name))) for name, _ in names))
            for d in dict.fromkeys(row["subset_bytes"] for row in rows if row["group"] == group)
        ]
        if any((group, name) in laws for name, _ in names):
            own.append(("γ", *(_exponent(laws.get((group, name))) for name, _ in names)))
        cells, groups = [*cells, *own], [*groups, *[group] * len(own)]
    header = ("dataset", *(label for _, label in names))
    grid = named_grid(header, cells, "l" + "r" * len(names), groups)
    by_the_law = _law_of_price(_not_elsewhere(summary), _sizes_run(summary))
    return [Heading("What a parameter costs"), Text(_ABOUT), grid, *by_the_law]


_ABOUT = (
    "The critical size, in parameters, under several prices of a parameter. All of them leave out the decoder's "
    "program and the hyperparameters. A capacity is a bound, not a code: no decoder can work with so few bits. Where "
    "parameters are free, N* is limited only by noise, undertraining and the grid. γ: exponent of a "
    "line N* ∝ D^γ through the dataset sizes whose critical size is inside the grid, with their number; it has no "
    "interval here."
)


def _exponent(law: CostLawRow | None) -> str:
    """Without its standard error: residuals about a line through three sizes are no uncertainty of those sizes."""
    if law is None or law["gamma"] is None:
        return UNKNOWN
    if law["n_points"] < LEAST_FOR_LAW:
        return UNKNOWN  # a line passes through any two
    return f"{law['gamma']:.2f} ({format_counted(law['n_points'], 'size')})"


def located(row: CostRow | None) -> str:
    """A critical size as a cell of a table: 10.8 K, or ≤ 2.84 K where it is beyond the grid."""
    if row is None:
        return UNKNOWN
    if row["status"] == "bracketed":
        return format_known(row["n_params"], lambda n: format_size(n, row.get("low"), row.get("high")))
    sign = {"below": "≤ ", "above": "≥ "}.get(row["status"])
    return f"{sign}{format_count(row['grid_best'])}" if sign else row["status"]


def _price_verdict(rows: list[CostRow]) -> str:
    """How many measured sizes' intervals leave out what the law makes of float16's."""
    ends = [(row.get("ratio_low"), row.get("ratio_high")) for row in rows]
    known = [(low, high) for low, high in ends if low is not None and high is not None]
    if not known:
        return ""
    off = sum(not low <= 1 <= high for low, high in known)
    return (
        f" At {off} of {len(known)} places, the 95 % interval of measured / law does not contain 1: the shapes do not "
        "lie on one smooth curve, or there is no single exponent."
    )


def _sizes_run(summary: Summary) -> dict[tuple[str, int], list[float]]:
    sizes: dict[tuple[str, int], list[float]] = {}
    for row in summary["rates"]:
        sizes.setdefault((row["group"], row["subset_bytes"]), []).append(row["n_params"])
    return sizes


def _not_elsewhere(summary: Summary) -> list[CostRow]:
    """The section on precisions sets coded weights against the law where there are several precisions."""
    coded = bool(summary.get("precisions"))
    return [row for row in summary["costs"] if not (coded and row["is_coded"])]


class _Shift(NamedTuple):
    """A critical size beside the one that the law predicts."""

    row: CostRow
    measured: float
    predicted: float
    is_outside: bool  # whether the prediction lies beyond the sizes that were run

    @property
    def predicted_name(self) -> str:
        """Of no more digits than the measured one has."""
        return format_beside(self.predicted, self.measured, self.row.get("low"), self.row.get("high"), format_count)


def _shifts(rows: list[CostRow], sizes: dict[tuple[str, int], list[float]]) -> Iterator[_Shift]:
    for row in rows:
        measured, predicted, run = row["n_params"], row["n_predicted"], sizes[row["group"], row["subset_bytes"]]
        if measured is not None and predicted is not None and row["cost"] != PAPER.name:
            yield _Shift(row, measured, predicted, not min(run) <= predicted <= max(run))


def _law_of_price(rows: list[CostRow], sizes: dict[tuple[str, int], list[float]]) -> list[Block]:
    shifts = list(_shifts(rows, sizes))
    if not shifts:
        return []
    cells = [
        (
            format_bytes(shift.row["subset_bytes"]),
            shift.row["label"],
            format_known(shift.row["bits_per_param"], lambda bits: f"{bits:.3g}"),
            format_size(shift.measured, shift.row.get("low"), shift.row.get("high")),
            shift.predicted_name + (" †" if shift.is_outside else ""),
            f"{shift.measured / shift.predicted:.2f}",
        )
        for shift in shifts
    ]
    text = (
        "The closed form has N* ∝ c^(−1/(1+a)). From float16's critical size and the a of its code lengths, it "
        "predicts the critical size under every other price. c: bits that one more parameter costs there."
    )
    text += _price_verdict([shift.row for shift in shifts])
    if any(shift.is_outside for shift in shifts):
        text += " †: beyond the sizes that were run, so the measured size cannot equal it."
    header = ("dataset", "cost", "c, bits", "N* measured", "N* by the law", "measured / law")
    return [Text(text), named_grid(header, cells, "llrrrr", [shift.row["group"] for shift in shifts])]


def _measure(study: Study) -> dict[str, Any]:
    rows = cost_models(study)
    return {"costs": rows, "cost_laws": cost_laws(rows)}


register_section(
    WideSection(
        name="costs",
        measure=_measure,
        write=write,
        tables=(CsvTable("costs"), CsvTable("cost_laws")),
    ),
)
