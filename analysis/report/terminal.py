"""Page one's table in plain text."""

from __future__ import annotations

from analysis.report.contents import write
from analysis.report.group_names import with_group_column
from analysis.report.sections import overlapping_windows
from analysis.report.sections.answer_table import answer_table
from analysis.report.sections.size_law import predicted_lines
from analysis.report.sections.warnings import warnings
from analysis.report.summary_keys import Summary
from analysis.report.text_table import plain_table


def terminal_table(summary: Summary) -> str:
    """A row per dataset size in plain text, then what failed, what is missing, and what speaks against the answer."""
    if not summary["critical"]:
        return write(summary, []).lead
    grid = with_group_column(answer_table(summary), summary["groups"])
    lines = plain_table(grid.header, grid.rows, grid.align)
    counts = [
        (summary["n_failed"], "failed"),
        (summary["n_missing"], "not recorded yet"),
        (summary["n_needless"], "left out: longer training would gain too little"),
        (summary["n_superseded"], "left out: a newer version of their plugin made the same ones"),
    ]
    asked = summary["n_cells"] + summary["n_missing"] + summary["n_needless"] + summary["n_superseded"]
    lines += [f"{n} of {asked} cells {word}" for n, word in counts if n]
    lines += predicted_lines(summary)
    lines += [f"note: {text}" for text in (overlapping_windows.told(summary), *warnings(summary)) if text]
    return "\n".join(lines)
