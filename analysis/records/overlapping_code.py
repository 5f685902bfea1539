"""A sweep by its second code length, of overlapping windows, in place of the first."""

from __future__ import annotations

from dataclasses import replace

from analysis.errors import AnalysisError
from analysis.formatting import join
from analysis.records.columns import SEGMENT_COLUMNS
from analysis.records.tables import Table, with_code_lengths


def by_second_code(table: Table, stride_bytes: int) -> Table:
    """The cells that were coded in windows that begin every `stride_bytes`, with those code lengths alone.

    What is known of windows side by side only (positions, coded weights, online codes, other data) is left out, so that
    nothing is compared across the two. AnalysisError where there are no such code lengths.
    """
    known = sorted({int(stride) for stride in table.overlapping.get("stride_bytes", ())})
    if stride_bytes not in known:
        mend = f"it has those of every {join(known)}" if known else f"run it with measure.stride_bytes: {stride_bytes}"
        raise AnalysisError(
            f"{table.name} has no code lengths of windows that begin every {stride_bytes:,} bytes; {mend}"
        )
    found = table.overlapping[table.overlapping["stride_bytes"] == stride_bytes]
    own = ["run_id", "snapshot"]
    segments = found[[*own, *SEGMENT_COLUMNS]].reset_index(drop=True)
    cells = table.cells.merge(segments[own].drop_duplicates(), on=own)
    return replace(
        table,
        cells=with_code_lengths(cells, segments),
        segments=segments,
        positions=table.positions.iloc[:0],
        coded=table.coded.iloc[:0],
        for_code=table.for_code.iloc[:0],
        online=table.online.iloc[:0],
        transfers=table.transfers.iloc[:0],
        overlapping=table.overlapping.iloc[:0],
        stride_bytes=stride_bytes,
    )
