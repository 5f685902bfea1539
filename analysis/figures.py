"""Figures, `plot_x(tables already computed, ax=None) -> Axes`. They compute nothing; the theme is the report's.

A curve a dataset size, named at its end. Colours run from dark to light with the size, so that they read in grey print
and to the colour-blind; marker and line style differ too. Tables are those of `study.Study`, of one group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter

from analysis.axes import HALO, Curve, draw, label, log_scales, name_curves, styled
from analysis.units import format_bytes, format_count

CEILING_OVER_MINIMA = 2.5  # adjusted rates span decades; the minima are what is to be read
_STAR: dict[str, Any] = {
    "linestyle": "none", "marker": "*", "markersize": 13, "markerfacecolor": "white", "markeredgecolor": "black",
    "zorder": 5,
}  # fmt: skip
_EDGE: dict[str, Any] = {"linestyle": "none", "color": "0.35", "markersize": 7, "zorder": 5}


def plot_adjusted_rate(
    rates: pd.DataFrame,
    critical: pd.DataFrame | None = None,
    ax: Axes | None = None,
    ceiling: float = CEILING_OVER_MINIMA,
) -> Axes:
    """Adjusted rate against N. Stars: critical sizes; arrowheads: not bracketed; left edge: best classical coder.

    `rates` and `critical` as in `study.Study`. Above `ceiling` times the highest of their
    minima, and above 120 %, curves leave the axes.
    """
    axes = _rate_axes(rates, "adjusted_rate", critical, ax, ceiling)
    axes.set_ylabel("adjusted rate: (code + parameters) / raw, %")
    if critical is None:
        return axes
    _stars(axes, critical, "n_params", "adjusted_rate")
    for status, marker in (("below", "<"), ("above", ">")):
        edge = critical[critical["status"] == status]
        axes.plot(edge["grid_best"], edge["adjusted_rate"], marker=marker, **_EDGE)
    for row in critical[critical["status"] == "bracketed"].to_dict("records"):
        axes.annotate(
            format_count(row["n_params"]), (row["n_params"], row["adjusted_rate"]), (0, 9), textcoords="offset points",
            ha="center", va="bottom", fontsize=8, path_effects=HALO, zorder=6,
        )  # fmt: skip
    return axes


def plot_raw_rate(rates: pd.DataFrame, critical: pd.DataFrame | None = None, ax: Axes | None = None) -> Axes:
    """Raw rate on the subset itself against N, parameters not counted; at the left edge the best classical coder."""
    axes = _rate_axes(rates, "raw_rate", critical, ax)
    axes.set_ylabel("raw rate on the subset: code / raw, %")
    return axes


def plot_heldout_rate(rates: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Rate on bytes that no subset contains against N, a curve a size of the subset trained on."""
    axes = _rate_axes(rates[rates["heldout_rate"].notna()], "heldout_rate", None, ax)
    axes.set_ylabel("held-out rate: code / raw, %")
    return axes


def plot_critical_size(critical: pd.DataFrame, law: pd.DataFrame | None = None, ax: Axes | None = None) -> Axes:
    """Critical size against dataset size, both logarithmic. Arrows: at or beyond the grid's edge.

    `critical` as in `study.Study`; `law`: the fitted line, columns subset_bytes, n_params and label.
    """
    axes = _axes(ax)
    if law is not None and len(law):
        axes.plot(law["subset_bytes"], law["n_params"], color="0.4", linewidth=1.2, zorder=2)
        end = law.iloc[len(law) // 2]
        label(axes, str(end["label"]), (float(end["subset_bytes"]), float(end["n_params"])), (10, -12), va="top")
    _stars(axes, critical, "subset_bytes", "n_params")
    names = {"bracketed": "{}", "below": "≤ {}", "above": "≥ {}"}
    for row in critical[critical["status"].isin(names)].to_dict("records"):
        inside = row["status"] == "bracketed"
        n = row["n_params"] if inside else row["grid_best"]
        if not inside:
            axes.plot(row["subset_bytes"], n, marker="v" if row["status"] == "below" else "^", **_EDGE)
        beside: dict[str, Any] = {"offset": (-9, 3), "ha": "right"} if inside else {"offset": (9, -4), "ha": "left"}
        label(axes, names[row["status"]].format(format_count(n)), (row["subset_bytes"], n), **beside)
    log_scales(axes, format_bytes, format_count, x_ticks=sorted(set(critical["subset_bytes"])))
    axes.set_xlabel("dataset size D, bytes")
    axes.set_ylabel("critical model size N*, parameters")
    return axes


def plot_in_context(positions: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Held-out bits a byte against the position in the window; `positions` as made by `study.in_context`."""
    axes = _axes(ax)
    curves = [
        Curve(own["position"].tolist(), own["bits_per_byte"].tolist(), str(own["size"].iloc[0]), style)
        for (_, own), style in styled(positions, "n_params")
    ]
    axes.set_xscale("log", base=2)
    axes.margins(x=0.03)
    draw(axes, curves)
    ticks = sorted(set(positions["position"]))
    axes.xaxis.set_major_locator(FixedLocator(ticks[:: -(-len(ticks) // 10)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
    axes.set_xlabel("position in the window, bytes (first byte: 1)")
    axes.set_ylabel("held-out bits per byte")
    name_curves(axes, curves)
    return axes


def _axes(ax: Axes | None) -> Axes:
    if ax is None:
        ax = plt.subplots(figsize=(6.5, 3.9))[1]
    sns.despine(ax=ax)
    return ax


def _rate_axes(
    rates: pd.DataFrame, column: str, critical: pd.DataFrame | None, ax: Axes | None, ceiling: float = np.inf
) -> Axes:
    """Curves of a rate against N on logarithmic axes, in percent."""
    axes, curves = _axes(ax), []
    for (subset_bytes, own), style in styled(rates, "subset_bytes"):
        curves.append(Curve(own["n_params"].tolist(), own[column].tolist(), format_bytes(float(subset_bytes)), style))
        several = own[own["n_seeds"] > 1]
        if column != "heldout_rate" and len(several):
            axes.errorbar(several["n_params"], several[column], several["rate_sd"], fmt="none", ecolor=style["color"])
    draw(axes, curves)
    classical = pd.DataFrame() if critical is None else critical[critical["classical_rate"].notna()]
    every = [*rates[column], *classical.get("classical_rate", [])]
    minima = rates.groupby("subset_bytes")[column].min()
    axes.set_ylim(0.86 * min(every), min(1.1 * max(every), max(1.2, ceiling * minima.max())))
    log_scales(axes, format_count, lambda rate: f"{100 * rate:g}")
    axes.set_xlim(rates["n_params"].min() / 1.35, rates["n_params"].max() * 1.35)
    axes.set_xlabel("model size N, parameters")
    _classical_ticks(axes, classical, curves)
    name_curves(axes, curves)
    return axes


def _stars(axes: Axes, critical: pd.DataFrame, x: str, y: str) -> None:
    found = critical[critical["status"] == "bracketed"]
    axes.plot(found[x], found[y], **_STAR)


def _classical_ticks(axes: Axes, classical: pd.DataFrame, curves: Sequence[Curve]) -> None:
    """In a band left of all curves: short lines, each in the colour and with the marker of its dataset size's curve."""
    if classical.empty:
        return
    low, high = np.log(axes.get_xlim())
    axes.set_xlim(float(np.exp(low - 0.17 * (high - low))), float(np.exp(high)))
    styles, inside = {curve.label: curve.style for curve in curves}, axes.get_yaxis_transform()
    for i, row in enumerate(classical.to_dict("records")):
        style, y = styles[format_bytes(row["subset_bytes"])], row["classical_rate"]
        x = 0.02 + 0.1 * (i + 1) / (len(classical) + 1)  # the markers of close rates stand side by side
        axes.plot([0, x], [y, y], transform=inside, color=style["color"], linewidth=1.2)
        axes.plot(x, y, transform=inside, marker=style["marker"], color=style["color"], mfc="white", markersize=4.5)
    text = "\n".join(["best classical:", *dict.fromkeys(classical["coder"])])
    top = (0.012, classical["classical_rate"].max())
    axes.annotate(text, top, (0, 6), inside, textcoords="offset points", fontsize=7.5, va="bottom", color="0.3")
