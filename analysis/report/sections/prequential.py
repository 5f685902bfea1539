"""Codes that learn as they go, whose parameters cost nothing: block-prequential and online ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from analysis.codes import block_codes, online_codes, online_curves
from analysis.formatting import UNKNOWN, format_bytes, format_count, format_known, format_percent, join
from analysis.plots import draw, log_scales, name_curves, new_axes, size_curves
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Text, named_grid
from analysis.report.rows.codes import OnlineRow, PrequentialRow
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.code_comparison import who_wins
from analysis.report.sections.figure_groups import figure_groups
from analysis.report.summary_keys import Summary
from analysis.study import Study


def write(summary: Summary) -> list[Block]:
    """Block-prequential codes and online ones."""
    blocks = _blocks(summary["prequential"])
    return [*blocks, *(_not_reached(summary) if blocks else []), *_online(summary["online"])]


def _not_reached(summary: Summary) -> list[Block]:
    """Dataset sizes that no chain of blocks leads up to."""
    data: dict[str, set[int]] = {}
    for row in summary["rates"]:
        data.setdefault(row["group"], set()).add(row["subset_bytes"])
    coded = {(row["group"], row["subset_bytes"]) for row in summary["prequential"]}
    later = {(group, d) for group, sizes in data.items() for d in sizes - {min(sizes)}}
    missing = sorted({d for _, d in later - coded})
    if not missing:
        return []
    text = (
        f"There is no block-prequential code of {join(map(format_bytes, missing))}: the last block was not evaluated "
        "from its beginning. Dataset sizes of 1, 3, 10, 30 … KB and a measure.reach_ratio of 3 make it possible."
    )
    return [Text(text, "small")]


def _shorter_snapshots(rows: list[PrequentialRow]) -> list[PrequentialRow]:
    """Of the final and the best snapshots those with the shorter code, for every dataset size and code."""
    least: dict[tuple[str, int, str], PrequentialRow] = {}
    for row in sorted(rows, key=lambda row: float(row["code_bits"])):
        least.setdefault((row["group"], row["subset_bytes"], row["code"]), row)
    return [row for row in rows if row in least.values()]


def _blocks(every: list[PrequentialRow]) -> list[Block]:
    rows = _shorter_snapshots(every)
    if not rows:
        return []
    cells = [
        (
            format_bytes(r["subset_bytes"]),
            f"{r['code']}, {r['snapshot']}",
            format_known(r["n_params"], format_count),
            f"{r['code_bits'] / r['subset_bytes']:.3f}",
            _share(r["first_bits"], r),
            _share(r["validation_bits"], r),
            _share(r["excess_bits"], r),
            f"{r['choice_bits']:.3g}",
        )
        for r in rows
    ]
    first = rows[0]
    text = (
        f"Block-prequential: the first {format_bytes(first['first_bytes'])} are coded by "
        f"{_coder(first['first_coder'])}, and every later block by models that were trained on the bytes before it. "
        "Fixed: one model size throughout. Leader: the size that coded the previous block best. Switching: the best "
        "size for each block, which is announced. Best snapshots were chosen on a sample, which is sent first at 8 "
        "bits per byte. The table shows final or best snapshots, whichever give the shorter code. Shares are of the "
        "whole code. Coarseness: the most that training anew after every byte could save, by the rates on unseen bytes."
    )
    header = ("dataset", "code", "size", "bits per byte", "first block", "sample", "coarseness", "choices, bits")
    return [Text(text), named_grid(header, cells, "llrrrrrr", [row["group"] for row in rows])]


def _coder(name: str) -> str:
    return "8 bits per byte" if name == "uniform" else name


def _share(bits: float | None, row: PrequentialRow) -> str:
    return format_percent(bits / row["code_bits"]) if bits else UNKNOWN


def _online(rows: list[OnlineRow]) -> list[Block]:
    if not rows:
        return []
    cells = [
        (
            format_bytes(r["subset_bytes"]),
            r["size"],
            f"{r['n_params']:,}",
            str(r["n_seeds"]),
            f"{r['code_bits'] / r['subset_bytes']:.3f}",
            f"{r['final_bits_per_byte']:.3f}",
            format_bytes(r["area_bits"] / 8) if r["area_bits"] > 0 else "none",
        )
        for r in rows
    ]
    text = (
        "Online: each window is coded once, before the model learns from it. The recipe's other steps replay windows "
        "that were already coded (Bornschein et al. 2022). At the end: the mean over the last tenth of the bytes. "
        "Learning: the code length beyond the loss at the end, paid while the model learned. It "
        "estimates the structure that the model took from the data (epiplexity, arXiv 2601.03220)."
    )
    header = ("dataset", "shape", "parameters", "seeds", "bits per byte", "at the end", "learning")
    return [Text(text), named_grid(header, cells, "llrrrrr", [row["group"] for row in rows])]


def plot_online(curves: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Cumulative bits per byte against bytes coded, a curve per model size; `curves` as from `online.online_curves`."""
    axes = new_axes(ax)
    lines = size_curves(curves, "end_bytes", "bits_per_byte", marker="")
    draw(axes, lines)
    log_scales(axes, format_bytes, lambda bits: f"{bits:g}")
    axes.set_xlabel("bytes coded, each before the model learned from it")
    axes.set_ylabel("code / bytes so far, bits per byte")
    name_curves(axes, lines)
    return axes


_CAPTION = "Online codes of the largest subset: bits per byte of everything coded so far, one curve per model size."


def _figures(study: Study, _: Measured) -> list[Figure]:
    """A group each that was coded online."""
    curves = [(shown, online_curves(study.table, shown.group)) for shown in figure_groups(study)]
    return [shown.figure("online", partial(plot_online, own), _CAPTION) for shown, own in curves if len(own)]


def _measure(study: Study) -> dict[str, Any]:
    """Both kinds of code, and what they are set against: `code_comparison` shows that."""
    blocks, online = block_codes(study.table), online_codes(study.table)
    return {"prequential": blocks, "online": online, "who_wins": who_wins(study, blocks, online)}


register_section(
    WideSection(
        name="prequential",
        title="Codes that learn as they go",
        measure=_measure,
        write=write,
        draw=_figures,
        shows=("online",),
        tables=(CsvTable("prequential"), CsvTable("online")),
    ),
)
