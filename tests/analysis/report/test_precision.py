"""Critical sizes under fixed precisions of the weights, against the law of the price."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from typer.testing import CliRunner

from analysis.codes import shortest_codes
from analysis.costs import ParameterCost, parse_cost
from analysis.costs.coded import smooth_price
from analysis.critical import Column, Estimate, estimate_all
from analysis.errors import AnalysisError
from analysis.formatting import format_size
from analysis.plots import figure_file
from analysis.records import Table, load
from analysis.report import build_report
from analysis.report.contents import write
from analysis.report.elements import Grid, Text
from analysis.report.explorer.page import explorer_data
from analysis.report.readme_tables import results_table
from analysis.report.sections.answer_table import answer_table
from analysis.report.sections.parameter_costs import shifted
from analysis.report.sections.precision import law_lines, plot_precision, precisions
from analysis.report.sections.precision import write as precision
from analysis.report.summary import summarise
from analysis.report.terminal import terminal_table
from analysis.study import Study, study
from mdl.cli.app import app
from tests.analysis.codes.test_codes import DATA, NAMES, coded
from tests.synthetic import closed_form, grid, power_law, write_sweep

# (bits, bits a parameter, factor on the code length of the data): 2 bits break the model.
MEASURED = [(2, 1.9, 1.2), (4, 3.5, 1.01), (8, 7.5, 1.0), (16, 15.0, 1.0)]


def noisy(n: int, d: int, seed: int) -> float:
    return power_law(n, d) * float(np.exp(1e-3 * np.random.default_rng([n, d, seed]).standard_normal()))


def sweep(folder: Path, seeds: tuple[int, ...] = (0,)) -> Path:
    records = grid(NAMES, DATA, noisy if len(seeds) > 1 else power_law, seeds=seeds)
    return write_sweep(folder, [coded(record, MEASURED) for record in records])


def explained(tmp_path: Path, cost: str = "float16", seeds: tuple[int, ...] = (0,)) -> Study:
    return study(load(sweep(tmp_path / "s", seeds)), parse_cost(cost))


def test_every_precision_finds_the_closed_form_of_its_price_and_of_what_rounding_costs_the_data(tmp_path: Path) -> None:
    """N* = (α·A·f·n/c)^(1/(1+a)): a factor f on the code length acts like as much more data."""
    rows = [row for row in precisions(explained(tmp_path)) if row["status"] == "bracketed"]
    measured = {f"coded{bits}": (c, factor) for bits, c, factor in MEASURED} | {"float16": (16.0, 1.0)}
    assert {row["cost"] for row in rows} >= {"float16", "coded4", "coded8", "coded16", "coded"}
    for row in rows:
        if row["cost"] != "coded":
            c, factor = measured[row["cost"]]
            assert row["bits_per_param"] == pytest.approx(c, abs=0.01)
            assert row["n_params"] == pytest.approx(closed_form(int(factor * row["subset_bytes"]), c), rel=0.05)


def test_where_rounding_costs_nothing_the_law_is_met_and_where_it_does_more_parameters_pay(tmp_path: Path) -> None:
    rows = {(row["cost"], row["subset_bytes"]): row for row in precisions(explained(tmp_path))}
    for d in DATA[1:]:
        assert rows["coded8", d]["n_params"] == pytest.approx(rows["coded8", d]["n_predicted"], rel=0.06)
        assert rows["coded2", d]["n_params"] > 1.05 * rows["coded2", d]["n_predicted"]
        assert rows["coded", d]["adjusted_rate"] <= min(rows[f"coded{b}", d]["adjusted_rate"] for b in (2, 4, 8, 16))


def test_intervals_hold_the_measured_size_where_there_are_replicates(tmp_path: Path) -> None:
    rows = [row for row in precisions(explained(tmp_path, seeds=(0, 1, 2))) if row["status"] == "bracketed"]
    assert rows
    assert all(0.97 * row["low"] <= row["n_params"] <= 1.03 * row["high"] for row in rows)


@pytest.mark.slow
def test_a_fixed_precision_makes_the_headline_cost(tmp_path: Path) -> None:
    found = explained(tmp_path, "coded4")
    assert found.rates["bits_per_param"].to_numpy() == pytest.approx(3.5, abs=1e-2)
    wanted = {row["subset_bytes"]: row["n_params"] for row in precisions(found) if row["cost"] == "coded4"}
    assert found.critical.set_index("subset_bytes")["n_params"].to_dict() == pytest.approx(wanted)
    document = write(summarise(found), [])
    assert "Parameters cost the measured size of weights coded at 4 bits each" in document.subtitle
    assert explorer_data(found)["code"] == "coded4"  # the page opens at the price of the report
    told = [row for row in summarise(found)["critical"] if row["adjusted_rate"]]
    assert told, "rates count the coded weights"


@pytest.mark.slow
def test_a_report_chooses_the_codes_and_estimates_the_sizes_once_under_each_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages and the explorer ask for the same prices again and again."""
    priced, estimated = [], []

    def counted_codes(table: Table, cost: ParameterCost, like: pd.DataFrame | None = None) -> pd.DataFrame:
        priced.append(cost.name)
        return shortest_codes(table, cost, like)

    def counted_estimates(columns: Sequence[Column], n_draws: int) -> list[Estimate]:
        estimated.append(columns)
        return estimate_all(columns, n_draws)

    monkeypatch.setattr("analysis.study.shortest_codes", counted_codes)
    monkeypatch.setattr("analysis.study.estimate_all", counted_estimates)
    build_report(sweep(tmp_path / "s"), tmp_path / "out", formats=["md", "html"])
    assert {"float16", "coded", "coded4", "logn"} <= set(priced)
    assert len(priced) == len(set(priced)) >= len(estimated)


@pytest.mark.slow
def test_page_one_the_terminal_and_a_readme_have_the_critical_size_at_both_prices(tmp_path: Path) -> None:
    """At 2 bytes a parameter, and at what its code takes; under the second price itself there is nothing beside."""
    found = summarise(explained(tmp_path))
    coded_rows = {row["subset_bytes"]: row for row in found["precisions"] if row["cost"] == "coded"}
    table = answer_table(found)
    assert table.header[-3:] == ("coded: critical size", "coded: rate", "best classical coder")
    for row, cells in zip(found["critical"], table.rows, strict=True):
        beside = coded_rows[row["subset_bytes"]]
        assert cells[-2].startswith(f"{100 * beside['adjusted_rate']:.1f} %")
        if beside["status"] == "bracketed":
            assert cells[-3].split(" (")[0] == format_size(beside["n_params"], beside["low"], beside["high"])
            assert " to " in cells[-3]
    told = terminal_table(found)
    assert "coded: critical size" in told
    assert "coded: critical size" in results_table(found, "text").splitlines()[0]
    assert "If the weights are entropy-coded, so that a parameter costs what its code takes" in write(found, []).lead
    assert "coded: rate" not in answer_table(summarise(study(load(tmp_path / "s"), parse_cost("coded")))).header


@pytest.mark.parametrize(
    ("cost", "said"),
    [("coded9", "no weights coded at 9 bits; it has 2, 4, 8 and 16, so take coded2"), ("codedx", "unknown cost")],
)
def test_a_precision_that_was_not_measured_is_one_line(tmp_path: Path, cost: str, said: str) -> None:
    with pytest.raises(AnalysisError, match=said):
        explained(tmp_path, cost)


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.slow
def test_the_command_takes_it_by_name(tmp_path: Path) -> None:
    out = str(tmp_path / "r")
    made = CliRunner().invoke(
        app, ["report", str(sweep(tmp_path / "s")), "--cost", "coded4", "--out", out, "--format", "md"]
    )
    assert made.exit_code == 0
    assert pd.read_csv(tmp_path / "r" / "precision.csv")["cost"].nunique() == len(MEASURED) + 2


@given(b=st.floats(1, 16), k=st.floats(0, 60), n=st.integers(1, 9))
def test_the_price_of_weights_with_a_scale_a_row_is_recovered(b: float, k: float, n: int) -> None:
    """b + k·N^−½ exactly; of one size its own."""
    sizes = np.geomspace(1000, 1e6, n)
    price = b + k * sizes**-0.5
    assert smooth_price(sizes, price) == pytest.approx(price, rel=1e-6)


def test_granularity_of_the_coder_does_not_pin_a_critical_size_to_a_shape() -> None:
    """Every second size a tenth dearer: the fitted price has no jumps."""
    sizes = np.geomspace(1000, 1e6, 10)
    price = 5.0 * (1 + 0.05 * (-1.0) ** np.arange(10))
    assert smooth_price(sizes, price) == pytest.approx(5.0, rel=0.03)
    assert np.abs(np.diff(np.log(smooth_price(sizes, price)))).max() < 0.02


def test_a_size_that_may_be_ten_times_another_is_not_printed(tmp_path: Path) -> None:
    """One number would claim what its interval does not; an interval within a factor of ten leaves it."""
    rows = precisions(explained(tmp_path))
    (row,) = (row for row in rows if row["cost"] == "coded4" and row["subset_bytes"] == DATA[-1])
    n = row["n_params"]
    assert n is not None
    for factor, found in ((2.0, False), (4.0, True)):
        row.update(low=n / factor, high=n * factor)
        grids = [block for block in precision(rows) if isinstance(block, Grid)]
        assert ["not determined" in str(grid) for grid in grids] == [found, found]
        assert ("spans more than a factor of ten" in str(precision(rows))) == found


def test_law_lines_go_through_float16s_size_with_the_slope_of_the_law(tmp_path: Path) -> None:
    rows = pd.DataFrame(precisions(explained(tmp_path)))
    for d, line in law_lines(rows).groupby("subset_bytes"):
        (paper,) = rows[(rows["cost"] == "float16") & (rows["subset_bytes"] == d)].to_dict("records")
        slope, _ = np.polyfit(np.log(line["bits_per_param"]), np.log(line["n_params"]), 1)
        assert slope == pytest.approx(-1 / 1.4, abs=0.02)
        at = np.interp(np.log(16), np.log(line["bits_per_param"]), np.log(line["n_params"]))
        assert np.exp(at) == pytest.approx(paper["n_params"])
    assert law_lines(rows.assign(n_predicted=None)).empty


def test_a_ratio_to_the_law_that_the_noise_does_not_explain_is_marked() -> None:
    row = {"group": "g", "subset_bytes": 1000, "status": "bracketed", "n_params": 500.0, "grid_best": 100,
           "low": 400.0, "high": 600.0, "bits_per_param": 4.0, "ratio_low": 0.8, "ratio_high": 1.05}  # fmt: skip
    rows = [row | {"cost": "float16", "precision_bits": None, "n_predicted": 500.0},
            row | {"cost": "coded4", "precision_bits": 4, "n_predicted": 700.0, "ratio_high": 0.99},
            row | {"cost": "coded8", "precision_bits": 8, "n_predicted": 550.0, "bits_per_param": 8.0}]  # fmt: skip
    blocks = precision(rows)
    *_, told, ratios = blocks
    assert isinstance(ratios, Grid)
    assert ratios.rows == (("4 bits", "0.71 *"), ("8 bits", "0.91"))
    assert isinstance(told, Text)
    assert "the 95 % interval does not contain 1" in told.text
    assert precision([]) == []


def test_what_the_costs_share_in_noise_does_not_widen_their_ratio(tmp_path: Path) -> None:
    """Both sizes move with the same cells: the ratio of 8 bits without loss to the law is known better than either."""
    rows = precisions(explained(tmp_path, seeds=(0, 1, 2)))
    for row in rows:
        if row["cost"] == "float16" and row["n_params"]:
            assert row["ratio_low"] == row["ratio_high"] == pytest.approx(1.0)
        if row["cost"] == "coded16" and row["n_params"] and row["ratio_low"]:
            assert row["ratio_high"] / row["ratio_low"] < row["high"] / row["low"]


@pytest.mark.slow
def test_the_figure_has_a_line_a_dataset_size_and_is_in_the_report(tmp_path: Path) -> None:
    rows = pd.DataFrame(precisions(explained(tmp_path, seeds=(0, 1))))
    with figure_file.theme():
        axes = plot_precision(rows, law_lines(rows))
        assert len([line for line in axes.lines if line.get_linestyle() == "-"]) == len(DATA)
        assert {text.get_text() for text in axes.texts} >= {"4", "8", "16", "1 MB"}
    plt.close("all")
    made = build_report(tmp_path / "s", tmp_path / "r", formats=("md",))
    assert "precision.svg" in (made.folder / "report.md").read_text(encoding="utf-8")


def test_a_price_falls_and_the_size_rises_by_the_power() -> None:
    assert shifted(1000.0, 0.5, 2.0) / shifted(1000.0, 0.5, 16.0) == pytest.approx(8 ** (2 / 3))
