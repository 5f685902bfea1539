"""Page one in words: the critical sizes, the law they follow, and what a reader might otherwise take wrongly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from analysis.critical import FOLLOWED
from analysis.formatting import (
    format_bytes,
    format_count,
    format_end,
    format_percent,
    format_range,
    format_size,
    join,
    known_digits,
)
from analysis.records import rows_of
from analysis.report.elements import Block, Grid, Text, named_grid
from analysis.report.section import WideSection, register_section
from analysis.report.sections import overlapping_windows, paper_table_page
from analysis.report.sections.convergence import budget_sentence
from analysis.report.sections.warnings import place, warnings
from analysis.study import Study
from analysis.types import Json

_MOST_TOLD = 3  # groups that have a paragraph each
_MOST_PHRASES = 3  # dataset sizes that are told in the paragraph; of more the largest, for the table has each
_SAME_BYTES = 0.5  # share of the blocks that two subsets of one size have in common
_SURE = 0.975  # of the replicates; with fewer inside, an end of the interval may be the grid's edge


def answer(summary: Json) -> list[Block]:
    """The sentences and the table that a reader came for."""
    if not summary["critical"]:
        return [Text(_nothing(summary), "lead")]
    blocks: list[Block] = []
    warned = [Text(text, "note") for text in (overlapping_windows.told(summary), *warnings(summary)) if text]
    if len(summary["laws"]) > _MOST_TOLD:
        return [Text(_counted(summary), "lead"), answer_table(summary), *warned, Text(_caveat(summary), "small")]
    for law in summary["laws"]:
        own = [row for row in summary["critical"] if row["group"] == law["group"]]
        begin = f"{law['group']}: " if len(summary["laws"]) > 1 else ""
        sentences = [_law(law, own), _located(own), *_open(own), budget_sentence(summary, law["group"])]
        blocks.append(Text(begin + " ".join(s for s in sentences if s), "lead"))
    return [*blocks, answer_table(summary), *warned, Text(_caveat(summary), "small")]


def _counted(summary: Json) -> str:
    """Many corpora, contexts or vocabularies: the table tells of each."""
    rows = summary["critical"]
    found = [row["n_params"] for row in rows if row["status"] == "bracketed"]
    text = f"{len(found)} of {len(rows)} critical model sizes lie within their grids"
    if not found:
        return text + "; the table says which way each lies."
    return f"{text}, from {format_count(min(found))} to {format_count(max(found))} parameters; the table has each."


def _nothing(summary: Json) -> str:
    if said := paper_table_page.lead(summary):
        return said
    if not summary["n_cells"]:
        return "No cell has been recorded, so nothing can be said about a critical model size. Run the sweep first."
    if summary["n_failed"] == summary["n_cells"]:
        return "Every cell failed, so nothing can be said about a critical model size. The reasons are below."
    if summary.get("online"):
        return (
            "Every cell is an online run, whose parameters cost nothing, so nothing can be said about a critical model "
            "size; what they code is below."
        )
    return "No cell's own subset was coded in full, so nothing can be said about a critical model size."


def _located(rows: list[Json]) -> str:
    found = [row for row in rows if row["status"] == "bracketed"]
    if not found:
        return "No critical model size can be given within this grid."
    told = found if len(found) <= _MOST_PHRASES else [found[-1]]
    phrases = [_phrase(row, *(("", "") if i else (" parameters", " of data"))) for i, row in enumerate(told)]
    return f"The adjusted rate is least at {join(phrases)}. {_flat(told[-1])}".strip()


def _phrase(row: Json, parameters: str, of_data: str) -> str:
    """11 K parameters for 300 KB of data (95 %: 9.8 K to 13 K)."""
    interval = span(row, format_count)
    known = f" (95 %: {interval})" if interval != "–" else ""
    n = format_count(known_digits(row["n_params"], row.get("low"), row.get("high")))
    return f"{n}{parameters} for {format_bytes(row['subset_bytes'])}{of_data}{known}"


def _flat(row: Json) -> str:
    """How much the choice matters, at one dataset size."""
    if row.get("near_low") is None:
        return ""
    sizes = _ends(row, row["near_low"], row["near_high"], format_count).replace(" to ", " and ")
    return f"At {format_bytes(row['subset_bytes'])} any size between {sizes} is within 1 % of the minimum."


def _open(rows: list[Json]) -> list[str]:
    return [f"For {format_bytes(r['subset_bytes'])}: {r['message']}." for r in rows if r["status"] != "bracketed"]


def _law(law: Json, rows: list[Json]) -> str:
    if law["gamma"] is None:
        return f"How the critical size grows with the data cannot be said: {law['message']}." if len(rows) > 1 else ""
    error = "through two dataset sizes, which any such law passes: no interval"
    if law["gamma_se"] is not None:
        error = f"standard error {law['gamma_se']:.2g}, {law['n_points']} dataset sizes"
    if law.get("gamma_low") is not None and law.get("gamma_high") is not None:
        error = f"95 %: {law['gamma_low']:.2f} to {law['gamma_high']:.2f}, {law['n_points']} dataset sizes"
    text = f"The critical size grows as D^γ with γ = {law['gamma']:.2f} ({error})"
    return f"{text}: about {format_count(law['k'] * 1e6 ** law['gamma'])} × (D / 1 MB)^γ parameters."


def answer_table(summary: Json) -> Grid:
    """Dataset size, critical model size, how flat it lies, adjusted and raw rate there, best classical coder."""
    intervals = [span(row, format_count) for row in summary["critical"]]
    kinds = {row["interval"] for row in summary["critical"] if row["low"] is not None}
    if kinds > {"pooled"}:
        intervals = [f"{text}, pooled" if row["interval"] == "pooled" else text
                     for text, row in zip(intervals, summary["critical"], strict=True)]  # fmt: skip
    known = ("95 % interval, pooled" if kinds == {"pooled"} else "95 % interval",) if kinds else ()
    near = ("within 1 %",) if any(row.get("near_low") is not None for row in summary["critical"]) else ()
    header = ("dataset", "critical size", *known, *near, "adjusted rate", "raw rate", "best classical coder")
    rows = [
        answer_row(row, (*((interval,) if known else ()), *((near_least(row),) if near else ())))
        for row, interval in zip(summary["critical"], intervals, strict=True)
    ]
    columns = "l" + "r" * (len(header) - 1)
    return named_grid(header, rows, columns, [row["group"] for row in summary["critical"]])


def near_least(row: Json) -> str:
    """The sizes whose adjusted rate is within a hundredth of the least."""
    return _ends(row, row.get("near_low"), row.get("near_high"), format_count)


def span(row: Json, name: Callable[[float], str]) -> str:
    """The 95 % interval."""
    return _ends(row, row.get("low"), row.get("high"), name)


def _ends(row: Json, low: float | None, high: float | None, name: Callable[[float], str]) -> str:
    """9.8 K to 13 K; with ≤ or ≥ where what was looked at ends there."""
    least, most = row.get("least_size") or 0, row.get("most_size") or math.inf
    if low is not None and high is not None and (low < 0.99 * least or high > 1.01 * most):
        least, most = 1.01 * least / FOLLOWED, most * FOLLOWED / 1.01  # so far beyond the sizes the law was followed
    return format_range(low, high, lambda n: format_end(n, least, most, name))


def answer_row(row: Json, interval: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Of one of the summary's critical sizes; `interval`: cells after the size."""
    best = format_count(row["grid_best"])
    size, at = "too few sizes", f" at {best}"
    if row["status"] == "bracketed":
        size, at = format_size(row["n_params"], row.get("low"), row.get("high")), ""
    elif row["status"] in ("below", "above"):
        size = f"{'≤' if row['status'] == 'below' else '≥'} {best}, not bracketed"
    coder = f"{row['coder']} {format_percent(row['classical_rate'])}" if row["coder"] else "not run"
    rates = format_percent(row["adjusted_rate"]) + at, format_percent(row["raw_rate"])
    return format_bytes(row["subset_bytes"]), size, *interval, *rates, coder


def _caveat(summary: Json) -> str:
    seeds = sorted({row["n_seeds"] for row in summary["rates"]})
    number = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    text = (
        f"Adjusted rate: (code of the subset + parameters) / subset. Cells (seeds) a point: {number}. "
        f"{summary['intervals']['note'] or ''}{_shared(summary)} Within 1 %: the model sizes "
        "whose adjusted rate is at most a hundredth above the least. A critical size, and the rates there, are those "
        "of a smooth law of the code length through the shapes about the minimum, and belong to this training recipe. "
        "Models: ideal code length. Classical coders: true file size of the same "
        "bytes, whole."
    )
    inside = [row for row in summary["critical"] if row["status"] == "bracketed" and row["p_bracketed"] is not None]
    at_edge = [row for row in inside if row["p_bracketed"] < _SURE]
    if at_edge:
        rows = [f"{format_percent(1 - row['p_bracketed'])} at {place(row, summary)}" for row in at_edge]
        text += f" With a chance of {join(rows)} the minimum lies beyond the sizes that were run."
    return text


def _shared(summary: Json) -> str:
    """How far two orders of one corpus are two draws: of the largest subsets they share most bytes."""
    seeds: dict[str, set[int]] = {}
    for corpus in summary["corpora"]:
        seeds.setdefault(corpus["corpus"], set()).add(corpus["shuffle_seed"])
    shares = [
        (row["subset_bytes"] / corpus["train_bytes"], row["subset_bytes"])
        for corpus in summary["corpora"]
        for row in summary["critical"]
        if row["corpus"] == corpus["corpus"] and len(seeds[corpus["corpus"]]) > 1 and corpus["train_bytes"]
    ]
    if not shares:
        return ""
    share, d = max(shares)
    hardly = "; there they are hardly two draws" if share > _SAME_BYTES else ""
    return (
        f" Two orders of a corpus have as great a share of their blocks in common as a subset is of it: "
        f"{format_percent(share)} at {format_bytes(d)}{hardly}."
    )


def notes(summary: Json) -> list[Block]:
    """What a reader might otherwise take wrongly."""
    said = [_memorising(summary), _unpaid(summary), _against_classical(summary)]
    return [Text(note, "note") for note in said if note]


def _memorising(summary: Json) -> str:
    found = summary["memorising"]
    gap = found["largest_gap"]
    if gap is None:
        return ""
    own, unseen, adjusted = (format_percent(gap[name]) for name in ("raw_rate", "heldout_rate", "adjusted_rate"))
    text = (
        f"Memorising: {found['n_memorising']} of {found['n_models']} cells code their own subset better than unseen "
        f"bytes, by over a tenth more than a model too small to memorise does, most of all {gap['size']} on "
        f"{place(gap, summary)} ({own} on the subset, {unseen} held out). What they know by heart is in their "
        f"parameters; the adjusted rate, {adjusted} there, counts them."
    )
    if found["n_by_heart"]:
        text += (
            f" {found['n_by_heart']} of them code unseen bytes at 100 % or more: they have learned nothing but the "
            "subset by heart, and their raw rate below 100 % is no compression."
        )
    return text


def _unpaid(summary: Json) -> str:
    sizes = [place(row, summary) for row in summary["critical"] if row["adjusted_rate"] >= 1]
    if not sizes:
        return ""
    return f"Not paid for: at {join(sizes)} even the least adjusted rate is 100 % or more; plain bytes cost less."


def _against_classical(summary: Json) -> str:
    rows = [row for row in summary["critical"] if row["classical_rate"] is not None]
    won = [place(row, summary) for row in rows if row["adjusted_rate"] < row["classical_rate"]]
    if not rows:
        return ""
    if not won:
        return "At every dataset size the best classical coder is shorter than the best model with its parameters."
    return f"At {join(won)} the best model with its parameters counted is shorter than the best classical coder."


def memorising(rates: pd.DataFrame) -> Json:
    """Models that code their own subset better than unseen bytes by a tenth more than the least memorising model does.

    Held-out files may be harder or easier than the rest: that model's ratio of the two rates, 1 at the most, tells.
    And nobody knows more by heart than two bytes a parameter: a larger gap is of other files.
    """
    known = rates[rates["heldout_rate"].notna()]
    ratios = known["raw_rate"] / known["heldout_rate"]
    usual = ratios.groupby(known["group"]).transform("max").clip(upper=1.0)
    # Held-out bytes cost as much as they are: what such a model knows of its subset is that subset alone.
    by_heart = known[(known["heldout_rate"] >= 1) & (known["raw_rate"] < 1)]
    gap_bytes = (known["heldout_rate"] - known["raw_rate"]) * known["subset_bytes"]
    held = (ratios < 0.9 * usual) & (gap_bytes <= 2 * known["n_params"])
    below = known[held | known.index.isin(by_heart.index)]
    ratio = below["raw_rate"] / below["heldout_rate"]
    columns = ["group", "size", "subset_bytes", "n_params", "raw_rate", "heldout_rate", "adjusted_rate"]
    return {
        "n_models": len(known),
        "n_memorising": len(below),
        "n_by_heart": len(by_heart),
        "largest_gap": rows_of(below.loc[[ratio.idxmin()], columns])[0] if len(below) else None,
    }


def _measure(study: Study) -> dict[str, Any]:
    return {"critical": study.critical, "intervals": study.intervals, "memorising": memorising(study.rates)}


register_section(
    WideSection(name="answer", measure=_measure, write=lambda summary: [*answer(summary), *notes(summary)]),
)
