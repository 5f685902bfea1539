"""The report: a PDF set by typst and its twins, figures as vector files, tables as CSV, numbers in summary.json."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.costs import ParameterCost, parse_cost
from analysis.errors import AnalysisError
from analysis.records import Table, by_second_code, load
from analysis.report.contents import which_sweep, write
from analysis.report.csv_tables import write_tables
from analysis.report.elements import Text
from analysis.report.explorer import page
from analysis.report.figures import draw
from analysis.report.markdown import markdown
from analysis.report.output_folder import move_in, require_ours
from analysis.report.pdf import typeset
from analysis.report.section import SECTIONS
from analysis.report.sections.searched_size import told
from analysis.report.summary import measure, summarise
from analysis.report.summary_keys import Summary
from analysis.report.web import article
from analysis.study import study

FORMATS = {"pdf": "report.pdf", "md": "report.md", "html": "explorer.html"}


@dataclass(frozen=True, kw_only=True)
class ReportPaths:
    """What was made, and the summary that the text was written from."""

    folder: Path
    formats: tuple[str, ...]
    summary: Summary
    names: tuple[str, ...]  # of every file written, below `folder`

    @property
    def documents(self) -> list[Path]:
        """The report in every format asked for."""
        return [self.folder / FORMATS[name] for name in self.formats]


def build_report(
    folder: Path,
    out: Path,
    cost: str | float | ParameterCost = "float16",
    formats: Sequence[str] = ("pdf",),
    columns: Mapping[str, str] | None = None,
    stride_bytes: int | None = None,
    contexts: bool = False,
    predict_bytes: Sequence[float] = (),
    figure_inches: float | None = None,
) -> ReportPaths:
    """Report on a run folder (or a CSV) into the folder `out`, which is changed only once everything is made.

    `columns` names those of a table, as `records.load` has them: n, d, code_bits, seed. `formats`: pdf, md (the same
    document for GitHub and W&B), html (the explorer). The same records give the same bytes. With `stride_bytes` all is
    by the second code length of that stride; with `contexts`, by that of models mixed with contexts. `predict_bytes`:
    dataset sizes to predict N* for; none: ten times the largest. `figure_inches`: the width of the figures' files;
    None: as the report has them. AnalysisError for what is no sweep, a damaged record, an unknown cost or format, or a
    second code length that was not measured.
    """
    wanted = _checked(formats)
    table = by_second_code(load(folder, **(columns or {})), stride_bytes, contexts=contexts)
    explained = study(table, parse_cost(cost), predict_bytes=_asked(table, predict_bytes))
    measured = measure(explained) | ({"is_searched": True} if table.is_searched else {})
    summary = summarise(explained, measured)
    require_ours(out, ["summary.json", *(FORMATS[name] for name in wanted)])  # before long work
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        made = Path(name)
        document = write(summary, draw(explained, measured, made / "figures", figure_inches))
        content = json.dumps(summary, indent=1, allow_nan=False, ensure_ascii=False)
        (made / "summary.json").write_text(content + "\n", encoding="utf-8")
        write_tables([table for section in SECTIONS.values() for table in section.tables], measured, made)
        if "pdf" in wanted:
            typeset(document, made, summary["provenance"]["created"])
        if "md" in wanted:
            (made / FORMATS["md"]).write_text(markdown(document), encoding="utf-8")
        if "html" in wanted:
            answer = told(summary)
            rest = replace(document, blocks=tuple(block for block in document.blocks if block != Text(answer, "lead")))
            shown = article(rest, made / "figures")  # the answer stands above all
            web_page = page.page(explained, which_sweep(summary), document.lead, shown, answer)
            (made / FORMATS["html"]).write_text(web_page, encoding="utf-8")
        figures = [f"figures/{path.name}" for path in (made / "figures").glob("*.*")]
        tables = [path.name for path in made.glob("*.csv")]
        names = sorted([*figures, *tables, "summary.json", *(FORMATS[name] for name in wanted)])
        move_in(made, out, names)
    return ReportPaths(folder=out, formats=wanted, summary=summary, names=tuple(names))


def _asked(table: Table, predict_bytes: Sequence[float]) -> list[float]:
    """Dataset sizes at which the law is given with its interval: those of the grid, and others.

    `mdl size` asks for all of the data, however little of them models were trained on.
    """
    sizes = sorted({float(d) for d in table.cells["subset_bytes"]})
    whole = {float(d) for d in table.runs["train_bytes"]} if table.is_searched else set()
    return sorted({*sizes, *whole, *(predict_bytes or [10 * sizes[-1]])}) if sizes else []


def _checked(formats: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise AnalysisError(f"unknown format '{', '.join(unknown)}': want {' or '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in formats)
