"""The order of the report's sections. Each is a function of the summary, so that no number in the text is new."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.formatting import format_counted
from analysis.report.elements import Block, Document, Grid, Heading, Picture, Text
from analysis.report.group_names import with_group_column
from analysis.report.section import SECTIONS
from analysis.report.summary_keys import Summary

_FIRST_APPENDIX, _APPENDIX = "recipe", "Appendix"
_MOST_ROWS = 15  # of a table beside the text; longer ones stand in the appendix


def write(summary: Summary, pictures: Sequence[Picture]) -> Document:
    """The report: the answer, then what it rests on, section by section. What has nothing to show is left out."""
    only_table = bool(summary.get("paper_table") and not summary["n_cells"])
    names = order(summary)
    begin, end = names.index(_FIRST_APPENDIX), names.index("provenance")
    answer, text, appendix, rest = (
        [block for name in part for block in SECTIONS[name].blocks(summary, pictures)]
        for part in (names[:1], names[1:begin], names[begin:end], names[end:])
    )
    text, long_tables = (text, []) if only_table else _long_tables_apart(text)
    behind = [*appendix, *long_tables, *rest]
    made = [*answer, *text, *([Heading(_APPENDIX), *behind] if behind else [])]
    blocks = [with_group_column(b, summary["groups"]) if isinstance(b, Grid) else b for b in made]
    return Document(
        "Language models as compressors of any data" if only_table else "How big a model does this data pay for?",
        " ".join([which_sweep(summary), *([summary["cost"]["sentence"]] if summary["critical"] else [])]),
        tuple(blocks),
    )


def _long_tables_apart(blocks: Sequence[Block]) -> tuple[list[Block], list[Block]]:
    """The text with a word in place of each long table, and these tables under their sections' names."""
    text: list[Block] = []
    apart: list[Block] = []
    title = ""
    for block in blocks:
        title = block.text if isinstance(block, Heading) else title
        if isinstance(block, Grid) and len(block.rows) > _MOST_ROWS:
            heading = f"{title}: all {len(block.rows)} rows"
            text.append(Text(f"The table is in the appendix, as “{heading}”."))
            apart += [Heading(heading), block]
        else:
            text.append(block)
    return text, apart


def order(summary: Summary) -> list[str]:
    """Names of the sections: codes that learn as they go come first where a sweep was made for them.

    What others have registered stands before the appendices.
    """
    names = list(SECTIONS)
    appendices = names[names.index(_FIRST_APPENDIX) : names.index("definitions") + 1]
    others = [name for name in names if name not in appendices]
    if summary["online"]:
        others.remove("prequential")
        others.insert(1, "prequential")
    return [*others, *appendices]


def which_sweep(summary: Summary) -> str:
    """The sweep, its corpora and how many cells it has."""
    names = sorted({c["corpus"] for c in summary["corpora"]})
    corpora = ("; " if any("," in name for name in names) else ", ").join(names) or "no corpus"
    if summary.get("paper_table") and not summary["n_cells"]:
        return f"{summary['name']}: {corpora}."
    counts = format_counted(summary["n_cells"], "cell")
    counts += f", {summary['n_failed']} of them failed" if summary["n_failed"] else ""
    counts += f", {summary['n_missing']} still to run" if summary["n_missing"] else ""
    older = summary["n_superseded"]
    counts += f", without {older} of older versions of a plugin" if older else ""
    return f"Sweep {summary['name']} on {corpora}: {counts}."
