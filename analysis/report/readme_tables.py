"""The documents' tables of results, from the summaries of committed reports: python -m analysis.report.readme_tables.

A table stands between two comments, of which the first names its summary.json, relative to its document:

    <!-- results: from reports/quick/summary.json; … -->
    | text | … the first word of the header is kept
    <!-- end of results -->

After `results, with warnings:` the report's warnings stand below the table, and † at the sizes that they doubt.

A table of several studies names them line by line, with the group where a summary has several:

    <!-- theory: by python -m analysis.report.readme_tables
    Bible: reports/study-other-texts/summary.json file:bible.txt
    -->
    | data | …
    <!-- end of theory -->
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import cast

from analysis.errors import AnalysisError
from analysis.report.rows.critical import CriticalRow
from analysis.report.sections.answer_table import (
    CODED,
    answer_row,
    coded_cells,
    in_print,
    marked_dataset,
    near_least,
    span,
)
from analysis.report.sections.warnings import warnings
from analysis.report.study_tables import TABLES, Study, markdown_table
from analysis.report.summary_keys import Summary

DOCUMENTS = ("README.md", "reports/README.md", "docs/study.md")
_HEADER = ("critical model size", "adjusted rate there", "raw rate there", "best classical coder")
_NEAR = "within 1 %"
_TABLE = re.compile(
    r"(?P<begin><!-- results(?P<warned>, with warnings)?: from (?P<path>[\w./-]+\.json)[^\n]*-->\n)"
    r"\| *(?P<of>[^|\n]*?) *\|.*?(?P<end><!-- end of results -->)",
    re.DOTALL,
)
_OF_STUDIES = re.compile(
    r"(?P<begin><!-- (?P<kind>theory|exponents): [^\n]*\n(?P<studies>.*?)-->\n).*?(?P<end><!-- end of (?P=kind) -->)",
    re.DOTALL,
)
_STUDY = re.compile(r"(?P<data>.+?): (?P<path>\S+\.json)(?: (?P<group>\S+))?")


def results_table(summary: Summary, of: str, *, marked: bool = False) -> str:
    """A row per dataset size as Markdown, `of` the first column's head; the interval beside its critical size, and then

    the sizes whose rate is within a hundredth of the least. `marked`: † stands at those that a warning doubts.
    """
    near = [in_print(ends) if (ends := near_least(row)) else "" for row in summary["critical"]]
    coded = coded_cells(summary)
    header = (of, *_HEADER[:3], *(CODED if coded else ()), _HEADER[3])
    absent = ("", "") if coded else ()
    rows = [
        header,
        *(_row(row, coded.get((row["group"], row["subset_bytes"]), absent)) for row in summary["critical"]),
    ]
    if marked:
        names = [of, *map(marked_dataset, summary["critical"])]
        rows = [(name, *row[1:]) for name, row in zip(names, rows, strict=True)]
    if any(near):
        rows = [(*row[:2], cell, *row[2:]) for row, cell in zip(rows, [_NEAR, *near], strict=True)]
    return markdown_table(rows)


def _results(summary: Summary, of: str, with_warnings: bool) -> str:
    table = results_table(summary, of, marked=with_warnings)
    said = [f"- {text}" for text in warnings(summary)] if with_warnings else []
    return "\n".join([*table.splitlines(), "", "The report warns:", "", *said, ""]) if said else table


def _row(row: CriticalRow, coded: tuple[str, ...]) -> tuple[str, ...]:
    data, size, *rates = answer_row(row, coded=coded)
    ends = span(row)
    if row["status"] == "bracketed" and ends:
        size += f" ({in_print(ends)})"
    return data, size, *rates


def with_tables(readme: Path) -> str:
    """The README's text with every table as its summary has it; AnalysisError for a summary that is none."""
    try:
        text = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise AnalysisError(
            f"{readme} cannot be read ({error.strerror}); name a README with tables of results"
        ) from None

    def results(m: re.Match[str]) -> str:
        return m["begin"] + _results(_summary(readme.parent / m["path"]), m["of"], bool(m["warned"])) + m["end"]

    text = _TABLE.sub(results, text)
    return _OF_STUDIES.sub(
        lambda m: m["begin"] + TABLES[m["kind"]](_studies(m["studies"], readme.parent)) + m["end"], text
    )


def _studies(lines: str, folder: Path) -> list[Study]:
    return [_study(line, folder) for line in lines.splitlines()]


def _study(line: str, folder: Path) -> Study:
    named = _STUDY.fullmatch(line)
    if named is None:
        raise AnalysisError(f"{line!r} names no study; write it as DATA: PATH/summary.json [GROUP]")
    summary = _summary(folder / named["path"])
    laws = [law for law in summary.get("laws", []) if named["group"] in (None, law["group"])]
    if len(laws) != 1:
        groups = ", ".join(law["group"] for law in summary.get("laws", [])) or "none"
        raise AnalysisError(f"{line!r} names {len(laws)} groups of its summary, and must name one of: {groups}")
    return Study(data=named["data"], summary=summary, law=laws[0])


def _summary(path: Path) -> Summary:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{path} is not a summary: {error}; make it with mdl report --out {path.parent}") from None
    if not isinstance(content, dict) or not isinstance(content.get("critical"), list):
        raise AnalysisError(
            f"{path} is not a summary: it has no critical sizes; make it with mdl report --out {path.parent}"
        )
    return cast(Summary, content)


def main(arguments: list[str] | None = None) -> int:
    """Write the tables anew; 2 and one line for what cannot be read."""
    parser = argparse.ArgumentParser(description="Regenerate a README's tables of results from the reports' summaries.")
    parser.add_argument("readme", type=Path, nargs="*", default=list(map(Path, DOCUMENTS)))
    readmes = parser.parse_args(arguments).readme
    try:
        texts = [with_tables(readme) for readme in readmes]
    except AnalysisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for readme, text in zip(readmes, texts, strict=True):
        if text != readme.read_text(encoding="utf-8"):
            readme.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
