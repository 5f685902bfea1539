"""Figures of adjusted rates against dataset size. They compute nothing."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from analysis.formatting import format_bytes, format_count
from analysis.plots import GRAY, Curve, log_scales, name_below, name_curves, new_axes, styled
from analysis.report.sections.least_rate import Envelope

CEILING = 1.2  # of raw size: above it no model compresses, and curves of large models go far beyond
_FOOT: dict[str, Any] = {"color": "0.85", "linewidth": 7, "solid_capstyle": "round", "zorder": 1}
_UNNAMED = "0.35"  # the ink of sizes whose curves are gray
_TAKEOVER: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 7,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "zorder": 5,
}


def plot_envelope(found: Envelope, ax: Axes | None = None) -> Axes:
    """Adjusted rate against dataset size, both logarithmic, a curve per model size; grey below: the least of all.

    Circles: where the next size takes over, named at the foot in its color by its parameters and the dataset size.
    Curves leave through the top at 120 %.
    """
    axes, curves, inks = new_axes(ax), [], {}
    axes.plot(found.least["data_bytes"], found.least["adjusted_rate"], **_FOOT)
    for (n_params, own), style in styled(found.lines, "n_params", first=set(found.spans["n_params"])):
        marks = found.measured[found.measured["n_params"] == n_params]
        axes.plot(
            own["data_bytes"], own["adjusted_rate"], color=style["color"], linestyle=style["linestyle"], linewidth=1.3
        )
        axes.plot(
            marks["data_bytes"],
            marks["adjusted_rate"],
            linestyle="none",
            color=style["color"],
            marker=style["marker"],
            markersize=3.5,
            markeredgewidth=0,
        )
        inks[n_params] = style["color"]
        curves.append(Curve(own["data_bytes"].tolist(), own["adjusted_rate"].tolist(), format_count(n_params), style))
    _limits(axes, found.least, found.lines)
    shown = found.spans[found.spans["from_bytes"].notna() & (found.spans["from_rate"] <= axes.get_ylim()[1])]
    marks = list(zip(shown["from_bytes"], shown["from_rate"], strict=True))
    below = _takeovers(axes, shown, inks)
    name_curves(axes, [curve for curve in curves if min(curve.y) <= axes.get_ylim()[1]], marks, below)
    axes.set_xlabel("dataset size D, bytes")
    axes.set_ylabel("(code + parameters) / raw, %")
    return axes


def _limits(axes: Axes, least: pd.DataFrame, lines: pd.DataFrame) -> None:
    """From where the least rate is below the ceiling; room at the foot for two lines of names."""
    low, high = least["adjusted_rate"].min(), min(CEILING, 1.1 * lines["adjusted_rate"].max())
    high = max(high, 1.1 * low)
    shown = least.loc[least["adjusted_rate"] <= high, "data_bytes"]
    axes.set_xscale("log")
    axes.set_xlim(shown.min() / 1.12, least["data_bytes"].max() * 1.12)
    axes.set_yscale("log")
    axes.set_ylim(low / (high / low) ** 0.28, high)
    log_scales(axes, format_bytes, lambda rate: f"{100 * rate:g}")


def _takeovers(axes: Axes, found: pd.DataFrame, inks: dict[Any, Any]) -> set[str]:
    """Circles, and at the foot what takes over there, in its curve's color (by N); the sizes that are named so."""
    axes.plot(found["from_bytes"], found["from_rate"], **_TAKEOVER)
    sizes = [format_count(n) for n in found["n_params"]]
    names = [f"{size}\n{format_bytes(d)}" for size, d in zip(sizes, found["from_bytes"], strict=True)]
    colors = [_UNNAMED if inks[n] == GRAY else inks[n] for n in found["n_params"]]
    named = name_below(axes, found["from_bytes"].tolist(), found["from_rate"].tolist(), names, colors)
    return {sizes[i] for i in named}
