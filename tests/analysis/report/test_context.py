"""Sweeps over context lengths: steps of as many bytes, critical sizes never mixed, a figure and a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.costs import parse_cost
from analysis.plots.figure_file import theme
from analysis.records import load
from analysis.report import build_report
from analysis.report.contents import write
from analysis.report.elements import Text
from analysis.report.sections.context_length import contexts, plot_contexts
from analysis.report.sections.context_length import write as context_page
from analysis.report.summary import summarise
from analysis.study import Study, study
from mdl.config import from_flat
from mdl.errors import MdlError
from mdl.sweeps import plan_sweep
from tests import ROOT, synthetic

LENGTHS = (64, 256, 1024)


def written(folder: Path) -> Path:
    """Three sizes, two data sizes, three contexts; twice the context saves 0.1 bits a byte."""
    cells = [
        synthetic.cell(s, d, synthetic.power_law(synthetic.SIZES[s], d) - 0.05 * d * i, context_bytes=T,
                       heldout_rate=0.5 - 0.02 * i)
        for i, T in enumerate(LENGTHS) for s in ("8x1", "16x2", "32x2") for d in (10**5, 10**6)
    ]  # fmt: skip
    return synthetic.write_sweep(folder, cells)


@pytest.fixture
def explained(tmp_path: Path) -> Study:
    return study(load(written(tmp_path / "contexts")), parse_cost("float16"))


def test_a_batch_in_bytes_is_as_many_windows() -> None:
    """And the cell is the same cell, with the same name, as one given in windows."""
    for context, windows in ((64, 32), (2048, 1)):
        model = {"model.size": "8x1", "model.context_bytes": context}
        by_bytes = from_flat(model | {"train.batch_bytes": "2KiB"})
        assert by_bytes.train.batch_windows == windows
        assert by_bytes == from_flat(model | {"train.batch_windows": windows})
        assert by_bytes.run_id == from_flat(model | {"batch_windows": windows}).run_id
    assert from_flat({"size": "8x1", "batch_bytes": 512}).train.batch_windows == 2


@pytest.mark.parametrize(
    "more", [{"batch_bytes": "1000"}, {"batch_bytes": 128}, {"batch_bytes": 512, "batch_windows": 2}]
)
def test_a_batch_that_is_no_whole_windows_is_one_line(more: dict[str, object]) -> None:
    with pytest.raises(
        MdlError, match=r"train.batch_bytes: [\d,]+ must be a multiple of model.context_bytes, 256, and"
    ):
        from_flat({"size": "8x1"} | more)


def test_the_sweep_file_trains_every_context_on_as_much(tmp_path: Path) -> None:
    plan = plan_sweep(ROOT / "sweeps/context.yaml", tmp_path)
    cells = [cell.config for cohort in plan.cohorts for cell in cohort.cells]
    assert {c.model.context_bytes for c in cells} == {64, 128, 256, 512, 1024, 2048}
    assert len({c.train.batch_windows * c.model.context_bytes * c.train.steps for c in cells}) == 1


def test_every_context_has_critical_sizes_of_its_own(explained: Study) -> None:
    """One row a (context, D), each from the sizes of that context alone."""
    critical = explained.critical
    assert len(critical) == len(LENGTHS) * 2
    assert critical["group"].nunique() == len(LENGTHS)
    assert (critical["n_sizes"] == 3).all()
    alone = explained.rates.groupby(["group", "subset_bytes"])["context_bytes"].nunique()
    assert (alone == 1).all()


def test_rates_stand_beside_each_other_at_the_largest_subset(explained: Study) -> None:
    rates = contexts(explained)
    assert set(rates["subset_bytes"]) == {10**6}
    assert rates["context_bytes"].tolist() == list(LENGTHS) * 3
    for _, own in rates.groupby("size"):
        assert own["raw_rate"].diff().dropna().tolist() == pytest.approx([-0.05 / 8] * 2)
        assert own["heldout_rate"].tolist() == pytest.approx([0.5, 0.48, 0.46])
    assert (rates["bytes_seen"] == 900 * 1024).all()


def test_one_context_is_no_comparison(tmp_path: Path) -> None:
    one = study(
        load(synthetic.write_sweep(tmp_path / "s", synthetic.grid(["8x1", "16x2"], [10**5]))), parse_cost("none")
    )
    assert contexts(one).empty
    assert context_page([]) == []


def test_the_figure_has_a_curve_a_size_on_plain_axes(explained: Study) -> None:
    with theme():
        axes = plot_contexts(contexts(explained))
        axes.figure.canvas.draw()
    assert len(axes.figure.axes) == 2
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["64", "256", "1024"]
    assert [line.get_xdata().tolist() for line in axes.lines] == [list(LENGTHS)] * 3


@pytest.mark.slow
def test_the_report_says_it(tmp_path: Path) -> None:
    made = build_report(written(tmp_path / "contexts"), tmp_path / "report", formats=("md",))
    text = (tmp_path / "report" / "report.md").read_text()
    assert "Context length" in text
    assert "The context with the least raw rate on " in text
    assert ": 8x1 1,024 bytes (" in text
    assert (tmp_path / "report" / "figures" / "context.svg").exists()
    assert len(made.summary["contexts"]) == 9
    # Figures are of the longest context, one is of all; tables go by the number, not by its digits.
    drawn = {path.stem for path in (tmp_path / "report" / "figures").glob("*.svg")}
    assert drawn >= {"adjusted_rate", "raw_rate", "heldout_rate", "critical_size", "context"}
    assert not {name for name in drawn if name.endswith(("_2", "_3"))}
    assert "context 1,024: Adjusted rate against model size" in text
    in_order = [text.index(f"\n| context {n} |") for n in ("64", "256", "1,024")]
    assert in_order == sorted(in_order)


def test_many_contexts_begin_with_one_sentence(tmp_path: Path) -> None:
    cells = [
        synthetic.cell(s, 10**5, synthetic.power_law(synthetic.SIZES[s], 10**5), context_bytes=T)
        for T in (64, 128, 256, 512) for s in ("8x1", "16x1", "16x2", "32x2")
    ]  # fmt: skip
    explained = study(load(synthetic.write_sweep(tmp_path / "s", cells)), parse_cost("float16"))
    summary = summarise(explained)
    n_found = sum(row["status"] == "bracketed" for row in summary["critical"])
    leads = [b.text for b in write(summary, []).blocks if isinstance(b, Text) and b.style == "lead"]
    assert len(leads) == 1
    assert leads[0].startswith("The critical size is the number of parameters at which")
    assert f" {n_found} of 4 critical model sizes lie within their grids" in leads[0]
