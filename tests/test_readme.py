from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from analysis.report import terminal_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_two_commands_stand_first() -> None:
    commands = [line.split("#")[0].strip() for line in README.splitlines() if line.startswith("    ")][:2]
    assert commands == [
        "pip install -c constraints.txt -e . && mdl sweep sweeps/quick.yaml && mdl report",
        'pip install -c constraints.txt -e ".[dev]" && pytest',
    ]


RESULTS = re.findall(
    r"<!-- results: from reports/([\w-]+)/summary\.json.*?\|---\|---\|---\|---\|---\|\n(.*?)<!-- end of results",
    README,
    re.DOTALL,
)


def summary_of(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "reports" / name / "summary.json").read_text())  # type: ignore[no-any-return]


def test_there_are_results_of_text_and_of_images() -> None:
    assert [name for name, _ in RESULTS] == ["quick", "study-text", "study-images"]


@pytest.mark.parametrize(("name", "shown"), RESULTS, ids=[name for name, _ in RESULTS])
def test_the_results_are_those_of_the_committed_report(name: str, shown: str) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown.strip().splitlines()]
    summary = summary_of(name)
    lines = terminal_table(summary).splitlines()
    assert rows == [re.split(r"\s{2,}", line.strip()) for line in lines[2 : 2 + len(summary["critical"])]]


def test_the_law_that_a_reader_came_for_is_the_committed_reports() -> None:
    said = re.search(r"about ([\d.]+) K × \(D / 1 MB\)\^([\d.]+) parameters", README)
    assert said
    (law,) = summary_of("study-text")["laws"]
    assert said[1] == f"{law['k'] * 1e6 ** law['gamma'] / 1e3:.2g}"
    assert said[2] == f"{law['gamma']:.2f}"


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_every_command_named_exists() -> None:
    cli = (ROOT / "mdl/cli.py").read_text()
    for command in set(re.findall(r"\bmdl ([a-z]+) ", README)):
        assert f"def {command}(" in cli, command
