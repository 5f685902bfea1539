"""Page one in plain text: the table and the notes of the answer, the same elements as in every other form."""

from __future__ import annotations

from analysis.report.contents import write
from analysis.report.elements import Grid, Text
from analysis.report.group_names import with_group_column
from analysis.report.sections.answer import answer
from analysis.report.sections.size_law import predicted_lines
from analysis.report.summary_keys import Summary
from analysis.report.text_table import plain_table


def terminal_table(summary: Summary) -> str:
    """A row per dataset size in plain text, then what failed, what is missing, and what speaks against the answer."""
    if not summary["critical"]:
        return write(summary, []).lead
    blocks = answer(summary)
    tables = [with_group_column(block, summary["groups"]) for block in blocks if isinstance(block, Grid)]
    lines = [line for table in tables for line in plain_table(table.header, table.rows, table.align)]
    notes = [f"note: {block.text}" for block in blocks if isinstance(block, Text) and block.style == "note"]
    return "\n".join([*lines, *_counts(summary), *predicted_lines(summary), *notes])


def _counts(summary: Summary) -> list[str]:
    """How many cells of those asked for are not in the table, and why."""
    counts = [
        (summary["n_failed"], "failed"),
        (summary["n_missing"], "not recorded yet"),
        (summary["n_needless"], "left out: longer training would gain too little"),
        (summary["n_superseded"], "left out: a newer version of their plugin made the same ones"),
    ]
    asked = summary["n_cells"] + summary["n_missing"] + summary["n_needless"] + summary["n_superseded"]
    return [f"{n} of {asked} cells {word}" for n, word in counts if n]
