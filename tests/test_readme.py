from __future__ import annotations

import json
import re
from pathlib import Path

from analysis.report import terminal_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_two_commands_stand_first() -> None:
    commands = [line.split("#")[0].strip() for line in README.splitlines() if line.startswith("    ")][:2]
    assert commands == [
        "pip install -c constraints.txt -e . && mdl sweep sweeps/quick.yaml && mdl report",
        'pip install -c constraints.txt -e ".[dev]" && pytest',
    ]


def test_the_results_are_those_of_the_committed_report() -> None:
    shown = re.search(r"\|---\|---\|---\|---\|---\|\n(.*?)<!-- end of results", README, re.DOTALL)
    assert shown
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown[1].strip().splitlines()]
    summary = json.loads((ROOT / "reports/quick/summary.json").read_text())
    lines = terminal_table(summary).splitlines()
    assert rows == [re.split(r"\s{2,}", line.strip()) for line in lines[2 : 2 + len(rows)]]


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_every_command_named_exists() -> None:
    cli = (ROOT / "mdl/cli.py").read_text()
    for command in set(re.findall(r"\bmdl ([a-z]+) ", README)):
        assert f"def {command}(" in cli, command
