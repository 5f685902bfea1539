"""Sections of diagnostics: the scaling law of the held-out loss and its tests, seeds, compute."""

from __future__ import annotations

import re

from analysis.formatting import format_bytes, format_count, format_flops, format_range, join, sentence
from analysis.report.elements import Block, Grid, Heading, Text, named_grid
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
        f"L(N, D) = E + A·N^−α + B·D^−β for the held-out loss{of} in bits a byte, {found['n_points']} points, Huber "
        f"loss of log-residuals with δ = {found['delta']:.3g}. {sentence(found.get('interval', {}).get('message'))} "
        f"{sentence(found.get('interval', {}).get('varies'))}"
    )
    rows = tuple(_parameter(found, name) for name in ("E", "A", "B", "alpha", "beta"))
    text = " ".join([text.strip(), *(f"{note[:1].upper()}{note[1:]}." for note in found.get("notes") or ())])
    return [Text(text), Grid(("", "value", "95 % interval"), rows, "lrr"), *_worst(found)]


def _parameter(found: Json, name: str) -> tuple[str, ...]:
    """Without a standard error: the draws of A and B are log-normal."""
    symbol = {"alpha": "α", "beta": "β"}.get(name, name)
    ends = found["ci95"].get(name) or (None, None)
    return symbol, _plain(found[name], 3), format_range(ends[0], ends[1], lambda value: _plain(value, 3))


def _worst(found: Json) -> list[Block]:
    """Where the form fails: it knows no overfitting."""
    rows = [row for row in found.get("residuals") or [] if row["fitted"]]
    if not rows:
        return []
    worst = max(rows, key=lambda row: abs(row["loss"] / row["fitted"] - 1))
    off = 100 * (worst["loss"] / worst["fitted"] - 1)
    return [
        Text(
            f"The cell farthest from it is {off:+.0f} % off, {format_count(worst['n_params'])} parameters trained on "
            f"{format_bytes(worst['subset_bytes'])}. In this form the loss never rises with N, so it cannot hold where "
            "models overfit a small subset."
        )
    ]


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


def seeds(summary: Json) -> list[Block]:
    """How far cells of one size lie apart: a table of model sizes by dataset sizes."""
    rows = [row for row in summary["seeds"] if row["relative_sd"] is not None]
    if not rows:
        return []
    blocks: list[Block] = [
        Heading("Spread between seeds"),
        Text(
            "Standard deviation of the own subset's code length between cells of one model size and dataset size, "
            f"relative to the code length. {_VARIES.get(summary['intervals']['kind'], '')} –: run once."
        ),
    ]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    for group in groups:
        own = [row for row in rows if row["group"] == group]
        begin = f"{group}: " if len(groups) > 1 else ""
        pooled, training = _error(own[0]["pooled_relative_sd"]), own[0]["pooled_training_sd"]
        if training not in (None, own[0]["pooled_relative_sd"]):
            pooled += f"; between training seeds of one corpus seed: {_error(training)}"
        blocks += [_spread_table(own), Text(f"{begin}Pooled over all sizes: {pooled}.", "small")]
    return blocks


_VARIES = {
    "both": "Corpus seeds and training seeds together.",
    "corpus seeds": "Between corpus seeds.",
    "seeds": "Between training seeds.",
}


def _spread_table(rows: list[Json]) -> Grid:
    sizes = sorted({(row["n_params"], row["size"]) for row in rows})
    data = sorted({row["subset_bytes"] for row in rows})
    at = {(row["n_params"], row["subset_bytes"]): row for row in rows}
    cells = tuple(
        (size, f"{n:,}", *(_error(at[n, d]["relative_sd"]) if (n, d) in at else "–" for d in data)) for n, size in sizes
    )
    return Grid(("shape", "parameters", *map(format_bytes, data)), cells, "lr" + "r" * len(data))


def compute(summary: Json) -> list[Block]:
    """Per dataset size what the code pays for and what as much training compute would buy, or why it is not asked."""
    if reason := summary.get("compute_not_asked"):
        return [Text(reason, "small")]
    rows = [row for row in summary["compute"] if row["mdl_optimal_n"] is not None]
    if not any(row["compute_optimal_n"] is not None for row in rows):
        return []
    cells = [
        (format_bytes(row["subset_bytes"]), format_count(row["mdl_optimal_n"]), format_flops(row["mdl_optimal_flops"]),
         "–" if row["compute_optimal_n"] is None else format_count(row["compute_optimal_n"]))
        for row in rows
    ]  # fmt: skip
    header = ("dataset", "MDL-optimal size", "its training FLOPs", "compute-optimal at as many FLOPs")
    text = (
        "The size with the least held-out loss for as many training FLOPs as training the critical size takes, were "
        "data no limit. –: beyond the sizes that were run."
    )
    return [Text(text), named_grid(header, cells, "lrrr", [row["group"] for row in rows])]
