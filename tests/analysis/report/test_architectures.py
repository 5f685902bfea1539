"""Architectures in one report: each has its own critical size and rate, and where one comes to pay more is found."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.costs import PAPER
from analysis.records import load
from analysis.report.elements import Grid, Text
from analysis.report.rows.comparisons import ArchitectureRow, OvertakingRow
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


def told(rows: pd.DataFrame, pairs: list[OvertakingRow]) -> str:
    lead = write(known(rows), pairs)[0]
    assert isinstance(lead, Text)
    return lead.text


def known(rows: pd.DataFrame) -> list[ArchitectureRow]:
    """As the summary has them."""
    found: list[ArchitectureRow] = rows.astype(object).where(rows.notna(), None).to_dict("records")
    return found


def of_all(folder: Path, **cells: list[CellRecord]) -> tuple[pd.DataFrame, list[OvertakingRow]]:
    sweep = write_sweep(folder / "s", [cell for name, own in cells.items() for cell in of(name, own)])
    rows = architectures(study(load(sweep), PAPER))
    return rows, overtakings(rows)


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
    begins = "at every dataset size measured, from 100 KB on (95 %: ≤ 100 KB)"
    assert told(rows, [pair]) == f"mine has a lower adjusted rate than transformer {begins}."


def test_where_it_begins_is_told_with_its_interval(folder: Path) -> None:
    rows = architectures(study(load(folder), PAPER))
    (pair,) = overtakings(rows)
    assert re.fullmatch(
        r"mine has a lower adjusted rate than transformer from 1\.\d* MB on \(95 %: [\d.]+ [KM]B to 1\.\d* MB\)\.",
        told(rows, [pair]),
    )
    uncertain: OvertakingRow = {**pair, "low": 0.0, "high": None}
    assert told(rows, [uncertain]).endswith(" MB on (95 %: ≤ 100 KB to ≥ 10 MB).")


def test_equal_ones_are_not_told_apart(tmp_path: Path) -> None:
    """Found by use: one of two equal ones was said to have a lower rate than the other."""
    cells = grid(SHAPES, DATA, first)
    rows, pairs = of_all(tmp_path, one=cells, twin=cells)
    assert told(rows, pairs) == "one and twin have the same adjusted rate at every dataset size measured."


def test_one_with_too_few_sizes_has_no_interval_and_says_why(tmp_path: Path) -> None:
    """Found by use: it was said that intervals overlap, of which there were none."""
    better = grid(SHAPES, DATA, lambda n, d, seed: 0.8 * first(n, d))
    rows, pairs = of_all(tmp_path, one=better, few=grid(SHAPES[:1], DATA[1:2], first))
    where = "at 300 KB, the only dataset size of both (no interval: too few model sizes)"
    assert told(rows, pairs) == f"one has a lower adjusted rate than few {where}."
    table = write(known(rows), pairs)[-1]
    assert isinstance(table, Grid)
    assert [line[2] for line in table.rows if line[1].startswith("few")] == ["too few sizes"]


def test_many_have_a_table_of_pairs_and_a_sentence_of_where_each_is_best(tmp_path: Path) -> None:
    cells, later = grid(SHAPES, DATA, first), grid(SHAPES, DATA, second)
    worst = grid(SHAPES, DATA, lambda n, d, seed: 1.2 * first(n, d))
    rows, pairs = of_all(tmp_path, one=cells, twin=cells, later=later, worst=worst)
    assert told(rows, pairs) == (
        "The least adjusted rate is that of one and twin at 100 KB, 300 KB and 1 MB; that of later at 3 MB and 10 MB."
    )
    table = write(known(rows), pairs)[1]
    assert isinstance(table, Grid)
    assert ("one", "worst", "all sizes", "≤ 100 KB") in table.rows
    assert ("one", "twin", "the same", "–") in table.rows
    assert len(table.rows) == 6
    rows, pairs = of_all(tmp_path / "three", one=cells, twin=cells, worst=worst)
    assert told(rows, pairs).startswith(
        "one and twin have the least adjusted rate at every dataset size measured. one "
    )


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
