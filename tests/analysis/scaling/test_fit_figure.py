"""`mdl fit -o`: what its figure shows is the fit's own, and the file is a whole figure of the kind asked for."""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.plots import figure_bytes, plot_scaling_fit
from analysis.scaling import Measurements, fit_report_of, fit_tables
from tests import ROOT
from tests.analysis.scaling.rows import measurements
from tests.command import assert_one_line, mdl

HEAD = {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}


def law(n_params: np.ndarray, data: np.ndarray) -> np.ndarray:
    return 1.7 + 400 * n_params**-0.34 + 410 * data**-0.28


def measured(n_rows: int = 80, seed: int = 0, n_sizes: int | None = None) -> Measurements:
    """Rows of a known law with a noise of 0.3 %; N and D free, or D one of a few sizes."""
    rng = np.random.default_rng(seed)
    N, D = 10 ** rng.uniform(7.5, 10, n_rows), 10 ** rng.uniform(9, 12, n_rows)
    if n_sizes:
        D = np.geomspace(1e9, 1e12, n_sizes)[rng.integers(n_sizes, size=n_rows)]
    loss = law(N, D) * np.exp(0.003 * rng.normal(size=n_rows))
    return measurements(N, D, loss, varies="rows are resampled")


@pytest.mark.long
@settings(max_examples=15, deadline=None, derandomize=True)
@given(n_rows=st.integers(30, 80), seed=st.integers(0, 100), n_sizes=st.sampled_from([None, 3, 5, 12]))
def test_every_row_is_in_one_group_and_its_line_within_its_band(n_rows: int, seed: int, n_sizes: int | None) -> None:
    rows = measured(n_rows, seed, n_sizes)
    made = fit_report_of(rows, 1e-3)
    if not made.fit.success:
        return
    tables = fit_tables(rows, made, in_bytes=False)
    assert len(tables.points) == n_rows
    assert set(tables.points["group"]) == set(tables.lines["group"])
    ends = tables.points.groupby("group")["data"].agg(["min", "max"]).to_numpy()
    assert all(low[1] < high[0] for low, high in itertools.pairwise(ends)), "groups are ranges of D"
    assert len(ends) <= 7
    if made.uncertainty.draws is not None:
        # A resampled optimum may lie to one side of the fit; a band is not one without it by more than a hundredth.
        assert (tables.lines["low"] <= 1.01 * tables.lines["loss"]).all()
        assert (tables.lines["high"] >= 0.99 * tables.lines["loss"]).all()


def test_the_band_holds_the_true_law() -> None:
    """At nearly every size, as 95 % of intervals do."""
    inside = []
    for seed in range(4):
        rows = measured(80, seed, 5)
        lines = fit_tables(rows, fit_report_of(rows, 1e-3), in_bytes=False).lines
        data = lines["group"].map(dict(enumerate(np.unique(rows.data)))).to_numpy()
        true = law(lines["n_params"].to_numpy(), data)
        inside.append(np.mean((lines["low"] <= true) & (true <= lines["high"])))
    assert np.mean(inside) > 0.8


@pytest.mark.parametrize(
    "file_format", ["pdf", *(pytest.param(name, marks=pytest.mark.slow) for name in ("png", "svg"))]
)
def test_the_same_fit_is_the_same_figure_with_no_word_outside_it(file_format: str) -> None:
    rows = measured(60)
    tables = fit_tables(rows, fit_report_of(rows, 1e-3), in_bytes=True)
    plot = partial(
        plot_scaling_fit,
        points=tables.points,
        lines=tables.lines,
        tests=tables.tests,
        loss_name="loss L",
        data_name="D",
    )
    first, second = figure_bytes(plot, file_format), figure_bytes(plot, file_format)
    assert first == second
    assert first.startswith(HEAD[file_format])
    figure = plot()
    figure.canvas.draw()
    whole = figure.bbox
    for axes in figure.axes:
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_yticklabels(), *axes.get_xticklabels()):
            box = text.get_window_extent()
            assert box.width == 0 or (whole.x0 <= box.x0 and box.x1 <= whole.x1), text.get_text()
    names = [line.get_label() for line in figure.axes[2].get_legend().get_lines()]
    assert names == ["law", "nearest row", "last value"]


@pytest.mark.slow
def test_the_command_writes_what_was_asked_for(tmp_path: Path) -> None:
    rows = measured(60)
    pd.DataFrame({"N": rows.n_params, "D": rows.data, "loss": rows.loss}).to_csv(tmp_path / "t.csv", index=False)
    done = mdl("fit", "t.csv", "-o", "new/fit.svg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("figure: new/fit.svg\n")
    assert (tmp_path / "new/fit.svg").read_bytes().startswith(HEAD["svg"])
    told = json.loads(mdl("fit", "t.csv", "-o", "fit.PNG", "--json", cwd=tmp_path).stdout)
    assert told["figure"] == "fit.PNG"
    assert json.loads(mdl("fit", "t.csv", "--json", cwd=tmp_path).stdout)["figure"] is None
    records = ROOT / "reports/study-text/records"
    assert mdl("fit", records, "-o", "own.pdf", cwd=tmp_path).returncode == 0
    assert (tmp_path / "own.pdf").read_bytes().startswith(HEAD["pdf"])


def test_no_figure_is_one_line_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("N,D,loss\n1,2,3\n")
    (tmp_path / "a.pdf").mkdir()
    for out, said in (("fit.jpg", "want a figure that ends in .pdf, .svg, .png"), ("a.pdf", "Is a directory"),
                      ("fit.pdf", "there is no law to draw: 1 usable row")):  # fmt: skip
        assert_one_line(mdl("fit", "t.csv", "-o", out, cwd=tmp_path), said)
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "a.pdf"}
