"""Anyone's CSV as a table: every line with as many fields as the header, or one line that says which has not."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError


def read_csv_table(path: Path) -> pd.DataFrame:
    """The rows of a CSV with a header, its names without blanks around them; AnalysisError for what is none."""
    try:
        _check_widths(path)
        frame = pd.read_csv(path, skipinitialspace=True, low_memory=False, index_col=False)
    except (ValueError, csv.Error) as error:  # undecodable or empty files are ValueErrors
        raise AnalysisError(f"{path} is not a CSV: {error}") from None
    frame.columns = frame.columns.astype(str).str.strip()
    return frame


def _check_widths(path: Path) -> None:
    """Pandas would take the first field of a line that is too long for its name, and shift the others."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, skipinitialspace=True)
        width = len(next(reader, []))
        for fields in reader:
            if len(fields) > width:
                raise AnalysisError(
                    f"{path}, line {reader.line_num} has {len(fields)} fields, the header {width}; "
                    "take off the comma that is too much, or name the column"
                )
