"""The explorer as a reader has it, on a phone and on a desk: what is drawn, what can be chosen, what can be kept."""

import csv
import dataclasses
import io
import json
import struct
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_hex

from analysis.costs import parse_cost
from analysis.plots import styled
from analysis.records import load
from analysis.report.explorer.page import page
from analysis.study import Study, study
from mdl.records import BaselineRecord, CellRecord, CodedWeights
from tests.browser import Browser, needs_browser, until
from tests.synthetic import SIZES as MODEL_SIZES
from tests.synthetic import baseline, cell, power_law, write_sweep

pytestmark = needs_browser
SUBSETS = [100_000, 300_000, 1_000_000, 3_000_000]
CLASSICAL = {"zpaq": 0.30, "gzip": 0.41}
WIDTHS = [390, 1280]
CODES = ["two-part", "coded", "logn", "held-out", "prequential"]


def trained(size: str, d: int, share: float) -> CellRecord:
    """A share of the training; less of it leaves a longer code, the more so the larger the model."""
    N = MODEL_SIZES[size]
    bits = power_law(N, d) * (1 + 0.02 * (1 - share) * np.log10(N))
    record = cell(size, d, bits, heldout_rate=bits / (8 * d) + 0.01)
    weights = (CodedWeights(bits=6, coder="order0", model_bits=7 * N, data_bits=1.01 * bits),)
    return dataclasses.replace(
        record,
        run_id=f"{record.run_id}-{share}",
        cohort_id=f"{record.cohort_id}-{share}",
        training=dataclasses.replace(record.training, n_steps=int(900 * share), bytes_seen=int(900 * 1024 * share)),
        snapshots=tuple(dataclasses.replace(s, coded=weights) for s in record.snapshots),
    )


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Study:
    records: list[CellRecord | BaselineRecord] = [
        trained(size, d, share) for size in MODEL_SIZES for d in SUBSETS for share in (1.0, 0.5)
    ]
    records += [baseline(name, d, rate - 0.02 * i) for name, rate in CLASSICAL.items() for i, d in enumerate(SUBSETS)]
    folder = write_sweep(tmp_path_factory.mktemp("runs") / "s", records)
    return study(load(folder), parse_cost("float16"), n_replicates=10)


@pytest.fixture(scope="module")
def browser(explained: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        (one.folder / "explorer.html").write_text(page(explained, "A sweep."), encoding="utf-8")
        yield one


def opened(browser: Browser, fragment: str = "", width: int = 1280, dark: bool = False) -> Browser:
    browser.open(browser.folder / "explorer.html", fragment, width, dark)
    return browser


def table(browser: Browser) -> list[list[str]]:
    """The rows of critical sizes as they are read."""
    rows = "[...document.querySelectorAll('#table tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))"
    return [[text.replace("\u00a0", " ") for text in row] for row in browser.run(rows)]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("code", CODES)
def test_nothing_is_wider_than_the_screen_and_no_label_lies_over_another(
    browser: Browser, width: int, code: str
) -> None:
    opened(browser, f"code={code}&price=16", width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    right = "document.querySelector('#table caption').getBoundingClientRect().right"
    assert browser.run(right) <= width, "the caption is read without scrolling"
    boxes = """[...document.querySelectorAll('#curves, #sizes')].map((svg) => [svg, ...svg.querySelectorAll('text')]
        .map((node) => node.getBoundingClientRect()).map((b) => [b.left, b.top, b.right, b.bottom]))"""
    for frame, *texts in browser.run(boxes):
        assert len(texts) > 8
        for i, (left, top, right, bottom) in enumerate(texts):
            assert frame[0] - 1 <= left
            assert right <= frame[2] + 1
            assert frame[1] - 1 <= top
            assert bottom <= frame[3] + 1
            for other in texts[:i]:
                apart = right <= other[0] + 1 or other[2] <= left + 1 or bottom <= other[1] + 4 or other[3] <= top + 4
                assert apart, (left, top, right, bottom, other)


def test_curves_have_the_colors_of_the_pdf(browser: Browser, explained: Study) -> None:
    opened(browser)
    drawn = browser.run("[...document.querySelectorAll('#curves .name')].map((n) => [n.textContent, n.style.fill])")
    wanted = {to_hex(look["color"]) for _, look in styled(explained.rates, "subset_bytes")}
    assert {_hex(color) for _, color in drawn} == wanted


def _hex(color: str) -> str:
    """Of rgb(1, 2, 3)."""
    return to_hex([int(part) / 255 for part in color.removeprefix("rgb(").removesuffix(")").split(",")])


def test_every_bracketed_size_has_its_interval_in_both_pictures(browser: Browser, explained: Study) -> None:
    opened(browser, "price=16&code=two-part")
    known = explained.critical[explained.critical["low"].notna() & (explained.critical["status"] == "bracketed")]
    assert len(known) >= 3
    for picture in ("curves", "sizes"):
        assert browser.run(f"document.querySelectorAll('#{picture} .interval').length") == len(known)


@pytest.mark.parametrize("coder", ["best", "gzip", "none"])
def test_the_classical_coder_asked_for_is_a_line_at_every_size(browser: Browser, coder: str) -> None:
    opened(browser, f"classical={coder}")
    n_lines = browser.run("document.querySelectorAll('#curves line.classical').length")
    assert n_lines == (0 if coder == "none" else len(SUBSETS))
    name = {"best": "zpaq", "none": None}.get(coder, coder)
    for i, row in enumerate(table(browser)):
        assert row[-1] == (f"{name} {100 * (CLASSICAL[name] - 0.02 * i):.1f} %" if name else "–")


def test_less_training_has_the_critical_sizes_of_its_own_cells(browser: Browser, explained: Study) -> None:
    """By the slider, which a key moves; the words say how long it was."""
    whole = table(opened(browser, "price=16"))
    browser.run("el('budget').focus()")
    browser.press("ArrowLeft")
    assert browser.run("el('budget-text').textContent").startswith("about 1/2 of the longest (450 steps")
    half = table(browser)
    assert half != whole
    (shorter,) = explained.shorter
    expected = study(shorter, parse_cost("float16"), n_replicates=10).critical
    found = browser.run("[...document.querySelectorAll('#table tbody tr')].map((r) => Number(r.dataset.nParams))")
    assert found == pytest.approx(expected["n_params"].tolist(), rel=0.02)


def test_a_price_is_chosen_by_name_or_by_the_slider(browser: Browser) -> None:
    opened(browser)
    names = browser.run("[...el('cost').options].map((o) => o.value)")
    assert {"float16", "float32", "capacity", "coded", "logn", "slider"} <= set(names)
    choose = "el('cost').value = '{}'; el('cost').dispatchEvent(new Event('change'));"
    browser.run(choose.format("float32"))
    assert browser.run("[state.price, el('price').disabled, el('price-text').textContent]") == [32, False, "32"]
    browser.run(choose.format("coded"))
    assert browser.run("[state.code, el('price').disabled]") == ["coded", True]
    browser.run(choose.format("float16"))
    assert browser.run("[state.code, state.price, el('code').value]") == ["two-part", 16, "two-part"]


def test_the_address_keeps_all_that_was_chosen(browser: Browser) -> None:
    opened(browser)
    for name, value in {"code": "held-out", "classical": "gzip"}.items():
        browser.run(f"el('{name}').value = '{value}'; el('{name}').dispatchEvent(new Event('change'))")
    browser.run("el('price').value = 1; el('price').dispatchEvent(new Event('input')); el('budget').focus()")
    browser.press("ArrowLeft")
    browser.run("el('curves').focus()")
    browser.press("ArrowRight", "ArrowRight", "ArrowUp")
    seen = "[...['controls', 'table', 'cell'].map((id) => el(id).innerText), el('curves').innerHTML]"
    then = browser.run(seen)
    address = browser.run("location.hash.slice(1)")
    opened(browser, address)
    assert browser.run(seen) == then
    assert "price=2&code=held-out&group=0&budget=1&classical=gzip&cell=1.1" in address


@pytest.mark.parametrize(
    "fragment", ["group=length", "budget=9&group=7", "price=-1&code=%00&cell=9.9&classical=x", "%"]
)
def test_an_address_that_means_nothing_shows_the_page_as_it_begins(browser: Browser, fragment: str) -> None:
    first = table(opened(browser))
    assert table(opened(browser, fragment)) == first


def test_every_control_is_reached_by_tab_and_seen_there(browser: Browser) -> None:
    opened(browser)
    reached = []
    for _ in range(13):
        browser.press("Tab")
        reached.append(browser.run("document.activeElement.id || document.activeElement.getAttribute('aria-label')"))
        assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached[:6] == ["cost", "price", "code", "classical", "budget", "curves"]
    assert {"Download the curves as SVG", "Download the cells as CSV", "Download the critical sizes as PNG"} <= set(
        reached
    )


def test_a_screen_reader_has_a_name_and_a_role_for_everything_it_meets(browser: Browser) -> None:
    """From the browser's own accessibility tree."""
    opened(browser)
    browser.send("Accessibility.enable")
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    met = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n.get("ignored")]
    wanted = {"slider", "combobox", "button", "application", "image", "table", "columnheader", "rowheader"}
    assert wanted <= {role for role, _ in met}
    assert all(name for role, name in met if role in wanted - {"table"})
    texts = {n.get("value", {}).get("value") for n in nodes if n.get("role", {}).get("value") == "slider"}
    assert len(texts) == 2


def downloaded(browser: Browser, label: str, name: str) -> bytes:
    file = browser.folder / name
    file.unlink(missing_ok=True)
    browser.run(f"document.querySelector('[aria-label=\"{label}\"]').click()")
    until(file.exists)
    return file.read_bytes()


@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_is_kept_as_svg_that_stands_alone_on_white_paper(browser: Browser, dark: bool) -> None:
    opened(browser, "price=16", dark=dark)
    text = downloaded(browser, "Download the curves as SVG", "synthetic-curves.svg").decode()
    root = ElementTree.fromstring(text)  # noqa: S314 (our own file)
    assert root.tag.endswith("svg")
    assert "var(" not in text
    assert "class=" not in text
    assert 'fill="#fff"' in text
    assert "stroke:rgb(28, 28, 28)" in text.replace("stroke: ", "stroke:")  # the ink of light paper
    n_marks = browser.run("document.querySelectorAll('#curves .mark').length")
    assert n_marks > 20
    assert len(root.findall(".//{http://www.w3.org/2000/svg}path")) > n_marks


def test_a_picture_is_kept_as_png_three_times_as_fine(browser: Browser) -> None:
    opened(browser)
    shown = browser.run("[el('sizes').viewBox.baseVal.width, el('sizes').viewBox.baseVal.height]")
    made = downloaded(browser, "Download the critical sizes as PNG", "synthetic-sizes.png")
    assert made[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", made[16:24]) == pytest.approx([3 * side for side in shown], abs=3)


def test_the_numbers_are_kept_as_csv_unrounded(browser: Browser, explained: Study) -> None:
    opened(browser, "price=16&code=two-part")
    cells = rows_of(downloaded(browser, "Download the cells as CSV", "synthetic-curves.csv"))
    rates = explained.rates.sort_values(["subset_bytes", "n_params"])
    for name in ("subset_bytes", "n_params", "adjusted_rate", "heldout_rate"):
        assert [float(row[name]) for row in cells] == pytest.approx(rates[name].tolist())
    sizes = rows_of(downloaded(browser, "Download the critical sizes as CSV", "synthetic-sizes.csv"))
    assert [row["status"] for row in sizes] == explained.critical["status"].tolist()
    assert [float(row["n_params"]) for row in sizes] == pytest.approx(explained.critical["n_params"].tolist(), rel=0.01)
    assert [float(row["classical_rate"]) for row in sizes] == pytest.approx(
        explained.critical["classical_rate"].tolist()
    )


def rows_of(content: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_the_page_asks_no_network_for_anything(browser: Browser) -> None:
    """The browser's own list of what the page loaded is empty, and its policy forbids it more."""
    opened(browser)
    assert json.loads(browser.run("JSON.stringify(performance.getEntriesByType('resource').map((e) => e.name))")) == []
    assert browser.run("fetch('file:///etc/hostname').then(() => 'loaded', () => 'refused')") == "refused"
