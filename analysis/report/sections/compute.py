"""The size that the code pays for, and the size that makes the most of as much training compute."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from analysis.formatting import format_bytes, format_count, format_flops
from analysis.plots import log_scales, new_axes
from analysis.records import rows_of
from analysis.report.elements import Block, Text, named_grid
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.shown import groups_shown
from analysis.study import Study
from analysis.types import Json


def write(summary: Json) -> list[Block]:
    """Per dataset size what the code pays for and what as much training compute would buy, or why it is not asked."""
    if reason := summary.get("compute_not_asked"):
        return [Text(reason, "small")]
    rows = [row for row in summary["compute"] if row["mdl_optimal_n"] is not None]
    if not any(row["compute_optimal_n"] is not None for row in rows):
        return []
    cells = [
        (format_bytes(row["subset_bytes"]), format_count(row["mdl_optimal_n"]), format_flops(row["mdl_optimal_flops"]),
         "–" if row["compute_optimal_n"] is None else format_count(row["compute_optimal_n"]))
        for row in rows
    ]  # fmt: skip
    header = ("dataset", "MDL-optimal size", "its training FLOPs", "compute-optimal at as many FLOPs")
    text = (
        "The size with the least held-out loss for as many training FLOPs as training the critical size takes, were "
        "data no limit. –: beyond the sizes that were run."
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
        axes.plot(own["flops"], own["n_params"], marker=marker, linestyle=line, color=color, markersize=size,
                  markerfacecolor="white", linewidth=1.3, label=kind)  # fmt: skip
        known = own[own["low"].notna() & own["high"].notna()]
        axes.vlines(known["flops"], known["low"], known["high"], color=color, linewidth=1)
    log_scales(axes, format_flops, format_count)
    axes.set_xlabel("training compute, FLOPs")
    axes.set_ylabel("model size N, parameters")
    axes.legend(frameon=False, fontsize=9.5)
    return axes


def per_dataset_size(compute: pd.DataFrame) -> list[Json]:
    """Per dataset size the MDL-optimal size, what training it takes, and the compute-optimal size at as much."""
    at = ["group", "subset_bytes", "flops"]
    kinds = compute["kind"]
    best = compute.loc[kinds == "compute-optimal", [*at, "n_params"]].rename(columns={"n_params": "compute_optimal_n"})
    paid = compute[kinds == "MDL-optimal"].merge(best, on=at, how="left")
    names = {"flops": "mdl_optimal_flops", "n_params": "mdl_optimal_n"}
    return rows_of(paid.rename(columns=names)[["group", "subset_bytes", *names.values(), "compute_optimal_n"]])


_CAPTION = "The size that the code pays for, and the size that makes the most of as much training compute."


def _measure(study: Study) -> dict[str, Any]:
    return {"compute": per_dataset_size(study.compute), "compute_not_asked": study.compute_not_asked}


def _figures(study: Study, _: Measured) -> list[Figure]:
    """A group each in which two kinds can be compared."""
    own = {
        shown: study.compute[study.compute["group"] == shown.group] for shown in groups_shown(study, with_rates=True)
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
    ),
)
