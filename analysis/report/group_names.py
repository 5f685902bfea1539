"""What the groups of a summary are called, in a sentence and in a table's first column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.formatting import format_place
from analysis.report.elements import Grid
from analysis.report.rows.records import GroupRow
from analysis.report.summary_keys import Summary

_MAY_BREAK = 12  # rows of a table that report.typ lets go on overleaf


def place(row: Mapping[str, Any], summary: Summary, *, several: bool | None = None) -> str:
    """The dataset size of a row: 1 MB, or 1 MB of its group where there are several; None: as many as have laws."""
    is_named = len(summary["laws"]) > 1 if several is None else several
    return format_place(row["subset_bytes"], _name(row["group"], summary["groups"]) if is_named else "")


def with_group_column(grid: Grid, groups: Sequence[GroupRow]) -> Grid:
    """A table of several groups with a first column of their names, each said once where no page can end between.

    Any other table as it is.
    """
    if len(set(grid.groups)) < 2:
        return grid
    title, names = _column(grid.groups, groups)
    said = [name if name != before else "" for name, before in zip(names, [None, *names[:-1]], strict=True)]
    if len(names) >= _MAY_BREAK:
        said = names
    return replace(
        grid,
        header=(title, *grid.header),
        rows=tuple((name, *row) for name, row in zip(said, grid.rows, strict=True)),
        align=f"l{grid.align}",
        grey=tuple(column + 1 for column in grid.grey),
        groups=(),
    )


def _column(labels: Sequence[str], groups: Sequence[GroupRow]) -> tuple[str, list[str]]:
    """A title and the names, without the corpus where all are of the same and differ in something else."""
    known = {row["group"]: row for row in groups}
    found = [known[label] for label in labels if label in known]
    if len(found) == len(labels) and len({row["corpus"] for row in found}) == 1 and all(row["parts"] for row in found):
        return "", [", ".join(row["parts"]) for row in found]
    return "corpus", [_name(label, groups) for label in labels]


def _name(label: str, groups: Sequence[GroupRow]) -> str:
    """The corpus and the parts; the label itself of a group that the summary does not describe."""
    found = next((row for row in groups if row["group"] == label), None)
    return ", ".join([found["corpus"], *found["parts"]]) if found else label
