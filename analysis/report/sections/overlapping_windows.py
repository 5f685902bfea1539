"""The second code length, of overlapping windows or mixed with contexts, beside the first; and a report by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.formatting import UNKNOWN, format_bytes, format_percent
from analysis.records import Table, segments_by, span_bits
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Grid, Text
from analysis.report.rows.comparisons import OverlappingRow
from analysis.report.section import WideSection, register_section
from analysis.report.summary_keys import Summary
from analysis.study import Study

_KEY = ["group", "context_bytes", "stride_bytes", "bucket_bits", "subset_bytes", "size", "n_params"]
_LENGTHS = ["own_bits", "second_own_bits", "heldout_bits", "second_heldout_bits"]


def compare(table: Table) -> pd.DataFrame:
    """A row per _KEY that has both: _LENGTHS of the final snapshot, means over the n_cells of it, and the gains.

    A gain is the share of the first code length that the second one saves.
    """
    cells = _with_second(table)
    known = cells[cells["second_own_bits"].notna() & cells["own_bits"].notna()]
    found = known.groupby(_KEY, as_index=False, dropna=False).agg(
        heldout_bytes=("heldout_bytes", "first"),
        n_cells=("run_id", "size"),
        **{name: (name, "mean") for name in _LENGTHS},
    )
    ordered = found.sort_values([*_KEY[:5], "n_params"], kind="stable").reset_index(drop=True)
    return ordered.assign(
        own_gain=1 - ordered["second_own_bits"] / ordered["own_bits"],
        heldout_gain=1 - ordered["second_heldout_bits"] / ordered["heldout_bits"].replace(0, np.nan),
    )


def _with_second(table: Table) -> pd.DataFrame:
    """The final snapshots that have a second code length, with its stride_bytes, bucket_bits and lengths."""
    second = table.overlapping[table.overlapping["snapshot"] == "final"]
    strides = second[["run_id", "snapshot", "stride_bytes", "bucket_bits"]].drop_duplicates()
    cells = table.cells.merge(strides, on=["run_id", "snapshot"])
    parts = segments_by(second, ["run_id", "part"])
    ends = zip(cells["run_id"], cells["subset_bytes"], cells["heldout_bytes"], strict=True)
    none = np.empty((0, 3))
    bits = [
        (span_bits(parts.get((run, "train"), none), 0, own), span_bits(parts.get((run, "heldout"), none), 0, heldout))
        for run, own, heldout in ends
    ]
    own_bits, heldout_bits = zip(*bits, strict=True) if bits else ((), ())
    return cells.assign(second_own_bits=own_bits, second_heldout_bits=heldout_bits)


def write(rows: list[OverlappingRow]) -> list[Block]:
    """A line a dataset size and model size, its two code lengths as rates."""
    if not rows:
        return []
    header = ("dataset", "stride", "shape", "own", "second", "gain", "held out", "second", "gain")
    lines = tuple(_line(row) for row in rows)
    mixed = {row["bucket_bits"] is not None for row in rows}
    about = _ABOUT + "".join(text for is_mixed, text in _KINDS.items() if is_mixed in mixed)
    return [Text(about), Grid(header, lines, "lrlrrrrrr", groups=tuple(row["group"] for row in rows))]


def _line(row: OverlappingRow) -> tuple[str, ...]:
    stride = f"{row['stride_bytes']:,} of {row['context_bytes']:,}"
    if row["bucket_bits"] is not None:
        stride += ", contexts"
    own = _rates(row["own_bits"], row["second_own_bits"], row["subset_bytes"])
    heldout = _rates(row["heldout_bits"], row["second_heldout_bits"], row["heldout_bytes"])
    unseen = heldout if row["heldout_gain"] is not None else (UNKNOWN, UNKNOWN, UNKNOWN)
    return (format_bytes(row["subset_bytes"]), stride, row["size"], *own, *unseen)


def _rates(first_bits: float, second_bits: float, n_bytes: int) -> tuple[str, str, str]:
    """By either code length, and the gain."""
    first, second = (format_percent(bits / (8 * n_bytes)) for bits in (first_bits, second_bits))
    return first, second, f"{100 * (1 - second_bits / first_bits):.2f} %"


_ABOUT = (
    "The same weights (of the final snapshot) code the same bytes a second time. No other number of this report "
    "contains this code length. "
)
_KINDS = {  # is it mixed with contexts?
    False: (
        "Windows overlap: one begins every so many bytes (stride), and of every window but the first only the last so "
        "many bytes count, with the rest of it as context. mdl compress --stride-bytes and mdl pack write archives of "
        "that length, which take context / stride times as long; mdl report --stride-bytes has the critical sizes by "
        "it. "
    ),
    True: (
        "The model is mixed with contexts, which learn from the bytes as they are coded and cost no parameters. mdl "
        "compress --contexts and mdl pack --contexts write archives of that length; mdl report --contexts has the "
        "critical sizes by it."
    ),
}


def told(summary: Summary) -> str:
    """What a report by the second code length says on its first page; nothing for any other."""
    stride = summary["stride_bytes"]
    if not stride:
        return ""
    if summary.get("is_mixed"):
        return (
            "Mixed with contexts: every model's code length here is the second one, of the model mixed with contexts "
            "that learn as they code and cost no parameters. mdl compress --contexts and mdl pack --contexts decode at "
            "that length."
        )
    return (
        "Overlapping windows: every model's code length here is the second one, of windows that begin every "
        f"{stride:,} bytes. mdl compress --stride-bytes {stride} and mdl pack decode at that length, at context / "
        "stride times the time."
    )


def _measure(study: Study) -> dict[str, Any]:
    return {"overlapping": compare(study.table) if len(study.table.overlapping) else []}


register_section(
    WideSection(
        name="overlapping",
        title="A second code length",
        measure=_measure,
        write=lambda summary: write(summary["overlapping"]),
        tables=(CsvTable("overlapping"),),
    ),
)
