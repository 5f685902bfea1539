"""What byte-pair vocabularies do to the rates: the same cells with their vocabularies side by side."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from analysis.formatting import format_bytes, format_percent
from analysis.plots import OF_OURS, draw, name_curves, new_axes, size_curves
from analysis.report.elements import Block, Text, named_grid
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.shown import groups_shown
from analysis.study import Study
from analysis.types import Json

COLUMNS = ["group", "subset_bytes", "n_byte_params", "size", "vocabulary", "n_params", "n_seeds", "bytes_per_token",
           "raw_rate", "parameter_rate", "tokenizer_rate", "adjusted_rate", "heldout_rate"]  # fmt: skip


def tokenisation(study: Study) -> pd.DataFrame:
    """A row a (group without its vocabulary, D, shape, vocabulary), averaged over seeds; none with one vocabulary.

    n_byte_params    the shape's least parameters, those of the smallest vocabulary run: what orders the shapes
    bytes_per_token  of the own subset; 1: bytes
    raw_rate, parameter_rate, tokenizer_rate  add up to adjusted_rate; all over raw bytes
    """
    runs = study.table.runs
    n_vocabularies = runs.groupby("byte_group")["vocabulary"].transform("nunique")
    several = runs[(n_vocabularies > 1) & (runs["status"] == "ok")]
    several = several.assign(bytes_per_token=several["subset_bytes"] / several["n_tokens"])
    key = ["group", "subset_bytes", "n_params"]
    named = several.groupby([*key, "byte_group"], as_index=False)["bytes_per_token"].mean()
    both = study.rates.merge(named, on=key)
    rates = both.assign(
        group=both["byte_group"],
        n_byte_params=both.groupby(["byte_group", "size"])["n_params"].transform("min"),
        parameter_rate=both["bits_per_param"] * both["n_params"] / (8 * both["subset_bytes"]),
        tokenizer_rate=both["tokenizer_bytes"] / both["subset_bytes"],
    )
    return rates.sort_values(["group", "subset_bytes", "n_byte_params", "vocabulary"]).reset_index(drop=True)[COLUMNS]


_PARTS = ("raw_rate", "parameter_rate", "tokenizer_rate", "adjusted_rate", "heldout_rate")


def write(rows: list[Json]) -> list[Block]:
    """Rates by vocabulary, and which shape and vocabulary are best."""
    if not rows:
        return []
    cells = [
        (format_bytes(r["subset_bytes"]), r["size"], vocabulary_name(r["vocabulary"]), f"{r['n_params']:,}",
         f"{r['bytes_per_token']:.2f}", *("–" if r[part] is None else format_percent(r[part]) for part in _PARTS))
        for r in rows
    ]  # fmt: skip
    text = (
        "Byte pairs learned on the subset itself against bytes; all rates are of raw bytes. Code, parameters (the "
        "embedding's row for every token among them) and the tokenizer's own bytes, its merges compressed, add up to "
        "the adjusted rate; the tokenizer is paid in full whatever a parameter costs. Windows hold as many tokens as "
        "they would bytes, and every model takes as many steps, so with a larger vocabulary a model reaches further "
        f"back and sees its subset more often. {_best(rows)}"
    )
    header = ("dataset", "shape", "vocabulary", "parameters", "bytes a token", "code", "+ parameters",
              "+ tokenizer", "= adjusted", "held out")  # fmt: skip
    return [Text(text), named_grid(header, cells, "lllrrrrrrr", [row["group"] for row in rows])]


def vocabulary_name(vocabulary: int) -> str:
    """How figures and tables call it."""
    return "bytes" if vocabulary == 256 else f"{vocabulary:,}"


def _best(rows: list[Json]) -> str:
    """Of every dataset size the least adjusted rate of all, beside that of bytes."""
    datasets: dict[tuple[Any, ...], list[Json]] = {}
    for row in rows:
        datasets.setdefault((row["group"], row["subset_bytes"]), []).append(row)
    several = len({group for group, _ in datasets}) > 1
    said = []
    for (group, d), own in datasets.items():
        of = f"{format_bytes(d)} of {group}" if several else format_bytes(d)
        with_bytes = [row for row in own if row["vocabulary"] == 256]
        beside = f"; with bytes, {_least(with_bytes)}" if with_bytes else ""
        said.append(f"The least adjusted rate of {of} is {_least(own)}{beside}.")
    return " ".join(said)


def _least(rows: list[Json]) -> str:
    best = min(rows, key=lambda row: row["adjusted_rate"])
    name = "" if best["vocabulary"] == 256 else f" with {vocabulary_name(best['vocabulary'])} tokens"
    return f"{format_percent(best['adjusted_rate'])}, of {best['size']}{name}"


MOST_ROWS = 3
_TITLES = {
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
    columns = [column for column in _TITLES if rows[column].notna().any()]
    panels = plt.subplots(
        len(data), len(columns), figsize=(7.2, 0.4 + 2.3 * len(data)), squeeze=False, sharex=True,
        gridspec_kw={"wspace": 0.55, "hspace": 0.3}, subplot_kw={"label": OF_OURS},
    )[1]  # fmt: skip
    for d, line in zip(data, panels, strict=True):
        for column, axes in zip(columns, line, strict=True):
            plot_rate(rows[(rows["subset_bytes"] == d) & rows[column].notna()], column, axes)
        line[0].set_ylabel(format_bytes(d))
    for column, axes in zip(columns, panels[0], strict=True):
        axes.set_title(_TITLES[column], fontsize=9.5)
    for axes in panels[-1]:
        axes.set_xlabel("vocabulary")
    return panels[0][0]  # type: ignore[no-any-return]


_CAPTION = (
    "Rates of raw bytes against the vocabulary, a curve a shape; the leftmost marks are bytes. The adjusted rate "
    "counts parameters, the embedding among them, and the tokenizer."
)


def _figures(study: Study, measured: Measured) -> list[Figure]:
    """One of all vocabularies together."""
    runs, figures = study.table.runs, []
    for shown in groups_shown(study, named_by="byte_group"):
        rows: pd.DataFrame = measured["tokenisation"]
        own = rows[rows["group"].isin(runs.loc[runs["group"] == shown.group, "byte_group"])]
        if len(own):
            figures.append(shown.figure("tokenisation", partial(plot_tokenisation, own), _CAPTION))
    return figures


register_section(
    WideSection(
        name="tokenisation",
        title="Tokenisation",
        measure=lambda study: {"tokenisation": tokenisation(study)},
        write=lambda summary: write(summary["tokenisation"]),
        draw=_figures,
        shows=("tokenisation",),
    ),
)
