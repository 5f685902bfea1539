"""The figure of tokenisation: rates against the vocabulary. It computes nothing."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from analysis.formatting import format_bytes
from analysis.plots import OF_OURS, draw, name_curves, new_axes, size_curves
from analysis.report.sections.tokenization_page import vocabulary_name

MOST_ROWS = 3
_RATES = {
    "adjusted_rate": "adjusted: + parameters, tokenizer, %",
    "raw_rate": "own subset, code alone, %",
    "heldout_rate": "held out, %",
}
_WIDE = 5


def plot_rate(rows: pd.DataFrame, column: str, ax: Axes | None = None) -> Axes:
    """One rate against the vocabulary, a curve a shape; `rows` of one dataset size, as from `tokenisation`."""
    axes = new_axes(ax)
    lines = size_curves(rows.assign(rate=100 * rows[column]), "vocabulary", "rate", by="n_byte_params")
    draw(axes, lines)
    axes.set_xscale("log", base=2)
    if rows[column].max() > _WIDE * rows[column].min():  # a few shapes of very different size
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(rows["vocabulary"]))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: vocabulary_name(int(value))))
    axes.tick_params(axis="x", labelrotation=45)
    name_curves(axes, lines)
    return axes


def plot_tokenisation(rows: pd.DataFrame) -> Axes:
    """Adjusted, raw and held-out rates side by side, a line of panels a dataset size; the first axes are returned."""
    import matplotlib.pyplot as plt

    data = sorted(set(rows["subset_bytes"]))[-MOST_ROWS:]
    columns = [column for column in _RATES if rows[column].notna().any()]
    panels = plt.subplots(
        len(data), len(columns), figsize=(7.2, 0.4 + 2.3 * len(data)), squeeze=False, sharex=True,
        gridspec_kw={"wspace": 0.55, "hspace": 0.3}, subplot_kw={"label": OF_OURS},
    )[1]  # fmt: skip
    for d, line in zip(data, panels, strict=True):
        for column, axes in zip(columns, line, strict=True):
            plot_rate(rows[(rows["subset_bytes"] == d) & rows[column].notna()], column, axes)
        line[0].set_ylabel(format_bytes(d))
    for column, axes in zip(columns, panels[0], strict=True):
        axes.set_title(_RATES[column], fontsize=9.5)
    for axes in panels[-1]:
        axes.set_xlabel("vocabulary")
    return panels[0][0]  # type: ignore[no-any-return]
