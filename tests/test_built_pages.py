"""The documentation as a browser shows it on a phone, 390 pixels wide."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.browser import Browser, needs_browser

PAGES = ("index", "study", "quickstart", "howto/own_architecture", "reference/sweep_keys", "reference/commands")
_NO_SPHINX = "NO SPHINX, BUILT PAGES NOT TESTED: pip install -e '.[docs]'"
pytestmark = [
    pytest.mark.slow,
    needs_browser,
    pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason=_NO_SPHINX),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", ROOT / "docs", folder]
    subprocess.run(command, check=True, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_cut_without_a_shadow(built: Path, browser: Browser, page: str) -> None:
    """The page is as wide as the window; what is wider than the page scrolls, and a shadow says so."""
    browser.open(built / f"{page}.html", width=390)
    assert browser.run("document.documentElement.scrollWidth") == 390
    wide = browser.run("""[...document.querySelectorAll('article *')].filter(
        (e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === 'auto'
    ).map((e) => getComputedStyle(e).backgroundAttachment)""")
    assert set(wide) <= {"local, local, scroll, scroll"}


def test_commands_are_wrapped_and_the_meaning_of_a_key_is_read_beside_it(built: Path, browser: Browser) -> None:
    browser.open(built / "reference/commands.html", width=390)
    cut = "[...document.querySelectorAll('.highlight-bash pre')].filter((e) => e.scrollWidth > e.clientWidth).length"
    assert browser.run(cut) == 0
    browser.open(built / "reference/sweep_keys.html", width=390)
    seen = """Math.min(...[...document.querySelectorAll('.table-wrapper')].map((wrapper) =>
        wrapper.getBoundingClientRect().right - wrapper.querySelector('td:last-child').getBoundingClientRect().left))"""
    assert browser.run(seen) > 85  # pixels, of 350
    copied = "[...document.querySelectorAll('td code')].map((e) => e.textContent)"
    assert "train.heldout_sample_bytes" in browser.run(copied)  # it is broken where it stands, not in what is copied


def test_a_tap_on_a_figure_opens_it(built: Path, browser: Browser) -> None:
    browser.open(built / "study.html", width=390)
    links = "[...document.querySelectorAll('article img')].map((e) => e.closest('a.figure')?.getAttribute('href'))"
    figures = browser.run(links)
    assert len(figures) == 2
    assert all((built / figure).is_file() for figure in figures)
