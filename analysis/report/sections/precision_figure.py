"""The figure of critical size against what a parameter costs. It computes nothing."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from analysis.costs import PAPER
from analysis.formatting import format_bytes, format_count
from analysis.plots import Curve, label, log_scales, name_curves, new_axes, styled
from analysis.report.sections.precision import nominal

_PAPER: dict[str, Any] = {"linestyle": "none", "marker": "*", "markersize": 12, "markerfacecolor": "white", "zorder": 5}


def plot_precision(rows: pd.DataFrame, lines: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """N* against bits a parameter, both logarithmic: marks and bars measured, lines the law, one a dataset size.

    Stars: float16. Precisions are named at the dataset size that has most of them, of several the largest. Tables as of
    `precision.precisions` and `precision.law_lines`, of one group.
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
        counts = found["subset_bytes"].value_counts()
        _name_precisions(axes, found[found["subset_bytes"] == counts[counts == counts.max()].index.max()])
    axes.set_xlabel("bits that one more parameter costs, c")
    axes.set_ylabel("critical model size N*, parameters")
    return axes


def _marks(axes: Axes, own: pd.DataFrame, style: dict[str, Any]) -> None:
    color, paper = style["color"], own["cost"] == PAPER.name
    known = own[own["low"].notna() & own["high"].notna()]
    axes.vlines(known["bits_per_param"], known["low"].astype(float), known["high"].astype(float), color=color,
                linewidth=1, alpha=0.6, zorder=3)  # fmt: skip
    coded, float16 = own[~paper], own[paper]
    axes.plot(coded["bits_per_param"], coded["n_params"], linestyle="none", marker=style["marker"], color=color,
              markersize=5, markeredgewidth=0, zorder=4)  # fmt: skip
    axes.plot(float16["bits_per_param"], float16["n_params"], markeredgecolor=color, **_PAPER)


def _name_precisions(axes: Axes, own: pd.DataFrame) -> None:
    for row in own[own["cost"] != PAPER.name].to_dict("records"):
        text = nominal(row["cost"]).removesuffix(" bits")
        label(axes, text, (row["bits_per_param"], row["n_params"]), (0, 7), ha="center", color="0.25")
