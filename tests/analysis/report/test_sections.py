"""The report's sections: one file a subject, and one of a user's own in every format."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.costs import parse_cost
from analysis.records import load
from analysis.report import SECTIONS
from analysis.report.contents import write
from analysis.report.elements import Grid, Heading, Text
from analysis.report.summary import summarise
from analysis.study import study
from tests.synthetic import grid, write_sweep

MINE = '''
from analysis.report import Grid, Section, Text, register_section


def spread(study):
    """Of all sizes at each dataset size: the largest adjusted rate over the least."""
    rates = study.rates.groupby("subset_bytes")["adjusted_rate"].agg(["min", "max"]).reset_index()
    return rates.assign(factor=rates["max"] / rates["min"])


def write(rows):
    cells = tuple((f"{row['subset_bytes']:,}", f"{row['factor']:.2f}") for row in rows)
    return [Text("How much the choice of a size matters."), Grid(("dataset", "factor"), cells, "lr")]


def plot(rows, ax=None):
    from matplotlib import pyplot as plt

    axes = ax or plt.figure().add_subplot()
    axes.plot(rows["subset_bytes"], rows["factor"])
    return axes


register_section(Section(
    name="spread_of_sizes", title="What the size matters", measure=spread, write=write, plot=plot,
    caption="The largest rate over the least.",
))
'''


def report(folder: Path, plugin: Path) -> Path:
    """In a process of its own: what a file registers stays for the life of a process."""
    out = folder.parent / "r"
    command = [sys.executable, "-m", "mdl.cli", "report", str(folder), "--out", str(out), "--plugin", str(plugin)]
    done = subprocess.run(
        [*command, "--format", "pdf", "--format", "md", "--format", "html"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.slow
def test_a_section_of_ones_own_stands_in_every_format_and_in_the_summary(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    sweep = write_sweep(tmp_path / "s", grid(["8x1", "16x2", "32x2"], [10**5, 10**6]))
    out = report(sweep, tmp_path / "mine.py")
    rows = json.loads((out / "summary.json").read_bytes())["spread_of_sizes"]
    assert [row["subset_bytes"] for row in rows] == [10**5, 10**6]
    shown = [f"{row['factor']:.2f}" for row in rows]
    text = (out / "report.md").read_text()
    head, appendices = text.index("## What the size matters"), text.index("## All cells")
    assert text.index("## What a parameter costs") < head < appendices
    assert all(f"| {factor} |" in text for factor in shown)
    assert "![The largest rate over the least.](figures/spread_of_sizes.svg)" in text
    assert (out / "spread_of_sizes.csv").read_text().startswith("subset_bytes,min,max,factor\n100000,")
    assert (out / "figures/spread_of_sizes.pdf").read_bytes().startswith(b"%PDF")
    page = (out / "explorer.html").read_text()
    assert "<h2>What the size matters</h2>" in page
    assert all(f"<td>{factor}</td>" in page for factor in shown)
    assert "The largest rate over the least." in page
    assert b"/Title(What the size matters)" in (out / "report.pdf").read_bytes()


def test_every_section_that_comes_along_is_registered_by_its_module_under_its_own_name() -> None:
    assert all(SECTIONS[name].name == name for name in SECTIONS)


@pytest.mark.slow
def test_a_long_table_stands_in_the_appendix_with_a_word_in_its_place() -> None:
    """Sixty rows between two paragraphs hide the second; none is lost."""
    records = Path(__file__).parents[3] / "reports/study-contamination/records"
    blocks = write(summarise(study(load(records), parse_cost("float16"), n_replicates=20)), []).blocks
    begin = blocks.index(Heading("Appendix"))
    assert all(len(block.rows) <= 15 for block in blocks[:begin] if isinstance(block, Grid))
    (heading,) = [b for b in blocks[begin:] if isinstance(b, Heading) and b.text.endswith(": all 60 rows")]
    assert Text(f"The table is in the appendix, as “{heading.text}”.") in blocks[:begin]
    table = blocks[blocks.index(heading) + 1]
    assert isinstance(table, Grid)
    assert len(table.rows) == 60
