"""Figures of codes beside the two-part one: online codes, and rates under a leak. They compute nothing."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter

from analysis.formatting import format_bytes
from analysis.plots import OF_OURS, draw, log_scales, name_curves, new_axes, size_curves

_LEAK_RATES = {
    "raw_rate": "evaluation text, raw, %",
    "adjusted_rate": "evaluation text, adjusted, %",
    "two_part_rate": "own subset, two-part, %",
}


def plot_online(curves: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Cumulative bits a byte against bytes coded, a curve a model size; `curves` as from `online.online_curves`."""
    axes = new_axes(ax)
    lines = size_curves(curves, "end_bytes", "bits_per_byte", marker="")
    draw(axes, lines)
    log_scales(axes, format_bytes, lambda bits: f"{bits:g}")
    axes.set_xlabel("bytes coded, each before it was learned from")
    axes.set_ylabel("code / bytes so far, bits per byte")
    name_curves(axes, lines)
    return axes


def plot_leak(leaks: pd.DataFrame, column: str, ax: Axes | None = None) -> Axes:
    """One rate against the leak fraction, a curve a size; `leaks` of one dataset size, as from `contamination`."""
    axes = new_axes(ax)
    percent = leaks.assign(leak=100 * leaks["leak_fraction"], rate=100 * leaks[column])
    lines = size_curves(percent, "leak", "rate")
    draw(axes, lines)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000) if low <= t <= high]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if len(ticks) < 2 else ""))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("leaked share of the subset, %")
    axes.set_title(_LEAK_RATES[column], fontsize=9.5)
    name_curves(axes, lines)
    return axes


def plot_contamination(leaks: pd.DataFrame) -> Axes:
    """Raw, adjusted and two-part rates side by side; the first of the three axes is returned."""
    import matplotlib.pyplot as plt

    panels = plt.subplots(1, 3, figsize=(7.2, 2.9), gridspec_kw={"wspace": 0.55}, subplot_kw={"label": OF_OURS})[1]
    for column, axes in zip(_LEAK_RATES, panels, strict=True):
        plot_leak(leaks, column, axes)
    return panels[0]  # type: ignore[no-any-return]
