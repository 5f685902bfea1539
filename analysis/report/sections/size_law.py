"""How the critical size grows, in words and tables: its law, its estimators, and what it predicts."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.critical import LEAST_FOR_LAW, Theory
from analysis.formatting import (
    format_bytes,
    format_count,
    format_known,
    format_percent,
    format_range,
    format_size,
    join,
    sentence,
    true_minus,
)
from analysis.plots import plot_critical_size
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Text, named_grid
from analysis.report.group_names import place
from analysis.report.rows.critical import CriticalRow, LawRow, PredictionRow
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.figure_groups import FigureGroup, figure_groups
from analysis.report.summary_keys import Summary
from analysis.study import Study, law_line


def law(summary: Summary) -> list[Block]:
    """The law of the critical size: how well it holds, and what theory asks for."""
    return [Text(text) for found in summary["laws"] for text in (*_holds(found, summary), *_tested(found, summary))]


class TwoEstimates(NamedTuple):
    """A dataset size whose critical size both estimators know."""

    row: CriticalRow
    n_params: float
    n_local: float

    @property
    def factor(self) -> float:
        """By which they are apart, at least 1."""
        ratio = self.n_local / self.n_params
        return max(ratio, 1 / ratio)

    @property
    def is_outside(self) -> bool:
        """Whether the local one lies outside the other's interval."""
        low, high = self.row["low"], self.row["high"]
        return low is not None and high is not None and not low <= self.n_local <= high


def two_estimates(summary: Summary) -> list[TwoEstimates]:
    """Every dataset size whose critical size both know."""
    known = [(row, row["n_params"], row.get("n_local")) for row in summary["critical"]]
    return [TwoEstimates(row, n, local) for row, n, local in known if n is not None and local is not None]


def estimates(summary: Summary) -> list[Block]:
    """The two estimators of the critical size, and what the law predicts beyond the grid."""
    both = two_estimates(summary)
    if not both:
        return _predicted(summary)
    header = ("dataset", "smooth law", "95 % interval", "local", "95 %, of replicates")
    grid = named_grid(header, [_estimates(one) for one in both], "lrrrr", [one.row["group"] for one in both])
    return [Text(_apart(both, summary)), grid, *_predicted(summary)]


def _apart(both: list[TwoEstimates], summary: Summary) -> str:
    """How far the estimators are from each other, and whether their intervals allow it."""
    several = len({one.row["group"] for one in both}) > 1
    most = max(both, key=lambda one: one.factor)
    text = (
        "Two estimators of the critical size, from the same code lengths. They differ by a factor of at most "
        f"{most.factor:.2f}, at {place(most.row, summary, several=several)}."
    )
    outside = [place(one.row, summary, several=several) for one in both if one.is_outside]
    if outside:
        text += f" At {join(outside)} the local estimate lies outside the interval of the other."
    return (
        f"{text} The local estimator interpolates the code length between the best size and its neighbors. A shape "
        "that lies off the smooth law moves it. Its interval is over replicates alone, and does not cover that."
    )


def _estimates(both: TwoEstimates) -> tuple[str, ...]:
    row = both.row
    return (
        format_bytes(row["subset_bytes"]),
        format_size(both.n_params, row["low"], row["high"]),
        format_range(row["low"], row["high"], format_count),
        format_count(both.n_local),
        format_range(row["local_low"], row["local_high"], format_count),
    )


def _holds(found: LawRow, summary: Summary) -> list[str]:
    """Scatter about the line, and the largest dataset size by the law through the others."""
    begin = f"{found['group']}: " if len(summary["laws"]) > 1 else ""
    if found.get("scatter") is None or found["scatter"] is None:
        few = "Any two critical sizes lie on a line: to test whether N* is a power law of D takes at least three."
        return [begin + few] if found["n_points"] == 2 else []
    said = [
        f"{begin}The critical sizes scatter by {100 * found['scatter']:.2g} % about the line (standard deviation of "
        "log N*)."
    ]
    if found["n_points"] > 3 and found["left_out_bytes"] is not None and found["left_out_ratio"] is not None:
        said.append(
            f"The law through the other sizes predicts {found['left_out_ratio']:.2f} times the critical size at "
            f"{format_bytes(found['left_out_bytes'])}."
        )
    if found.get("gamma_least") is not None:
        said.append(
            f"When one size is left out, γ is between {found['gamma_least']:.2f} and {found['gamma_most']:.2f}."
        )
    if found.get("gamma_local") is not None and found["scatter_local"] is not None:
        said.append(
            f"Through the sizes of the local estimator γ is {found['gamma_local']:.2f}, and they scatter by "
            f"{100 * found['scatter_local']:.2g} %."
        )
    if found.get("gamma_low") is not None:
        said.append("The interval of γ covers the shapes, the replicates and that scatter.")
    return [" ".join(said)]


def _tested(found: LawRow, summary: Summary) -> list[str]:
    theory, begin = found.get("theory"), f"{found['group']}: " if len(summary["laws"]) > 1 else ""
    if not theory or found["n_points"] < LEAST_FOR_LAW:
        return []  # a line passes through any two sizes
    alpha = f"a = {theory['alpha']:.2f}{_interval(theory['alpha_low'], theory['alpha_high'])}"
    asked = f"{theory['gamma_predicted']:.2f}{_interval(theory['predicted_low'], theory['predicted_high'])}"
    text = f"{begin}The closed form predicts γ = 1/(1+a); a is how the code falls with N. With {alpha} that is {asked}"
    if found["gamma"] is not None:
        text += f". Measured is γ = {found['gamma']:.2f}{_interval(found['gamma_low'], found['gamma_high'])}"
    return [f"{text}. {sentence(theory['message'])}"]


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" (95 %: {true_minus(f'{low:.2f} to {high:.2f}')})"


def predicted_lines(summary: Summary) -> list[str]:
    """N* of dataset sizes outside the grid, a line each."""
    lines = []
    for row in _extrapolated(summary):
        known = "" if row["low"] is None else f" ({format_range(row['low'], row['high'], format_count)})"
        size = _predicted_size(row)
        lines.append(f"predicted, not run: {place(row, summary)} pays for {size} parameters{known}")
    return lines


def _predicted_size(row: PredictionRow) -> str:
    return format_known(row["n_params"], lambda n: format_size(n, row["low"], row["high"]))


def _extrapolated(summary: Summary) -> list[PredictionRow]:
    return [row for row in summary["predictions"] if row["n_params"] is not None and row["extrapolated"]]


def _predicted(summary: Summary) -> list[Block]:
    rows = _extrapolated(summary)
    if not rows:
        return []
    cells = [
        (
            format_bytes(row["subset_bytes"]),
            _predicted_size(row),
            format_range(row["low"], row["high"], format_count),
            format_known(row["adjusted_rate"], format_percent),
            format_range(row["rate_low"], row["rate_high"], format_percent),
        )
        for row in rows
    ]
    header = ("dataset", "critical size", "95 % interval", "adjusted rate there", "95 % interval")
    grid = named_grid(header, cells, "lrrrr", [row["group"] for row in rows])
    said = (
        "What the laws of size and of rate predict, extrapolated to dataset sizes outside the grid, where nothing was "
        "trained. They allow for an exponent that changes with the data's size, as those of earlier studies did, by "
        "about 0.06 a decade, so that a prediction need not lie on the line:"
    )
    return [Text(said), grid]


_N_STEPS = 60


def theory_line(theory: Theory | None, critical: pd.DataFrame) -> pd.DataFrame | None:
    """N* ∝ D^(1/(1+a)) through the middle (in logarithms) of the bracketed sizes: subset_bytes, n_params, label.

    `theory` as in the summary's laws; its slope is what is tested, its height is not. None where nothing is predicted.
    """
    found = critical[critical["n_params"].notna()]
    if not theory or len(found) < 2:
        return None
    gamma = theory["gamma_predicted"]
    subset_bytes = np.geomspace(found["subset_bytes"].min(), found["subset_bytes"].max(), _N_STEPS)
    log_d, log_n = np.log(found["subset_bytes"].astype(float)), np.log(found["n_params"])
    n_params = np.exp(log_n.mean() + gamma * (np.log(subset_bytes) - log_d.mean()))
    label = rf"theory, $\gamma = 1/(1+a)$ = {gamma:.2f}"
    return pd.DataFrame({"subset_bytes": subset_bytes, "n_params": n_params, "label": label})


def _labelled(study: Study, group: str, line: pd.DataFrame | None) -> pd.DataFrame | None:
    """With γ's interval in the label, where there is one."""
    low, high = (getattr(study.laws[group], name, None) for name in ("gamma_low", "gamma_high"))
    if line is None or low is None or high is None:
        return line
    gamma = study.laws[group].gamma
    return line.assign(label=rf"$N^* \propto D^\gamma$, $\gamma$ = {gamma:.2f} (95 %: {low:.2f} to {high:.2f})")


_CAPTION = "Critical model size against dataset size. Stars: inside the grid."


def _figures(study: Study, _: Measured) -> list[Figure]:
    """A group each with several dataset sizes."""
    figures = []
    for shown in figure_groups(study, with_rates=True):
        critical = study.critical[study.critical["group"] == shown.group]
        if (critical["status"] != "too few sizes").sum() > 1:
            figures.append(_figure(study, shown, critical))
    return figures


def _figure(study: Study, shown: FigureGroup, critical: pd.DataFrame) -> Figure:
    """With what of it the caption has to explain."""
    predictions = study.predictions[study.predictions["group"] == shown.group]
    law = _labelled(study, shown.group, law_line(study.laws[shown.group], critical))
    theory = theory_line(study.theory.get(shown.group), critical)
    said = [
        (critical["status"].isin(["below", "above"]).any(), " Arrows: at or beyond the edge of the grid."),
        (critical["low"].notna().any(), " Bars: 95 % intervals."),
        (critical["n_local"].notna().any(), " Crosses: by interpolation between models."),
        (predictions["low"].notna().any(), " Band: 95 % interval of the law."),
        (theory is not None, " Dashed: the slope that theory predicts, through the middle of the stars."),
        (predictions["extrapolated"].any(), " Circles: predictions, extrapolated beyond the grid."),
    ]
    caption = _CAPTION + "".join(text for has, text in said if has)
    plot = partial(plot_critical_size, critical, law, theory, predictions)
    return shown.figure("critical_size", plot, caption)


def _measure(study: Study) -> dict[str, Any]:
    laws = [{"group": group, **vars(law), "theory": study.theory[group]} for group, law in study.laws.items()]
    return {"laws": laws, "predictions": study.predictions}


register_section(
    WideSection(
        name="size_law",
        title="How the critical size grows with the data",
        measure=_measure,
        write=law,
        draw=_figures,
        shows=("critical_size",),
        tables=(CsvTable("laws"), CsvTable("predictions")),
    ),
)
register_section(WideSection(name="estimates", title="Two estimators, and sizes that were not run", write=estimates))
