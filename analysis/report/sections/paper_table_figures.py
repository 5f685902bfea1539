"""Figures of rates by position and by context length. They compute nothing."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.plots import GRAY, MOST_COLORS, new_axes, octaves, styled


def plot_positions(curves: pd.DataFrame, ax: Axes | None = None, every: pd.DataFrame | None = None) -> Axes:
    """Bits per byte against the position in the window, both logarithmic; `transfer.position_curves` of one data set.

    A curve per model: its color is what it learned from, its line its size. Dotted: 8 bits, no compression.
    `every`: the curves of all data sets, in which a model looks the same.
    """
    axes = new_axes(ax)
    named = curves if every is None else every
    colors = {name: style["color"] for (name, _), style in styled(named, "trained_on")}
    shown = sizes_in_color(named)
    lines = {n: style["linestyle"] for (n, _), style in styled(named, "n_params")}
    for n_params, of_size in curves.groupby("n_params", sort=True):
        for name, own in of_size.groupby("trained_on", sort=True):
            text = f"{own['compressor'].iloc[0]}, trained on {name}"
            look = {"color": colors[str(name)], "linestyle": lines[n_params], "linewidth": 1.4, "label": text}
            if n_params not in shown:
                look = {"color": GRAY, "linestyle": "-", "linewidth": 0.8, "zorder": 1.8}
            axes.plot(own["position"], own["bits_per_byte"], **look)
    axes.axhline(8, color="0.5", linewidth=0.9, linestyle=":")
    ticks = [2**k for k in range(int(curves["position"].max()).bit_length() + 1)]
    octaves(axes, ticks[:: -(-len(ticks) // 7)])
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 32]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.set_ylabel("bits per byte")
    axes.set_xlabel("position in the window, bytes (first byte: 1)")
    return axes


def sizes_in_color(curves: pd.DataFrame) -> list[int]:
    """The largest model sizes, so many that no more than eight curves are in color; the others are thin and gray."""
    n_each = curves["trained_on"].nunique()
    return sorted(set(curves["n_params"]))[-max(1, MOST_COLORS // max(1, n_each)) :]


def plot_position_panels(curves: pd.DataFrame) -> Axes:
    """A panel per data set, two a row, the models named once for all; the first of the axes is returned."""
    import matplotlib.pyplot as plt

    groups = list(curves.groupby("data", sort=False))
    n_columns = min(2, len(groups))
    n_rows = -(-len(groups) // n_columns)
    grid = plt.subplots(
        n_rows,
        n_columns,
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
        figsize=(3.6 * n_columns + 0.3, 2.4 * n_rows + 0.5),
    )
    panels = list(grid[1].flat)
    for axes, (name, own) in zip(panels, groups, strict=False):
        plot_positions(own, axes, curves)
        axes.set_title(f"coding {name}", fontsize=10, loc="left", pad=3)
        axes.label_outer()
    for axes in panels[len(groups) :]:
        axes.set_axis_off()
    handles = {text: line for axes in panels for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    grid[0].legend(
        handles.values(), handles, loc="outside lower center", ncols=min(3, len(handles)), frameon=False, fontsize=9
    )
    return panels[0]  # type: ignore[no-any-return]
