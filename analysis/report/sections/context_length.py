"""Rates against context length: cells of one corpus, size and D that differ in their windows alone."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis.formatting import format_bytes, format_known, format_percent
from analysis.plots import OF_OURS, draw, name_curves, new_axes, octaves, size_curves
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Text, named_grid
from analysis.report.rows.comparisons import ContextRow
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.study import Study

COLUMNS = list(ContextRow.__annotations__)


def contexts(study: Study) -> pd.DataFrame:
    """A row per (corpus, D, size, context), of the largest D of each corpus; none where there is one context.

    Each context is a group of its own, with its own critical sizes. bytes_seen: in training, repeats counted.
    """
    rates = study.rates
    largest = rates.groupby("corpus")["subset_bytes"].transform("max")
    several = rates.groupby(["corpus", "subset_bytes"])["context_bytes"].transform("nunique") > 1
    own = rates[(rates["subset_bytes"] == largest) & several]
    key = ["group", "subset_bytes", "n_params"]
    seen = study.table.runs.groupby(key, as_index=False)["bytes_seen"].mean()
    both = own.merge(seen, on=key)
    return both.sort_values(["corpus", "n_params", "context_bytes"]).reset_index(drop=True)[COLUMNS]


def write(rows: list[ContextRow]) -> list[Block]:
    """Which context codes the subset best at each size, and all rates; nothing where there is one context."""
    if not rows:
        return []
    header = ("shape", "parameters", "context", "seen in training", "raw", "adjusted", "held out")
    lines = [
        (
            row["size"],
            f"{row['n_params']:,}",
            f"{row['context_bytes']:,}",
            format_bytes(row["bytes_seen"]),
            format_percent(row["raw_rate"]),
            format_percent(row["adjusted_rate"]),
            format_known(row["heldout_rate"], format_percent),
        )
        for row in rows
    ]
    return [Text(_best(rows)), named_grid(header, lines, "lrrrrrr", [row["corpus"] for row in rows])]


def _best(rows: list[ContextRow]) -> str:
    sizes = list(dict.fromkeys((row["corpus"], row["size"]) for row in rows))
    best = [min((r for r in rows if (r["corpus"], r["size"]) == size), key=lambda r: r["raw_rate"]) for size in sizes]
    several = len({row["corpus"] for row in rows}) > 1
    told = [
        f"{row['corpus'] + ' ' if several else ''}{row['size']} {row['context_bytes']:,} bytes "
        f"({format_percent(row['raw_rate'])})"
        for row in best
    ]
    d = ", ".join(dict.fromkeys(format_bytes(row["subset_bytes"]) for row in rows))
    unequal = len({row["bytes_seen"] for row in rows}) > 1
    caveat = " The cells saw different amounts of data in training, which changes the rates too." if unequal else ""
    return (
        f"The context with the least raw rate on {d}: {'; '.join(told)}.{caveat} Every context has its own models. The "
        "other figures show those of the longest context."
    )


def plot_contexts(rates: pd.DataFrame) -> Axes:
    """Rate on the own subset and, where measured, on held-out bytes, side by side; rows as from `contexts`."""
    import matplotlib.pyplot as plt

    columns = ["raw_rate", "heldout_rate"] if rates["heldout_rate"].notna().all() else ["raw_rate"]
    size = (4.0 * len(columns), 3.2)
    panels = plt.subplots(
        1,
        len(columns),
        squeeze=False,
        sharey=True,
        figsize=size,
        gridspec_kw={"wspace": 0.45},
        subplot_kw={"label": OF_OURS},
    )[1][0]
    low, high = rates[columns].min().min(), rates[columns].max().max()
    panels[0].set_ylim(100 * low - 2, 100 * high + 2)  # before the curves are named at their ends
    for column, axes in zip(columns, panels, strict=True):
        plot_context(rates, column, axes)
    return panels[0]  # type: ignore[no-any-return]


def plot_context(rates: pd.DataFrame, column: str = "raw_rate", ax: Axes | None = None) -> Axes:
    """A rate in % against the context length, one curve per model size; rows of one corpus, as from `contexts`."""
    axes = new_axes(ax)
    lines = size_curves(rates.assign(rate=100 * rates[column]), "context_bytes", "rate")
    draw(axes, lines)
    octaves(axes, sorted(set(rates["context_bytes"])))
    axes.set_xlabel("context length, bytes")
    axes.set_ylabel(_RATES[column])
    name_curves(axes, lines)
    return axes


_RATES = {"raw_rate": "raw rate on the subset, %", "heldout_rate": "held-out rate, %"}


_CAPTION = (
    "Rate against context length on the largest subset, one curve per model size: the own subset on the left, held-out "
    "bytes on the right, parameters not counted. Every context has its own models and critical sizes."
)


def _figures(_: Study, measured: Measured) -> list[Figure]:
    """A corpus each."""
    of_corpora = list(measured["contexts"].groupby("corpus"))
    begins = {corpus: f"{corpus}: " if len(of_corpora) > 1 else "" for corpus, _ in of_corpora}
    return [
        Figure(
            name="context",
            plot=partial(plot_contexts, own),
            caption=begins[corpus] + _CAPTION,
            index=i,
        )
        for i, (corpus, own) in enumerate(of_corpora)
    ]


register_section(
    WideSection(
        name="contexts",
        title="Context length",
        measure=lambda study: {"contexts": contexts(study)},
        write=lambda summary: write(summary["contexts"]),
        draw=_figures,
        shows=("context",),
        tables=(CsvTable("contexts"),),
    ),
)
