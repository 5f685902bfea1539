"""Page one's table in plain text."""

from __future__ import annotations

from typing import Any

from analysis.report.contents import write
from analysis.report.sections import overlapping_windows
from analysis.report.sections.answer import answer_table
from analysis.report.sections.warnings import warnings
from analysis.report.text_table import plain_table


def terminal_table(summary: dict[str, Any]) -> str:
    """What a user came for, in plain text: a row a dataset size, then what failed, is missing or stands against it."""
    if not summary["critical"]:
        return write(summary, []).lead
    grid = answer_table(summary)
    lines = plain_table(grid.header, grid.rows, grid.align)
    counts = (("n_failed", "failed"), ("n_missing", "not recorded yet"))
    asked = summary["n_cells"] + summary["n_missing"]
    lines += [f"{summary[key]} of {asked} cells {word}" for key, word in counts if summary[key]]
    lines += [f"note: {text}" for text in (overlapping_windows.told(summary), *warnings(summary)) if text]
    return "\n".join(lines)
