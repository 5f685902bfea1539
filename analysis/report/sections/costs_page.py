"""What a parameter costs: critical sizes under every price, their exponents, and the law of the price."""

from __future__ import annotations

from analysis.costs import parse_cost
from analysis.formatting import format_bytes, format_count
from analysis.report.elements import Block, Heading, Text, named_grid
from analysis.types import Json


def costs(summary: Json) -> list[Block]:
    """The critical size under each price of a parameter, and what the law of the price makes of the shift."""
    rows = summary["costs"]
    if all(row["status"] == "too few sizes" for row in rows):
        return []
    names = list(dict.fromkeys((row["cost"], row["bytes_per_param"]) for row in rows))
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
    header = ("dataset", *(parse_cost(name).label for name, _ in names))
    grid = named_grid(header, cells, "l" + "r" * len(names), groups)
    by_the_law = _law_of_price(_not_elsewhere(summary), _sizes_run(summary))
    return [Heading("What a parameter costs"), Text(_COSTS), grid, *by_the_law]


_COSTS = (
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
    return [row for row in summary["costs"] if not (coded and row["cost"].startswith("coded"))]


def _law_of_price(rows: list[Json], sizes: dict[tuple[str, int], list[float]]) -> list[Block]:
    known = [row for row in rows if row["n_predicted"] is not None and row["cost"] != "float16"]
    if not known:
        return []
    run = [sizes[row["group"], row["subset_bytes"]] for row in known]
    outside = [not min(own) <= row["n_predicted"] <= max(own) for row, own in zip(known, run, strict=True)]
    cells = [
        (format_bytes(row["subset_bytes"]), parse_cost(row["cost"]).label,
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
