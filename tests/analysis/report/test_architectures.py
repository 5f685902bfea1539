"""Architectures in one report: each has its own critical size and rate, and where one comes to pay more is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.costs import PAPER
from analysis.records import load
from analysis.report.elements import Grid
from analysis.report.sections.architectures import architectures, overtakings, write
from analysis.study import study
from mdl.records import CellRecord
from tests.synthetic import SIZES, closed_form, grid, power_law, write_sweep

DATA = [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000]
SHAPES = ["4x1", "8x1", "16x1", "16x2", "32x2", "64x2", "64x4", "128x4"]
CROSSING = 1_200_000


def wiggled(n_params: int) -> float:
    return 1 + 0.004 * np.sin(n_params)


def first(n_params: int, subset_bytes: int, seed: int = 0) -> float:
    return power_law(n_params, subset_bytes) * wiggled(n_params)


def second(n_params: int, subset_bytes: int, seed: int = 0) -> float:
    """The same law, longer by up to a fifth below CROSSING bytes and shorter above."""
    return first(n_params, subset_bytes) * (1 - 0.06 * np.log(subset_bytes / CROSSING))


def of(name: str | None, cells: list[CellRecord]) -> list[CellRecord]:
    told = {} if name is None else {"model.architecture": name}
    return [replace(c, run_id=f"{name}-{c.run_id}", config={**c.config, **told}) for c in cells]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of before there were architectures are the Transformer's."""
    cells = [*of(None, grid(SHAPES, DATA, first)), *of("mine", grid(SHAPES, DATA, second))]
    return write_sweep(tmp_path_factory.mktemp("two") / "two", cells)


def test_each_has_its_own_critical_size_and_rate(folder: Path) -> None:
    rows = architectures(study(load(folder), PAPER))
    assert len(rows) == 2 * len(DATA)
    assert set(rows["group"]) == {"file:book.txt"}
    for row in rows[rows["architecture"] == "transformer"].to_dict("records"):
        wanted = closed_form(row["subset_bytes"], 16)
        assert row["n_params"] == pytest.approx(wanted, rel=0.15)
        least = (power_law(int(wanted), row["subset_bytes"]) + 16 * wanted) / (8 * row["subset_bytes"])
        assert row["rate_low"] < least < row["rate_high"]
    assert rows.groupby("subset_bytes")["is_least"].sum().eq(1).all()
    small, large = rows["subset_bytes"] < CROSSING, rows["subset_bytes"] > CROSSING
    assert set(rows[rows["is_least"] & small]["architecture"]) == {"transformer"}
    assert set(rows[rows["is_least"] & large]["architecture"]) == {"mine"}


def test_where_one_comes_to_pay_more_is_found_with_an_interval(folder: Path) -> None:
    (pair,) = overtakings(architectures(study(load(folder), PAPER)))
    assert (pair["better"], pair["other"]) == ("mine", "transformer")
    assert pair["from_bytes"] == pytest.approx(CROSSING, rel=0.1)
    assert pair["low"] <= CROSSING <= pair["high"]
    assert pair["low"] < pair["from_bytes"] < pair["high"]


def test_one_that_is_better_everywhere_is_said_to_be(tmp_path: Path) -> None:
    better = grid(SHAPES, DATA, lambda n, d, seed: 0.8 * first(n, d))
    found = study(load(write_sweep(tmp_path / "s", [*of(None, grid(SHAPES, DATA, first)), *of("mine", better)])), PAPER)
    rows = architectures(found)
    (pair,) = overtakings(rows)
    assert pair["from_bytes"] is None
    assert (pair["low"], pair["high"]) == (0, 0)
    text = str(write(rows.to_dict("records"), [pair])[0])
    assert "mine has a lower adjusted rate than transformer at every dataset size measured" in text


def test_an_interval_that_the_grid_cuts_off_says_so(tmp_path: Path) -> None:
    """As on page one: a number without ≤ would be taken for a measured size."""
    cells = grid(["32x2", "64x2", "64x4", "128x4"], [3_000])  # N* lies far below
    found = study(load(write_sweep(tmp_path / "s", [*of(None, cells), *of("mine", cells)])), PAPER)
    rows = architectures(found)
    assert set(rows["status"]) == {"below"}
    table = write(rows.to_dict("records"), [])[-1]
    assert isinstance(table, Grid)
    assert [line[3].startswith("≤ ") for line in table.rows] == [True, True]


def test_one_architecture_has_no_such_section(tmp_path: Path) -> None:
    found = study(load(write_sweep(tmp_path / "s", of("mine", grid(SHAPES, DATA[:2])))), PAPER)
    assert architectures(found).empty
    assert write([], []) == []
    assert set(found.critical["group"]) == {"file:book.txt"}, "what all have in common is not part of the name"
    assert max(SIZES.values()) > 0
