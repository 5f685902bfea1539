"""How the critical size grows, in words and tables: its law, its estimators, and what it predicts."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analysis.formatting import format_bytes, format_count, format_place, format_range, join, known_digits, sentence
from analysis.plots import plot_critical_size
from analysis.report.elements import Block, Text, named_grid
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.shown import Shown, groups_shown
from analysis.study import Study, law_line
from analysis.types import Json


def law(summary: Json) -> list[Block]:
    """The law of the critical size: how well it holds, and what theory asks for."""
    return [Text(text) for found in summary["laws"] for text in (*_holds(found, summary), *_tested(found, summary))]


def estimates(summary: Json) -> list[Block]:
    """The two estimators of the critical size, and what the law predicts beyond the grid."""
    blocks: list[Block] = []
    both = [row for row in summary["critical"] if row.get("n_local") is not None and row["n_params"] is not None]
    if both:
        header = ("dataset", "smooth law", "95 % interval", "local", "95 %, of replicates")
        rows = [_estimates(row) for row in both]
        blocks += [
            Text(f"Two estimators of the critical size, from the same code lengths. {_apart(both)}".strip()),
            named_grid(header, rows, "lrrrr", [row["group"] for row in both]),
        ]
    return blocks + _predicted(summary)


def _apart(rows: list[Json]) -> str:
    """How far the estimators are from each other, and whether their intervals allow it."""
    known = [row for row in rows if row["n_params"] is not None]
    if not known:
        return ""
    several = len({row["group"] for row in rows}) > 1
    most = max(known, key=_factor)
    text = f"They lie apart by a factor of {_factor(most):.2f} at most, at {format_place(most, several=several)}."
    outside = [row for row in known if row["low"] is not None and not row["low"] <= row["n_local"] <= row["high"]]
    if outside:
        sizes = join(format_place(row, several=several) for row in outside)
        text += f" At {sizes} the local one lies outside the interval of the other."
    return f"{text} {_LOCAL}"


_LOCAL = (
    "The local one interpolates the code length between the best size and its neighbours: what these shapes are off a "
    "smooth curve moves it, and its interval, of replicates alone, does not hold that."
)


def _factor(row: Json) -> float:
    ratio: float = row["n_local"] / row["n_params"]
    return max(ratio, 1 / ratio)


def _holds(found: Json, summary: Json) -> list[str]:
    """Scatter about the line, and the largest dataset size by the law through the others."""
    if found.get("scatter") is None:
        return []
    begin = f"{found['group']}: " if len(summary["laws"]) > 1 else ""
    text = f"{begin}The sizes scatter by {100 * found['scatter']:.2g} % about the line (standard deviation of log N*)"
    if found["n_points"] > 3:
        at, ratio = format_bytes(found["left_out_bytes"]), found["left_out_ratio"]
        text += f"; the law through the others gives × {ratio:.2f} of what was found at {at}"
    if found.get("gamma_least") is not None:
        text += f"; without one of them γ is {found['gamma_least']:.2f} to {found['gamma_most']:.2f}"
    if found.get("gamma_local") is not None:
        text += (
            f"; through the local estimator's sizes it is {found['gamma_local']:.2f}, and they scatter by "
            f"{100 * found['scatter_local']:.2g} %"
        )
    known = (
        " Its interval is of the shapes, the replicates and that scatter." if found.get("gamma_low") is not None else ""
    )
    return [f"{text}.{known}"]


def _tested(found: Json, summary: Json) -> list[str]:
    theory, begin = found.get("theory"), f"{found['group']}: " if len(summary["laws"]) > 1 else ""
    if not theory or theory.get("gamma_predicted") is None:
        return [begin + theory["message"]] if theory and theory.get("message") else []
    alpha = f"α = {theory['alpha']:.3g}{_interval(theory, 'alpha_low', 'alpha_high')}"
    asked = f"{theory['gamma_predicted']:.3g}{_interval(theory, 'predicted_low', 'predicted_high')}"
    text = f"{begin}The closed form asks for γ = 1/(1+α): with {alpha} that is {asked}"
    if found["gamma"] is not None:
        text += f"; measured γ = {found['gamma']:.3g}{_interval(found, 'gamma_low', 'gamma_high')}"
    return [f"{text}. {sentence(theory['message'])}"]


def _interval(row: Json, low: str, high: str) -> str:
    ends = row.get(low), row.get(high)
    return "" if None in ends else f" (95 %: {ends[0]:.3g} to {ends[1]:.3g})"


def _estimates(row: Json) -> tuple[str, ...]:
    found = format_count(known_digits(row["n_params"], row["low"], row["high"]))
    first = format_range(row["low"], row["high"], format_count)
    local = format_range(row["local_low"], row["local_high"], format_count)
    return format_bytes(row["subset_bytes"]), found, first, format_count(row["n_local"]), local


def _predicted(summary: Json) -> list[Block]:
    rows = [row for row in summary["predictions"] if row["n_params"] is not None and row["extrapolated"]]
    if not rows:
        return []
    cells = [
        (format_bytes(r["subset_bytes"]), format_count(r["n_params"]), format_range(r["low"], r["high"], format_count),
         "extrapolated")
        for r in rows
    ]  # fmt: skip
    grid = named_grid(("dataset", "predicted", "95 % interval", ""), cells, "lrrl", [row["group"] for row in rows])
    return [Text("What the law says of dataset sizes outside the grid:"), grid]


_N_STEPS = 60


def theory_line(theory: Json | None, critical: pd.DataFrame) -> pd.DataFrame | None:
    """N* ∝ D^(1/(1+α)) through the middle (in logarithms) of the bracketed sizes: subset_bytes, n_params, label.

    `theory` as in the summary's laws; its slope is what is tested, its height is not. None where nothing is predicted.
    """
    found = critical[critical["n_params"].notna()]
    if not theory or theory.get("gamma_predicted") is None or len(found) < 2:
        return None
    gamma = theory["gamma_predicted"]
    subset_bytes = np.geomspace(found["subset_bytes"].min(), found["subset_bytes"].max(), _N_STEPS)
    log_d, log_n = np.log(found["subset_bytes"].astype(float)), np.log(found["n_params"])
    n_params = np.exp(log_n.mean() + gamma * (np.log(subset_bytes) - log_d.mean()))
    label = rf"theory, $\gamma = 1/(1+\alpha)$ = {gamma:.2f}"
    return pd.DataFrame({"subset_bytes": subset_bytes, "n_params": n_params, "label": label})


def _labelled(study: Study, group: str, line: pd.DataFrame | None) -> pd.DataFrame | None:
    """With γ's interval in the label, where there is one."""
    low, high = (getattr(study.laws[group], name, None) for name in ("gamma_low", "gamma_high"))
    if line is None or low is None or high is None:
        return line
    gamma = study.laws[group].gamma
    return line.assign(label=rf"$N^* \propto D^\gamma$, $\gamma$ = {gamma:.2f} (95 %: {low:.2f} to {high:.2f})")


_CAPTION = "Critical model size against dataset size. Stars: found; arrows: at or beyond the edge of the grid."


def _figures(study: Study, _: Measured) -> list[Figure]:
    """A group each with several dataset sizes."""
    figures = []
    for shown in groups_shown(study, with_rates=True):
        critical = study.critical[study.critical["group"] == shown.group]
        if (critical["status"] != "too few sizes").sum() > 1:
            figures.append(_figure(study, shown, critical))
    return figures


def _figure(study: Study, shown: Shown, critical: pd.DataFrame) -> Figure:
    """With what of it the caption has to explain."""
    predictions = study.predictions[study.predictions["group"] == shown.group]
    law = _labelled(study, shown.group, law_line(study.laws[shown.group], critical))
    theory = theory_line(study.theory.get(shown.group), critical)
    said = [
        (critical["low"].notna().any(), " Bars: 95 % intervals."),
        (predictions["low"].notna().any(), " Band: 95 % interval of the law."),
        (theory is not None, " Dashed: the slope that theory asks for, through the middle of the stars."),
        (predictions["extrapolated"].any(), " Circles: predicted, extrapolated beyond the grid."),
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
    ),
)
register_section(WideSection(name="estimates", write=estimates))
