"""The CSV files of a report: the rows that its sections measured, as they are in summary.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class CsvTable:
    """One file: the rows under a key of the summary, or under the key `within` what lies there.

    `stem`: the file's name without .csv; empty: the key. `columns`: those that are written, in order; empty: all.
    `leaves_out`: columns that are not. `even_empty`: whether a table without rows is written, as a header alone.
    """

    key: str
    stem: str = ""
    _: KW_ONLY
    within: str = ""
    columns: tuple[str, ...] = ()
    leaves_out: tuple[str, ...] = ()
    even_empty: bool = False

    @property
    def file(self) -> str:
        """Its name."""
        return f"{self.stem or self.key}.csv"


def write_tables(tables: Iterable[CsvTable], measured: Mapping[str, Any], folder: Path) -> None:
    """Write the tables that have rows. What is not rows, such as one number, has no table."""
    for table in tables:
        rows = measured[table.key]
        if table.within:
            rows = (rows or {}).get(table.within)
        frame = rows if isinstance(rows, pd.DataFrame) else _frame(rows)
        if frame is None or (frame.empty and not table.even_empty):
            continue
        chosen = frame[list(table.columns)] if table.columns else frame.drop(columns=list(table.leaves_out))
        chosen.to_csv(folder / table.file, index=False)


def _frame(rows: Any) -> pd.DataFrame | None:
    """Rows that are dicts, a dict within one as columns named by both keys; None for anything else."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    nested = {name for row in rows for name, value in row.items() if isinstance(value, dict)}
    without = [{name: {} if value is None and name in nested else value for name, value in row.items()} for row in rows]
    return pd.json_normalize(without, sep="_")
