import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, figures, report
from analysis.axes import _apart, _log_ticks
from analysis.blocks import Grid, Text
from analysis.document import write
from analysis.report import ReportPaths, build_report, terminal_table
from analysis.units import format_bytes, format_count, format_percent, format_seconds
from mdl.results import BaselineRecord, CellRecord, Segment
from tests.synthetic import baseline, cell, closed_form, corpus, grid, power_law, write_sweep

SIZES = ["4x1", "8x1", "16x1", "16x2", "32x2", "64x2", "64x4", "128x4"]
SUBSETS = [10_000, 300_000, 1_000_000, 10_000_000]


def full_sweep() -> list[CellRecord | BaselineRecord]:
    """Noisy seeds, a failed cell, classical coders; 10 KB is below the grid."""
    rng = np.random.default_rng(0)

    def bits(n: int, d: int, seed: int) -> float:
        return power_law(n, d) * (1 + 1e-4 * rng.standard_normal())

    records: list[CellRecord | BaselineRecord] = [*grid(SIZES, SUBSETS, bits, seeds=(0, 1))]
    records.append(cell("256x4", 300_000, None))
    for d in SUBSETS:
        records += [baseline("xz", d, 0.31), baseline("xz", d, 0.29, order="contiguous"), baseline("gzip", d, 0.35)]
        records.append(baseline("gzip", d, 0.5, chunk_bytes=256))
    return records


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    folder = write_sweep(tmp_path_factory.mktemp("runs") / "s", full_sweep(), more_run_ids=["later"])
    return build_report(folder, tmp_path_factory.mktemp("reports") / "new" / "s")


def words(summary: dict[str, Any]) -> str:
    """All text of a report."""
    blocks = write(summary, []).blocks
    cells = [" ".join([*b.header, *(c for row in b.rows for c in row)]) for b in blocks if isinstance(b, Grid)]
    return "\n".join([*(b.text for b in blocks if isinstance(b, Text)), *cells])


def test_every_piece_is_there(made: ReportPaths) -> None:
    assert made.pdf.read_bytes().startswith(b"%PDF")
    names = ("adjusted_rate", "critical_size", "raw_rate", "heldout_rate", "in_context")
    assert {p.name for p in made.figures.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("pdf", "svg")}
    assert sorted(p.name for p in made.pdf.parent.iterdir()) == [
        "critical_size.csv", "figures", "rates.csv", "report.pdf", "summary.json",
    ]  # fmt: skip
    assert json.loads(made.summary_json.read_text()) == made.summary


def test_figures_are_vectors_with_real_fonts(made: ReportPaths) -> None:
    """Type 3 fonts (fonttype 3) are refused by publishers; fonttype 42 embeds TrueType."""
    for path in made.figures.glob("*.pdf"):
        content = path.read_bytes()
        assert b"/CIDFontType2" in content or b"/TrueType" in content
        assert b"/Type3" not in content
        assert b"/Subtype /Image" not in content


def test_the_synthetic_truth_is_recovered_from_disk(made: ReportPaths) -> None:
    critical = pd.read_csv(made.critical_size).set_index("subset_bytes")
    assert critical["status"].tolist() == ["below", "bracketed", "bracketed", "bracketed"]
    for d in SUBSETS[1:]:
        assert critical.loc[d, "n_params"] == pytest.approx(closed_form(d, 16), rel=0.05)
    (law,) = made.summary["laws"]
    assert law["gamma"] == pytest.approx(1 / 1.4, abs=0.03)
    assert critical["classical_rate"].tolist() == [0.29] * 4


def test_rates_csv_has_a_row_a_size_with_the_seeds_spread(made: ReportPaths) -> None:
    rates = pd.read_csv(made.rates)
    assert len(rates) == len(SIZES) * len(SUBSETS)
    assert (rates["n_seeds"] == 2).all()
    assert (rates["code_bits_sd"] > 0).all()
    expected = rates["raw_rate"] + 2 * rates["n_params"] / rates["subset_bytes"]
    assert np.allclose(rates["adjusted_rate"], expected)


def test_failed_and_missing_cells_are_told(made: ReportPaths) -> None:
    text = words(made.summary)
    assert "256x4-300000" in text
    assert "the loss is not finite from step 7 on" in text
    assert write(made.summary, []).subtitle.startswith(
        "Sweep synthetic on file:book.txt: 65 cells, 1 of them failed, 1 still"
    )
    assert "1 of 66 cells failed" in terminal_table(made.summary)


def test_the_terminal_table_answers(made: ReportPaths) -> None:
    header, _, *rows = terminal_table(made.summary).splitlines()
    assert re.split(r"\s{2,}", header) == [
        "dataset", "critical model size", "adjusted rate there", "raw rate there", "best classical coder",
    ]  # fmt: skip
    assert rows[0].startswith("10 KB")
    assert "not bracketed" in rows[0]
    assert f"{made.summary['critical'][2]['n_params']:,.0f}" in rows[2]
    assert "xz 29.0 %" in rows[2]


def test_the_text_is_a_function_of_the_summary_on_disk(made: ReportPaths) -> None:
    assert words(json.loads(made.summary_json.read_text())) == words(made.summary)


def test_the_same_records_give_the_same_bytes(made: ReportPaths, tmp_path: Path) -> None:
    """In another process, with another hash seed, hours later."""
    folder = write_sweep(tmp_path / "s", full_sweep(), more_run_ids=["later"])
    code = "import sys, pathlib, analysis.report as r; r.build_report(*map(pathlib.Path, sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", code, str(folder), str(tmp_path / "r")], check=True)
    for path in sorted(p for p in made.pdf.parent.rglob("*") if p.is_file()):
        assert (tmp_path / "r" / path.relative_to(made.pdf.parent)).read_bytes() == path.read_bytes(), path.name


def test_a_price_moves_the_critical_size(made: ReportPaths, tmp_path: Path) -> None:
    dear = build_report(write_sweep(tmp_path / "s", full_sweep()), tmp_path / "r", cost="float32")
    assert dear.summary["cost"] == {"name": "float32", "bytes_per_param": 4.0}
    for d, cheap, row in zip(SUBSETS[1:], made.summary["critical"][1:], dear.summary["critical"][1:], strict=True):
        assert row["n_params"] < cheap["n_params"]
        assert row["n_params"] == pytest.approx(closed_form(d, 32), rel=0.05)


DEGENERATE: dict[str, tuple[Sequence[CellRecord | BaselineRecord], str]] = {
    "empty": ([], "No cell has been recorded"),
    "only failed": ([cell("8x1", 10_000, None)], "Every cell failed"),
    "only baselines": ([baseline("xz", 10_000, 0.3)], "No cell has been recorded"),
    "not evaluated": ([cell("8x1", 1000, 1.0, segments=[Segment("train", 0, 500, 1.0)])], "in full"),
    "one cell": ([cell("8x1", 10_000, 4e4)], "at least 3 are needed"),
    "one size": (grid(["8x1"], [10_000, 100_000]), "cannot be said"),
    "one dataset size": (grid(SIZES, [1_000_000]), "parameters for 1 MB of data"),
    "two corpora": ([*grid(SIZES, [10**6]), cell("8x1", 10**6, 9e6, of=corpus("random:2MB"))], "random:2MB"),
    "markup": ([cell("8x1", 10_000, None, reason="#panic() $x$ *b* \\ <a> `")], "#panic()"),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_a_sweep_that_says_little_gives_a_report_that_says_so(tmp_path: Path, case: str) -> None:
    records, said = DEGENERATE[case]
    made = build_report(write_sweep(tmp_path / "s", records), tmp_path / "r")
    assert made.pdf.stat().st_size > 5000
    assert said in words(made.summary)
    assert terminal_table(made.summary)


def test_an_empty_folder_without_a_manifest_is_a_report_too(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    made = build_report(tmp_path / "s", tmp_path / "r")
    assert "Run the sweep first" in terminal_table(made.summary)


def test_memorised_random_bytes_are_not_taken_for_compression(tmp_path: Path) -> None:
    """Raw rate 0.9 on the subset, 1.001 on unseen bytes: the report says what that is."""
    records = [
        cell(size, 100_000, 8e5 * (1.0 - 0.02 * i), heldout_rate=1.001, of=corpus("random:2MB"))
        for i, size in enumerate(SIZES[:5])
    ]
    made = build_report(write_sweep(tmp_path / "s", records), tmp_path / "r")
    text = words(made.summary)
    assert "4 of 5 models code their own subset better than unseen bytes" in text
    assert "4 of them code unseen bytes at 100 % or more" in text
    assert "learned nothing but the subset by heart" in text
    assert "Not paid for: at 100 KB" in text
    assert "extend the grid below" in text


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old report stands whole, and nothing of the new one lies about."""
    folder = write_sweep(tmp_path / "s", grid(SIZES, [10**6]))
    out = build_report(folder, tmp_path / "r").pdf.parent
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "typeset", full_disk)
    with pytest.raises(OSError, match="No space"):
        build_report(folder, out, cost="float32")
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r", "s"]


def test_figures_of_an_earlier_report_do_not_linger(tmp_path: Path) -> None:
    out = tmp_path / "r"
    build_report(write_sweep(tmp_path / "s", [*grid(SIZES, [10**6]), cell("8x1", 10**6, 9e6, of=corpus("b"))]), out)
    (out / "notes.txt").write_text("mine")
    assert (out / "figures" / "adjusted_rate_2.pdf").exists()
    build_report(write_sweep(tmp_path / "t", grid(SIZES, [10**6])), out)
    assert not (out / "figures" / "adjusted_rate_2.pdf").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_a_file_where_the_report_should_go_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("x")
    with pytest.raises(AnalysisError, match="is a file"):
        build_report(write_sweep(tmp_path / "s", []), tmp_path / "r")


def test_a_figure_stands_alone_and_changes_no_theme(made: ReportPaths) -> None:
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    before = dict(mpl.rcParams)
    rates, critical = pd.read_csv(made.rates), pd.read_csv(made.critical_size)
    _, given = plt.subplots()
    axes = figures.plot_adjusted_rate(rates, critical, ax=given)
    assert axes is given
    assert axes.get_xlabel() == "model size N, parameters"
    assert axes.get_legend() is None
    names = [text.get_text() for text in axes.texts]
    assert all(any(format_bytes(d) in name for name in names) for d in SUBSETS)
    alone = [figures.plot_raw_rate(rates), figures.plot_heldout_rate(rates), figures.plot_critical_size(critical)]
    assert len({id(a.figure) for a in [axes, *alone]}) == 4
    plt.close("all")
    assert dict(mpl.rcParams) == before


def test_labels_keep_their_distance_and_their_order() -> None:
    assert _apart([0.5, 0.1, 0.52], 0.1) == pytest.approx([0.46, 0.1, 0.56])
    assert _apart([], 0.1) == []


@pytest.mark.parametrize(("low", "high"), [(0.3, 3.0), (1e3, 1.2e5), (2e3, 4e6), (0.2, 0.5), (1.0, 1e12)])
def test_log_ticks_are_few_and_inside(low: float, high: float) -> None:
    ticks = _log_ticks(low, high)
    assert 2 <= len(ticks) <= 9
    assert all(low <= t <= high for t in ticks)


def test_numbers_as_people_read_them() -> None:
    assert [format_bytes(n) for n in (999, 1000, 262_144, 999_600, 98e6)] == [
        "999 B",
        "1 KB",
        "262 KB",
        "1 MB",
        "98 MB",
    ]
    assert [format_count(n) for n in (1228, 115_008, 3_213_568, 7e9)] == ["1.23 K", "115 K", "3.21 M", "7 G"]
    assert [format_percent(r) for r in (0.4434, 1.0, 64.312)] == ["44.3 %", "100.0 %", "6,430 %"]
    assert [format_seconds(s) for s in (48, 750, 11_520)] == ["48 s", "12.5 min", "3.2 h"]
