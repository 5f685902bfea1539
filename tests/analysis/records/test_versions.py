"""What a plugin measured before it was edited does not count beside what it measured since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.costs import PAPER
from analysis.records import load
from analysis.report.summary import summarise
from analysis.report.terminal import terminal_table
from analysis.study import study
from mdl.cli.suggest_rounds import Looked
from mdl.records import CellRecord
from tests.synthetic import cell, write_sweep

DATA = [10_000, 30_000]


def by(version: str, hour: int, factor: float, sizes: tuple[str, ...] = ("4x1", "8x1", "16x1")) -> list[CellRecord]:
    """Cells of an architecture of a plugin, whose code was `factor` as long as another version's."""
    cells = [cell(size, D, factor * 4 * D) for size in sizes for D in DATA]
    return [
        replace(
            one,
            run_id=f"{one.run_id}-{version}",
            config={**one.config, "model.architecture": "mine", "model.size": one.model.size, "subset_bytes": D},
            plugins={"model.architecture": version * 64} if version else {},
            provenance=replace(one.provenance, created=f"2026-11-29T0{hour}:00:00+00:00"),
        )
        for one in cells
        for D in [one.subset_bytes]
    ]


def written(folder: Path, *versions: list[CellRecord], asked: list[CellRecord] | None = None) -> Path:
    """A run folder of all, whose manifest asks for some."""
    write_sweep(folder, [one for version in versions for one in version])
    return write_sweep(folder, [], more_run_ids=[one.run_id for one in asked or []])


@pytest.mark.parametrize("factor", [0.8, 1.25], ids=["shorter before", "longer before"])
def test_the_newest_version_counts_and_the_report_says_what_it_left_out(tmp_path: Path, factor: float) -> None:
    """Neither averaged with it, nor chosen where it was better."""
    folder = written(tmp_path / "s", by("a", 1, factor), by("b", 2, 1.0))
    table = load(folder)
    assert sorted(table.runs["run_id"]) == sorted(one.run_id for one in by("b", 2, 1.0))
    assert sorted(table.superseded) == sorted(one.run_id for one in by("a", 1, factor))
    alone = study(load(written(tmp_path / "alone", by("b", 2, 1.0))), PAPER)
    assert study(table, PAPER).critical.equals(alone.critical)
    said = terminal_table(summarise(study(table, PAPER)))
    assert "6 of 12 cells left out: a newer version of their plugin made the same ones" in said
    assert "edited" not in said


def test_what_the_sweep_asks_for_counts_though_it_is_older(tmp_path: Path) -> None:
    """An edit was taken back: the sweep finds its records there, and those are meant."""
    first = by("a", 1, 1.1)
    table = load(written(tmp_path / "s", first, by("b", 2, 1.0), asked=first))
    assert sorted(table.runs["run_id"]) == sorted(one.run_id for one in first)


def test_sizes_that_only_the_older_version_has_are_kept(tmp_path: Path) -> None:
    """Cell by cell: nothing newer stands in their place. That versions are mixed then is said beside the answer."""
    table = load(written(tmp_path / "s", by("a", 1, 1.1), by("b", 2, 1.0, sizes=("4x1",))))
    assert len(table.superseded) == len(DATA)
    assert len(table.runs) == 3 * len(DATA)
    assert "edited between the cells of mine" in terminal_table(summarise(study(table, PAPER)))


def test_who_suggests_cells_by_mixed_versions_says_so(tmp_path: Path) -> None:
    """As the report does; and nothing where one version stands behind all."""
    folders = {
        "mixed": written(tmp_path / "mixed", by("a", 1, 1.1), by("b", 2, 1.0, sizes=("4x1",))),
        "alone": written(tmp_path / "alone", by("a", 1, 1.1), by("b", 2, 1.0)),
    }
    for name, folder in folders.items():
        told = Looked(place=folder, explained=study(load(folder), PAPER), found=[], within=1.25).lines
        assert ("edited between the cells of mine" in told[-1]) == (name == "mixed")


def test_without_a_plugin_nothing_is_left_out(tmp_path: Path) -> None:
    """Records of one configuration and two names are replicates, as ever."""
    cells = [replace(one, run_id=f"{one.run_id}-{i}") for i in range(2) for one in by("", 1 + i, 1.0)]
    table = load(written(tmp_path / "s", cells))
    assert (table.superseded, len(table.runs)) == ((), len(cells))


@pytest.mark.parametrize("told", [False, True], ids=["its files are known", "its result is in its name"])
def test_a_trained_model_by_name_counts_as_it_was_measured_last(tmp_path: Path, told: bool) -> None:
    """`mdl evaluate py:lstm` before and after an edit, or a file of other weights: its fingerprint is another."""

    def measured(version: str, hour: int, factor: float) -> list[CellRecord]:
        return [
            replace(
                one,
                config={"model": "lstm", "model_fingerprint": version, "subset_bytes": one.subset_bytes}
                | ({"code_bits": str(factor)} if told else {}),
            )
            for one in by(version, hour, factor, sizes=("4x1",))
        ]

    table = load(written(tmp_path / "s", measured("a", 1, 0.9), measured("b", 2, 1.0)))
    assert set(table.superseded) == {one.run_id for one in measured("a", 1, 0.9)}
