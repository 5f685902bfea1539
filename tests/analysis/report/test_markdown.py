"""The Markdown twin says what the PDF says, and nothing that was measured or named is taken for markup."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.report import build_report
from analysis.report.contents import write
from analysis.report.elements import Document, Grid, Heading, Picture, Text
from analysis.report.markdown import markdown
from tests.synthetic import baseline, cell, grid, write_sweep


def of(*blocks: Heading | Text | Grid | Picture) -> str:
    return markdown(Document("T", "S", blocks))


def unescaped(text: str) -> str:
    """What a reader of the rendered page sees."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", re.sub(r"(?<!\\)</?(sup|sub)>", "", text))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Document]:
    records = [*grid(["8x1", "16x1", "32x2", "64x2"], [10**6, 10**7]), baseline("xz", 10**6, 0.3)]
    records.append(cell("256x4", 10**6, None, reason="a|b *c* <script> `d` #e $f$"))
    made = build_report(write_sweep(tmp_path_factory.mktemp("runs") / "s", records),
                        tmp_path_factory.mktemp("out") / "r", formats=("md",))  # fmt: skip
    return made.folder, write(made.summary, [])


def test_every_sentence_and_every_cell_of_the_pdf_is_in_the_twin(report: tuple[Path, Document]) -> None:
    folder, document = report
    text = unescaped((folder / "report.md").read_text(encoding="utf-8")).replace("^", "")
    for block in document.blocks:
        if isinstance(block, Heading | Text):
            assert block.text.replace("^", "") in text
        elif isinstance(block, Grid):
            for row in block.rows:
                assert " | ".join(row).replace("^", "") in text


def test_figures_are_there_by_relative_name(report: tuple[Path, Document]) -> None:
    folder, _ = report
    names = re.findall(r"\]\((figures/[^)]+\.svg)\)", (folder / "report.md").read_text(encoding="utf-8"))
    assert len(names) >= 4
    for name in names:
        assert (folder / name).read_text(encoding="utf-8").startswith("<?xml")


def test_only_what_was_asked_for_is_made(report: tuple[Path, Document]) -> None:
    assert not (report[0] / "report.pdf").exists()


def test_a_table_is_a_table() -> None:
    made = of(Grid(("a", "b"), (("x", "1"), ("y|z", "2")), "lr"))
    assert made.splitlines()[4:] == ["| a | b |", "| :-- | --: |", "| x | 1 |", "| y\\|z | 2 |"]


def test_powers_are_raised() -> None:
    assert "B·D<sup>−β</sup>" in of(Text("B·D^−β"))
    assert "k·D<sup>γ</sup>" in of(Text("k·D^γ"))
    assert "(α·A)<sup>(1/(1+a))</sup>" in of(Text("(α·A)^(1/(1+a))"))


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_no_text_is_markup(text: str) -> None:
    """In a cell: no bar, bracket, star, backtick or angle that is not escaped; one line."""
    made = of(Grid(("", ""), ((text, "end"),), "ll")).splitlines()
    assert len(made) == 7
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", made[-1].removeprefix("| ").removesuffix(" | end |"))
    assert not re.search(r"[|`*\[\]]|<(?!/?sup>)", bare)
