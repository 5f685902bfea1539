"""A price of a user's own, from one file, in every place where prices are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.costs import Fixed
from analysis.report import build_report
from tests.command import mdl
from tests.synthetic import grid, write_sweep

MINE = """
from dataclasses import dataclass

from analysis.costs import ParameterCost, register_cost


@dataclass(frozen=True)
class Scaled(ParameterCost):
    def price(self, cells):
        return 4 + 100 / cells["n_params"].to_numpy(float) ** 0.5

    label = "4 bits and scales"
    sentence = "A parameter costs 4 bits and its share of the scales."
    rank = 0.6


register_cost(Scaled("mine"))
"""


@pytest.mark.slow
def test_a_price_of_ones_own_makes_the_headline_and_stands_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    write_sweep(tmp_path / "s", grid(["8x1", "16x1", "16x2", "32x2", "64x2", "64x4"], [10**5, 10**6]))
    options = ["--plugin", "mine.py", "--out", "r", "--format", "md", "--format", "html"]
    done = mdl("report", "s", "--cost", "mine", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "r/summary.json").read_bytes())
    for row in summary["rates"]:
        assert abs(row["bits_per_param"] - 4 - 100 / row["n_params"] ** 0.5) < 1e-9
    own = {row["subset_bytes"]: row["n_params"] for row in summary["costs"] if row["cost"] == "mine"}
    assert own == {row["subset_bytes"]: row["n_params"] for row in summary["critical"]}
    assert None not in own.values()
    text = (tmp_path / "r/report.md").read_text()
    assert "A parameter costs 4 bits and its share of the scales." in text
    assert "float16, 2 B | ½·log₂ D bits | 4 bits and scales | capacity, 3.6 bits" in text  # the dearest first
    page = (tmp_path / "r/explorer.html").read_text()
    assert '"code": "mine"' in page
    assert "own subset, 4 bits and scales" in page


@pytest.mark.usefixtures("blank_figures")
def test_a_price_that_nobody_registered_is_given_as_an_object(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", grid(["8x1", "16x2", "32x2"], [10**5]))
    made = build_report(sweep, tmp_path / "r", cost=Fixed("half a byte", 0.5), formats=["md", "html"])
    text = (made.folder / "report.md").read_text()
    assert "A parameter costs 0.5 bytes (half a byte)." in text
    assert "half a byte, 0.5 B" in text
    assert {row["bits_per_param"] for row in made.summary["rates"]} == {4.0}
