"""What stands against an answer is told on page one and in the terminal; what is known no better is not printed so."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from analysis.costs import PAPER
from analysis.formatting import format_bytes, format_count, format_size, known_digits
from analysis.records import load
from analysis.report import terminal_table
from analysis.report.contents import write
from analysis.report.elements import Grid, Text
from analysis.report.sections import recipe
from analysis.report.sections.warnings import warnings
from analysis.report.summary import summarise
from analysis.study import study
from mdl.records import CellRecord
from tests.synthetic import SIZES, grid, write_sweep

ALL = [size for size in SIZES if size != "256x4"]
DATA = [300_000, 1_000_000, 3_000_000]


def summary(folder: Path, records: list[CellRecord]) -> dict[str, Any]:
    return summarise(study(load(write_sweep(folder / "s", records)), PAPER))


def with_recipe(records: list[CellRecord], bytes_seen: int) -> list[CellRecord]:
    """Records that say what was trained: heads, the embedding and how many bytes were seen."""
    return [
        dataclasses.replace(
            r, training=dataclasses.replace(r.training, bytes_seen=bytes_seen, peak_learning_rate=0.01),
            model=dataclasses.replace(r.model, n_heads=1, n_params_by_group={"embedding": 1024}),
        )
        for r in records
    ]  # fmt: skip


def test_one_seed_few_shapes_an_edge_and_less_than_a_pass_are_told_where_the_answer_stands(tmp_path: Path) -> None:
    records = with_recipe(grid(["8x1", "16x1", "16x2", "32x2", "64x2"], DATA), 600_000)
    found = summary(tmp_path, records)
    said = " ".join(warnings(found))
    assert "Few shapes: 5" in said
    assert "One seed:" in said
    assert "Less than one epoch: models were trained on 0.2 of the 3 MB" in said
    assert "Doubtful at 3 MB: only one of the sizes that were run, 2.84 K to 115 K, lies above the minimum." in said
    page = str(write(found, []).blocks)
    for text in warnings(found):
        assert f"note: {text}" in terminal_table(found)
        assert text in page


def test_nothing_is_said_against_a_grid_that_has_all(tmp_path: Path) -> None:
    assert warnings(summary(tmp_path, with_recipe(grid(ALL, DATA, seeds=(0, 1)), 10**8))) == []


def test_where_the_local_estimator_is_outside_page_one_says_how_far_and_why(tmp_path: Path) -> None:
    found = summary(tmp_path, with_recipe(grid(ALL, DATA, seeds=(0, 1)), 10**8))
    row = next(row for row in found["critical"] if row["subset_bytes"] == 1_000_000)
    row |= {"n_local": 2 * row["high"], "shape_sd": 0.0123}
    (said,) = warnings(found)
    assert f"outside the interval at 1 MB ({format_count(row['n_local'])})" in said
    assert "scatter by 1.2 % about the smooth law" in said


@pytest.mark.parametrize(
    ("n", "low", "high", "printed"),
    [
        (139_394, 124_427, 163_256, "140 K"), (139_394, 137_000, 142_000, "139 K"),
        (21_720, 21_700, 21_740, "21.7 K"), (15_712.3, None, None, "15.7 K"), (5_000, 100, 80_000, "5 K"),
        (589_620, 478_859, 705_017, "590 K"), (10_417, 10_279, 12_422, "10.4 K"), (10_417, 10_410, 12_422, "10.4 K"),
    ],
)  # fmt: skip
def test_a_size_has_as_many_digits_as_its_interval_supports(
    n: float, low: float | None, high: float | None, printed: str
) -> None:
    """And never fewer than leave it inside its interval."""
    assert format_size(n, low, high) == printed
    assert known_digits(n, low, high) == pytest.approx(n, rel=0.05)


COMMITTED = sorted((Path(__file__).parents[3] / "reports").glob("*/summary.json"))


@pytest.mark.parametrize("path", COMMITTED, ids=[path.parent.name for path in COMMITTED])
def test_a_critical_size_reads_the_same_wherever_a_report_has_it(path: Path) -> None:
    """625 K stands nowhere beside the data of which page one says 620 K: neither in its rows nor in a sentence."""
    found = json.loads(path.read_text(encoding="utf-8"))
    blocks = write(found, []).blocks
    rows = [row for block in blocks if isinstance(block, Grid) for row in block.rows]
    said = " ".join(block.text for block in blocks if isinstance(block, Text))
    local = {format_count(row["n_local"]) for row in found["critical"] if row["n_local"]}  # another estimator
    known = [(row, row["n_params"]) for row in found["critical"] if row["n_params"]]
    printed = {format_size(n, row["low"], row["high"]) for row, n in known}
    for row, n in known:
        full = format_count(n)
        if full in printed | local:
            continue
        assert not re.search(rf"(?<![\d.]){re.escape(full)}\b", said)
        own = [cells for cells in rows if {format_bytes(row["subset_bytes"]), row["group"]} & set(cells)]
        assert own
        assert not [cells for cells in own if full in cells]


@pytest.mark.parametrize(("size", "is_told"), [("16x2", True), ("128x4", False)])
def test_a_shape_near_the_minimum_that_was_trained_less_is_named(tmp_path: Path, size: str, is_told: bool) -> None:
    """As of a sweep that was stopped on its way; one far from the minimum says little about where that is."""
    whole = with_recipe(grid([s for s in ALL if s != size], DATA, seeds=(0, 1)), 10**8)
    short = with_recipe(grid([size], DATA, seeds=(0, 1)), 5 * 10**7)
    found = summary(tmp_path, [*whole, *short])
    assert [(row["size"], row["bytes_seen"], row["most_bytes_seen"]) for row in found["uneven"]] == [
        (size, 5 * 10**7, 10**8)
    ] * len(DATA)
    assert any(f"{size} saw at most six tenths" in text for text in warnings(found)) == is_told


def test_a_shape_whose_longer_training_was_needless_had_enough(tmp_path: Path) -> None:
    whole = with_recipe(grid([s for s in ALL if s != "16x2"], DATA, seeds=(0, 1)), 10**8)
    short = with_recipe(grid(["16x2"], DATA, seeds=(0, 1)), 5 * 10**7)
    left_out = [
        dataclasses.replace(
            r, run_id=f"{r.run_id}-longer", status="needless", reason="foretold to gain too little", snapshots=()
        )
        for r in short
    ]
    assert "uneven" not in summary(tmp_path, [*whole, *short, *left_out])


def test_rates_that_were_tried_on_the_data_are_told(tmp_path: Path) -> None:
    one = with_recipe(grid(ALL, DATA, seeds=(0,)), 10**8)
    twice = [
        dataclasses.replace(
            r, run_id=f"{r.run_id}-2", training=dataclasses.replace(r.training, peak_learning_rate=0.02)
        )
        for r in one
    ]
    alone, both = (str(recipe.write(summary(tmp_path / n, of))) for n, of in (("a", one), ("b", [*one, *twice])))
    assert "They were not tuned on this data." in alone
    assert "Up to 2 rates a shape were tried on this data." in both
    assert "not tuned" not in both
