"""The figure of `mdl fit -o`: the law with its band, what it leaves, and how it does on rows that it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.formatting import format_count
from analysis.plots.log_axes import log_scales
from analysis.plots.style import draw_marks, new_axes, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZE_INCHES = (10.0, 5.4)
_BAND_ALPHA = 0.18
_DODGE = 0.2  # of a line: marks of nearly the same error stand above each other
_MANY_TIMES = 10.0  # losses that span more are drawn on a logarithmic axis
_LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 9, "title_fontsize": 9}
# What predicts the rows left out: column, name, look.
_GUESSES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("error", "law", {"marker": "o", "color": "black"}),
    ("nearest_error", "nearest row", {"marker": "s", "color": "0.4", "markerfacecolor": "white"}),
    ("last_value_error", "last value", {"marker": "^", "color": "0.6"}),
)


def plot_scaling_fit(
    *, points: pd.DataFrame, lines: pd.DataFrame, tests: pd.DataFrame, loss_name: str, data_name: str
) -> Figure:
    """Three panels of one fit; the tables are those of `analysis.scaling.FitTables`.

    `loss_name` and `data_name` say what L and D are, with their units.
    """
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=_SIZE_INCHES, layout="constrained")
    places = figure.add_gridspec(2, 2, width_ratios=(1.25, 1), height_ratios=(1.35, 1))
    law = plot_law(points=points, lines=lines, loss_name=loss_name, ax=figure.add_subplot(places[:, 0]))
    plot_residuals(points=points, ax=figure.add_subplot(places[0, 1]))
    plot_held_out(tests=tests, ax=figure.add_subplot(places[1, 1]))
    handles, labels = law.get_legend_handles_labels()
    figure.legend(handles, labels, title=data_name, loc="outside lower center", ncols=len(labels), **_LEGEND)
    return figure


def plot_law(*, points: pd.DataFrame, lines: pd.DataFrame, loss_name: str, ax: Axes | None = None) -> Axes:
    """Loss against N: marks are measured, lines the law, bands 95 % of the laws that resampled rows give."""
    axes = new_axes(ax)
    for (group, own), style in styled(points, "group"):
        line = lines[lines["group"] == group]
        if line["low"].notna().all():
            band = {"color": style["color"], "alpha": _BAND_ALPHA, "linewidth": 0}
            axes.fill_between(line["n_params"], line["low"], line["high"], **band)
        axes.plot(line["n_params"], line["loss"], **style | {"marker": None, "linewidth": 1.2})
        draw_marks(axes, own["n_params"].tolist(), own["loss"].tolist(), style)
        look = style | {"linewidth": 1.2, "markeredgewidth": 0}
        axes.plot([], [], label=str(line["label"].iloc[0]), **look)
    spans_much = points["loss"].max() > _MANY_TIMES * points["loss"].min()
    log_scales(axes, format_count, (lambda loss: f"{loss:g}") if spans_much else None)
    axes.set_xlabel("model size N, parameters")
    axes.set_ylabel(loss_name)
    axes.set_title("Law (lines, 95 % band) and measurements", fontsize=10)
    return axes


def plot_residuals(*, points: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Measured over fitted loss, less one, against N."""
    axes = new_axes(ax)
    axes.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    for (_, own), style in styled(points, "group"):
        draw_marks(axes, own["n_params"].tolist(), (100 * own["residual"]).tolist(), style)
    log_scales(axes, format_count, None)
    axes.set_xlabel("model size N, parameters")
    axes.set_ylabel("measured / fitted − 1, %")
    axes.set_title("Residuals", fontsize=10)
    return axes


def plot_held_out(*, tests: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Mean error on rows left out of the fit, a line per split: of the law, and of two guesses that fit nothing."""
    axes = new_axes(ax)
    places = np.arange(len(tests))[::-1]
    for i, (column, name, look) in enumerate(_GUESSES):
        known = tests[column].notna() & (tests[column] > 0)
        beside = places[known] + _DODGE * (1 - i)
        axes.plot(100 * tests[column][known], beside, linestyle="none", markersize=6, label=name, **look)
    for place, missing in zip(places, tests["error"].isna(), strict=True):
        if missing:
            axes.annotate(
                "no law",
                (0, place),
                (4, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                fontsize=9,
                va="center",
                color="0.35",
            )
    log_scales(axes, lambda percent: f"{percent:g}", None)
    rows = zip(tests["name"], tests["n_held_out"], strict=True)
    axes.set_yticks(places, [f"{name}\n({n} row{'' if n == 1 else 's'})" for name, n in rows])
    axes.set_ylim(-0.6, len(tests) - 0.4)
    axes.set_xlabel("mean error on rows left out, %")
    axes.set_title("Held-out test", fontsize=10)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=len(_GUESSES), handletextpad=0.2, **_LEGEND)
    return axes
