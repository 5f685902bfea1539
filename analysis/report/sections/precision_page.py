"""Critical sizes under fixed precisions of the weights, in words and two tables."""

from __future__ import annotations

from collections.abc import Callable

from analysis.formatting import format_bytes
from analysis.report.elements import Block, Grid, Text
from analysis.report.sections.costs_page import located
from analysis.report.sections.precision import nominal
from analysis.types import Json

_NOTHING = 0.02  # off the law by less is nothing, however sure
_Cell = Callable[[Json], str]


def precision(summary: Json) -> list[Block]:
    """N* at each precision and dataset size, and how far it is from the law of the price; none: no coded weights."""
    rows = summary["precisions"]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    blocks: list[Block] = [Text(_ABOUT)] if rows else []
    for group in groups:
        own = [row for row in rows if row["group"] == group]
        begin = f"{group}: " if len(groups) > 1 else ""
        known = any(row.get("low") is not None for row in own)
        where = " (intervals: figure, and precision.csv)" if known else ""
        found = Text(f"{begin}Critical size by precision and dataset size{where}:")
        blocks += [found, _table(own, "c, bits", _price, located)]
        if any(_ratio(row) != "–" for row in own if row["cost"] != "float16"):
            star = " *: off by more than 2 %, 1 outside the 95 % interval." if _outside(own) else ""
            against = Text(f"{begin}Measured critical size / that of the law from float16's.{star}")
            blocks += [against, _table([row for row in own if row["cost"] != "float16"], "", lambda _: "", _ratio)]
    return blocks


def _outside(rows: list[Json]) -> bool:
    return any("*" in _ratio(row) for row in rows)


_ABOUT = (
    "Every weight coded at one nominal precision, the data by the weights as they decode: what rounding costs the data "
    "is paid for. c is what one more parameter costs at the critical size, measured; the law is N* ∝ c^(−1/(1+α)) from "
    "float16's critical size, α of its code lengths. float16: weights as trained, 16 bits by name. Shortest: at each "
    "dataset size the precision of the shortest code, at what the weights of each shape came to; at a fixed precision "
    "c is a smooth function of N."
)


def _table(rows: list[Json], more: str, extra: Callable[[list[Json]], str], cell: _Cell) -> Grid:
    """A row a precision, a column a dataset size; `extra` of all of a row where it is named."""
    sizes = sorted({row["subset_bytes"] for row in rows})
    lines = []
    for cost in dict.fromkeys(row["cost"] for row in rows):
        own = {row["subset_bytes"]: row for row in rows if row["cost"] == cost}
        cells = [cell(own[d]) if d in own else "–" for d in sizes]
        lines.append((nominal(cost), *((extra(list(own.values())),) if more else ()), *cells))
    names = ("precision", *((more,) if more else ()), *map(format_bytes, sizes))
    return Grid(names, tuple(lines), "l" + "r" * (len(names) - 1))


def _price(rows: list[Json]) -> str:
    known = [row["bits_per_param"] for row in rows if row["bits_per_param"] is not None]
    ends = sorted({f"{bits:.3g}" for bits in (min(known), max(known))}, key=float) if known else ["–"]
    return " to ".join(ends)


def _ratio(row: Json) -> str:
    if row["n_predicted"] is None:
        return "–"
    ratio = row["n_params"] / row["n_predicted"]
    outside = row["ratio_low"] is not None and not row["ratio_low"] <= 1 <= row["ratio_high"]
    return f"{ratio:.2f}{' *' if outside and abs(ratio - 1) > _NOTHING else ''}"
