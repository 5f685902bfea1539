"""How reports look: filled pages, ticks apart, exponents raised, digits that are known."""

import io
import itertools
import re
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import typst
from matplotlib import pyplot as plt
from matplotlib.image import imread, imsave
from matplotlib.text import Text as Text2D

from analysis.costs import parse_cost
from analysis.formatting import format_bytes, format_count
from analysis.plots import (
    log_scales,
    new_axes,
    plot_adjusted_rate,
    plot_critical_size,
    plot_in_context,
    plot_raw_rate,
    said_of_gray,
    save_figure,
    styled,
)
from analysis.plots.figure_file import theme
from analysis.plots.free_side import free_side
from analysis.plots.style import GRAY, draw, name_curves, size_curves
from analysis.records import load
from analysis.report import build_report
from analysis.report.elements import Document, Grid, Heading, Picture, Text
from analysis.report.group_names import with_group_column
from analysis.report.page_layout import Layout, filling, widest_hole
from analysis.report.section import WideSection
from analysis.report.sections.crossover_figures import plot_envelope
from analysis.report.sections.least_rate import envelope, own_points
from analysis.report.sections.paper_table_figures import sizes_in_color
from analysis.report.sections.rates import caption
from analysis.report.web import article
from analysis.study import Study, in_context, study
from tests import ROOT

QUICK = Path(__file__).parents[3] / "reports/quick/records"
PAPER = Path(__file__).parents[3] / "reports/study-paper/records"
LEAST_FILLED = 2 / 3


@pytest.fixture(scope="module")
def quick() -> Study:
    return study(load(QUICK), parse_cost("float16"), n_replicates=20)


@pytest.mark.slow
@pytest.mark.parametrize("records", [QUICK, PAPER], ids=["quick", "paper"])
def test_no_page_has_an_empty_third(records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a hole of a sixth between what stands on it, but at the end of the last."""
    pages: list[bytes] = []
    set_as_pdf = typst.compile

    def also_as_pictures(template: Path, **how: Any) -> Any:
        if "output" in how:
            kept = {name: value for name, value in how.items() if name not in ("output", "timestamp")}
            pages.extend(set_as_pdf(template, format="png", ppi=30, **kept))
        return set_as_pdf(template, **how)

    monkeypatch.setattr(typst, "compile", also_as_pictures)
    build_report(records, tmp_path / "r")
    assert len(pages) > 4
    for page in pages:
        gray = imread(io.BytesIO(page))[..., :3].mean(axis=-1)
        body = gray[: int(0.93 * len(gray))]  # without the number of the page
        inked = np.flatnonzero((body < 0.8).any(axis=1))
        assert inked.max() > LEAST_FILLED * len(body)
        assert np.diff(inked).max() < len(body) / 6
        assert page is pages[-1] or inked.max() > 5 / 6 * len(body)


@pytest.mark.parametrize("name", [format_bytes, format_count])
@pytest.mark.parametrize(("low", "high"), [(1e5, 1e6), (9e4, 1.2e6), (2e3, 6e4), (1e3, 9e6), (1e4, 1.4e4)])
def test_names_of_ticks_do_not_touch(name: Any, low: float, high: float) -> None:
    with mpl.rc_context({"font.family": "serif"}):
        axes = new_axes(None)
        axes.plot([low, high], [0.1, 0.9])
        log_scales(axes, name, lambda rate: f"{100 * rate:g}")
        figure = axes.figure
        figure.canvas.draw()
        boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        plt.close("all")
    assert boxes
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_a_figure_names_critical_sizes_with_the_digits_of_the_table(quick: Study) -> None:
    axes = plot_adjusted_rate(quick.rates, quick.critical, quick.between)
    named = {text.get_text() for text in axes.texts}
    plt.close("all")
    assert {"3.7 K", "8.7 K", "22 K"} <= named


def test_the_web_page_raises_exponents_and_keeps_numbers_with_their_units() -> None:
    text = "N* grows as D^γ, (D / 1 MB)^γ and c^(−1/(1+a)); E + A·N^−α; 3 % of 10 KB; x^y & a_b^c; (1 MB)^0.78, 2^−½"
    made = article(Document("title", "subtitle", (Heading("D^γ"), Text(text, "body"))), Path())
    assert "<h2>D<sup>γ</sup></h2>" in made
    assert (
        "D<sup>γ</sup>, (D\u00a0/\u00a01\u00a0MB)<sup>γ</sup> and c<sup>(−1/(1+a))</sup>; E + A·N<sup>−α</sup>" in made
    )
    assert "α\u00a0=\u00a00.18, ≤\u00a01.24\u00a0K and ×\u00a01.15; 2 × D" in article(
        Document("", "", (Text("α = 0.18, ≤ 1.24 K and × 1.15; 2 × D", "body"),)), Path()
    )
    assert "3\u00a0% of 10\u00a0KB; x^y &amp; a_b^c; (1\u00a0MB)<sup>0.78</sup>, 2<sup>−½</sup>" in made


@pytest.mark.parametrize("name", ["adjusted_rate", "raw_rate", "critical_size", "in_context"])
def test_text_of_a_figure_is_read_in_print(tmp_path: Path, quick: Study, name: str) -> None:
    """A report shows it as wide as its text, 168 mm, and there no letter is smaller than 8 points."""
    plot = {
        "adjusted_rate": partial(plot_adjusted_rate, quick.rates, quick.critical, quick.between),
        "raw_rate": partial(plot_raw_rate, quick.rates, quick.critical),
        "critical_size": partial(plot_critical_size, quick.critical, predictions=quick.predictions),
        "in_context": partial(plot_in_context, in_context(quick.table, quick.table.runs["group"].iloc[0])),
    }[name]
    save_figure(plot, tmp_path / "f.pdf")
    found = re.search(r'<svg[^>]* width="([\d.]+)pt"', (tmp_path / "f.svg").read_text())
    assert found
    with theme():
        axes = plot()
        shown = [text.get_fontsize() for text in axes.figure.findobj(Text2D) if text.get_text().strip()]
    plt.close("all")
    assert len(shown) > 5
    assert min(shown) * (168 / 25.4 * 72) / float(found[1]) >= 8


def test_a_name_at_a_curves_end_lies_on_no_other_curve_or_name() -> None:
    point, size = np.array([100.0, 100.0]), (30.0, 10.0)
    above_right = np.array([[100.0, 108.0], [200.0, 108.0]])
    (offset, alignment), box = free_side(point, size, [above_right])
    assert (alignment, offset[1] < 0) == ("left", True)
    assert free_side(point, size, [above_right], [box])[0][1] == "right"
    assert free_side(point, size, [])[0][0][1] > 0


@pytest.mark.parametrize("name", ["adjusted_rate", "raw_rate", "envelope"])
def test_the_name_of_an_axis_is_no_longer_than_the_axis(quick: Study, name: str) -> None:
    plot = {
        "adjusted_rate": partial(plot_adjusted_rate, quick.rates, quick.critical, quick.between),
        "raw_rate": partial(plot_raw_rate, quick.rates, quick.critical),
        "envelope": partial(plot_envelope, envelope(own_points(quick, quick.table.runs["group"].iloc[0]))),
    }[name]
    with theme():
        axes = plot()
        axes.figure.canvas.draw()
        shown, frame = axes.yaxis.label.get_window_extent(), axes.get_window_extent()
    plt.close("all")
    assert frame.y0 <= shown.y0
    assert shown.y1 <= frame.y1


@pytest.mark.parametrize("n_curves", [8, 9])
def test_a_caption_speaks_of_gray_curves_only_where_there_are_some(n_curves: int) -> None:
    frame = pd.DataFrame({"n_params": range(n_curves)})
    some_gray = GRAY in [style["color"] for _, style in styled(frame, "n_params")]
    assert bool(said_of_gray(n_curves)) == some_gray == (n_curves > 8)


def test_a_caption_of_rates_explains_the_marks_that_are_drawn_alone() -> None:
    rates = pd.DataFrame({"subset_bytes": [1e5] * 2, "adjusted_rate": [0.5, 0.9], "n_seeds": [1, 1]})
    critical = pd.DataFrame({"status": ["bracketed"], "coder": [None]})
    quiet = caption("adjusted_rate", rates, critical)
    assert "Stars" in quiet
    assert not any(word in quiet for word in ("Arrowheads", "Bars", "the top", "Short lines"))
    marked = rates.assign(adjusted_rate=[0.5, 1.3], n_seeds=[1, 2])
    loud = caption("adjusted_rate", marked, critical.assign(status="below", coder="zpaq"))
    assert "Stars" not in loud
    assert all(word in loud for word in ("Arrowheads", "Bars", "the top", "Short lines"))


def test_a_section_without_figures_says_nothing_of_them() -> None:
    section = WideSection(name="mine", title="Mine", intro="What the figure is for.", shows=("one",))
    summary: Any = {}
    assert section.blocks(summary, []) == []
    assert [block.kind for block in section.blocks(summary, [Picture("one.pdf", "One.", "one")])] == [
        "heading",
        "text",
        "picture",
    ]


def test_of_many_curves_eight_are_told_apart_and_named() -> None:
    """The others are thin and gray: more colors cannot be told from each other."""
    rows = pd.DataFrame({"n_params": range(20), "x": 1.0, "y": 2.0, "size": [f"{n}x1" for n in range(20)]})
    curves = size_curves(rows, "x", "y")
    assert len(curves) == 20
    colors = [curve.style["color"] for curve in curves]
    assert colors.count(GRAY) == 12
    assert len({color for color in colors if color != GRAY}) == 8
    assert GRAY not in (colors[0], colors[-1])
    axes = new_axes(None)
    draw(axes, curves)
    name_curves(axes, curves)
    assert len({text.get_text() for text in axes.texts}) == 8
    plt.close(axes.figure)


@pytest.mark.parametrize("width", [84.0, 165.1, 178.0])
def test_a_figure_is_as_wide_as_it_is_asked_to_be(tmp_path: Path, quick: Study, width: float) -> None:
    """With the names beside its axes, in millimeters; its text is never smaller than 6.5 points."""
    plot = partial(plot_adjusted_rate, quick.rates, quick.critical)
    save_figure(plot, tmp_path / "f.pdf", width / 25.4)
    found = re.search(r'<svg[^>]* width="([\d.]+)pt"', (tmp_path / "f.svg").read_text())
    assert found
    assert float(found[1]) / 72 * 25.4 == pytest.approx(width, rel=0.01)
    with theme(width / 25.4):
        assert mpl.rcParams["font.size"] >= 6.5


def test_the_papers_figure_has_at_most_eight_curves_in_color() -> None:
    """Of three kinds of data and three sizes the two larger sizes: six; the smallest models are thin and gray."""
    rows = [(kind, n) for kind in ("text", "images", "speech") for n in (200_000, 800_000, 3_200_000)]
    curves = pd.DataFrame(rows, columns=["trained_on", "n_params"])
    assert sizes_in_color(curves) == [800_000, 3_200_000]
    assert sizes_in_color(curves[curves["n_params"] > 200_000]) == [800_000, 3_200_000]


def page(*inked: tuple[float, float]) -> bytes:
    """White, but for what is black from and to these parts of the height of the text."""
    gray = np.ones((297, 210))
    for low, high in inked:
        gray[20 + round(256 * low) : 20 + round(256 * high)] = 0
    picture = io.BytesIO()
    imsave(picture, gray, cmap="gray", vmin=0, vmax=1, format="png")
    return picture.getvalue()


def test_a_hole_is_the_longest_blank_of_a_page_and_the_last_page_may_end_early() -> None:
    full, parted, short = page((0, 1)), page((0, 0.4), (0.6, 1)), page((0, 0.7))
    assert widest_hole([full, full]) == 0
    assert widest_hole([parted, full]) == pytest.approx(0.2 * 256 / 297, abs=0.01)
    assert widest_hole([short, full]) == pytest.approx(0.3 * 256 / 297, abs=0.01)
    assert widest_hole([full, short]) < 0.1 < widest_hole([full, page((0, 0.5))])
    assert widest_hole([short]) < 0.1


def test_a_report_is_set_as_usual_or_as_the_first_layout_without_a_hole_or_with_the_smallest() -> None:
    full, parted = page((0, 1)), page((0, 0.4), (0.8, 1))
    assert filling(lambda layout: [full, full]) == Layout()
    assert filling(lambda layout: [full if layout.loose == 0.97 else parted, full]) == Layout(loose=0.97)
    assert filling(lambda layout: [full if layout.held == 200 else parted, full]) == Layout(held=200)
    smaller = page((0, 0.4), (0.7, 1))
    assert filling(lambda layout: [smaller if layout.loose == 1.03 else parted, full]) == Layout(loose=1.03)


def test_a_group_is_named_in_every_row_of_a_table_that_may_go_on_overleaf() -> None:
    """The template keeps six rows together at either end, so that it breaks no table of fewer than twelve."""
    template = (ROOT / "analysis/report/report.typ").read_text()
    (held,) = re.findall(r"let held = if wide \{ \d+ \} else \{ (\d+) \}", template)
    for n_rows in (2 * int(held) - 1, 2 * int(held)):
        groups = ["a"] + ["b"] * (n_rows - 1)
        table = with_group_column(Grid(("x",), (("1",),) * n_rows, "l", groups=tuple(groups)), ())
        names = [row[0] for row in table.rows]
        assert names.count("b") == (1 if n_rows < 2 * int(held) else n_rows - 1)
