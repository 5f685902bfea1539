"""Figures, `plot_x(tables already computed, ax=None) -> Axes`. They compute nothing; the theme is the report's.

A curve per dataset size, named at its end. Colors run from dark to light with the size, so that they read in gray
print and to the color-blind; marker and line style differ too. Tables are those of `study.Study`, of one group.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.formatting import format_bytes, format_count, format_size, join
from analysis.plots.log_axes import log_scales, octaves
from analysis.plots.style import (
    Curve,
    draw,
    draw_lines,
    draw_marks,
    label,
    name_below,
    name_curves,
    new_axes,
    points,
    size_curves,
    styled,
)

CEILING_OVER_MINIMA = 2.5  # adjusted rates span decades; the minima are what is to be read
_STAR: dict[str, Any] = {
    "linestyle": "none",
    "marker": "*",
    "markersize": 13,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "zorder": 5,
}
_LOCAL: dict[str, Any] = {"linestyle": "none", "marker": "x", "markersize": 5, "color": "0.35", "zorder": 6}
_EDGE: dict[str, Any] = {"linestyle": "none", "color": "0.35", "markersize": 7, "zorder": 5}


def plot_adjusted_rate(
    rates: pd.DataFrame,
    critical: pd.DataFrame | None = None,
    between: pd.DataFrame | None = None,
    ax: Axes | None = None,
    ceiling: float = CEILING_OVER_MINIMA,
) -> Axes:
    """Adjusted rate against N. Stars: critical sizes; arrowheads: not bracketed; left edge: best classical coder.

    `rates`, `critical` and `between` as in `study.Study`; without the last, lines are straight. Above `ceiling` times
    the highest of their minima, and above 120 %, curves leave the axes.
    """
    axes = _rate_axes(rates, "adjusted_rate", critical, ax, between=between, ceiling=ceiling)
    axes.set_ylabel("(code + parameters) / raw, %")
    if critical is None:
        return axes
    _stars(axes, critical, "n_params", "adjusted_rate")
    for status, marker in (("below", "<"), ("above", ">")):
        edge = critical[critical["status"] == status]
        axes.plot(edge["grid_best"], edge["adjusted_rate"], marker=marker, **_EDGE)
    found = critical[critical["status"] == "bracketed"]
    names = [_size_name(row) for row in found.to_dict("records")]
    name_below(axes, found["n_params"].tolist(), found["adjusted_rate"].tolist(), names)
    return axes


def top_of(rates: pd.DataFrame, column: str = "adjusted_rate", ceiling: float = CEILING_OVER_MINIMA) -> float:
    """The rate above which curves leave the axes."""
    return max(1.2, ceiling * float(rates.groupby("subset_bytes")[column].min().max()))


def plot_raw_rate(rates: pd.DataFrame, critical: pd.DataFrame | None = None, ax: Axes | None = None) -> Axes:
    """Raw rate on the subset itself against N, parameters not counted; at the left edge the best classical coder."""
    axes = _rate_axes(rates, "raw_rate", critical, ax)
    axes.set_ylabel("code / raw, on the subset, %")
    return axes


def plot_heldout_rate(rates: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Rate on bytes that no subset contains against N, a curve per size of the subset trained on."""
    axes = _rate_axes(rates[rates["heldout_rate"].notna()], "heldout_rate", None, ax)
    axes.set_ylabel("code / raw, held out, %")
    return axes


def plot_critical_size(
    critical: pd.DataFrame,
    law: pd.DataFrame | None = None,
    theory: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Critical size against dataset size, both logarithmic. Arrows: at or beyond the grid's edge; bars: intervals.

    Crosses: by the local estimator. `critical` and `predictions` as in `study.Study`, the latter's intervals make a
    band; `law` and `theory`: lines, columns subset_bytes, n_params, label.
    """
    axes = new_axes(ax)
    for line, look in ((theory, _THEORY), (law, _LAW)):
        if line is not None and len(line):
            _line(axes, line, look)
    _bars(axes, critical, "0.25")
    if "n_local" in critical:
        axes.plot(critical["subset_bytes"], critical["n_local"], **_LOCAL)
    _stars(axes, critical, "subset_bytes", "n_params", markersize=9)
    _size_labels(axes, critical, law)
    ticks = set(critical["subset_bytes"])
    if predictions is not None and len(predictions):
        outside = predictions[predictions["extrapolated"].astype(bool)]
        _band(axes, predictions)
        _predicted(axes, outside)
        ticks |= set(outside["subset_bytes"])
    log_scales(axes, format_bytes, format_count, x_ticks=sorted(ticks))
    axes.set_xlabel("dataset size D, bytes")
    axes.set_ylabel("critical model size N*, parameters")
    if law is not None or theory is not None:
        axes.legend(frameon=False, fontsize=points(9.5), loc="upper left")
    return axes


_LAW: dict[str, Any] = {"color": "0.35", "linewidth": 1.3}
_THEORY: dict[str, Any] = {"color": "0.35", "linewidth": 1.2, "linestyle": (0, (4, 3))}


def _line(axes: Axes, line: pd.DataFrame, look: dict[str, Any]) -> None:
    axes.plot(line["subset_bytes"], line["n_params"], zorder=2, label=line["label"].iloc[0], **look)


def _band(axes: Axes, predictions: pd.DataFrame) -> None:
    known = predictions[predictions["low"].notna() & predictions["high"].notna()].sort_values("subset_bytes")
    axes.fill_between(known["subset_bytes"], known["low"], known["high"], color="0.87", linewidth=0, zorder=1)


def _bars(axes: Axes, frame: pd.DataFrame, color: str, low: str = "low", high: str = "high") -> None:
    """Intervals where both ends are known."""
    known = frame[frame[low].notna() & frame[high].notna()] if low in frame else frame.iloc[:0]
    axes.vlines(known["subset_bytes"], known[low], known[high], color=color, linewidth=1.3, zorder=4)


def _size_labels(axes: Axes, critical: pd.DataFrame, law: pd.DataFrame | None) -> None:
    """On the side of the law's line on which the star lies."""
    names = {"bracketed": "{}", "below": "≤ {}", "above": "≥ {}"}
    for row in critical[critical["status"].isin(names)].to_dict("records"):
        inside, d = row["status"] == "bracketed", row["subset_bytes"]
        n = row["n_params"] if inside else row["grid_best"]
        if not inside:
            axes.plot(d, n, marker="v" if row["status"] == "below" else "^", **_EDGE)
        over = inside and law is not None and n > np.interp(d, law["subset_bytes"], law["n_params"])
        over = over and d > critical["subset_bytes"].min()  # left of the first there is no room
        beside: dict[str, Any] = {"offset": (-9, 5), "ha": "right"} if over else {"offset": (9, -10), "ha": "left"}
        name = _size_name(row) if inside else format_count(n)
        label(axes, names[row["status"]].format(name), (d, n), **beside)


def _size_name(row: dict[Hashable, Any]) -> str:
    """A critical size, of as many digits as its interval says are known."""
    return format_size(row["n_params"], row.get("low"), row.get("high"))


def _predicted(axes: Axes, predictions: pd.DataFrame) -> None:
    axes.plot(
        predictions["subset_bytes"],
        predictions["n_params"],
        linestyle="none",
        marker="o",
        color="0.35",
        markerfacecolor="white",
        markersize=6,
        zorder=5,
    )
    _bars(axes, predictions, "0.6")
    for row in predictions[predictions["n_params"].notna()].to_dict("records"):
        place = (row["subset_bytes"], row["n_params"])
        label(axes, f"{_size_name(row)}\nextrapolated", place, (-12, 6), ha="right", linespacing=0.95)


def plot_in_context(positions: pd.DataFrame, ax: Axes | None = None, unit: str = "byte") -> Axes:
    """Held-out bits per byte against the position in the window; `positions` as made by `study.in_context`.

    `unit`: what a position is, a byte or a token.
    """
    axes = new_axes(ax)
    curves, ticks = size_curves(positions, "position", "bits_per_byte"), sorted(set(positions["position"]))
    octaves(axes, ticks[:: -(-len(ticks) // 10)])
    axes.margins(x=0.03)
    draw(axes, curves)
    axes.set_xlabel(f"position in the window, {unit}s (first {unit}: 1)")
    axes.set_ylabel("held-out bits per byte")
    name_curves(axes, curves)
    return axes


def _rate_axes(
    rates: pd.DataFrame,
    column: str,
    critical: pd.DataFrame | None,
    ax: Axes | None,
    between: pd.DataFrame | None = None,
    ceiling: float = np.inf,
) -> Axes:
    """Curves of a rate against N, axes logarithmic, in percent: marks at what was run, lines as `between` has them."""
    axes, curves = new_axes(ax), []
    for (subset_bytes, own), style in styled(rates, "subset_bytes"):
        line = own if between is None else between[between["subset_bytes"] == subset_bytes]
        curves.append(Curve(line["n_params"].tolist(), line[column].tolist(), format_bytes(float(subset_bytes)), style))
        draw_marks(axes, own["n_params"].tolist(), own[column].tolist(), style)
        several = own[own["n_seeds"] > 1]
        if column != "heldout_rate" and len(several):
            axes.errorbar(several["n_params"], several[column], several["rate_sd"], fmt="none", ecolor=style["color"])
    draw_lines(axes, curves)
    classical = pd.DataFrame() if critical is None else critical[critical["classical_rate"].notna()]
    every = [*rates[column], *classical.get("classical_rate", [])]
    axes.set_ylim(
        (0.86 if column != "adjusted_rate" else 0.7) * min(every),
        min(1.1 * max(every), top_of(rates, column, ceiling)),
    )
    log_scales(axes, format_count, lambda rate: f"{100 * rate:g}")
    axes.set_xlim(rates["n_params"].min() / 1.35, rates["n_params"].max() * 1.35)
    axes.set_xlabel("model size N, parameters")
    _classical_ticks(axes, classical, curves)
    name_curves(axes, curves)
    return axes


def _stars(axes: Axes, critical: pd.DataFrame, x: str, y: str, **look: Any) -> None:
    found = critical[critical["status"] == "bracketed"]
    size = points(look.pop("markersize", _STAR["markersize"]))
    axes.plot(found[x], found[y], **_STAR | look | {"markersize": size})


def _classical_ticks(axes: Axes, classical: pd.DataFrame, curves: Sequence[Curve]) -> None:
    """In a band left of all curves: short lines, each in the color and with the marker of its dataset size's curve."""
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
    text = "\n".join(["best classical:", *_coders(classical)])
    top = (0.012, classical["classical_rate"].max())
    axes.annotate(
        text,
        top,
        (0, 6),
        inside,
        textcoords="offset points",
        fontsize=points(9),
        va="bottom",
        color="0.3",
        linespacing=1.1,
    )


def _coders(classical: pd.DataFrame) -> list[str]:
    """The one that is the best most often, and of the others where they are."""
    most, *others = classical["coder"].value_counts().index
    at = {other: classical.loc[classical["coder"] == other, "subset_bytes"] for other in others}
    return [most, *(f"{other} at {join(map(format_bytes, sizes))}" for other, sizes in at.items())]
