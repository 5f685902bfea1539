"""A section of the report: what it measures, how it says that, and what it draws. `register_section` adds one.

PDF, Markdown and the web page are made of the same blocks, so that a section written once stands in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Heading, Picture, Text
from analysis.report.summary_keys import Summary
from mdl.records import Registry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from analysis.plots import Plot
    from analysis.study import Study

Measured = Mapping[str, Any]  # key of summary.json → rows as they were measured: a DataFrame, or what JSON can say


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a section: `plot` draws it. Of several of one name `index` tells them apart, from 0."""

    name: str
    plot: Plot
    caption: str
    index: int = 0

    @property
    def file(self) -> str:
        """Of the PDF, beside which an SVG lies."""
        return f"{self.name}_{self.index + 1}.pdf" if self.index else f"{self.name}.pdf"


class Page(Protocol):
    """What the report asks of a section. `Section` is the usual one."""

    @property
    def name(self) -> str:
        """Its name in the registry."""
        ...

    def measured(self, study: Study) -> dict[str, Any]:
        """Key of summary.json → rows. It is asked once; words and figures are given what it returned."""
        ...

    @property
    def tables(self) -> Sequence[CsvTable]:
        """The CSV files of its rows."""
        ...

    def figures(self, study: Study, measured: Measured) -> list[Figure]:
        """All its figures; none where there is nothing to draw."""
        ...

    def blocks(self, summary: Summary, pictures: Sequence[Picture]) -> list[Block]:
        """Heading, words, tables and those of the `pictures` that are its own; none where it has nothing to show."""
        ...


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section about rows of its own, with at most one figure. To add one, register it from a file of your own.

    Parameters
    ----------
    name
        Its key in summary.json, and its figure's file name.
    title
        Its heading.
    measure
        Study → rows: a DataFrame, or lists and dicts of what JSON can say. Rows are also a CSV file of that name.
    write
        Rows → blocks (`Text`, `Grid`, `Heading` of `analysis.report`). The rows are as summary.json has them: a
        DataFrame is a list of dicts, and NaN is None. No blocks: the section is left out.
    plot
        (rows, ax=None) → Axes, of the rows as they were measured; None: no figure.
    caption
        What the figure shows.

    Examples
    --------
    >>> from analysis.report import Section, Text
    >>> cells = Section(name="n_cells_priced", title="Cells", measure=lambda study: len(study.rates),
    ...                 write=lambda n: [Text(f"{n} cells have a price.")])
    >>> cells.blocks({"n_cells_priced": 12}, [])[1].text
    '12 cells have a price.'
    """

    name: str
    title: str
    measure: Callable[[Study], Any]
    write: Callable[[Any], Sequence[Block]]
    plot: Callable[..., Axes] | None = None
    caption: str = ""

    def measured(self, study: Study) -> dict[str, Any]:
        """Its rows under its name."""
        return {self.name: self.measure(study)}

    @property
    def tables(self) -> Sequence[CsvTable]:
        """Its rows, in a file of its name."""
        return [CsvTable(key=self.name)]

    def figures(self, study: Study, measured: Measured) -> list[Figure]:
        """The one, where there are rows."""
        rows = measured[self.name]
        if self.plot is None or (hasattr(rows, "__len__") and not len(rows)):
            return []
        return [Figure(name=self.name, plot=partial(self.plot, rows), caption=self.caption)]

    def blocks(self, summary: Summary, pictures: Sequence[Picture]) -> list[Block]:
        """Words before the figure."""
        words = self.write(dict(summary)[self.name]) if self.name in summary else []
        return under_heading(self.title, words, [p for p in pictures if p.name == self.name])


@dataclass(frozen=True, kw_only=True)
class WideSection:
    """A section that tells of more of the summary than rows of its own, or draws a figure for every group.

    `measure` returns all its keys; those that begin with _ are for figures alone and not in summary.json. `write` is
    given the summary; without a title it writes its own headings. `intro` is said before its figures, where there are
    any. `draw` returns its figures, whose names are `shows`,
    in the order in which they stand. `tables`: which of its keys are CSV files too.
    """

    name: str
    title: str = ""
    intro: str = ""
    measure: Callable[[Study], dict[str, Any]] | None = None
    write: Callable[[Summary], Sequence[Block]] = lambda _: ()
    draw: Callable[[Study, Measured], list[Figure]] | None = None
    shows: tuple[str, ...] = ()
    tables: tuple[CsvTable, ...] = ()

    def measured(self, study: Study) -> dict[str, Any]:
        """Its keys of the summary."""
        return self.measure(study) if self.measure else {}

    def figures(self, study: Study, measured: Measured) -> list[Figure]:
        """As drawn by `draw`."""
        return self.draw(study, measured) if self.draw else []

    def blocks(self, summary: Summary, pictures: Sequence[Picture]) -> list[Block]:
        """Words before figures, all of one name together."""
        shown = [p for name in self.shows for p in pictures if p.name == name]
        intro = [Text(self.intro)] if self.intro and shown else []
        return under_heading(self.title, [*intro, *self.write(summary)], shown)


def under_heading(title: str, words: Sequence[Block], pictures: Sequence[Picture]) -> list[Block]:
    """A heading over what there is; nothing over nothing."""
    head = [Heading(title)] if title and (words or pictures) else []
    return [*head, *words, *pictures]


_ROOM = "analysis.report.sections"
# In the order of the report.
SECTIONS: Registry[Page] = Registry(
    "report section",
    {
        name: f"{_ROOM}.{module}"
        for name, module in {
            "answer": "answer",
            "contamination": "contamination",
            "tokenisation": "tokenization",
            "contexts": "context_length",
            "architectures": "architectures",
            "rates": "rates",
            "size_law": "size_law",
            "two_parts": "two_parts",
            "convergence": "convergence",
            "estimates": "size_law",
            "crossovers": "crossovers",
            "pays_from": "pays_from",
            "costs": "parameter_costs",
            "precisions": "precision",
            "overlapping": "overlapping_windows",
            "who_wins": "code_comparison",
            "prequential": "prequential",
            "unseen": "rates",
            "scaling_law": "scaling_law",
            "held_out_test": "scaling_law",
            "seeds": "seeds",
            "compute": "compute",
            "in_context": "rates",
            "paper_table": "paper_table",
            "recipe": "recipe",
            "classical": "appendix",
            "measured": "appendix",
            "failed": "appendix",
            "provenance": "provenance",
            "definitions": "definitions",
        }.items()
    },
)


def register_section(page: Page) -> Page:
    """Add a section under its name; MdlError where the name is taken."""
    return SECTIONS.register(page.name, page)
