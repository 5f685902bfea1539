from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import mdl
from analysis.report.readme_tables import DOCUMENTS, main, results_table, with_tables
from mdl.sizing import sentences
from tests import ROOT
from tests.documents import blocks, is_of_shape
from tests.mdl.sizing.test_answer import answer, final_cells, with_half

README = (ROOT / "README.md").read_text()
STUDY = (ROOT / "docs/study.md").read_text()


def test_the_two_commands_stand_first() -> None:
    commands = [line.split("#")[0].strip() for line in README.splitlines() if line.startswith("    ")][:2]
    assert commands == [
        "pip install -c constraints.txt -e . && mdl sweep sweeps/quick.yaml && mdl report",
        'pip install -c constraints.txt -e ".[dev]" && pytest',
    ]


def test_what_is_cited_is_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == mdl.__version__


def summary_of(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "reports" / name / "summary.json").read_text())  # type: ignore[no-any-return]


def test_it_is_read_in_a_minute() -> None:
    assert len(README.splitlines()) <= 120


_MEDIA = ["study-images", "study-speech"]
_STUDY = ["study-text-converged", "study-text", "study-images-converged", "study-speech-converged", "study-source"]
_RESULTS = dict(zip(DOCUMENTS, (["quick"], _MEDIA, _STUDY), strict=True))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_results_are_those_of_the_committed_reports(document: str) -> None:
    """python -m analysis.report.readme_tables writes them anew."""
    text = (ROOT / document).read_text()
    assert re.findall(r"<!-- results(?:, with warnings)?: from [./]*(?:reports/)?([\w-]+)/", text) == _RESULTS[document]
    assert text.count("<!-- end of results -->") == len(_RESULTS[document])
    assert with_tables(ROOT / document) == text


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
        "| 1 MB | 15.7 K (14.9 K to 16.4 K) | 33.0 % | 30.0 % | ppmd 23.1 % |",
        "| 1 MB | 15.7 K | 33.0 % | 30.0 % | ppmd 23.1 % |",
        "| 1 MB | ≤ 2.84 K, not bracketed | 33.0 % at 2.84 K | 30.0 % | ppmd 23.1 % |",
    ]


def test_how_flat_a_minimum_lies_stands_beside_its_interval() -> None:
    row = {"group": "g", "subset_bytes": 10**6, "status": "bracketed", "n_params": 15_712.3, "grid_best": 20_088,
           "low": 14_911.0, "high": 17_811.0, "near_low": 12_000.0, "near_high": 21_000.0,
           "adjusted_rate": 0.33, "raw_rate": 0.3, "coder": None, "classical_rate": None}  # fmt: skip
    lines = results_table({"critical": [row, row | {"near_low": None, "near_high": None}]}, "text").splitlines()
    assert lines[0].startswith("| text | critical model size | within 1 % | adjusted rate there |")
    assert lines[2].startswith("| 1 MB | 15.7 K (14.9 K to 17.8 K) | 12 K to 21 K | 33.0 % |")
    assert lines[3].startswith("| 1 MB | 15.7 K (14.9 K to 17.8 K) |  | 33.0 % |")


def test_the_command_writes_tables_anew_and_nothing_else(tmp_path: Path) -> None:
    for name in _RESULTS["README.md"]:
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
    (law,) = summary_of("study-text-converged")["laws"]
    size, gamma = f"{law['k'] * 1e6 ** law['gamma'] / 1e3:.2g}", f"{law['gamma']:.2f}"
    for text, to in ((README, "–"), (STUDY, "to")):
        assert f"about {size} K × (D / 1 MB)^{gamma} parameters" in " ".join(text.split())
        assert f"exponent is {gamma} (95 %: {law['gamma_low']:.2f} {to} {law['gamma_high']:.2f})" in " ".join(
            text.split()
        )
    assert f"parameters ({law['gamma_local']:.2f} by a second estimator)" in " ".join(README.split())
    assert f"dataset sizes the exponent is {law['gamma_least']:.2f} to {law['gamma_most']:.2f}." in STUDY
    n_cells = summary_of("study-text-converged")["n_cells"]
    assert f"{n_cells} cells" in README
    assert f"{n_cells} cells" in STUDY


def test_twice_the_training_moved_the_size_by_what_the_committed_report_says() -> None:
    doubled = [
        r for r in summary_of("study-text-converged")["convergence"] if r["half_bytes_seen"] * 2 == r["bytes_seen"]
    ]
    least, *_, most = sorted(100 * (row["ratio"] - 1) for row in doubled)
    surely = max(100 * (row["ratio_high"] - 1) for row in doubled)
    assert f"by {least:.1f} to {most:.1f} % (95 %: at most {surely:.0f} %)" in README


def test_what_the_table_does_not_show_stands_below_it() -> None:
    """Seeds, passes over the data, and the second estimator where it lies outside the interval."""
    summary = summary_of("quick")
    assert summary["recipe"]["settings"]["train.seed"] == 0
    (share,) = (row["passes"] for row in summary["recipe"]["passes"] if row["passes"] < 1)
    (outside,) = (row for row in summary["critical"] if not row["low"] <= row["n_local"] <= row["high"])
    assert outside["subset_bytes"] == 100_000
    assert f"One seed each; at 1 MB each model saw {100 * share:.0f} % of the data once, and longer" in README
    own = [f"{100 * row['contiguous_rate']:.1f}" for row in summary["classical"] if row["coder"] == "zpaq"]
    assert f"own order zpaq takes {own[0]}, {own[1]} and {own[2]} % of as many bytes" in " ".join(README.split())
    at = f"At 100 KB interpolation between models gives {outside['n_local'] / 1e3:.2f} K, outside"
    assert at in " ".join(README.split())
    (law,) = summary["laws"]
    assert f"interpolating between models gives another exponent, {law['gamma_local']:.2f}" in README


def test_the_quick_start_says_by_how_much_zpaq_is_shorter_than_the_best_model() -> None:
    summary = summary_of("quick")
    behind = {}
    for row in summary["critical"]:
        assert row["coder"] == "zpaq"
        best = min(r["adjusted_rate"] for r in summary["rates"] if r["subset_bytes"] == row["subset_bytes"])
        behind[row["subset_bytes"]] = f"{100 * (best - row['classical_rate']):.0f}"
    said = f"by {behind[100_000]} points at 100 KB and by {behind[1_000_000]} at 1 MB"
    assert said in (ROOT / "docs/quickstart.md").read_text()


def test_every_link_leads_somewhere() -> None:
    for document in [*map(ROOT.joinpath, DOCUMENTS), *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document}: {link}"


def test_every_command_named_exists() -> None:
    cli = "".join(path.read_text() for path in (ROOT / "mdl/cli/commands").glob("*.py"))
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "".join(path.read_text() for path in documents)
    for command in set(re.findall(r"(?:^|`)mdl ([a-z]+) ", text, re.MULTILINE)):
        assert f"def {command}(" in cli, command


_SIZED = "my.txt, 300 KB (15 KB of it held out), pays for 12 K parameters"


def test_what_a_search_for_a_size_prints_is_what_the_code_says() -> None:
    """By the sentences of an answer with as much in it; the numbers are of another file."""
    found = replace(
        answer(with_half(final_cells(), 0.04)),
        source="my.txt",
        size_bytes=1_050_000,
        stopped="the time for training is used up; the rest of the budget goes to the report",
    )
    said = "\n".join(sentences(found, "float16"))
    (shown,) = (block.text for block in blocks(README) if block.text.startswith(_SIZED))
    assert is_of_shape(said, "\n".join(shown.splitlines()[:5]))
