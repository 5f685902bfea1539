"""What the explorer draws and prints is what the report has: its curves, its laws and its numbers."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from analysis.costs import parse_cost
from analysis.formatting import format_count, format_percent, format_size
from analysis.records import load
from analysis.report.explorer.page import page
from analysis.report.sections.answer_table import answer_row, in_print, span
from analysis.report.summary import summarise
from analysis.study import Study, study
from tests import ROOT
from tests.analysis.report.test_explorer import SUBSETS, dump, explained, sweep_cell, text_of
from tests.browser import Browser, needs_browser
from tests.synthetic import SIZES as MODEL_SIZES


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Study:
    records = [sweep_cell(*key) for key in itertools.product(MODEL_SIZES, SUBSETS, (0, 1))]
    return explained(tmp_path_factory.mktemp("runs") / "s", [*records])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@needs_browser
@pytest.mark.parametrize("name", ["quick", "study-tokenisation"])
def test_the_table_of_a_committed_report_is_the_explorers(browser: Browser, tmp_path: Path, name: str) -> None:
    """Letter by letter, at the report's price, also where a tokenizer is sent with the model."""
    made = study(load(ROOT / "reports" / name / "records"), parse_cost("float16"))
    (tmp_path / "explorer.html").write_text(page(made, "A sweep."), encoding="utf-8")
    rows = summarise(made, {"critical": made.critical})["critical"]
    for i, group in enumerate(made.laws):
        browser.open(tmp_path / "explorer.html", f"group={i}&price=16&code=two-part")
        shown = browser.run("[...el('table').tBodies[0].rows].map((r) => [...r.cells].map((c) => c.textContent))")
        for cells, row in zip(shown, (row for row in rows if row["group"] == group), strict=True):
            kept = range(5 if row["status"] == "bracketed" else 1)
            reported = answer_row(row, (in_print(span(row)),))
            assert [cells[k].replace("\u00a0", " ") for k in kept] == [reported[k] for k in kept]


@needs_browser
def test_a_named_price_has_the_size_of_the_reports_table_of_prices(browser: Browser, sweep: Study) -> None:
    """The law is fitted anew at each, and between them the first is followed."""
    file = browser.folder / "named.html"
    file.write_text(page(sweep, "A sweep."), encoding="utf-8")
    for name in ("float32", "float16", "capacity"):
        cost = parse_cost(name)
        browser.open(file, f"price={cost.bits_per_param}&code=two-part")
        found = browser.run("code().curves.map(criticalOf).map((f) => [f.n, f.low, f.high])")
        rows = [one.row for one in sweep.codes.estimates(cost)]
        for ends, row in zip(found, rows, strict=True):
            if row["status"] == "bracketed":
                assert ends == pytest.approx([row[key] for key in ("n_params", "low", "high")], rel=1e-9)


@needs_browser
def test_numbers_read_in_the_browser_as_in_the_report(browser: Browser, sweep: Study) -> None:
    """Also in the middle between two that could be printed: 2,125 is 2.12 K, and 12.25 % is 12.2 %."""
    file = browser.folder / "numbers.html"
    file.write_text(page(sweep, "A sweep."), encoding="utf-8")
    browser.open(file)
    counts = [2125, 2135, 10_350.15, 1005, 999.5, 999.4, 12_500, 999_500, 1_234_567, 7, 8.125]
    rates = [0.1225, 0.1275, 0.00125, 0.0025, 0.333, 1, 9.9994, 9.9996, 12.25, 64.3]
    assert browser.run(f"{counts}.map(formatCount)") == [format_count(n).replace(" ", "\u00a0") for n in counts]
    assert browser.run(f"{rates}.map(formatPercent)") == [format_percent(rate).replace(" ", "\u00a0") for rate in rates]


@needs_browser
@pytest.mark.parametrize("fragment", ["price=16", "price=4", "price=30", "code=held-out", "code=logn", "price=0.7"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_star_lies_on_its_curve(browser: Browser, sweep: Study, fragment: str, width: int) -> None:
    """Whichever of the two estimators it is of, and however far shapes scatter about the law."""
    file = browser.folder / "stars.html"
    file.write_text(page(sweep, "A sweep."), encoding="utf-8")
    browser.open(file, fragment, width)
    stars = browser.run(STARS)
    assert len(stars) >= 2
    for (px, py), lines in stars:
        assert min(_distance(px, py, line) for line in lines) < 1.0


STARS = """(() => {
  const at = (star) => star.getAttribute('transform').match(/-?[\\d.]+/g).map(Number);
  const places = (path) => path.getAttribute('d').slice(1).split('L').map((p) => p.split(' ').map(Number));
  const lines = [...document.querySelectorAll('#curves path[fill=none]')].map(places);
  return [...document.querySelectorAll('#curves .star')].map((star) => [at(star), lines]);
})()"""


def _distance(px: float, py: float, line: list[list[float]]) -> float:
    """From a point to a line of points, pixels."""
    (x0, y0), (x1, y1) = np.array(line[:-1]).T, np.array(line[1:]).T
    dx, dy = x1 - x0, y1 - y0
    t = np.clip(((px - x0) * dx + (py - y0) * dy) / np.maximum(dx**2 + dy**2, 1e-9), 0, 1)
    return float(np.hypot(x0 + t * dx - px, y0 + t * dy - py).min())


@needs_browser
@pytest.mark.parametrize(
    ("n_inside", "said"),
    [
        (0, "no dataset size has its minimum inside the grid; a law needs three."),
        (1, "one dataset size has its minimum inside the grid; a law needs three."),
        (2, "two dataset sizes have their minimum inside the grid; a law needs three."),
    ],
)
def test_through_fewer_than_three_sizes_no_law_is_drawn(
    browser: Browser, tmp_path: Path, n_inside: int, said: str
) -> None:
    """A line passes through any two."""
    subsets = [*SUBSETS[1 : 1 + n_inside], 10**9]
    made = explained(tmp_path / "s", [sweep_cell(size, d, 0) for size in MODEL_SIZES for d in subsets])
    (tmp_path / "explorer.html").write_text(page(made, "A sweep."), encoding="utf-8")
    dom = dump(browser, tmp_path / "explorer.html", "price=16")
    assert text_of(dom, "answer") == f"At 16 bits per parameter {said}"
    assert 'class="law"' not in dom


@needs_browser
def test_the_size_of_one_dataset_is_told_in_words(browser: Browser, tmp_path: Path) -> None:
    """It is all that the page is about."""
    made = explained(tmp_path / "s", [sweep_cell(size, SUBSETS[1], 0) for size in MODEL_SIZES])
    (tmp_path / "explorer.html").write_text(page(made, "A sweep."), encoding="utf-8")
    said = text_of(dump(browser, tmp_path / "explorer.html", "price=16"), "answer").replace("\u00a0", " ")
    (row,) = made.critical.to_dict("records")
    size = format_size(row["n_params"], row["low"], row["high"])
    ends = f"{format_count(row['low'])} to {format_count(row['high'])}"
    assert said == (
        f"At 16 bits per parameter the critical size of 90 KB is {size} parameters (95 %: {ends}). "
        "A law of its growth needs three dataset sizes."
    )
