"""Page one's table in plain text."""

from __future__ import annotations

from typing import Any

from analysis.report.contents import write
from analysis.report.sections.answer import answer_table
from analysis.report.sections.warnings import warnings


def terminal_table(summary: dict[str, Any]) -> str:
    """What a user came for, in plain text: a row a dataset size, then what failed, is missing or stands against it."""
    if not summary["critical"]:
        return write(summary, []).lead
    grid = answer_table(summary)
    rows = [grid.header, *grid.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(c.rjust(w) if side == "r" else c.ljust(w) for c, w, side in zip(row, widths, grid.align, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("─" * width for width in widths))
    counts = (("n_failed", "failed"), ("n_missing", "not recorded yet"))
    asked = summary["n_cells"] + summary["n_missing"]
    lines += [f"{summary[key]} of {asked} cells {word}" for key, word in counts if summary[key]]
    lines += [f"note: {text}" for text in warnings(summary)]
    return "\n".join(line.rstrip() for line in lines)
