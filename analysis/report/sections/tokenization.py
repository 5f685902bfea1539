"""What byte-pair vocabularies do to the rates: the same cells with their vocabularies side by side."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from analysis.formatting import format_bytes, format_known, format_percent, format_place
from analysis.plots import OF_OURS, draw, name_curves, new_axes, size_curves
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Text, named_grid
from analysis.report.rows.comparisons import TokenisationRow
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.figure_groups import figure_groups
from analysis.study import Study

COLUMNS = list(TokenisationRow.__annotations__)


def tokenisation(study: Study) -> pd.DataFrame:
    """A row per (group without its vocabulary, D, shape, vocabulary), averaged over seeds; none with one vocabulary.

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


def write(rows: list[TokenisationRow]) -> list[Block]:
    """Rates by vocabulary, and which shape and vocabulary are best."""
    if not rows:
        return []
    cells = [
        (
            format_bytes(r["subset_bytes"]),
            r["size"],
            vocabulary_name(r["vocabulary"]),
            f"{r['n_params']:,}",
            f"{r['bytes_per_token']:.2f}",
            format_percent(r["raw_rate"]),
            format_percent(r["parameter_rate"]),
            format_percent(r["tokenizer_rate"]),
            format_percent(r["adjusted_rate"]),
            format_known(r["heldout_rate"], format_percent),
        )
        for r in rows
    ]
    text = (
        "Models of byte pairs, which were learned on the subset itself, beside models of bytes. All rates are relative "
        "to raw bytes. The code, the parameters and the tokenizer add up to the adjusted rate. The parameters include "
        "the embedding's row for every token. The tokenizer is the compressed list of its merges, and is paid in full "
        "whatever a parameter costs. All models have windows of the same number of tokens and train for the same "
        "number of steps. With a larger vocabulary a model therefore reaches further back and reads its subset more "
        f"often. {_best(rows)}"
    )
    header = (
        "dataset",
        "shape",
        "vocabulary",
        "parameters",
        "bytes per token",
        "code",
        "+ parameters",
        "+ tokenizer",
        "= adjusted",
        "held out",
    )
    return [Text(text), named_grid(header, cells, "lllrrrrrrr", [row["group"] for row in rows])]


def vocabulary_name(vocabulary: int) -> str:
    """How figures and tables call it."""
    return "bytes" if vocabulary == 256 else f"{vocabulary:,}"


def _best(rows: list[TokenisationRow]) -> str:
    """Of every dataset size the least adjusted rate of all, beside that of bytes."""
    datasets: dict[tuple[str, int], list[TokenisationRow]] = {}
    for row in rows:
        datasets.setdefault((row["group"], row["subset_bytes"]), []).append(row)
    several = len({group for group, _ in datasets}) > 1
    said = []
    for (group, d), own in datasets.items():
        with_bytes = [row for row in own if row["vocabulary"] == 256]
        beside = f"; with bytes it is {_least(with_bytes)}" if with_bytes else ""
        of = format_place(d, group if several else "")
        said.append(f"The least adjusted rate of {of} is {_least(own)}{beside}.")
    return " ".join(said)


def _least(rows: list[TokenisationRow]) -> str:
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
    """One rate against the vocabulary, one curve per shape; `rows` of one dataset size, as from `tokenisation`."""
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
    """Adjusted, raw and held-out rates side by side, one line of panels per dataset size; returns the first axes."""
    import matplotlib.pyplot as plt

    data = sorted(set(rows["subset_bytes"]))[-MOST_ROWS:]
    columns = [column for column in _TITLES if rows[column].notna().any()]
    panels = plt.subplots(
        len(data),
        len(columns),
        figsize=(7.2, 0.4 + 2.3 * len(data)),
        squeeze=False,
        sharex=True,
        gridspec_kw={"wspace": 0.55, "hspace": 0.3},
        subplot_kw={"label": OF_OURS},
    )[1]
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
    "Rates of raw bytes against the vocabulary, one curve per shape. The leftmost marks are models of bytes. The "
    "adjusted rate counts the tokenizer and all parameters, the embedding included."
)


def _figures(study: Study, measured: Measured) -> list[Figure]:
    """One of all vocabularies together."""
    runs, figures = study.table.runs, []
    for shown in figure_groups(study, named_by="byte_group"):
        rows: pd.DataFrame = measured["tokenisation"]
        own = rows[rows["group"].isin(runs.loc[runs["group"] == shown.group, "byte_group"])]
        if len(own):
            figures.append(shown.figure("tokenisation", partial(plot_tokenisation, own), _CAPTION))
    return figures


register_section(
    WideSection(
        name="tokenisation",
        title="Tokenization",
        measure=lambda study: {"tokenisation": tokenisation(study)},
        write=lambda summary: write(summary["tokenisation"]),
        draw=_figures,
        shows=("tokenisation",),
        tables=(CsvTable("tokenisation"),),
    ),
)
