"""Page one's table: a row per dataset size, with its critical size. The terminal and the READMEs have it too."""

from __future__ import annotations

import math

from analysis.critical import FOLLOWED
from analysis.formatting import (
    UNKNOWN,
    format_bytes,
    format_count,
    format_end,
    format_known,
    format_percent,
    format_size,
)
from analysis.report.elements import Grid, named_grid
from analysis.report.rows.comparisons import ArchitectureRow, CostRow
from analysis.report.rows.critical import CriticalRow
from analysis.report.summary_keys import Summary

CODED = ("coded: critical size", "coded: rate")  # heads of the columns of `coded_cells`
_SHORTEST, _CODER = "coded", "best classical coder"
FEW_SHAPES = 7  # with fewer the scatter of shapes about the law is not measured
DOUBTED = "†"  # behind a dataset size whose interval a warning is about

Ends = tuple[str, str]  # both ends of an interval, in print


def answer_table(summary: Summary) -> Grid:
    """Dataset size, critical model size, how flat it lies, adjusted and raw rate there, best classical coder."""
    intervals = [in_print(span(row)) for row in summary["critical"]]
    kinds = {row["interval"] for row in summary["critical"] if row["low"] is not None}
    if kinds > {"pooled"}:
        intervals = [
            f"{text}, pooled" if row["interval"] == "pooled" else text
            for text, row in zip(intervals, summary["critical"], strict=True)
        ]
    known = ("95 % interval, pooled" if kinds == {"pooled"} else "95 % interval",) if kinds else ()
    near = ("within 1 %",) if any(row.get("near_low") is not None for row in summary["critical"]) else ()
    coded = coded_cells(summary)
    header = ("dataset", "critical size", *known, *near, "adjusted rate", "raw rate", *(CODED if coded else ()), _CODER)
    rows = [
        (
            marked_dataset(row),
            *answer_row(
                row,
                (*((interval,) if known else ()), *((in_print(near_least(row)),) if near else ())),
                coded.get((row["group"], row["subset_bytes"]), (UNKNOWN, UNKNOWN)) if coded else (),
            )[1:],
        )
        for row, interval in zip(summary["critical"], intervals, strict=True)
    ]
    columns = "l" + "r" * (len(header) - 1)
    return named_grid(header, rows, columns, [row["group"] for row in summary["critical"]])


def coded_cells(summary: Summary) -> dict[tuple[str, int], tuple[str, str]]:
    """By group and dataset size: what `coded_rows` say of the critical size, with its interval, and of the rate."""
    return {(row["group"], row["subset_bytes"]): coded_cell(row) for row in coded_rows(summary)}


def coded_rows(summary: Summary) -> list[CostRow]:
    """Critical sizes where every parameter costs what its code takes.

    None where no weights were coded, or where that is the price of the whole report.
    """
    rows = [row for row in summary.get("precisions", []) if row["cost"] == _SHORTEST]
    return [] if not rows or summary["cost"]["name"] == _SHORTEST else rows


def coded_cell(row: CostRow) -> tuple[str, str]:
    """The size with its interval, and the rate there."""
    best, low, high = format_count(row["grid_best"]), row["low"], row["high"]
    rate = format_percent(row["adjusted_rate"])
    if row["status"] != "bracketed" or row["n_params"] is None:
        return ({"below": f"≤ {best}", "above": f"≥ {best}"}.get(row["status"], UNKNOWN), f"{rate} at {best}")
    ends = f" ({format_count(low)} to {format_count(high)})" if low is not None and high is not None else ""
    return format_size(row["n_params"], low, high) + ends, rate


def sizes_in_print(summary: Summary) -> dict[tuple[str, int], str]:
    """By group and dataset size the critical size as page one has it, where it is known."""
    rows = [(row, row["n_params"]) for row in summary["critical"]]
    return {
        (row["group"], row["subset_bytes"]): format_size(n, row.get("low"), row.get("high"))
        for row, n in rows
        if n is not None
    }


def in_print(ends: Ends | None) -> str:
    """9.8 K to 13 K; – where there is no interval."""
    return UNKNOWN if ends is None else " to ".join(ends)


def near_least(row: CriticalRow) -> Ends | None:
    """The sizes whose adjusted rate is at most 1 % above the minimum."""
    return _ends(row, row.get("near_low"), row.get("near_high"))


def span(row: CriticalRow | ArchitectureRow) -> Ends | None:
    """The 95 % interval."""
    return _ends(row, row.get("low"), row.get("high"))


def _ends(row: CriticalRow | ArchitectureRow, low: float | None, high: float | None) -> Ends | None:
    """Both, with ≤ or ≥ where the sizes that were looked at end there."""
    if low is None or high is None:
        return None
    least, most = row.get("least_size") or 0, row.get("most_size") or math.inf
    if low < 0.99 * least or high > 1.01 * most:
        least, most = 1.01 * least / FOLLOWED, most * FOLLOWED / 1.01  # so far beyond the sizes the law was followed
    return format_end(low, least, most, format_count), format_end(high, least, most, format_count)


def answer_row(row: CriticalRow, interval: tuple[str, ...] = (), coded: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Of one of the summary's critical sizes; `interval`: cells after the size; `coded`: cells after the rates."""
    best = format_count(row["grid_best"])
    size, at = "too few sizes", f" at {best}"
    if row["status"] == "bracketed":
        size, at = format_known(row["n_params"], lambda n: format_size(n, row.get("low"), row.get("high"))), ""
    elif row["status"] in ("below", "above"):
        size = f"{'≤' if row['status'] == 'below' else '≥'} {best}, not bracketed"
    coder = f"{row['coder']} {format_known(row['classical_rate'], format_percent)}" if row["coder"] else "not run"
    rates = format_percent(row["adjusted_rate"]) + at, format_percent(row["raw_rate"])
    return format_bytes(row["subset_bytes"]), size, *interval, *rates, *coded, coder


def marked_dataset(row: CriticalRow) -> str:
    """80 MB †: a warning is about this critical size alone, of few shapes or a law that is not to be trusted there."""
    is_doubted = row["status"] == "bracketed" and (row.get("doubt") or row["n_sizes"] < FEW_SHAPES)
    return format_bytes(row["subset_bytes"]) + (f" {DOUBTED}" if is_doubted else "")
