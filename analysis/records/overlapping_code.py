"""A sweep by its second code length, of overlapping windows or mixed with contexts, in place of the first."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis.errors import AnalysisError
from analysis.formatting import join
from analysis.records.columns import SEGMENT_COLUMNS
from analysis.records.tables import Table, with_code_lengths


def by_second_code(table: Table, stride_bytes: int | None = None, *, contexts: bool = False) -> Table:
    """The cells that were coded in windows that begin every `stride_bytes`, with those code lengths alone.

    With `contexts` those of the model mixed with contexts; None: of the one stride that was measured so. Where neither
    is asked for the table is by the first code, as it was.

    What is known of the first code only (positions, coded weights, online codes, other data) is left out, so that
    nothing is compared across the two. AnalysisError where there are no such code lengths.
    """
    if stride_bytes is None and not contexts:
        return table
    lengths = table.overlapping
    if len(lengths):
        lengths = lengths[lengths["bucket_bits"].notna() == contexts]
    stride = _stride(table.name, lengths, stride_bytes, contexts=contexts)
    found = lengths[lengths["stride_bytes"] == stride]
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
        stride_bytes=stride,
        is_mixed=contexts,
    )


def _stride(name: str, lengths: pd.DataFrame, asked: int | None, *, contexts: bool) -> int:
    """The one that is asked for, or of contexts the only one; AnalysisError where there is none such."""
    known = sorted({int(stride) for stride in lengths.get("stride_bytes", ())})
    if asked in known or (asked is None and len(known) == 1):
        return known[0] if asked is None else asked
    what = "of the model mixed with contexts" if contexts else f"of windows that begin every {asked:,} bytes"
    if contexts and asked is not None:
        what += f", in windows that begin every {asked:,} bytes"
    mend = "run it with measure.contexts: true" if contexts else f"run it with measure.stride_bytes: {asked}"
    if known:
        mend = f"it has those of every {join(known)}" + ("; name one with --stride-bytes" if asked is None else "")
    raise AnalysisError(f"{name} has no code lengths {what}; {mend}")
