"""From which dataset size on each model size pays: where it beats the next smaller one, and where all others."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from analysis.formatting import UNKNOWN, format_bytes, join
from analysis.plots import said_of_gray
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Text, named_grid
from analysis.report.rows.crossings import CrossingRow, Form, LeastRow
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.crossover_figures import plot_envelope
from analysis.report.sections.figure_groups import figure_groups
from analysis.report.sections.least_rate import SPANS, envelope, own_points, prefix_points
from analysis.report.summary_keys import Summary
from analysis.study import Study


def write(summary: Summary) -> list[Block]:
    """From how many bytes on each model size beats the next smaller one, and where it beats all."""
    rows = summary["crossings"]
    if not any(row["subset_bytes"] is not None for row in rows):
        return []
    cells = [
        (
            f"{row['n_large']:,}",
            f"{row['n_small']:,}",
            _beats(row),
            _open_interval(row),
            _shortest(row, "own subset", summary["least"]),
            _shortest(row, "prefix", summary["least"]),
        )
        for row in rows
    ]
    header = ("parameters", "next smaller", "shorter from", "95 % interval", "least of all", "least, prefixes")
    text = (
        "Shorter from: the dataset size from which on a model codes shorter than the next smaller one, parameters "
        "counted. Least of all: where it codes shortest of all sizes that were run. Prefixes: the same for the models "
        "of the largest subset, each of which codes the first bytes of that subset. –: nowhere. Between the dataset "
        "sizes that were run, bits per byte are interpolated linearly in log D."
    )
    text += "".join(said for has, said in _beyond(rows) if has)
    return [Text(text), named_grid(header, cells, "rrrrrr", [row["group"] for row in rows])]


def _beyond(rows: list[CrossingRow]) -> list[tuple[bool, str]]:
    """What the words of cells mean that lie beyond the grid, where the table has them."""
    beyond = {row["beyond"] for row in rows if row["subset_bytes"] is None and row["beyond_bytes"] is not None}
    is_open = any((row["low"] is None) != (row["high"] is None) for row in rows)
    return [
        ("below" in beyond, " Already at: it is shorter even at the smallest dataset size that both were trained on."),
        (
            bool(beyond - {"below"}),
            " Not up to: it is not shorter even at the largest dataset size that both were trained on.",
        ),
        (
            is_open,
            " Where an interval has only one end (up to, from), the two sizes do not cross inside the grid in some of "
            "the replicates.",
        ),
    ]


def _beats(row: CrossingRow) -> str:
    if row["subset_bytes"] is not None:
        return format_bytes(row["subset_bytes"])
    begin = "already at" if row["beyond"] == "below" else "not up to"
    return UNKNOWN if row["beyond_bytes"] is None else f"{begin} {format_bytes(row['beyond_bytes'])}"


def _open_interval(row: CrossingRow) -> str:
    """The interval, open where an end lies beyond the grid; none where both do."""
    return UNKNOWN if row["low"] is row["high"] is None else _stretch(row["low"], row["high"])


def _shortest(row: CrossingRow, form: Form, least: list[LeastRow]) -> str:
    """Where the larger size of a crossing has the least adjusted rate of all."""
    own = [r for r in least if (r["group"], r["form"], r["n_params"]) == (row["group"], form, row["n_large"])]
    return join(_stretch(found["from_bytes"], found["to_bytes"]) for found in own) or UNKNOWN


def _stretch(start: float | None, end: float | None) -> str:
    if start is None or end is None:
        known = start or end
        return "throughout" if known is None else f"{'up to' if start is None else 'from'} {format_bytes(known)}"
    return f"{format_bytes(start)} to {format_bytes(end)}"


_FORMS = {"by_dataset": ("own subset", own_points), "by_prefix": ("prefix", prefix_points)}
_CAPTIONS = {
    "by_dataset": "Adjusted rate against dataset size, one curve per model size, named by its parameters. At every "
    "dataset size the models were trained on that dataset (compare Delétang et al., Figure 2). Gray band: the least of "
    "all sizes. Circles: from here on, the size named below, in its color, has the least adjusted rate of those run.",
    "by_prefix": "The same in the form of Delétang et al.: one model per size was trained on the largest subset, and "
    "codes growing prefixes of it. Its parameters are paid for in full at each prefix. It was trained on all of the "
    "largest subset, not on the prefix alone.",
}


def _measure(study: Study) -> dict[str, Any]:
    """`least`: SPANS of every group in both forms, with group and form (own subset or prefix)."""
    envelopes = {
        (group, name): envelope(points(study, group)) for group in study.laws for name, (_, points) in _FORMS.items()
    }
    columns = ["group", "form", *SPANS]
    found = [own.spans.assign(group=group, form=_FORMS[name][0]) for (group, name), own in envelopes.items()]
    least = pd.concat(found)[columns] if found else pd.DataFrame(columns=columns)
    return {"crossings": study.crossings, "least": least, "_envelopes": envelopes}


def _figures(study: Study, measured: Measured) -> list[Figure]:
    """Of models trained on every subset, and of those of the largest alone; only where a size gives way to another."""
    figures = []
    for shown in figure_groups(study, with_rates=True):
        for name, caption in _CAPTIONS.items():
            found = measured["_envelopes"][shown.group, name]
            if len(found.spans) > 1:
                said = caption + said_of_gray(found.lines["n_params"].nunique())
                figures.append(shown.figure(name, partial(plot_envelope, found), said))
    return figures


register_section(
    WideSection(
        name="crossovers",
        title="From which dataset size on a size pays",
        measure=_measure,
        write=write,
        draw=_figures,
        shows=("by_dataset", "by_prefix"),
        tables=(CsvTable("crossings"), CsvTable("least")),
    ),
)
