"""The plugins in examples/ run as their first lines say, to a report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import ROOT
from tests.command import mdl, records
from tests.conftest import markov_text

STACKED = {"lstm": False, "hashed_ngram": True}


@pytest.mark.parametrize(
    "name", [pytest.param("lstm", marks=pytest.mark.long), pytest.param("hashed_ngram", marks=pytest.mark.slow)]
)
def test_an_example_runs_from_sweep_to_report(name: str, tmp_path: Path) -> None:
    """With fewer steps on a smaller text."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "text.txt").write_bytes(markov_text(150_000))
    sweep = tmp_path / f"examples/{name}.yaml"
    text = sweep.read_text()
    for old, new in (("stdlib", '"file:text.txt"'), ("{value: 250}", "{value: 12}"), ("64KiB", "16KiB")):
        assert old in text
        text = text.replace(old, new)
    sweep.write_text(text)
    done = mdl("sweep", sweep, "--plugin", f"examples/{name}.py", "--no-baselines", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("members train one after another" in done.stdout) != STACKED[name]
    found = records(tmp_path / "runs" / name)
    assert len(found) == 16
    assert {record["status"] for record in found.values()} == {"ok"}
    built = mdl("report", f"runs/{name}", "--format", "md", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    report = (tmp_path / "runs" / name / "report/report.md").read_text()
    assert "## Architectures" in report
    assert "| " + name.replace("_", "\\_") in report
