"""The scaling law of the held-out loss: its parameters, where it fails, and how it does on runs it has not seen."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.formatting import (
    format_bytes,
    format_count,
    format_known,
    format_number,
    format_range,
    format_signed,
    join,
    known_digits,
    sentence,
)
from analysis.plots import Curve, draw_marks, log_scales, name_curves, new_axes, styled
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Grid, Heading, Text
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.figure_groups import figure_groups
from analysis.report.summary_keys import Summary
from analysis.scaling import FORMULAS, SYMBOLS, HeldOutTest, OwnFit, law_of
from analysis.study import Study


def fit(summary: Summary) -> list[Block]:
    """The scaling law of the held-out loss."""
    found = summary["fit"]
    if not found:
        return []
    of = f" of {found['group']}" if found.get("group") and len(summary["laws"]) > 1 else ""
    if not found["success"]:
        return [Text(f"No scaling law can be given for the held-out loss{of}: {found['message']}.")]
    said = [
        f"L(N, D) = {FORMULAS[_form(found)]} for the held-out loss{of} in bits per byte, fitted to {found['n_points']} "
        f"points by the Huber loss of log-residuals with δ = {found['delta']:.3g}.",
        *map(sentence, (found["interval"]["message"], found["interval"]["varies"])),
        *_choice(found),
        *map(sentence, found["notes"]),
    ]
    values = law_of(found).parameters
    rows = tuple(_parameter(name, value, found["ci95"].get(name)) for name, value in values.items())
    return [Text(" ".join(said)), Grid(("", "value", "95 % interval"), rows, "lrr"), *_worst(found)]


def _form(found: OwnFit) -> str:
    return found.get("form") or "plain"


def _choice(found: OwnFit) -> list[str]:
    """Which forms were tried, and why this one is here."""
    tried = found["forms"]
    if len(tried) < 2:
        return []
    known = [one for one in tried if one["identified"] and one["held_out_error"] is not None]
    errors = join(f"{one['form']} {_error(one['held_out_error'])}" for one in known)
    said = [f"Of the forms that the cells identify, this one has the least mean error on held-out cells: {errors}."]
    said += [
        f"The form {one['form']} was tried too, but the cells do not suffice for it "
        f"({(one['message'] or '').removeprefix('no interval: ')})."
        for one in tried
        if not one["identified"]
    ]
    return said


def _parameter(name: str, value: float, ends: list[float] | None) -> tuple[str, ...]:
    """Without a standard error: the draws of A and B are log-normal."""
    low, high = ends or (None, None)
    return (
        SYMBOLS.get(name, name),
        format_number(known_digits(value, low, high)),
        format_range(low, high, lambda end: format_number(end, n_digits=2)),
    )


def _worst(found: OwnFit) -> list[Block]:
    """Where the form fails: the plain one knows no overfitting."""
    off = [(row, row["loss"] / row["fitted"] - 1) for row in found["residuals"] if row["fitted"]]
    if not off:
        return []
    worst, error = max(off, key=lambda pair: abs(pair[1]))
    text = (
        f"The cell farthest from the law is {format_signed(100 * error, 0)} % off: "
        f"{format_count(worst['n_params'])} parameters, trained on {format_bytes(worst['subset_bytes'])}."
    )
    if _form(found) == "plain":
        text += " In this form the loss never rises with N, so it cannot hold where models overfit a small subset."
    return [Text(text)]


def held_out(summary: Summary) -> list[Block]:
    """How far the law is off on runs that it has not seen, beside two guesses that fit nothing."""
    splits = summary["fit"]["held_out"] if summary["fit"] else []
    if not splits:
        return []
    cells = tuple(
        (
            _condition(split),
            f"{split['n_held_out']} of {split['n_held_out'] + split['n_kept']}",
            _error(split["error"]),
            _error(split["last_value_error"]),
            _error(split["nearest_error"]),
        )
        for split in splits
    )
    reasons = [sentence(split["message"]) for split in splits if split["error"] is None]
    header = ("held out", "cells", "law", "last value", "nearest run")
    text = (
        "The law was fitted without some of the runs. The table shows its mean relative error on those runs, beside "
        "two guesses that fit nothing: the loss of the remaining run with the most compute (last value), and the loss "
        "of the nearest remaining run."
    )
    return [
        Heading("Held-out test"),
        Text(text),
        Grid(header, cells, "lrrrr"),
        *(Text(reason, "small") for reason in reasons),
        *_beaten(splits),
    ]


def _beaten(splits: list[HeldOutTest]) -> list[Block]:
    """Where the nearest run predicts the runs left out better than the law does."""
    errors = [(split, split["error"], split["nearest_error"]) for split in splits]
    tested = [(split, law, nearest) for split, law, nearest in errors if law is not None and nearest is not None]
    beaten = [(split, law, nearest) for split, law, nearest in tested if nearest < law]
    if not beaten:
        return []
    where = join(f"{_error(nearest)} against {_error(law)} ({_split(split)})" for split, law, nearest in beaten)
    text = (
        f"In {len(beaten)} of {len(tested)} tests, the nearest run is closer than the law: {where}. The nearest run is "
        "a guess that fits nothing, so there the law has not shown that it predicts."
    )
    return [Text(text)]


def _split(split: HeldOutTest) -> str:
    """For a sentence: a cut such as C > 7.93e14 would be too long."""
    return "most compute" if split["cut"] and split["cut"]["column"] == "C" else split["held_out"]


def _condition(split: HeldOutTest) -> str:
    """C > 7.93e14 FLOPs, or largest N."""
    cut = split["cut"]
    if cut is None:
        return split["held_out"]
    unit = " FLOPs" if cut["column"] == "C" else ""
    return f"{cut['column']} {cut['operator']} {format_number(cut['bound'])}{unit}"


def _error(error: float | None) -> str:
    return format_known(error, lambda known: f"{100 * known:.2f} %")


_N_STEPS = 60


def fit_points(fit: OwnFit) -> pd.DataFrame:
    """The fitted cells: n_params, subset_bytes, loss, fitted, residual = loss / fitted − 1."""
    points = pd.DataFrame(fit["residuals"])
    return points.assign(residual=points["loss"] / points["fitted"] - 1)


def fit_lines(fit: OwnFit) -> pd.DataFrame:
    """The law over the sizes that were fitted, a line per dataset size: n_params, subset_bytes, loss."""
    points, law = pd.DataFrame(fit["residuals"]), law_of(fit)
    n_params = np.geomspace(points["n_params"].min(), points["n_params"].max(), _N_STEPS)
    return pd.concat(
        pd.DataFrame({"n_params": n_params, "subset_bytes": d, "loss": law.predict(n_params, d, _epochs(points, d))})
        for d in sorted(set(points["subset_bytes"]))
    )


def _epochs(points: pd.DataFrame, subset_bytes: float) -> float:
    own = points[points["subset_bytes"] == subset_bytes]
    return float(own["epochs"].median()) if "epochs" in own else 1.0


_DODGE = 1.06  # a marker's place at its N, as a factor of its neighbor's


def plot_fit(points: pd.DataFrame, lines: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Held-out loss against N: measured cells as marks, the fitted law as lines, one per dataset size.

    Tables as of `fit_points` and `fit_lines`.
    """
    axes, curves = new_axes(ax), []
    for (subset_bytes, own), style in styled(points, "subset_bytes"):
        draw_marks(axes, own["n_params"].tolist(), own["loss"].tolist(), style)
        line = lines[lines["subset_bytes"] == subset_bytes]
        axes.plot(line["n_params"], line["loss"], **style | {"marker": None, "linewidth": 1.2})
        name = format_bytes(float(subset_bytes))
        curves.append(Curve(line["n_params"].tolist(), line["loss"].tolist(), name, style))
    log_scales(axes, format_count, lambda loss: f"{loss:g}")
    axes.set_xlabel("model size N, parameters")
    axes.set_ylabel("held-out loss, bits per byte")
    name_curves(axes, curves)
    return axes


def plot_residuals(points: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Measured over fitted loss, less one, against N; marker and color give the dataset size."""
    axes, groups = new_axes(ax), styled(points, "subset_bytes")
    axes.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    for i, ((subset_bytes, own), style) in enumerate(groups):
        beside = _DODGE ** (i - (len(groups) - 1) / 2)
        look = style | {"linestyle": "none", "markersize": 4, "label": format_bytes(float(subset_bytes))}
        axes.plot(own["n_params"] * beside, 100 * own["residual"], **look)
    log_scales(axes, format_count, None)
    axes.set_xlabel("model size N, parameters")
    axes.set_ylabel("residual: measured / fitted − 1, %")
    axes.legend(frameon=False, fontsize=9.5, loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.1)
    return axes


_CAPTIONS = {
    "fit": "Held-out loss: measured cells (markers) and the fitted law (lines), one line per dataset size.",
    "residuals": "Residuals of the fit: measured loss / fitted loss − 1, against model size. Markers of different "
    "dataset sizes are set side by side.",
}


def _figures(study: Study, measured: Measured) -> list[Figure]:
    """Of the group that was fitted."""
    found = measured["fit"]
    if not (found and found["success"] and found.get("residuals")):
        return []
    points, lines = fit_points(found), fit_lines(found)
    plots = {"fit": partial(plot_fit, points, lines), "residuals": partial(plot_residuals, points)}
    return [
        shown.figure(name, plot, _CAPTIONS[name])
        for shown in figure_groups(study, with_rates=True)
        if found.get("group", shown.group) == shown.group
        for name, plot in plots.items()
    ]


register_section(
    WideSection(
        name="scaling_law",
        title="Scaling law of the held-out loss",
        measure=lambda study: {"fit": study.fit},
        write=fit,
        draw=_figures,
        shows=("fit", "residuals"),
        tables=(
            CsvTable("fit", "fit_residuals", within="residuals"),
            CsvTable("fit", "held_out_test", within="held_out"),
        ),
    ),
)
register_section(WideSection(name="held_out_test", write=held_out))
