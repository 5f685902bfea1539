import dataclasses
import itertools
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
from typer.testing import CliRunner

from analysis.costs import PAPER
from analysis.errors import AnalysisError
from analysis.formatting import (
    format_bytes,
    format_count,
    format_number,
    format_percent,
    format_range,
    format_ratio,
    format_seconds,
    format_signed,
    format_size,
)
from analysis.plots import figure_file, styled
from analysis.plots import rates as figures
from analysis.plots.log_axes import _log_ticks
from analysis.plots.style import _apart
from analysis.records import load
from analysis.report import build, build_report, terminal_table
from analysis.report.build import ReportPaths
from analysis.report.contents import write
from analysis.report.elements import Grid, Heading, Text
from analysis.report.sections import recipe as recipe_section
from analysis.report.sections.compute import plot_compute
from analysis.report.sections.scaling_law import fit_lines, fit_points, plot_fit, plot_residuals
from analysis.study import study
from mdl.cli.app import app
from mdl.records import BaselineRecord, CellRecord, Segment
from tests.synthetic import SIZES as MODEL_SIZES
from tests.synthetic import baseline, cell, closed_form, corpus, grid, power_law, write_sweep

SIZES = ["4x1", "8x1", "16x1", "16x2", "32x2", "64x2", "64x4", "128x4"]
SUBSETS = [10_000, 300_000, 1_000_000, 3_000_000, 10_000_000]


def full_sweep() -> list[CellRecord | BaselineRecord]:
    """Noisy seeds and corpora, a failed cell, classical coders; 10 KB is below the grid."""
    records: list[CellRecord | BaselineRecord] = []
    for size, d, seed in itertools.product(SIZES, SUBSETS, (0, 1)):
        N, noise = MODEL_SIZES[size], np.random.default_rng([seed, d, MODEL_SIZES[size]]).standard_normal(2)
        unseen = (2 + 60 * N**-0.4 + 25 * d**-0.3) / 8 * (1 + 0.002 * noise[1])
        of, bits = corpus(shuffle_seed=seed), power_law(N, d) * (1 + 1e-3 * noise[0])
        records.append(cell(size, d, bits, seed=seed, heldout_rate=unseen, of=of))
    records.append(cell("256x4", 300_000, None))
    for d in SUBSETS:
        records += [baseline("xz", d, 0.31), baseline("xz", d, 0.29, order="contiguous"), baseline("gzip", d, 0.35)]
        records.append(baseline("gzip", d, 0.5, chunk_bytes=256))
    return records


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    folder = write_sweep(tmp_path_factory.mktemp("runs") / "s", full_sweep(), more_run_ids=["later"])
    return build_report(folder, tmp_path_factory.mktemp("reports") / "new" / "s", formats=("pdf", "md", "html"))


def words(summary: dict[str, Any]) -> str:
    """All text of a report."""
    blocks = write(summary, []).blocks
    cells = [" ".join([*b.header, *(c for row in b.rows for c in row)]) for b in blocks if isinstance(b, Grid)]
    return "\n".join([*(b.text for b in blocks if isinstance(b, Text)), *cells])


def test_every_piece_is_there(made: ReportPaths) -> None:
    assert (made.folder / "report.pdf").read_bytes().startswith(b"%PDF")
    names = (
        "adjusted_rate",
        "by_dataset",
        "by_prefix",
        "critical_size",
        "raw_rate",
        "heldout_rate",
        "in_context",
        "fit",
        "residuals",
    )
    there = {p.name for p in (made.folder / "figures").iterdir()}
    assert there == {f"{name}.{kind}" for name in names for kind in ("pdf", "svg")}
    pieces = "explorer.html figures report.md report.pdf report_files.json summary.json"
    assert sorted(p.name for p in made.folder.iterdir() if p.suffix != ".csv") == pieces.split()
    assert json.loads((made.folder / "summary.json").read_text()) == made.summary


def test_figures_are_vectors_with_real_fonts(made: ReportPaths) -> None:
    """Type 3 fonts (fonttype 3) are refused by publishers; fonttype 42 embeds TrueType."""
    for path in (made.folder / "figures").glob("*.pdf"):
        content = path.read_bytes()
        assert b"/CIDFontType2" in content or b"/TrueType" in content
        assert b"/Type3" not in content
        assert b"/Subtype /Image" not in content


def test_the_synthetic_truth_is_recovered_from_disk(made: ReportPaths) -> None:
    critical = pd.read_csv(made.folder / "critical_size.csv").set_index("subset_bytes")
    assert critical["status"].tolist() == ["below", *["bracketed"] * 4]
    for d in SUBSETS[1:]:
        assert critical.loc[d, "n_params"] == pytest.approx(closed_form(d, 16), rel=0.05)
    (law,) = made.summary["laws"]
    assert law["gamma"] == pytest.approx(1 / 1.4, abs=0.03)
    assert critical["classical_rate"].tolist() == [0.31] * 5


def test_rates_csv_has_a_row_a_size_with_the_seeds_spread(made: ReportPaths) -> None:
    rates = pd.read_csv(made.folder / "rates.csv")
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
        "Sweep synthetic on file:book.txt: 81 cells, 1 of them failed, 1 still"
    )
    assert "1 of 82 cells failed" in terminal_table(made.summary)


def test_the_terminal_table_answers(made: ReportPaths) -> None:
    header, _, *rows = terminal_table(made.summary).splitlines()
    assert re.split(r"\s{2,}", header) == [
        "dataset", "critical size", "95 % interval", "within 1 %", "adjusted rate", "raw rate", "best classical coder",
    ]  # fmt: skip
    assert rows[0].startswith("10 KB")
    assert "not bracketed" in rows[0]
    row = made.summary["critical"][2]
    assert f" {format_size(row['n_params'], row['low'], row['high'])} " in rows[2]
    assert "xz 31.0 %" in rows[2]


def test_the_text_is_a_function_of_the_summary_on_disk(made: ReportPaths) -> None:
    assert words(json.loads((made.folder / "summary.json").read_text())) == words(made.summary)


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes(made: ReportPaths, tmp_path: Path) -> None:
    """In another process, with another hash seed, hours later."""
    folder = write_sweep(tmp_path / "s", full_sweep(), more_run_ids=["later"])
    code = (
        "import sys, pathlib as p, analysis.report.build as r\n"
        "r.build_report(*map(p.Path, sys.argv[1:]), formats=r.FORMATS)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder), str(tmp_path / "r")], check=True)
    for path in sorted(p for p in made.folder.rglob("*") if p.is_file()):
        assert (tmp_path / "r" / path.relative_to(made.folder)).read_bytes() == path.read_bytes(), path.name


@pytest.mark.usefixtures("blank_figures")
def test_a_price_moves_the_critical_size(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", grid(SIZES, [10**6]))
    summary = build_report(folder, tmp_path / "r", cost="1.5", formats=("md",)).summary
    price = {"name": "1.5 bytes", "bytes_per_param": 1.5, "sentence": "A parameter costs 1.5 bytes."}
    assert summary["cost"] == price
    prices = {row["bytes_per_param"]: row for row in summary["costs"] if row["bytes_per_param"] is not None}
    assert sorted(prices) == [0.0, 3.6 / 8, 1.5, 2.0, 4.0]
    assert prices[1.5]["n_params"] == summary["critical"][0]["n_params"]
    for price in (1.5, 2.0, 4.0):
        assert prices[price]["n_params"] == pytest.approx(closed_form(10**6, 8 * price), rel=0.05)
    assert prices[0.0]["status"] == "above"


def headings(summary: dict[str, Any]) -> list[str]:
    return [block.text for block in write(summary, []).blocks if isinstance(block, Heading)]


def test_a_section_with_nothing_to_show_is_left_out(made: ReportPaths) -> None:
    """Here without pictures: what is then left is what has words or a table."""
    assert headings(made.summary) == [
        "How the critical size grows with the data", "The two parts of the code",
        "Two estimators, and sizes that were not run",
        "From which dataset size on a size pays", "What a parameter costs",
        "The shortest code that was measured", "Scaling law of the held-out loss", "Held-out test",
        "Spread between repeated runs",
        "What the compute would buy", "Appendix", "Classical coders", "All cells", "Failed cells", "Provenance",
        "Definitions",
    ]  # fmt: skip
    nothing = {
        "fit": None,
        "crossings": [],
        "predictions": [],
        "two_parts": [],
        "seeds": [],
        "compute": [],
        "compute_not_asked": None,
        "costs": [],
        "who_wins": [],
        "prequential": [],
        "classical": [],
    }
    bare = made.summary | nothing | {"laws": [law | {"theory": None, "scatter": None} for law in made.summary["laws"]]}
    bare["critical"] = [row | dict.fromkeys(_ESTIMATED) for row in bare["critical"]]
    assert headings(bare) == ["Appendix", "All cells", "Failed cells", "Provenance", "Definitions"]


_ESTIMATED = ("low", "high", "p_bracketed", "n_local", "local_low", "local_high")


def test_the_intervals_are_printed_in_sentence_and_table(made: ReportPaths) -> None:
    document = write(made.summary, [])
    lead = next(block.text for block in document.blocks if isinstance(block, Text))
    for row in made.summary["critical"][1:]:
        interval = f"{format_count(row['low'])} to {format_count(row['high'])}"
        assert interval in terminal_table(made.summary)
    assert f"(95 %: {interval})" in lead, "of the largest dataset size; the table has each"
    assert "costs at most 1 % more" in lead
    (law,) = made.summary["laws"]
    assert f"(95 %: {law['gamma_low']:.2f} to {law['gamma_high']:.2f}, 4 dataset sizes)" in lead


def test_residuals_about_a_line_are_printed_as_no_error(made: ReportPaths) -> None:
    """γ under a price is that of a line through few sizes: how far they lie off it is not how sure they are."""
    text = (made.folder / "report.md").read_text(encoding="utf-8")
    (law,) = (law for law in made.summary["cost_laws"] if law["cost"] == "float16")
    assert f"| {law['gamma']:.2f} ({law['n_points']} sizes) |" in text
    assert "s.e." not in text


def test_a_pooled_interval_is_called_pooled(made: ReportPaths) -> None:
    mixed = [
        row | {"interval": kind}
        for row, kind in zip(made.summary["critical"], ["none", "pooled", *["seeds"] * 3], strict=True)
    ]
    assert words(made.summary | {"critical": mixed}).count(", pooled") == 1
    alike = [row | {"interval": "pooled"} for row in made.summary["critical"]]
    assert "95 % interval, pooled" in words(made.summary | {"critical": alike})


def test_what_is_extrapolated_is_called_so(made: ReportPaths) -> None:
    assert [row["extrapolated"] for row in made.summary["predictions"]] == [False] * 5 + [True]
    assert words(made.summary).count("extrapolated") == 1


DEGENERATE: dict[str, tuple[Sequence[CellRecord | BaselineRecord], str]] = {
    "empty": ([], "No cell has been recorded"),
    "only failed": ([cell("8x1", 10_000, None)], "Every cell failed"),
    "only baselines": ([baseline("xz", 10_000, 0.3)], "No cell has been recorded"),
    "not evaluated": (
        [cell("8x1", 1000, 1.0, segments=[Segment(part="train", start_bytes=0, end_bytes=500, code_bits=1.0)])],
        "in full",
    ),
    "one cell": ([cell("8x1", 10_000, 4e4)], "at least 3 are needed"),
    "one size": (grid(["8x1"], [10_000, 100_000]), "is not known"),
    "one dataset size": (grid(SIZES, [1_000_000]), "parameters for 1 MB of data"),
    "two corpora": ([*grid(SIZES, [10**6]), cell("8x1", 10**6, 9e6, of=corpus("random:2MB"))], "random:2MB"),
    "markup": ([cell("8x1", 10_000, None, reason="#panic() $x$ *b* \\ <a> `")], "#panic()"),
}


OFTEN = ("only baselines", "one cell", "markup")


@pytest.mark.parametrize(
    "case", [case if case in OFTEN else pytest.param(case, marks=pytest.mark.slow) for case in DEGENERATE]
)
def test_a_sweep_that_says_little_gives_a_report_that_says_so(tmp_path: Path, case: str) -> None:
    records, said = DEGENERATE[case]
    made = build_report(write_sweep(tmp_path / "s", records), tmp_path / "r")
    assert (made.folder / "report.pdf").stat().st_size > 5000
    assert said in words(made.summary)
    assert terminal_table(made.summary)


@pytest.mark.usefixtures("blank_figures")
def test_the_recipe_tells_shapes_and_how_often_data_were_seen(tmp_path: Path) -> None:
    records = [
        dataclasses.replace(r, training=dataclasses.replace(r.training, bytes_seen=3_000_000, n_steps=900),
                            model=dataclasses.replace(r.model, n_params_by_group={"embedding": 1024}))
        for r in grid(["8x1", "16x1"], [300_000, 1_000_000])
    ]  # fmt: skip
    made = build_report(write_sweep(tmp_path / "s", records), tmp_path / "r", formats=("md",))
    text = words(made.summary)
    assert "In 900 steps models read 300 KB 10 times and 1 MB 3 times." in text
    assert [row["size"] for row in made.summary["recipe"]["shapes"]] == ["8x1", "16x1"]
    assert "36.1 %" in text, "1,024 of 8x1's 2,840 parameters are its embedding"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "AdamW, 900 steps"),
        ({"train.recipe": 1, "train.optimizer": "muon"}, "Muon on matrices and AdamW on the rest, 900 steps"),
        ({"train.recipe": 2, "train.optimizer": "muon"}, "Recipe 2: Muon on matrices and AdamW on the rest, 900 steps"),
        ({"train.recipe": 1, "train.optimizer": "mine"}, "mine, 900 steps"),
    ],
)
def test_the_recipe_names_the_optimizer_that_is_recorded(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    """A record of before there was another is AdamW's."""
    records = [
        dataclasses.replace(r, config=config, model=dataclasses.replace(r.model, n_params_by_group={"embedding": 1024}))
        for r in grid(["8x1", "16x1"], [300_000, 1_000_000])
    ]
    summary = {"recipe": recipe_section.recipe(load(write_sweep(tmp_path / "s", records)))}
    told = [block.text for block in recipe_section.write(summary) if isinstance(block, Text)]
    assert told[0].startswith(said)


def test_two_orders_share_what_a_subset_is_of_its_corpus(made: ReportPaths) -> None:
    """10 MB of 99.95 MB; and were it 12 MB in all, the orders would hardly be two."""
    assert "share 10.0 % of their bytes at 10 MB." in words(made.summary)
    small = [corpus | {"train_bytes": 12_000_000} for corpus in made.summary["corpora"]]
    assert "83.3 % of their bytes at 10 MB, so they are not independent samples." in words(
        made.summary | {"corpora": small}
    )


@pytest.mark.usefixtures("blank_figures")
def test_a_law_without_intervals_is_no_law(tmp_path: Path) -> None:
    """Three dataset sizes determine β but for their noise: columns so few cannot be resampled, and nothing is said."""
    records = [cell(size, d, power_law(MODEL_SIZES[size], d), heldout_rate=(2 + 60 * MODEL_SIZES[size] ** -0.4
                    + 25 * d**-0.3) / 8) for size in SIZES for d in SUBSETS[1:4]]  # fmt: skip
    made = build_report(write_sweep(tmp_path / "s", records), tmp_path / "r", formats=("md",))
    assert made.summary["fit"]["E"] is None
    assert "an interval takes at least 5; add dataset sizes and corpus seeds" in words(made.summary)
    assert not (made.folder / "figures" / "residuals.pdf").exists()


def test_a_folder_that_is_no_sweep_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with pytest.raises(AnalysisError, match="it holds no records; name a run folder"):
        build_report(tmp_path / "s", tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.usefixtures("blank_figures")
def test_memorised_random_bytes_are_not_taken_for_compression(tmp_path: Path) -> None:
    """Raw rate 0.9 on the subset, 1.001 on unseen bytes: the report says what that is."""
    records = [
        cell(size, 100_000, 8e5 * (1.0 - 0.02 * i), heldout_rate=1.001, of=corpus("random:2MB"))
        for i, size in enumerate(SIZES[:5])
    ]
    made = build_report(write_sweep(tmp_path / "s", records), tmp_path / "r", formats=("md",))
    text = words(made.summary)
    assert "of 5 pairs of a shape and a dataset size, 4 have memorized some of the subset" in text
    assert "4 of them code unseen bytes at 100 % or more" in text
    assert "have only memorized the subset" in text
    assert "Not paid for: at 100 KB" in text
    assert "extend the grid below" in text


@pytest.mark.slow
def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old report stands whole, and nothing of the new one lies about."""
    folder = write_sweep(tmp_path / "s", [cell("8x1", 10**6, 9e6)])
    out = build_report(folder, tmp_path / "r").folder
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build, "typeset", full_disk)
    with pytest.raises(OSError, match="No space"):
        build_report(folder, out, cost="float32")
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r", "s"]


@pytest.mark.usefixtures("blank_figures")
def test_figures_of_an_earlier_report_do_not_linger(tmp_path: Path) -> None:
    out = tmp_path / "r"
    build_report(
        write_sweep(tmp_path / "s", [cell("8x1", 10**6, 9e6), cell("8x1", 10**6, 9e6, of=corpus("b"))]),
        out,
        formats=["md"],
    )
    (out / "notes.txt").write_text("mine")
    assert (out / "figures" / "adjusted_rate_2.pdf").exists()
    build_report(write_sweep(tmp_path / "t", [cell("8x1", 10**6, 9e6)]), out, formats=["md"])
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
    rates, critical = pd.read_csv(made.folder / "rates.csv"), pd.read_csv(made.folder / "critical_size.csv")
    _, given = plt.subplots()
    axes = figures.plot_adjusted_rate(rates, critical, ax=given)
    assert axes is given
    assert axes.get_xlabel() == "model size N, parameters"
    assert axes.get_legend() is not None, "others may stand beside it: names of curves are inside"
    whole = figures.plot_adjusted_rate(rates, critical)
    assert whole.get_legend() is None, "a whole figure has a margin for them"
    names = [text.get_text() for text in whole.texts]
    assert all(any(format_bytes(d) in name for name in names) for d in SUBSETS)
    alone = [figures.plot_raw_rate(rates), figures.plot_heldout_rate(rates), figures.plot_critical_size(critical)]
    assert len({id(a.figure) for a in [axes, *alone]}) == 4
    plt.close("all")
    assert dict(mpl.rcParams) == before


def test_no_two_labels_of_a_figure_overlap(made: ReportPaths) -> None:
    from matplotlib import pyplot as plt

    rates, critical = (pd.read_csv(made.folder / f"{name}.csv") for name in ("rates", "critical_size"))
    with figure_file.theme():
        for axes in (figures.plot_adjusted_rate(rates, critical), figures.plot_critical_size(critical)):
            boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
            assert len(boxes) >= 4
            assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    plt.close("all")


def test_stars_lie_on_the_curves_whose_least_they_are(tmp_path: Path) -> None:
    """Lines are the interpolation that critical sizes come from, marks what was measured."""
    from matplotlib import pyplot as plt

    explained = study(load(write_sweep(tmp_path / "s", full_sweep())), PAPER)
    found = explained.critical[explained.critical["status"] == "bracketed"]
    axes = figures.plot_adjusted_rate(explained.rates, explained.critical, explained.between)
    lines = {len(line.get_xdata()): line for line in axes.lines}
    assert len(found)
    for row in found.to_dict("records"):
        own = explained.between[explained.between["subset_bytes"] == row["subset_bytes"]]
        least = own.loc[own["adjusted_rate"].idxmin()]
        assert least["n_params"] == pytest.approx(row["n_params"], rel=0.1)
        assert least["adjusted_rate"] == pytest.approx(row["adjusted_rate"], rel=1e-3)
        assert row["adjusted_rate"] <= least["adjusted_rate"] * (1 + 1e-4)
        assert len(own) in lines
    plt.close("all")


def test_curves_differ_in_grey_too() -> None:
    """Of seven dataset sizes each has its own marker, neighbours another line style, and lightness rises throughout."""
    styles = [style for _, style in styled(pd.DataFrame({"d": range(7)}), "d")]
    assert len({style["marker"] for style in styles}) == 7
    assert all(a["linestyle"] != b["linestyle"] for a, b in itertools.pairwise(styles))
    grey = [np.dot(style["color"][:3], (0.299, 0.587, 0.114)) for style in styles]
    assert np.all(np.diff(grey) > 0.03)


def test_figures_of_a_fit_draw_what_they_are_given() -> None:
    from matplotlib import pyplot as plt

    fit = {"E": 1.0, "A": 50.0, "alpha": 0.4, "B": 20.0, "beta": 0.3}
    n, d = (m.ravel() for m in np.meshgrid([1e3, 1e4, 1e5], [1e5, 1e6]))
    fitted = 1 + 50 * n**-0.4 + 20 * d**-0.3
    rows = pd.DataFrame({"n_params": n, "subset_bytes": d, "loss": 1.01 * fitted, "fitted": fitted})
    made = fit | {"residuals": rows.to_dict("records")}
    points, drawn = fit_points(made), fit_lines(made)
    assert np.allclose(points["residual"], 0.01)
    assert np.allclose(drawn.groupby("subset_bytes")["loss"].last(), fitted[n == 1e5])
    _, given = plt.subplots()
    axes = plot_residuals(points, ax=given)
    assert axes is given
    marks = [line for line in axes.lines if line.get_marker() not in ("None", None, "")]
    assert np.allclose([y for line in marks for y in line.get_ydata()], 1.0)
    compute = pd.DataFrame({"flops": [1e12, 1e13] * 2, "n_params": [1e3, 3e3, 1e4, 1e5], "low": np.nan, "high": np.nan})
    compute["kind"] = ["MDL-optimal"] * 2 + ["compute-optimal"] * 2
    for axes in (plot_fit(points, drawn), plot_compute(compute)):
        assert axes.get_xscale() == "log"
        assert axes is not given
    plt.close("all")


def test_an_unknown_format_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="unknown format 'docx': want pdf or md or html"):
        build_report(write_sweep(tmp_path / "s", []), tmp_path / "r", formats=("pdf", "docx"))


def test_the_command_makes_the_formats_asked_for_and_says_where(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", [cell("8x1", 10_000, 4e4)])
    made = CliRunner().invoke(
        app, ["report", str(folder), "--out", str(tmp_path / "r"), "--format", "html", "--format", "md"]
    )
    assert made.exit_code == 0
    assert made.output.splitlines()[-2:] == [f"report: {tmp_path}/r/report.md", f"report: {tmp_path}/r/explorer.html"]
    assert not (tmp_path / "r" / "report.pdf").exists()


def test_a_wrong_format_is_one_line_and_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mdl.cli", "report", str(tmp_path), "--format", "docx"]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 2
    assert made.stderr == "error: unknown format 'docx': want pdf or md or html\n"


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
    assert [format_number(f) for f in (1.518e14, 2e9)] == ["1.52e14", "2e9"]
    assert [format_signed(change, 1) for change in (0.31, -0.2)] == ["+0.3", "−0.2"]
    assert [format_number(f, n_digits=2) for f in (8.04, 131.0, 0.123)] == ["8", "130", "0.12"]
    assert [format_ratio(r) for r in (0.5634, 5.634, 1.0, 1966.1)] == ["0.563", "5.63", "1", "1,970"]
    assert format_range(9812.0, 13_000.0, format_count) == "9.81 K to 13 K"
    assert format_range(None, 13_000.0, format_count) == "–"
    assert [format_seconds(s) for s in (48, 750, 11_520)] == ["48 s", "12.5 min", "3.2 h"]
