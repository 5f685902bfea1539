"""Rates against model size: with parameters counted, without, and of unseen bytes; and what context is worth."""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis.plots import (
    plot_adjusted_rate,
    plot_heldout_rate,
    plot_in_context,
    plot_raw_rate,
    said_of_gray,
    top_of,
)
from analysis.report.csv_tables import CsvTable
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.figure_groups import FigureGroup, figure_groups
from analysis.study import Study, in_context

_CAPTIONS = {
    "adjusted_rate": "Adjusted rate against model size, one curve per dataset size. Markers are measurements. Lines "
    "show the smooth law about the minimum, and interpolate the measurements elsewhere.",
    "raw_rate": "Raw rate on the subset itself, parameters not counted. It falls as models grow. Where models "
    "memorize, it falls below the rate of unseen bytes of the same kind.",
    "heldout_rate": "Rate on bytes that no subset contains, one curve per size of the training subset.",
    "in_context": "Held-out bits per byte by position in the window, for models trained on the largest subset.",
}
_COLUMNS = (
    "group",
    "context_bytes",
    "subset_bytes",
    "size",
    "n_params",
    "n_seeds",
    "code_bits",
    "code_bits_sd",
    "raw_rate",
    "adjusted_rate",
    "rate_sd",
    "heldout_rate",
    "vocabulary",
    "tokenizer_bytes",
)
_CLASSICAL = " Short lines on the left show the best classical coder on the same bytes."
_SPREAD = " Bars, where longer than the markers, show the standard deviation over seeds and orders."


def caption(name: str, rates: pd.DataFrame, critical: pd.DataFrame) -> str:
    """Of a figure of rates: a mark is explained where there is one."""
    is_adjusted = name == "adjusted_rate"
    said = [
        (is_adjusted and (critical["status"] == "bracketed").any(), " Stars mark critical sizes."),
        (
            is_adjusted and critical["status"].isin(["below", "above"]).any(),
            " Arrowheads mark a minimum at the edge of the grid.",
        ),
        (
            is_adjusted and rates["adjusted_rate"].max() > top_of(rates),
            " Curves leave through the top where parameter cost dominates.",
        ),
        ((rates["n_seeds"] > 1).any(), _SPREAD),
        (critical["coder"].notna().any(), _CLASSICAL),
    ]
    return _CAPTIONS[name] + "".join(text for has, text in said if has)


def _of(study: Study, shown: FigureGroup) -> list[pd.DataFrame]:
    frames = study.rates, study.critical, study.between
    return [frame[frame["group"] == shown.group] for frame in frames]


def _adjusted(study: Study, _: Measured) -> list[Figure]:
    figures = []
    for shown in figure_groups(study, with_rates=True):
        rates, critical, between = _of(study, shown)
        plot = partial(plot_adjusted_rate, rates, critical, between)
        figures.append(shown.figure("adjusted_rate", plot, caption("adjusted_rate", rates, critical)))
    return figures


def _raw(study: Study, _: Measured) -> list[Figure]:
    figures = []
    for shown in figure_groups(study, with_rates=True):
        rates, critical, _between = _of(study, shown)
        plot = partial(plot_raw_rate, rates, critical)
        figures.append(shown.figure("raw_rate", plot, caption("raw_rate", rates, critical)))
        if rates["heldout_rate"].notna().any():
            figures.append(shown.figure("heldout_rate", partial(plot_heldout_rate, rates), _CAPTIONS["heldout_rate"]))
    return figures


def _in_context(study: Study, _: Measured) -> list[Figure]:
    figures, runs = [], study.table.runs
    for shown in figure_groups(study, with_rates=True):
        positions = in_context(study.table, shown.group)
        if len(positions):
            reads_tokens = (runs.loc[runs["group"] == shown.group, "vocabulary"] > 256).any()
            plot = partial(plot_in_context, positions, unit="token" if reads_tokens else "byte")
            caption = _CAPTIONS["in_context"] + said_of_gray(positions["n_params"].nunique())
            figures.append(shown.figure("in_context", plot, caption))
    return figures


register_section(
    WideSection(
        name="rates",
        title="Rates and model size",
        intro="From left to right, a curve falls while more parameters save more than they cost. Then it rises. The "
        "star between is the critical size.",
        measure=lambda study: {"rates": study.rates},
        draw=_adjusted,
        shows=("adjusted_rate",),
        tables=(CsvTable("rates", columns=_COLUMNS, even_empty=True),),
    ),
)
register_section(
    WideSection(
        name="unseen",
        title="The subset itself and unseen bytes",
        intro="Rates without the parameters: of the bytes that a model was trained on, and of bytes that it never saw. "
        "A model that memorizes more of its subset has a larger gap between them. Part of the gap may be that the "
        "unseen bytes are easier or harder.",
        draw=_raw,
        shows=("raw_rate", "heldout_rate"),
    ),
)
register_section(
    WideSection(
        name="in_context",
        title="Learning in context",
        intro="A model predicts a byte from those before it in its window. The farther a curve falls to the right, the "
        "more the model learns from them; where it is level, more context brings nothing.",
        draw=_in_context,
        shows=("in_context",),
    ),
)
