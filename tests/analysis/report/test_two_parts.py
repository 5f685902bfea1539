"""The bits of the two parts at a critical size, and what a model knows by heart."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from analysis.costs import PAPER
from analysis.records import load
from analysis.report import summarise
from analysis.report.sections.two_parts import measure, write
from analysis.study import study
from mdl.records import Snapshot
from tests.synthetic import grid, write_sweep

SIZES = ["4x1", "8x1", "16x1", "16x2", "32x2", "64x2", "64x4", "128x4"]


def test_parts_add_up_to_the_adjusted_rate_and_memory_is_own_against_following_bytes(tmp_path: Path) -> None:
    """Model and data are the whole code; the synthetic records' following bytes cost 1.1 times the own ones."""
    of = study(load(write_sweep(tmp_path / "s", grid(SIZES, [10**5, 10**6]))), PAPER)
    rows = measure(of)
    for row, (_, found) in zip(rows, of.critical.iterrows(), strict=True):
        total = (row["model_bits"] + row["data_bits"]) / (8 * row["subset_bytes"])
        assert total == pytest.approx(found["adjusted_rate"])
        assert row["model_bits"] == pytest.approx(16 * row["n_params"])
        assert row["memorised_bits_per_param"] == pytest.approx(0.1 * row["data_bits"] / row["n_params"], rel=0.03)
    summary = summarise(of)
    text = "\n".join(str(block) for block in write(summary))
    assert "3.6 bits per parameter" in text


def test_what_nobody_coded_behind_the_subset_is_not_guessed(tmp_path: Path) -> None:
    """Without following bytes no memory is told, but why: a held-out part of other files may be harder."""
    cells = [
        replace(record, snapshots=tuple(map(partial(_own_alone, record.subset_bytes), record.snapshots)))
        for record in grid(SIZES, [10**5])
    ]
    summary = summarise(study(load(write_sweep(tmp_path / "s", cells)), PAPER))
    rows = summary["two_parts"]
    assert [row["memorised_bits_per_param"] for row in rows] == [None]
    assert "Morris" not in str(write(summary))
    text = str(write(summary))
    assert "not measured: that takes bytes behind the subset" in text
    assert "The note on memorization compares the subset with held-out bytes instead." in text
    none = summary | {"memorising": summary["memorising"] | {"largest_gap": None}}
    assert "note on memorization" not in str(write(none))


def _own_alone(subset_bytes: int, snapshot: Snapshot) -> Snapshot:
    kept = (part for part in snapshot.segments if part.part == "heldout" or part.end_bytes <= subset_bytes)
    return replace(snapshot, segments=tuple(kept))
