"""The second code length: beside the first in every report, in place of it where a report is asked for by it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis.costs import PAPER, parse_cost
from analysis.errors import AnalysisError
from analysis.records import by_second_code, load
from analysis.report import build_report, terminal_table
from analysis.report.sections.overlapping_windows import compare
from analysis.study import study
from mdl.records import CellRecord, CodedWeights, OverlappingCode, Segment, Snapshot
from tests.command import assert_refused_here
from tests.synthetic import SIZES, closed_form, grid, power_law, write_sweep

pytestmark = pytest.mark.slow

SHAPES = ["4x1", "8x1", "16x1", "16x2", "32x2", "64x2", "64x4", "128x4"]
SUBSETS = [10**5, 10**6]


def gain(n_params: int) -> float:
    """Larger models use a longer context better."""
    return 0.01 * n_params**0.2


def shorter(segment: Segment, n_params: int) -> Segment:
    return replace(segment, code_bits=segment.code_bits * (1 - gain(n_params)))


def strided(record: CellRecord, stride: int = 64, bucket_bits: int | None = None) -> CellRecord:
    """With a second code length of its own subset and of what is held out."""

    def with_second(snapshot: Snapshot) -> Snapshot:
        kept = [s for s in snapshot.segments if s.part == "heldout" or s.end_bytes <= record.subset_bytes]
        second = tuple(shorter(s, record.model.n_params) for s in kept)
        return replace(
            snapshot, overlapping=OverlappingCode(stride_bytes=stride, segments=second, bucket_bits=bucket_bits)
        )

    return replace(record, snapshots=tuple(map(with_second, record.snapshots)))


@pytest.fixture
def both(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "both", [strided(record) for record in grid(SHAPES, SUBSETS)])


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "first", grid(SHAPES, SUBSETS), name="synthetic")


@pytest.mark.usefixtures("blank_figures")
def test_no_number_by_the_first_code_length_changes_where_a_second_was_measured(both: Path, first: Path) -> None:
    """All of summary.json is the same but for the section's own key, which is empty where nothing was measured."""
    summaries = [build_report(folder, folder.parent / f"{folder.name}-r", formats=["md"]) for folder in (both, first)]
    with_second, without = (made.summary for made in summaries)
    assert without["overlapping"] == []
    assert with_second | {"overlapping": []} == without
    assert (summaries[0].folder / "overlapping.csv").exists()
    assert not (summaries[1].folder / "overlapping.csv").exists()
    assert "## A second code length" in (summaries[0].folder / "report.md").read_text()
    assert "second code length" not in (summaries[1].folder / "report.md").read_text()


def test_the_section_shows_both_code_lengths_and_the_gain_of_every_cell(both: Path) -> None:
    rows = compare(load(both))
    assert rows["n_params"].tolist() == [SIZES[s] for s in SHAPES] * 2
    for _, row in rows.iterrows():
        assert row["own_bits"] == pytest.approx(power_law(row["n_params"], row["subset_bytes"]))
        assert row["own_gain"] == pytest.approx(gain(row["n_params"]))
        assert row["heldout_gain"] == pytest.approx(gain(row["n_params"]))
    made = build_report(both, both.parent / "r", formats=["md"])
    assert "64 of 256" in (made.folder / "report.md").read_text()
    table = pd.read_csv(made.folder / "overlapping.csv")
    assert table["own_gain"].tolist() == pytest.approx(rows["own_gain"].tolist())
    assert set(table["stride_bytes"]) == {64}


def test_critical_sizes_by_the_second_code_length_are_those_of_a_sweep_that_had_only_that(
    both: Path, tmp_path: Path
) -> None:
    """The same records with the second lengths written as first ones: equal rates, sizes and laws."""

    def swapped(record: CellRecord) -> CellRecord:
        snapshots = [
            replace(snapshot, segments=snapshot.overlapping.segments, overlapping=None)
            for snapshot in strided(record).snapshots
            if snapshot.overlapping
        ]
        return replace(record, snapshots=tuple(snapshots))

    only = write_sweep(tmp_path / "only", [swapped(record) for record in grid(SHAPES, SUBSETS)])
    mine, theirs = study(by_second_code(load(both), 64), PAPER), study(load(only), PAPER)
    pd.testing.assert_frame_equal(mine.rates, theirs.rates)
    pd.testing.assert_frame_equal(mine.critical, theirs.critical)
    plain = study(load(both), PAPER)
    assert (mine.critical["n_params"] > plain.critical["n_params"]).all()  # large models gain more
    assert plain.critical["n_params"].to_numpy() == pytest.approx([closed_form(d, 16) for d in SUBSETS], rel=0.2)


def test_cells_without_it_and_what_only_the_first_has_do_not_enter(tmp_path: Path) -> None:
    """Half of the shapes have a stride, some another one; coded weights and positions are of windows side by side."""
    coded = CodedWeights(bits=4, coder="x", model_bits=100, data_bits=1000.0)
    cells = grid(SHAPES, SUBSETS)
    records = [replace(cell, snapshots=tuple(replace(s, coded=(coded,)) for s in cell.snapshots)) for cell in cells[:8]]
    mixed = [strided(record) for record in records[:4]] + [strided(record, 16) for record in records[4:8]] + cells[8:]
    table = load(write_sweep(tmp_path / "s", mixed))
    by = by_second_code(table, 16)
    assert set(by.cells["run_id"]) == {record.run_id for record in mixed[4:8]}
    assert by.stride_bytes == 16
    assert not len(by.coded) + len(by.positions) + len(by.online) + len(by.overlapping) + len(by.transfers)
    assert len(by.runs) == len(table.runs)
    with pytest.raises(AnalysisError, match="windows that begin every 8 bytes; it has those of every 16 and 64"):
        by_second_code(table, 8)
    with pytest.raises(AnalysisError, match="coded weights are measured with windows side by side"):
        study(by, parse_cost("coded4"))


def test_a_sweep_without_it_says_how_to_have_it(first: Path) -> None:
    with pytest.raises(AnalysisError, match=r"run it with measure\.stride_bytes: 64"):
        build_report(first, first.parent / "r", formats=["md"], stride_bytes=64)
    assert not (first.parent / "r").exists()


@pytest.mark.usefixtures("blank_figures")
def test_a_report_by_it_says_so_on_its_first_page_and_in_the_terminal(both: Path) -> None:
    made = build_report(both, both.parent / "r", formats=["md"], stride_bytes=64)
    assert made.summary["stride_bytes"] == 64
    text = (made.folder / "report.md").read_text()
    assert "windows that begin every 64 bytes" in text
    assert "mdl compress --stride-bytes 64" in terminal_table(made.summary)
    assert build_report(both, both.parent / "r2", formats=["md"]).summary["stride_bytes"] is None


@pytest.mark.usefixtures("blank_figures")
def test_python_and_the_command_give_the_same(
    both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mdl.cli import app

    found = analysis.load(both).study(stride_bytes=64)
    folder = found.report(tmp_path / "r", formats=["md"])
    summary = json.loads((folder / "summary.json").read_text())
    monkeypatch.setattr("sys.argv", ["mdl", "report", str(both), "--stride-bytes", "64", "--format", "md", "--json"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert not ended.value.code
    told = json.loads(capsys.readouterr().out)
    assert told["critical"] == summary["critical"]
    assert (told["stride_bytes"], told["folder"]) == (64, str(both / "report-stride-64"))
    assert found.critical["n_params"].tolist() == pytest.approx([row["n_params"] for row in told["critical"]])
    assert_refused_here(["report", str(both), "--stride-bytes", "7"], "it has those of every 64", monkeypatch, capsys)


def test_models_mixed_with_contexts_are_the_same_kind_of_second_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--contexts` finds it with or without its stride, the section names it, and `--stride-bytes` alone does not."""
    from mdl.cli import app

    mixed = write_sweep(tmp_path / "mixed", [strided(record, 256, 17) for record in grid(SHAPES, SUBSETS)])
    table = load(mixed)
    by = by_second_code(table, contexts=True)
    assert (by.stride_bytes, by.is_mixed) == (256, True)
    assert compare(table)["own_gain"].tolist() == pytest.approx([gain(SIZES[s]) for s in SHAPES] * 2)
    made = build_report(mixed, tmp_path / "r", formats=["md"])
    text = (made.folder / "report.md").read_text()
    assert "256 of 256, contexts" in text
    assert "mdl report --contexts" in text
    assert "Windows overlap" not in text
    assert "is_mixed" not in made.summary
    found = analysis.load(mixed).study(contexts=True)
    summary = json.loads((found.report(tmp_path / "r2", formats=["md"]) / "summary.json").read_text())
    assert summary["is_mixed"] is True
    assert "Mixed with contexts: every model's code length" in (tmp_path / "r2" / "report.md").read_text()
    monkeypatch.setattr("sys.argv", ["mdl", "report", str(mixed), "--contexts", "--format", "md", "--json"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert not ended.value.code
    told = json.loads(capsys.readouterr().out)
    assert told["critical"] == summary["critical"]
    assert (told["is_mixed"], told["folder"]) == (True, str(mixed / "report-contexts"))
    words = ["report", str(mixed), "--stride-bytes", "256"]
    assert_refused_here(words, "run it with measure.stride_bytes: 256", monkeypatch, capsys)
    words = ["report", str(mixed), "--contexts", "--cost", "coded"]
    assert_refused_here(words, "coded weights are measured without contexts", monkeypatch, capsys)


def test_a_sweep_without_contexts_is_told_how_to_measure_them(both: Path) -> None:
    with pytest.raises(AnalysisError, match=r"mixed with contexts; run it with measure\.contexts: true"):
        by_second_code(load(both), contexts=True)


def test_where_no_second_code_is_asked_for_the_table_stays_by_the_first(both: Path) -> None:
    table = load(both)
    assert by_second_code(table) is table
