from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from analysis.report.readme_tables import main, results_table, with_tables
from tests import ROOT

README = (ROOT / "README.md").read_text()
FOUND = (ROOT / "reports/README.md").read_text()


def test_the_two_commands_stand_first() -> None:
    commands = [line.split("#")[0].strip() for line in README.splitlines() if line.startswith("    ")][:2]
    assert commands == [
        "pip install -c constraints.txt -e . && mdl sweep sweeps/quick.yaml && mdl report",
        'pip install -c constraints.txt -e ".[dev]" && pytest',
    ]


def summary_of(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "reports" / name / "summary.json").read_text())  # type: ignore[no-any-return]


_MAIN, _MEDIA = ["quick", "study-text"], ["study-images", "study-speech"]


def test_there_are_results_of_text_images_and_speech() -> None:
    assert re.findall(r"<!-- results: from reports/([\w-]+)/", README) == _MAIN
    assert re.findall(r"<!-- results: from ([\w-]+)/", FOUND) == _MEDIA


def test_the_results_are_those_of_the_committed_reports() -> None:
    """python -m analysis.report.readme_tables writes them anew."""
    assert with_tables(ROOT / "README.md") == README
    assert with_tables(ROOT / "reports/README.md") == FOUND
    assert (README + FOUND).count("<!-- end of results -->") == len(_MAIN + _MEDIA)


def test_a_table_has_the_interval_beside_the_size_where_there_is_one() -> None:
    row = {"group": "g", "subset_bytes": 10**6, "status": "bracketed", "n_params": 15_712.3, "grid_best": 20_088,
           "low": 14_911.0, "high": 16_380.0,
           "adjusted_rate": 0.33, "raw_rate": 0.3, "coder": "ppmd",
           "classical_rate": 0.231}  # fmt: skip
    edge = row | {"status": "below", "n_params": None, "grid_best": 2840, "low": None, "high": None}
    lines = results_table({"critical": [row, row | {"low": None, "high": None}, edge]}, "text").splitlines()
    assert lines == [
        "| text | critical model size | adjusted rate there | raw rate there | best classical coder |",
        "|---|---|---|---|---|",
        "| 1 MB | 15,700 (14,900 to 16,400) | 33.0 % | 30.0 % | ppmd 23.1 % |",
        "| 1 MB | 15,712 | 33.0 % | 30.0 % | ppmd 23.1 % |",
        "| 1 MB | ≤ 2.84 K, not bracketed | 33.0 % at 2.84 K | 30.0 % | ppmd 23.1 % |",
    ]


def test_how_flat_a_minimum_lies_stands_beside_its_interval() -> None:
    row = {"group": "g", "subset_bytes": 10**6, "status": "bracketed", "n_params": 15_712.3, "grid_best": 20_088,
           "low": 14_911.0, "high": 17_811.0, "near_low": 12_000.0, "near_high": 21_000.0,
           "adjusted_rate": 0.33, "raw_rate": 0.3, "coder": None, "classical_rate": None}  # fmt: skip
    lines = results_table({"critical": [row, row | {"near_low": None, "near_high": None}]}, "text").splitlines()
    assert lines[0].startswith("| text | critical model size | within 1 % | adjusted rate there |")
    assert lines[2].startswith("| 1 MB | 15,700 (14,900 to 17,800) | 12 K to 21 K | 33.0 % |")
    assert lines[3].startswith("| 1 MB | 15,700 (14,900 to 17,800) |  | 33.0 % |")


def test_the_command_writes_tables_anew_and_nothing_else(tmp_path: Path) -> None:
    for name in _MAIN:
        (tmp_path / "reports" / name).mkdir(parents=True)
        content = (ROOT / "reports" / name / "summary.json").read_text()
        (tmp_path / "reports" / name / "summary.json").write_text(content)
    old = re.sub(r"\| 300 KB \|.*", "| 300 KB | typed by hand |", README)
    (tmp_path / "README.md").write_text(old)
    assert old != README
    assert main([str(tmp_path / "README.md")]) == 0
    assert (tmp_path / "README.md").read_text() == README


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_summary_that_is_none_is_one_line_and_2(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("<!-- results: from s.json -->\n| a | b |\n<!-- end of results -->\n")
    if content is not None:
        (tmp_path / "s.json").write_text(content)
    assert main([str(tmp_path / "README.md")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}/s.json is not a summary: ")
    assert said.count("\n") == 1


def test_the_law_that_a_reader_came_for_is_the_committed_reports() -> None:
    said = re.search(r"about ([\d.]+) K × \(D / 1 MB\)\^([\d.]+) parameters", README)
    assert said
    (law,) = summary_of("study-text")["laws"]
    assert said[1] == f"{law['k'] * 1e6 ** law['gamma'] / 1e3:.2g}"
    assert said[2] == f"{law['gamma']:.2f}"
    if law["gamma_low"] is not None:
        assert f"(95 %: {law['gamma_low']:.2f} – {law['gamma_high']:.2f})" in README
    assert f"without one of the sizes {law['gamma_least']:.2f} – {law['gamma_most']:.2f};" in README


def test_every_link_leads_somewhere() -> None:
    for folder, text in ((ROOT, README), (ROOT / "reports", FOUND)):
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert (folder / link).exists(), link


def test_every_command_named_exists() -> None:
    cli = "".join(path.read_text() for path in (ROOT / "mdl/cli/commands").glob("*.py"))
    for command in set(re.findall(r"\bmdl ([a-z]+) ", README)):
        assert f"def {command}(" in cli, command
