"""What stands against an answer is told on page one and in the terminal; what is known no better is not printed so."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from analysis.costs import PAPER, parse_cost
from analysis.formatting import format_bytes, format_count, format_size, known_digits
from analysis.records import load
from analysis.report import terminal_table
from analysis.report.coded_convergence import coded_convergence
from analysis.report.contents import write
from analysis.report.elements import Grid, Text
from analysis.report.sections import convergence, recipe
from analysis.report.sections.warnings import warnings
from analysis.report.summary import summarise
from analysis.study import study
from mdl.records import CellRecord
from tests.synthetic import SIZES, grid, write_sweep

ALL = [size for size in SIZES if size != "256x4"]
REPORTS = Path(__file__).parents[3] / "reports"
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
    assert "Few shapes (†): 5" in said
    assert "One seed:" in said
    assert "Less than one epoch: models were trained on 0.2 of the 3 MB" in said
    assert "Doubtful (†) at 3 MB: only one of the sizes that were run, 2.84 K to 115 K, lies above the minimum." in said
    page = str(write(found, []).blocks)
    for text in warnings(found):
        assert f"note: {text}" in terminal_table(found)
        assert text in page


def whole_summary(folder: Path) -> dict[str, Any]:
    """Of a grid that has all: many shapes, two seeds, trained for long and for half of that."""
    records = grid(ALL, DATA, seeds=(0, 1))
    half = [dataclasses.replace(record, run_id=f"{record.run_id}-half") for record in records]
    return summary(folder, [*with_recipe(records, 10**8), *with_recipe(half, 5 * 10**7)])


def test_nothing_is_said_against_a_grid_that_has_all(tmp_path: Path) -> None:
    assert warnings(whole_summary(tmp_path)) == []


def test_one_length_of_training_says_that_nothing_is_known_of_a_longer_one(tmp_path: Path) -> None:
    (said,) = warnings(summary(tmp_path, with_recipe(grid(ALL, DATA, seeds=(0, 1)), 10**8)))
    assert said.startswith("Not tested: whether longer training would move the critical sizes.")


def test_where_the_local_estimator_is_outside_page_one_says_how_far_and_why(tmp_path: Path) -> None:
    """With the exponent of those sizes; and it does not say that the interval allows for them."""
    found = whole_summary(tmp_path)
    row = next(row for row in found["critical"] if row["subset_bytes"] == 1_000_000)
    row |= {"n_local": 2 * row["high"], "shape_sd": 0.0123}
    found["laws"][0]["gamma_local"] = 0.708
    (said,) = warnings(found)
    assert f"at 1 MB ({format_count(row['n_local'])}), interpolating" in said
    assert "gives a size outside the interval, and γ = 0.71." in said
    assert "The interval holds if one smooth law describes all shapes; they scatter by 1.2 % about it." in said


def test_a_size_at_the_coded_price_that_more_training_moved_is_told(tmp_path: Path) -> None:
    """Where both trainings were coded; where they were not, that this was not judged."""
    found = whole_summary(tmp_path)
    row = found["convergence"][0]
    ends = {"ratio_low": 0.662, "ratio_high": 0.7504}
    found["coded_convergence"] = [row | {"ratio": 0.7086, "verdict": "unconverged"} | ends, row]
    (said,) = warnings(found)
    assert said == (
        "Unconverged at the coded price: more training multiplied the critical size by 0.71 (0.66 to 0.75) at 300 KB. "
        "More training may move it again."
    )
    blocks = write(found, []).blocks
    about = next(i for i, b in enumerate(blocks) if isinstance(b, Text) and b.text.startswith("The same where"))
    assert "× 0.709" in str(blocks[about + 1]), "three decimals, where two would make the ends of an interval one"


def test_coded_sizes_of_two_trainings_are_compared() -> None:
    """Not at their own price, which `convergence` itself is at; and not where one training alone was coded."""
    table = load(REPORTS / "study-images-converged/records")
    found = coded_convergence(study(table, PAPER))
    assert list(found["subset_bytes"]) == sorted(set(table.cells["subset_bytes"]))
    known = found[found["ratio"].notna()]
    assert len(known) >= 3
    assert ((known["ratio_low"] <= known["ratio"]) & (known["ratio"] <= known["ratio_high"])).all()
    assert coded_convergence(study(table, parse_cost("coded"))).empty
    assert coded_convergence(study(load(REPORTS / "study-precision/records"), PAPER)).empty


def _coded(cost: str, n_params: float, rate: float, **more: Any) -> dict[str, Any]:
    bits = int(cost[5:]) if cost[5:] else None
    row = {"group": "g", "subset_bytes": 1_000_000, "status": "bracketed", "low": 80_000.0, "high": 120_000.0}
    return row | {"cost": cost, "precision_bits": bits, "n_params": n_params, "adjusted_rate": rate} | more


def test_a_precision_as_short_as_the_best_with_another_critical_size_is_told(tmp_path: Path) -> None:
    """Not the best itself, nor one that is longer by more than is known, nor one whose size the interval has."""
    found = summary(tmp_path, grid(ALL, DATA))
    best, itself = _coded("coded", 100_000, 0.198, best_bits=4), _coded("coded4", 130_000, 0.2)
    others = [_coded("coded3", 150_000, 0.2005), _coded("coded5", 70_000, 0.201), _coded("coded6", 90_000, 0.2)]
    (told,) = (text for text in warnings(found | {"precisions": [best, itself, *others]}) if "tied" in text)
    assert told.endswith("the interval of the best: at 1 MB 4 bits are best, and 3 bits have 150 K.")
    unknown = _coded("coded", 100_000, 0.198, best_bits=4, low=None, high=None)
    for rows in ([best, itself], [unknown, itself, *others], [best, *others], []):
        assert not any("tied" in text for text in warnings(found | {"precisions": rows}))


def test_a_law_that_misses_the_largest_size_is_told(tmp_path: Path) -> None:
    """It was fitted without it; inside that size's interval it hits."""
    found = whole_summary(tmp_path)
    law, row = found["laws"][0], max(found["critical"], key=lambda row: row["subset_bytes"])
    law |= {"n_points": 4, "left_out_bytes": row["subset_bytes"], "left_out_ratio": 0.5}
    (said,) = warnings(found)
    assert said == (
        "The law misses: through the other dataset sizes it predicts 0.50 times the critical size at 3 MB, outside the "
        "interval."
    )
    law["left_out_ratio"] = 1.0
    assert warnings(found) == []


def test_a_run_that_is_shorter_than_the_least_of_the_law_is_named(tmp_path: Path) -> None:
    found = whole_summary(tmp_path)
    row = next(row for row in found["critical"] if row["subset_bytes"] == 1_000_000)
    own = [rate for rate in found["rates"] if rate["subset_bytes"] == 1_000_000]
    best = min(own, key=lambda rate: rate["adjusted_rate"])
    best["adjusted_rate"] = 0.97 * row["adjusted_rate"]
    (said,) = warnings(found)
    assert said.startswith("A model that was run is shorter than the minimum of the law: ")
    assert (
        f"at 1 MB ({format_count(best['n_params'])} parameters; {100 * row['adjusted_rate']:.1f} % by the law)" in said
    )


def test_a_dataset_size_of_few_shapes_is_marked_in_the_table(tmp_path: Path) -> None:
    found = summary(tmp_path, with_recipe(grid(["8x1", "16x1", "16x2", "32x2", "64x2"], DATA), 600_000))
    blocks = write(found, []).blocks
    table = next(block for block in blocks if isinstance(block, Grid))
    assert all(row[0].endswith(" †") for row in table.rows if "not bracketed" not in str(row))
    assert any("Few shapes (†): 5" in block.text for block in blocks if isinstance(block, Text))
    whole = write(whole_summary(tmp_path / "whole"), []).blocks
    assert "†" not in str(next(block for block in whole if isinstance(block, Grid)))


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


COMMITTED = sorted(REPORTS.glob("*/summary.json"))


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


def test_bytes_seen_are_a_most_where_some_models_needed_no_longer_training(tmp_path: Path) -> None:
    """Half of the training is half of each model's own."""
    whole, half = (with_recipe(grid(ALL, DATA, seeds=(0,)), seen) for seen in (10**8, 5 * 10**7))
    shorter = [dataclasses.replace(r, run_id=f"{r.run_id}-half") for r in half]
    missing = dataclasses.replace(whole[0], status="needless", reason="foretold to gain too little", snapshots=())
    alike, unlike = (
        str(convergence.write(summary(tmp_path / name, [*records, *shorter])))
        for name, records in (("a", whole), ("b", [missing, *whole[1:]]))
    )
    assert "also trained on 50 MB instead of 100 MB per model" in alike
    assert "also trained on up to 50 MB instead of up to 100 MB per model" in unlike


def test_rates_that_were_tried_on_the_data_are_told(tmp_path: Path) -> None:
    one = with_recipe(grid(ALL, DATA, seeds=(0,)), 10**8)
    twice = [
        dataclasses.replace(
            r, run_id=f"{r.run_id}-2", training=dataclasses.replace(r.training, peak_learning_rate=0.02)
        )
        for r in one
    ]
    alone, both = (str(recipe.write(summary(tmp_path / n, of))) for n, of in (("a", one), ("b", [*one, *twice])))
    assert "One rate a shape was run here; on which data these rates were chosen is not recorded." in alone
    assert "Up to 2 rates a shape were tried on this data." in both
    assert "One rate" not in both
