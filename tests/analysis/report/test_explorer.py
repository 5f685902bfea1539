"""The explorer in a real browser: its critical sizes are the toolkit's own, and it needs nothing but itself."""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from analysis.codes import fixed_sizes
from analysis.costs import parse_cost
from analysis.critical import critical_size, fit_power_law
from analysis.records import load
from analysis.report import build_report
from analysis.report.explorer.data import explorer_data
from analysis.report.explorer.page import page
from analysis.report.sections.answer_table import DOUBTED, answer_table
from analysis.report.summary import summarise
from analysis.study import Study, study
from mdl.records import BaselineRecord, CellRecord, CodedWeights
from tests.browser import Browser, needs_browser
from tests.synthetic import SIZES as MODEL_SIZES
from tests.synthetic import cell, power_law, write_sweep

SUBSETS = [30_000, 90_000, 270_000, 810_000]  # each cell's records reach three times its own subset


def noisy(N: int, d: int, seed: int) -> float:
    """Noise enough for code lengths to rise with N here and there, so that averaging of neighbours is tested too."""
    return power_law(N, d) * (1 + 0.01 * np.random.default_rng([N, d, seed]).standard_normal())


def sweep_cell(size: str, d: int, seed: int) -> CellRecord:
    N = MODEL_SIZES[size]
    unseen = noisy(N, d, seed + 100) / (8 * d) + 0.02 * np.log10(1 + N / d)  # the largest overfit the smallest
    return cell(size, d, noisy(N, d, seed), seed=seed, heldout_rate=unseen)


def explained(folder: Path, records: list[CellRecord | BaselineRecord]) -> Study:
    return study(load(write_sweep(folder, records)), parse_cost("float16"), n_replicates=10)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Study:
    records = [sweep_cell(*key) for key in itertools.product(MODEL_SIZES, SUBSETS, (0, 1))]
    records.append(sweep_cell("64x2", 270_000, 5))  # seeds weigh, so let their number differ
    return explained(tmp_path_factory.mktemp("runs") / "s", [*records])


Browse = Callable[..., str]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def browse(sweep: Study, browser: Browser) -> Browse:
    """The page as the browser has it after its script ran, for an address fragment; `then` is a script run last."""
    file = browser.folder / "explorer.html"
    file.write_text(page(sweep, "A sweep."), encoding="utf-8")

    def dom(fragment: str = "", then: str = "") -> str:
        browser.open(file, fragment)
        browser.run(then)
        return str(browser.run(DOM))

    return dom


DOM = "document.documentElement.outerHTML"


def dump(browser: Browser, file: Path, fragment: str = "") -> str:
    browser.open(file, fragment)
    return str(browser.run(DOM))


def shown(dom: str) -> dict[int, tuple[str, str]]:
    """Status and N* in full precision, by dataset size."""
    rows = re.findall(r'data-subset-bytes="(\d+)" data-n-params="([^"]*)" data-status="([^"]*)"', dom)
    return {int(d): (status, n) for d, n, status in rows}


def text_of(dom: str, element: str) -> str:
    """Without its tags: D^γ is read Dγ."""
    match = re.search(rf'<(\w+) id="{element}"[^>]*>(.*?)</\1>', dom, re.S)
    assert match, element
    return re.sub("<[^>]*>", "", match[2]).replace("&nbsp;", " ")


def caption(dom: str) -> str:
    """Of the table of critical sizes."""
    return " ".join(re.findall(r"<caption>(.*?)</caption>", dom))


@needs_browser
@pytest.mark.parametrize("price", [0.5, 3.7, 16.0, 32.0])
@pytest.mark.parametrize("code", ["two-part", "held-out"])
def test_critical_sizes_in_the_browser_are_those_of_critical_size(
    sweep: Study, browse: Browse, price: float, code: str
) -> None:
    """From the cells themselves, not from what the page was given."""
    found = shown(browse(f"price={price}&code={code}"))
    cells = sweep.table.cells[sweep.table.cells["snapshot"] == "best"]
    assert set(found) == set(SUBSETS)
    for d, (status, n) in found.items():
        own = cells[cells["subset_bytes"] == d]
        bits = own["own_bits"] if code == "two-part" else own["heldout_bits"] / own["heldout_bytes"] * d
        expected = critical_size(own["n_params"], bits, price)
        assert status == expected.status
        if expected.n_params is not None and code == "held-out":  # the own subset's is by the smooth law, below
            assert float(n) == pytest.approx(expected.n_params, rel=1e-4)
    assert sum(status == "bracketed" for status, _ in found.values()) >= 2


@needs_browser
def test_the_interval_in_the_browser_is_the_reports(sweep: Study, browse: Browse, browser: Browser) -> None:
    """At its own price, letter by letter, and not only as it is rounded."""
    dom = browse("price=16")
    rows = re.findall(r"<tr data-subset-bytes.*?</tr>", dom.replace("&nbsp;", " "))
    cells = [tuple(re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)) for row in rows]
    reported = answer_table(summarise(sweep))
    kept = [i for i, name in enumerate(reported.header) if name not in ("within 1 %", "best classical coder")]
    inside = [i for i, status in enumerate(sweep.critical["status"]) if status == "bracketed"]
    assert len(inside) >= 3
    found = browser.run("code().curves.map(criticalOf).map((f) => [f.n, f.low, f.high])")
    wanted = sweep.critical[["n_params", "low", "high"]].to_numpy()
    for i in inside:
        assert found[i] == pytest.approx(wanted[i], rel=1e-9)
    assert [cells[i][:-1] for i in inside] == [
        tuple(reported.rows[i][k].removesuffix(f" {DOUBTED}") for k in kept) for i in inside
    ]


@needs_browser
def test_the_slider_moves_sizes_and_law(browse: Browse) -> None:
    """Set by hand to 2² bits; the law is the one through the sizes shown."""
    moved = browse("price=16", 'el("price").value = 2; el("price").dispatchEvent(new Event("input"));')
    assert shown(moved) == shown(browse("price=4"))
    sizes = {d: float(n) for d, (_, n) in shown(moved).items() if n}
    law = fit_power_law(list(sizes), list(sizes.values()))
    assert law.gamma is not None
    assert f"At 4 bits per parameter the critical size grows as Dγ with γ = {law.gamma:.2f}" in text_of(moved, "answer")
    assert f"(a line through {len(sizes)} dataset sizes)" in text_of(moved, "answer")
    assert 'aria-valuetext="4 bits per parameter"' in moved


@needs_browser
def test_what_an_interval_is_missing_for_is_told(sweep: Study, browse: Browse) -> None:
    """Of a code without a law every size is read between the models; where the law ends, those beyond it alone."""
    assert "models that were run, and has no interval" in caption(browse("price=16&code=held-out"))
    plain = browse("price=16")
    assert "has no interval" not in caption(plain)
    assert "Weights are not rounded; only the price changes." in text_of(plain, "price-note")
    beyond = "for (const c of code().curves) if (c.d === 270000) c.fits = []; state.price = 8; show();"
    moved = browse("price=16", beyond).replace("&nbsp;", " ")
    assert re.search(r'data-subset-bytes="270000".*?<td>[\d.]+ K \*</td><td>–</td>', moved)
    assert "* The smooth law does not reach this price: N* is the minimum of a curve through" in caption(moved)


@needs_browser
def test_a_prequential_code_has_no_price(sweep: Study, browse: Browse) -> None:
    """Parameters cost nothing in it; what is marked is the least of the sizes that were run."""
    dom = browse("price=16&code=prequential")
    assert re.search(r'<input id="price"[^>]* disabled=""', dom)
    assert "cost nothing" in text_of(dom, "answer")
    codes = fixed_sizes(sweep.table)
    mean = codes.groupby(["raw_bytes", "n_params"])["code_bits"].mean()
    assert set(shown(dom)) == set(SUBSETS[1:])
    (group,) = explorer_data(sweep)["groups"]
    (code,) = (c for c in group["budgets"][0]["codes"] if c["key"] == "prequential")
    for curve in code["curves"]:
        assert curve["bits"] == pytest.approx(mean[curve["d"]].tolist())
        least = f"{100 * min(curve['bits']) / (8 * curve['d']):.1f}&nbsp;%"
        assert re.search(rf'data-subset-bytes="{curve["d"]}".*?<td>{least}</td>', dom)


@needs_browser
def test_arrow_keys_read_the_cells_out(sweep: Study, browse: Browse) -> None:
    press = "for (const key of {}) el('curves').dispatchEvent(new KeyboardEvent('keydown', {{ key }}));"
    told = text_of(browse("price=16", press.format(["ArrowRight", "ArrowRight", "ArrowUp"])), "cell")
    row = sweep.rates[(sweep.rates["size"] == "8x1") & (sweep.rates["subset_bytes"] == 90_000)].iloc[0]
    assert told.startswith("8x1, 2,840 parameters on 90 KB; ")
    for rate in (row["raw_rate"], row["adjusted_rate"], row["heldout_rate"]):
        assert f"{100 * rate:.1f} %" in told
    assert "2 seeds" in told
    assert text_of(browse("price=16", press.format(["ArrowRight", "Escape"])), "cell").startswith("Point at a mark")


@needs_browser
def test_no_name_can_end_the_script(browser: Browser, tmp_path: Path) -> None:
    hostile = "</script><script>document.title='taken'</script><!--{{data}}"
    made = explained(tmp_path / "s", [sweep_cell(size, 90_000, 0) for size in MODEL_SIZES])
    assert "{{data}}" in page(made, hostile)
    (tmp_path / "explorer.html").write_text(page(made, hostile), encoding="utf-8")
    dom = dump(browser, tmp_path / "explorer.html")
    assert "<title>synthetic: critical model sizes</title>" in dom
    assert len(shown(dom)) == 1


@needs_browser
def test_without_cells_the_page_says_why(browser: Browser, tmp_path: Path) -> None:
    made = build_report(write_sweep(tmp_path / "s", []), tmp_path / "r", formats=("html",))
    dom = dump(browser, made.documents[0])
    assert "No cell has been recorded" in text_of(dom, "answer")
    assert "<svg" not in dom.split("<script")[0]


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_loads_nothing_and_every_control_has_a_name(sweep: Study) -> None:
    text = page(sweep, "A sweep.")
    tags = Tags(text).tags
    assert not any({"src", "href", "action", "srcset"} & set(attributes) for _, attributes in tags)
    assert not re.search(r"fetch\(|XMLHttp|WebSocket|import\(|@import|url\((?!#)", text)
    assert re.findall(r"https?://[^\"' ]+", text) == ["http://www.w3.org/2000/svg"]  # a name, not an address
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in tags)
    named = {attributes.get("for") for tag, attributes in tags if tag == "label"}
    assert {attributes["id"] for tag, attributes in tags if tag in ("input", "select")} <= named
    assert all("aria-labelledby" in attributes for tag, attributes in tags if tag == "svg")
    assert dict(tags)["html"]["lang"] == "en"


def test_the_same_study_gives_the_same_page(sweep: Study) -> None:
    assert page(sweep, "A sweep.") == page(sweep, "A sweep.")
    assert explorer_data(sweep)["bits_per_param"] == 16


@needs_browser
def test_a_price_that_depends_on_the_data_is_the_same_in_the_browser(sweep: Study, browse: Browse) -> None:
    """½·log₂ D bits a parameter, whatever the slider says, which is off."""
    dom = browse("price=4&code=logn")
    assert re.search(r'<input id="price"[^>]* disabled=""', dom)
    assert "At ½·log₂ D bits per parameter" in text_of(dom, "answer")
    expected = study(sweep.table, parse_cost("logn"), n_replicates=10).critical.set_index("subset_bytes")
    for d, (status, n) in shown(dom).items():
        assert status == expected.loc[d, "status"]
        if status == "bracketed":
            assert float(n) == pytest.approx(expected.loc[d, "n_params"], rel=1e-4)


@needs_browser
def test_coded_weights_have_the_same_critical_sizes_in_the_browser(browser: Browser, tmp_path: Path) -> None:
    """With a price a size: 9 bits a parameter at the smallest, 5 at the largest."""
    records: list[CellRecord | BaselineRecord] = []
    for i, size in enumerate(MODEL_SIZES):
        N = MODEL_SIZES[size]
        for d in (300_000, 3_000_000):
            bits = power_law(N, d)
            weights = (CodedWeights(bits=6, coder="order0", model_bits=round(N * (9 - i / 2)), data_bits=1.01 * bits),)
            plain = cell(size, d, bits)
            snapshots = tuple(dataclasses.replace(s, coded=weights) for s in plain.snapshots)
            records.append(dataclasses.replace(plain, snapshots=snapshots))
    table = load(write_sweep(tmp_path / "s", records))
    coded = study(table, parse_cost("coded"), n_replicates=10)
    (tmp_path / "explorer.html").write_text(page(coded, "A sweep."), encoding="utf-8")
    found = shown(dump(browser, tmp_path / "explorer.html", "code=coded"))
    assert set(coded.critical["status"]) == {"bracketed"}
    for row in coded.critical.to_dict("records"):
        assert float(found[row["subset_bytes"]][1]) == pytest.approx(row["n_params"], rel=1e-4)
