"""The size that the code pays for, and the size that makes the most of as much training compute."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import pandas as pd
from matplotlib.axes import Axes

from analysis.formatting import format_bytes, format_count, format_known, format_number
from analysis.plots import log_scales, new_axes
from analysis.records import rows_of
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Text, named_grid
from analysis.report.rows.comparisons import ComputeRow
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.answer_table import sizes_in_print
from analysis.report.sections.figure_groups import figure_groups
from analysis.report.summary_keys import Summary
from analysis.study import Study


def write(summary: Summary) -> list[Block]:
    """Per dataset size what the code pays for and what as much training compute would buy, or why it is not asked."""
    if reason := summary.get("compute_not_asked"):
        return [Text(reason, "small")]
    rows = [row for row in summary["compute"] if row["mdl_optimal_n"] is not None]
    if not any(row["compute_optimal_n"] is not None for row in rows):
        return []
    critical = sizes_in_print(summary)
    cells = [
        (
            format_bytes(row["subset_bytes"]),
            critical[row["group"], row["subset_bytes"]],
            format_known(row["mdl_optimal_flops"], format_number),
            format_known(row["compute_optimal_n"], format_count),
        )
        for row in rows
    ]
    header = ("dataset", "MDL-optimal size", "its training FLOPs", "compute-optimal at as many FLOPs")
    text = (
        "MDL-optimal is the critical size. Compute-optimal is the size with the least held-out loss for as many "
        "training FLOPs, if there were no limit on the data. –: it lies beyond the sizes that were run."
    )
    return [Text(text), named_grid(header, cells, "lrrr", [row["group"] for row in rows])]


_KINDS = {"compute-optimal": ("o", (0, (4, 2)), "0.45"), "MDL-optimal": ("*", "-", "black")}


def plot_compute(compute: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Model size against training FLOPs: which size the code pays for, and which the compute would.

    `compute` as in `study.Study`, of one group; intervals where `low` and `high` are known.
    """
    axes = new_axes(ax)
    for kind, (marker, line, color) in _KINDS.items():
        own = compute[(compute["kind"] == kind) & compute["n_params"].notna()].sort_values("flops")
        if own.empty:
            continue
        size = 10 if marker == "*" else 5
        axes.plot(
            own["flops"],
            own["n_params"],
            marker=marker,
            linestyle=line,
            color=color,
            markersize=size,
            markerfacecolor="white",
            linewidth=1.3,
            label=kind,
        )
        known = own[own["low"].notna() & own["high"].notna()]
        axes.vlines(known["flops"], known["low"], known["high"], color=color, linewidth=1)
    log_scales(axes, format_number, format_count)
    axes.set_xlabel("training compute, FLOPs")
    axes.set_ylabel("model size N, parameters")
    axes.legend(frameon=False, fontsize=9.5)
    return axes


def per_dataset_size(compute: pd.DataFrame) -> list[ComputeRow]:
    """Per dataset size the MDL-optimal size, what training it takes, and the compute-optimal size at as much."""
    at = ["group", "subset_bytes", "flops"]
    kinds = compute["kind"]
    best = compute.loc[kinds == "compute-optimal", [*at, "n_params"]].rename(columns={"n_params": "compute_optimal_n"})
    paid = compute[kinds == "MDL-optimal"].merge(best, on=at, how="left")
    names = {"flops": "mdl_optimal_flops", "n_params": "mdl_optimal_n"}
    rows = paid.rename(columns=names)[["group", "subset_bytes", *names.values(), "compute_optimal_n"]]
    return cast(list[ComputeRow], rows_of(rows))


_CAPTION = "The size that the code pays for, and the size with the least loss for as much training compute."


def _measure(study: Study) -> dict[str, Any]:
    return {"compute": per_dataset_size(study.compute), "compute_not_asked": study.compute_not_asked}


def _figures(study: Study, _: Measured) -> list[Figure]:
    """A group each in which two kinds can be compared."""
    own = {
        shown: study.compute[study.compute["group"] == shown.group] for shown in figure_groups(study, with_rates=True)
    }
    return [
        shown.figure("compute", partial(plot_compute, rows), _CAPTION)
        for shown, rows in own.items()
        if rows["kind"].nunique() > 1
    ]


register_section(
    WideSection(
        name="compute",
        title="What the compute would buy",
        measure=_measure,
        write=write,
        draw=_figures,
        shows=("compute",),
        tables=(CsvTable("compute"),),
    ),
)
