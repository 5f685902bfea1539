"""What the report says of a law that is not identified, and of one that a guess beats."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from analysis.costs import PAPER
from analysis.records import load
from analysis.report.contents import write
from analysis.report.elements import Grid, Heading, Text
from analysis.report.figures import draw
from analysis.report.sections.scaling_law import held_out
from analysis.report.summary import measure, summarise
from analysis.study import Study, study
from mdl.records import CellRecord
from tests.synthetic import cell, corpus, write_sweep

SIZES = {"4x1": 1228, "8x1": 2840, "16x2": 10320, "32x2": 32928}


def follows_a_law(n_data: int, n_corpus_seeds: int) -> list[CellRecord]:
    """L = (1 + 80·N^−0.5 + 30·D^−0.35) bits a byte on held-out bytes, `n_data` dataset sizes by corpus seeds."""
    return [
        dataclasses.replace(
            cell(size, d, 3.0 * d, of=corpus(shuffle_seed=seed), heldout_rate=(1 + 80 * n**-0.5 + 30 * d**-0.35) / 8),
            run_id=f"{size}-{d}-{seed}",
        )
        for size, n in SIZES.items()
        for d in (30_000 * 4**k for k in range(n_data))
        for seed in range(n_corpus_seeds)
    ]


def explained(folder: Path, records: list[CellRecord]) -> Study:
    return study(load(write_sweep(folder / "s", records)), PAPER)


def test_a_law_that_replicates_do_not_identify_has_no_table_no_figure_and_no_score(tmp_path: Path) -> None:
    """Four dataset sizes by two corpus seeds: a fifth of the resampled tables keep fewer than three sizes."""
    found = explained(tmp_path, follows_a_law(4, 2))
    assert found.fit is not None
    assert (found.fit["success"], found.fit["alpha"], found.fit["held_out"]) == (False, None, [])
    assert "of 1000 replicates do not identify the parameters" in found.fit["message"]
    measured = measure(found)
    summary = summarise(found, measured)
    pictures = draw(found, measured, tmp_path / "figures")
    assert not {"fit", "residuals"} & {p.name for p in pictures}
    blocks = write(summary, pictures).blocks
    heads = [b.text for b in blocks if isinstance(b, Heading)]
    assert "Scaling law of the held-out loss" in heads
    assert "Held-out test" not in heads
    assert not any(isinstance(b, Grid) and any(row[0] == "α" for row in b.rows) for b in blocks)
    said = [b.text for b in blocks if isinstance(b, Text) and b.text.startswith("No scaling law can be given")]
    assert len(said) == 1


def test_an_identified_law_keeps_its_table_and_its_test(tmp_path: Path) -> None:
    found = explained(tmp_path, follows_a_law(8, 2))
    assert found.fit is not None
    assert found.fit["success"]
    assert found.fit["alpha"] == pytest.approx(0.5, rel=1e-2)
    assert len(found.fit["held_out"]) == 3


def split(name: str, error: float | None, nearest_error: float, cut: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"held_out": name, "n_kept": 9, "n_held_out": 3, "error": error, "last_value_error": 0.2,
            "nearest_error": nearest_error, "message": "", "cut": cut}  # fmt: skip


def test_where_the_nearest_run_beats_the_law_a_sentence_says_so() -> None:
    cut = {"column": "C", "operator": ">", "bound": 8.91e13}
    splits = [split("largest N", 0.05, 0.09), split("largest D", 0.0314, 0.0056), split("C>8.9e13", None, 0.01, cut)]
    (grid,) = [block for block in held_out({"fit": {"held_out": splits}}) if isinstance(block, Grid)]
    assert [row[0] for row in grid.rows] == ["largest N", "largest D", "C > 8.91e13 FLOPs"]
    *_, last = held_out({"fit": {"held_out": splits}})
    assert isinstance(last, Text)
    assert last.text.startswith("In 1 of 2 tests, the nearest run")
    assert "0.56 % against 3.14 % (largest D)" in last.text
    *_, table = held_out({"fit": {"held_out": splits[:1]}})
    assert isinstance(table, Grid)
