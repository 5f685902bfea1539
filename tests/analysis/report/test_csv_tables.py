"""Rows that a section shows are CSV files, by one mechanism for sections of ours and of a user's own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.report.csv_tables import CsvTable, write_tables
from analysis.report.section import SECTIONS, Section


def test_rows_are_written_as_they_were_measured(tmp_path: Path) -> None:
    """A DataFrame, a list of dicts with dicts in them, rows within a dict; columns chosen or left out."""
    measured = {
        "frame": pd.DataFrame({"a": [1, 2], "b": [0.1, 0.25]}),
        "laws": [{"group": "g", "theory": {"alpha": 0.5}}, {"group": "h", "theory": None}],
        "fit": {"residuals": [{"n": 1.0}]},
    }
    tables = [
        CsvTable("frame", columns=("b",)),
        CsvTable("laws"),
        CsvTable("fit", "fit_residuals", within="residuals"),
        CsvTable("frame", "without_b", leaves_out=("b",)),
    ]
    write_tables(tables, measured, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "frame.csv": "b\n0.1\n0.25\n",
        "laws.csv": "group,theory_alpha\ng,0.5\nh,\n",
        "fit_residuals.csv": "n\n1.0\n",
        "without_b.csv": "a\n1\n2\n",
    }


def test_what_is_no_table_has_no_file(tmp_path: Path) -> None:
    """One number, no fit, no rows; a table that scripts rely on is there without rows."""
    measured = {"number": 3, "fit": None, "rows": [], "always": pd.DataFrame(columns=["a"])}
    keys = [CsvTable("number"), CsvTable("fit", within="residuals"), CsvTable("rows")]
    write_tables([*keys, CsvTable("always", even_empty=True)], measured, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["always.csv"]


def test_a_section_of_ones_own_has_a_table_of_its_name() -> None:
    mine = Section(name="mine", title="Mine", measure=lambda study: len(study.rates), write=lambda _: [])
    assert [table.file for table in mine.tables] == ["mine.csv"]


def test_no_two_sections_write_the_same_file() -> None:
    files = [table.file for section in SECTIONS.values() for table in section.tables]
    assert len(files) == len(set(files))
