"""The scaling law of the held-out loss: its parameters, where it fails, and how it does on runs it has not seen."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.formatting import format_bytes, format_count, format_flops, format_range, join, sentence
from analysis.plots import Curve, draw_marks, log_scales, name_curves, new_axes, styled
from analysis.report.elements import Block, Grid, Heading, Text
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.shown import groups_shown
from analysis.scaling import FORMULAS, SYMBOLS, law_of
from analysis.study import Study
from analysis.types import Json


def fit(summary: Json) -> list[Block]:
    """The scaling law of the held-out loss."""
    found = summary["fit"]
    if not found:
        return []
    of = f" of {found['group']}" if found.get("group") and len(summary["laws"]) > 1 else ""
    if not found["success"]:
        return [Text(f"No scaling law can be given for the held-out loss{of}: {found['message']}.")]
    text = (
        f"L(N, D) = {FORMULAS[_form(found)]} for the held-out loss{of} in bits a byte, {found['n_points']} points, "
        f"Huber loss of log-residuals with δ = {found['delta']:.3g}. "
        f"{sentence(found.get('interval', {}).get('message'))} "
        f"{sentence(found.get('interval', {}).get('varies'))}"
    )
    rows = tuple(_parameter(found, name) for name in law_of(found).parameters)
    text = " ".join(
        [text.strip(), *_choice(found), *(f"{note[:1].upper()}{note[1:]}." for note in found.get("notes") or ())]
    )
    return [Text(text), Grid(("", "value", "95 % interval"), rows, "lrr"), *_worst(found)]


def _form(found: Json) -> str:
    return found.get("form") or "plain"


def _choice(found: Json) -> list[str]:
    """Which forms were tried, and why this one is here."""
    tried = found.get("forms") or []
    if len(tried) < 2:
        return []
    known = [one for one in tried if one["identified"] and one["held_out_error"] is not None]
    off = join(f"{one['form']} {_error(one['held_out_error'])}" for one in known)
    said = [f"Of the forms that the cells identify it is off least on cells held out, on average: {off}."]
    said += [f"The form {one['form']} is not offered: {one['message']}." for one in tried if not one["identified"]]
    return said


def _parameter(found: Json, name: str) -> tuple[str, ...]:
    """Without a standard error: the draws of A and B are log-normal."""
    symbol = SYMBOLS.get(name, name)
    ends = found["ci95"].get(name) or (None, None)
    return symbol, _plain(found[name], 3), format_range(ends[0], ends[1], lambda value: _plain(value, 3))


def _worst(found: Json) -> list[Block]:
    """Where the form fails: the plain one knows no overfitting."""
    rows = [row for row in found.get("residuals") or [] if row["fitted"]]
    if not rows:
        return []
    worst = max(rows, key=lambda row: abs(row["loss"] / row["fitted"] - 1))
    off = 100 * (worst["loss"] / worst["fitted"] - 1)
    text = (
        f"The cell farthest from it is {off:+.0f} % off, {format_count(worst['n_params'])} parameters trained on "
        f"{format_bytes(worst['subset_bytes'])}."
    )
    if _form(found) == "plain":
        text += " In this form the loss never rises with N, so it cannot hold where models overfit a small subset."
    return [Text(text)]


def _plain(value: float, digits: int) -> str:
    return f"{value:.{digits}g}".replace("e+0", "e").replace("e+", "e")


def held_out(summary: Json) -> list[Block]:
    """How far the law is off on runs that it has not seen, beside two guesses that fit nothing."""
    splits = (summary["fit"] or {}).get("held_out") or []
    if not splits:
        return []
    cells = tuple(
        (_condition(s["held_out"]), f"{s['n_held_out']} of {s['n_held_out'] + s['n_kept']}", _error(s["error"]),
         _error(s["last_value_error"]), _error(s["nearest_error"]))
        for s in splits
    )  # fmt: skip
    reasons = [sentence(s["message"]) for s in splits if s["error"] is None]
    header = ("held out", "cells", "law", "last value", "nearest run")
    text = (
        "The law fitted without some of the runs, and its mean relative error on those, beside two guesses that fit "
        "nothing: the loss of the kept run of most compute, and that of the nearest kept run."
    )
    return [
        Heading("Held-out test"),
        Text(text),
        Grid(header, cells, "lrrrr"),
        *(Text(reason, "small") for reason in reasons),
        *_beaten(splits),
    ]


def _beaten(splits: list[Json]) -> list[Block]:
    """Where the nearest run predicts the runs left out better than the law does."""
    beaten = [s for s in splits if s["error"] is not None and s["nearest_error"] < s["error"]]
    if not beaten:
        return []
    tested = sum(s["error"] is not None for s in splits)
    where = join(f"{_error(s['nearest_error'])} against {_error(s['error'])} ({_split(s)})" for s in beaten)
    text = (
        f"In {len(beaten)} of {tested} tests the nearest run, a guess that fits nothing, is closer than the law: "
        f"{where}. There the law has not shown that it predicts."
    )
    return [Text(text)]


def _split(split: Json) -> str:
    """`largest N` as it is; a cut such as C>7.9e14 is too long for a sentence."""
    return "most compute" if split["held_out"].startswith("C>") else str(split["held_out"])


def _condition(text: str) -> str:
    """C>7.92723e+14 as C > 7.93e14 FLOPs."""
    name, sign, bound = re.match(r"(C?)([<>]=?)?(.*)", text).groups()  # type: ignore[union-attr]
    return f"{name} {sign} {format_flops(float(bound))} FLOPs" if name and sign else text


def _error(error: float | None) -> str:
    return "–" if error is None else f"{100 * error:.2f} %"


_N_STEPS = 60


def fit_points(fit: Json) -> pd.DataFrame:
    """The fitted cells: n_params, subset_bytes, loss, fitted, residual = loss / fitted − 1."""
    points = pd.DataFrame(fit["residuals"])
    return points.assign(residual=points["loss"] / points["fitted"] - 1)


def fit_lines(fit: Json) -> pd.DataFrame:
    """The law over the sizes that were fitted, a line a dataset size: n_params, subset_bytes, loss."""
    points, law = pd.DataFrame(fit["residuals"]), law_of(fit)
    n_params = np.geomspace(points["n_params"].min(), points["n_params"].max(), _N_STEPS)
    return pd.concat(
        pd.DataFrame({"n_params": n_params, "subset_bytes": d, "loss": law.predict(n_params, d, _epochs(points, d))})
        for d in sorted(set(points["subset_bytes"]))
    )


def _epochs(points: pd.DataFrame, subset_bytes: float) -> float:
    own = points[points["subset_bytes"] == subset_bytes]
    return float(own["epochs"].median()) if "epochs" in own else 1.0


_DODGE = 1.06  # a mark's place at its N, as a factor of its neighbour's


def plot_fit(points: pd.DataFrame, lines: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Held-out loss against N: measured cells as marks, the fitted law as lines, one a dataset size.

    Tables as made by `lines.fit_points` and `lines.fit_lines`.
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
    """Measured over fitted loss, less one, against N; mark and colour say the dataset size, side by side at each N."""
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
    "fit": "Held-out loss: measured cells (marks) and the fitted law (lines), one a dataset size.",
    "residuals": "What the fit leaves: measured over fitted loss, less one, against model size. The dataset sizes "
    "stand side by side.",
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
        for shown in groups_shown(study, with_rates=True)
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
    ),
)
register_section(WideSection(name="held_out_test", write=held_out))
