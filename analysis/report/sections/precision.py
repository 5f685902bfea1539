"""Critical sizes when every weight is coded at one nominal precision, against the law of the price N* ∝ c^(−1/(1+a)).

The data are coded by the weights as they decode, so a precision pays for what rounding costs the data; c is the actual
size of the coded weights, what one more parameter costs at N*.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.costs import PAPER, parse_cost
from analysis.formatting import UNKNOWN, format_bytes, format_count, format_known
from analysis.plots import Curve, label, log_scales, name_curves, new_axes, styled
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Grid, Text
from analysis.report.rows.comparisons import CostRow
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.figure_groups import figure_groups
from analysis.report.sections.parameter_costs import located, side_by_side
from analysis.study import Study

_N_STEPS = 40
LINES = ["group", "subset_bytes", "bits_per_param", "n_params"]


def precisions(study: Study) -> list[CostRow]:
    """Rows as of `side_by_side`: the paper's float16, every precision in the records from the most bits

    down, and the shortest for each dataset size (coded). No rows without coded weights.
    """
    known = sorted({int(bits) for bits in study.table.coded["precision_bits"]}, reverse=True)
    if not known:
        return []
    return side_by_side(study, [PAPER, *(parse_cost(f"coded{bits}") for bits in known), parse_cost("coded")])


def law_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """The law through float16's critical size: LINES over the c of `rows`, columns as of `precisions`."""
    lines = []
    for (group, subset_bytes), own in rows[rows["n_predicted"].notna()].groupby(["group", "subset_bytes"]):
        known = np.log(own[["bits_per_param", "n_predicted"]].astype(float).sort_values("bits_per_param"))
        x = np.linspace(known["bits_per_param"].min(), known["bits_per_param"].max(), _N_STEPS)
        y = np.interp(x, known["bits_per_param"], known["n_predicted"])  # exact: the predictions lie on one line
        line = {"group": group, "subset_bytes": subset_bytes, "bits_per_param": np.exp(x), "n_params": np.exp(y)}
        lines.append(pd.DataFrame(line))
    return pd.concat(lines) if lines else pd.DataFrame(columns=LINES)


def nominal(row: CostRow) -> str:
    """A row's cost in a table: float16, 4 bits, shortest."""
    bits = row["precision_bits"]
    if bits is not None:
        return f"{bits} bits"
    return "shortest" if row["cost"] == "coded" else row["cost"]


_MOST_SPAN = 10  # a factor: a size whose interval spans more is not known
_NOT_DETERMINED = "not determined"
_NOTHING = 0.02  # off the law by less is nothing, however sure
_Cell = Callable[[CostRow], str]


def write(rows: list[CostRow]) -> list[Block]:
    """N* at each precision and dataset size, and how far it is from the law of the price; none: no coded weights."""
    groups = list(dict.fromkeys(row["group"] for row in rows))
    blocks: list[Block] = [Text(_ABOUT)] if rows else []
    for group in groups:
        own = [row for row in rows if row["group"] == group]
        begin = f"{group}: " if len(groups) > 1 else ""
        known = any(row.get("low") is not None for row in own)
        where = " (for intervals see the figure and precision.csv)" if known else ""
        undetermined = _ABOUT_UNDETERMINED if any(map(_is_undetermined, own)) else ""
        found = Text(f"{begin}Critical size by precision and dataset size{where}.{undetermined}")
        blocks += [found, _table(own, "c, bits", _price, _located)]
        coded = [row for row in own if row["cost"] != PAPER.name]
        if any(_ratio(row) is not None for row in coded):
            star = " *: off by more than 2 %, and the 95 % interval does not contain 1." if _any_off(coded) else ""
            against = Text(f"{begin}Measured critical size / critical size by the law from float16's.{star}")
            blocks += [against, _table(coded, "", lambda _: "", _against_law)]
    return blocks


def _is_undetermined(row: CostRow) -> bool:
    """Inside the grid at one fixed precision: float16 and the shortest stand on page one with their intervals."""
    low, high = row.get("low"), row.get("high")
    inside = row["precision_bits"] is not None and row["status"] == "bracketed"
    return inside and low is not None and high is not None and high > _MOST_SPAN * low


def _located(row: CostRow) -> str:
    return _NOT_DETERMINED if _is_undetermined(row) else located(row)


_ABOUT_UNDETERMINED = " Not determined: the 95 % interval spans more than a factor of ten."


def _any_off(rows: list[CostRow]) -> bool:
    return any(_is_off(row) for row in rows)


_ABOUT = (
    "Every weight is coded at one nominal precision, and the data are coded by the weights as they decode. So the loss"
    " by rounding is paid for. c is what one more parameter costs at the critical size, as measured. The law is N* ∝ "
    "c^(−1/(1+a)) from float16's critical size, with the a of its code lengths. float16: weights as trained, at 16 "
    "bits. Shortest: at each dataset size the precision whose law has the least total, at the size to which the "
    "weights of each shape were coded. At a fixed precision c is a smooth function of N. Only cells whose weights were"
    " coded count, so 16 bits may differ from float16, which all cells have, by the noise between cells."
)


def _table(rows: list[CostRow], more: str, extra: Callable[[list[CostRow]], str], cell: _Cell) -> Grid:
    """A row per precision, a column per dataset size; `extra` of all of a row where it is named."""
    sizes = sorted({row["subset_bytes"] for row in rows})
    lines = []
    for cost in dict.fromkeys(row["cost"] for row in rows):
        own = {row["subset_bytes"]: row for row in rows if row["cost"] == cost}
        cells = [cell(own[d]) if d in own else UNKNOWN for d in sizes]
        lines.append((nominal(next(iter(own.values()))), *((extra(list(own.values())),) if more else ()), *cells))
    names = ("precision", *((more,) if more else ()), *map(format_bytes, sizes))
    return Grid(names, tuple(lines), "l" + "r" * (len(names) - 1))


def _price(rows: list[CostRow]) -> str:
    known = [row["bits_per_param"] for row in rows if row["bits_per_param"] is not None]
    ends = sorted({f"{bits:.3g}" for bits in (min(known), max(known))}, key=float) if known else [UNKNOWN]
    return " to ".join(ends)


def _ratio(row: CostRow) -> float | None:
    """Measured over predicted; None: not known."""
    measured, predicted = row["n_params"], row["n_predicted"]
    return None if measured is None or predicted is None else measured / predicted


def _is_off(row: CostRow) -> bool:
    """Whether it is surely, and not by next to nothing, off the law."""
    ratio, low, high = _ratio(row), row["ratio_low"], row["ratio_high"]
    if ratio is None or low is None or high is None or _is_undetermined(row):
        return False
    return not low <= 1 <= high and abs(ratio - 1) > _NOTHING


def _against_law(row: CostRow) -> str:
    if _is_undetermined(row):
        return _NOT_DETERMINED
    return format_known(_ratio(row), lambda ratio: f"{ratio:.2f}{' *' if _is_off(row) else ''}")


_STAR: dict[str, Any] = {"linestyle": "none", "marker": "*", "markersize": 12, "markerfacecolor": "white", "zorder": 5}


def plot_precision(rows: pd.DataFrame, lines: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """N* against bits per parameter, both logarithmic: marks and bars measured, lines the law, one a dataset size.

    Stars: float16. Precisions are named above the largest dataset size, where no line is. Tables as of `precisions` and
    `law_lines`, of one group.
    """
    axes, curves = new_axes(ax), []
    found = rows[(rows["status"] == "bracketed") & (rows["cost"] != "coded")]
    for (subset_bytes, own), style in styled(found, "subset_bytes"):
        law = lines[lines["subset_bytes"] == subset_bytes]
        axes.plot(law["bits_per_param"], law["n_params"], color=style["color"], linewidth=1.1, linestyle="-", zorder=2)
        _marks(axes, own, style)
        ends = law if len(law) else own.sort_values("bits_per_param")
        name = format_bytes(float(subset_bytes))
        curves.append(Curve(ends["bits_per_param"].tolist(), ends["n_params"].tolist(), name, style))
    log_scales(axes, lambda bits: f"{bits:g}", format_count)
    axes.margins(0.06)
    name_curves(axes, curves)
    if len(found):
        _name_precisions(axes, found[found["subset_bytes"] == found["subset_bytes"].max()])
    axes.set_xlabel("bits that one more parameter costs, c")
    axes.set_ylabel("critical model size N*, parameters")
    return axes


def _marks(axes: Axes, own: pd.DataFrame, style: dict[str, Any]) -> None:
    color, paper = style["color"], own["cost"] == PAPER.name
    known = own[own["low"].notna() & own["high"].notna()]
    axes.vlines(
        known["bits_per_param"],
        known["low"].astype(float),
        known["high"].astype(float),
        color=color,
        linewidth=1,
        alpha=0.6,
        zorder=3,
    )
    coded, float16 = own[~paper], own[paper]
    axes.plot(
        coded["bits_per_param"],
        coded["n_params"],
        linestyle="none",
        marker=style["marker"],
        color=color,
        markersize=5,
        markeredgewidth=0,
        zorder=4,
    )
    axes.plot(float16["bits_per_param"], float16["n_params"], markeredgecolor=color, **_STAR)


def _name_precisions(axes: Axes, own: pd.DataFrame) -> None:
    for row in own[own["cost"] != PAPER.name].to_dict("records"):
        text = str(int(row["precision_bits"]))
        label(axes, text, (row["bits_per_param"], row["n_params"]), (0, 7), ha="center", color="0.25")


_CAPTION = (
    "Critical size against what a parameter costs, one line per dataset size. The lines are the law from float16's "
    "critical size (stars). Markers show what was measured at each precision. Those of the largest dataset size "
    "are labeled with the precision in bits. Bars: 95 % intervals."
)


def _figures(study: Study, measured: Measured) -> list[Figure]:
    """A group each with two critical sizes inside the grid."""
    figures = []
    for shown in figure_groups(study):
        own = [row for row in measured["precisions"] if row["group"] == shown.group]
        rows = pd.DataFrame([row for row in own if not _is_undetermined(row)])
        if len(rows) and (rows["status"] == "bracketed").sum() > 1:
            plot = partial(plot_precision, rows, law_lines(rows))
            figures.append(shown.figure("precision", plot, _CAPTION))
    return figures


register_section(
    WideSection(
        name="precisions",
        title="Precision of the weights",
        measure=lambda study: {"precisions": precisions(study)},
        write=lambda summary: write(summary["precisions"]),
        draw=_figures,
        shows=("precision",),
        tables=(CsvTable("precisions", "precision", leaves_out=("label", "is_coded", "precision_bits")),),
    ),
)
