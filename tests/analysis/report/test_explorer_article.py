"""The report below the explorer: its tables and figures are read on a phone, and its lead at a glance."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.image import imread

from analysis.report.elements import Document, Grid, Picture, Text
from analysis.report.explorer.page import page
from analysis.report.web import article
from analysis.study import Study
from tests.analysis.report.test_explorer import explained as study_of
from tests.analysis.report.test_explorer import sweep_cell
from tests.browser import Browser, needs_browser
from tests.synthetic import SIZES as MODEL_SIZES


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_of(tmp_path_factory.mktemp("runs") / "s", [sweep_cell(size, 90_000, 0) for size in MODEL_SIZES])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@needs_browser
def test_a_table_of_the_report_breaks_no_word_into_letters_on_a_phone(browser: Browser, explained: Study) -> None:
    """It is wider than the screen, and scrolls; a hash still breaks."""
    row = ("100 KB", "float16, rows in use", "0123456789abcdef" * 4, "11.4", "5.2 K", "4.9 K", "1.06")
    header = ("dataset", "cost", "sha256", "c, bits", "N* measured", "N* by the law", "measured / law")
    shown = article(Document("", "", (Grid(header, (row,) * 3, "rllrrrr"),)), browser.folder)
    (browser.folder / "wide.html").write_text(page(explained, "A sweep.", article=shown), encoding="utf-8")
    browser.open(browser.folder / "wide.html", "", 390, False)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    cells = "[...document.querySelectorAll('article tbody td')].map((cell) => cell.getBoundingClientRect().height)"
    assert max(browser.run(cells)) < 8 * 24


@needs_browser
def test_a_table_that_scrolls_shows_that_it_does_and_keeps_its_first_column(browser: Browser, explained: Study) -> None:
    """On a phone, where no bar is seen: a shade at the right edge, which goes when the end is reached."""
    row = ("100 KB", *(f"{i}.25 K to {i}.75 K" for i in range(8)))
    shown = article(Document("", "", (Grid(("dataset", *"abcdefgh"), (row,) * 3, "l" + 8 * "r"),)), browser.folder)
    (browser.folder / "many.html").write_text(page(explained, "A sweep.", article=shown), encoding="utf-8")
    browser.open(browser.folder / "many.html", "", 390)
    table = "document.querySelector('article .scroll')"
    assert browser.run(f"{table}.scrollWidth > {table}.clientWidth + 100")
    left = f"{table}.querySelector('tbody td').getBoundingClientRect().left"
    before, begun = browser.run(left), edge(browser, table)
    browser.run(f"{table}.scrollLeft = 10000")
    assert browser.run(left) == before
    assert begun < edge(browser, table) - 20
    assert browser.run(f"{table}.querySelector('tbody td').getBoundingClientRect().height") < 40, (
        "an interval is a line"
    )


def edge(browser: Browser, element: str) -> float:
    """How light the head of a table is at its right edge, of 255."""
    box = browser.run(
        f"(() => {{ const b = {element}.getBoundingClientRect(); return [b.right, b.top + scrollY]; }})()"
    )
    clip = {"x": box[0] - 3, "y": box[1] + 12, "width": 3, "height": 3, "scale": 1}
    shot = browser.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
    return float(imread(io.BytesIO(base64.b64decode(shot["data"])))[..., :3].mean()) * 255


@needs_browser
def test_a_figure_keeps_its_size_on_a_phone(browser: Browser, explained: Study) -> None:
    """As wide as the screen its words would be too small to read; it slides, and its caption says so."""
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="200"/>'
    (browser.folder / "wide.svg").write_text(svg)
    shown = article(Document("", "", (Picture("wide.pdf", "What it shows."),)), browser.folder)
    (browser.folder / "figure.html").write_text(page(explained, "A sweep.", article=shown), encoding="utf-8")
    width = "document.querySelector('figure img').getBoundingClientRect().width"
    said = "getComputedStyle(document.querySelector('figcaption'), '::before').content"
    for screen, told in ((1280, "none"), (390, '"The picture slides sideways. "')):
        browser.open(browser.folder / "figure.html", "", screen)
        assert browser.run(width) == 640
        assert browser.run(said) == told
        assert browser.run("document.documentElement.scrollWidth") <= screen


def test_of_the_lead_two_sentences_stand_out(tmp_path: Path) -> None:
    lead = "At 0.5 it is so. N* ∝ D^γ with γ = 0.77 (95 %: 0.7 to 0.8). The rest is plain. And so on."
    shown = article(Document("", "", (Text(lead, "lead"), Text("One alone.", "lead"))), tmp_path)
    (strong, alone) = re.findall(r"<strong>(.*?)</strong>", shown)
    assert strong.startswith("At 0.5 it is so. N*")
    assert strong.endswith("to 0.8).")
    assert "</strong> The rest is plain. And so on.</p>" in shown
    assert alone == "One alone."
