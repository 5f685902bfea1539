"""The price that leaves out embedding rows of byte values that do not occur."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.costs import COSTS
from analysis.errors import AnalysisError
from analysis.records import load
from analysis.study import study
from mdl.records import CellRecord
from tests.synthetic import grid, write_sweep

SIZES = ["4x1", "8x1", "16x1", "16x2", "32x2", "64x2", "64x4", "128x4"]
DATA = [10**5, 10**6]


def _counted(record: CellRecord, n_byte_values: int | None) -> CellRecord:
    width = int(record.model.size.partition("x")[0])
    groups = {"embedding": 256 * width, "layers": record.model.n_params - 256 * width}
    return replace(record, n_byte_values=n_byte_values, model=replace(record.model, n_params_by_group=groups))


def test_rows_of_byte_values_that_do_not_occur_cost_nothing_but_the_mask(tmp_path: Path) -> None:
    """A shape's adjusted rate is code + 16 bits of every parameter but (256 − k)·C, + 256 bits, to the last digit."""
    cells = [_counted(record, 130) for record in grid(SIZES, DATA)]
    table = load(write_sweep(tmp_path / "s", cells))
    plain, used = study(table, COSTS["float16"]), study(table, COSTS["float16-used"])
    width = used.rates["size"].str.partition("x")[0].astype(int)
    saved = (16 * (256 - 130) * width - 256) / (8 * used.rates["subset_bytes"])
    assert used.rates["adjusted_rate"].to_numpy() == pytest.approx((plain.rates["adjusted_rate"] - saved).to_numpy())
    assert (used.critical["adjusted_rate"] < plain.critical["adjusted_rate"]).all()


def test_records_that_did_not_count_byte_values_say_so(tmp_path: Path) -> None:
    """An old record does not know; nothing is guessed, and of a folder of both the new ones count."""
    old = [_counted(record, None) for record in grid(SIZES, DATA[:1])]
    with pytest.raises(AnalysisError, match="no model of bytes whose record counts the byte values"):
        study(load(write_sweep(tmp_path / "old", old)), COSTS["float16-used"])
    mixed = [*old, *(_counted(record, 256) for record in grid(SIZES, DATA[1:]))]
    found = study(load(write_sweep(tmp_path / "mixed", mixed)), COSTS["float16-used"])
    assert set(found.rates["subset_bytes"]) == {DATA[1]}
