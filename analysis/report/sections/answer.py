"""Page one in words: the critical sizes, the law they follow, and what a reader might otherwise take wrongly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from analysis.formatting import format_about, format_bytes, format_percent, format_size, join
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Text
from analysis.report.group_names import place
from analysis.report.rows.codes import OnlineRow
from analysis.report.rows.critical import CriticalRow, LawRow
from analysis.report.section import WideSection, register_section
from analysis.report.sections import memorising, overlapping_windows, paper_table_page, searched_size
from analysis.report.sections.answer_table import answer_table, coded_cell, coded_rows, near_least, span
from analysis.report.sections.convergence import budget_sentence
from analysis.report.sections.warnings import warnings
from analysis.report.summary_keys import Summary
from analysis.study import Study

_DEFINITION = (
    "The critical size is the number of parameters at which a model and the data that it encodes take the fewest bytes "
    "together."
)
_MOST_TOLD = 3  # groups that have a paragraph each
_MOST_PHRASES = 3  # dataset sizes that the paragraph names; of more the largest alone, for the table has each
_SAME_BYTES = 0.5  # share of the blocks that two subsets of one size have in common
_SURE = 0.975  # of the replicates; with fewer inside, an end of the interval may be the grid's edge


def answer(summary: Summary) -> list[Block]:
    """The sentences and the table that a reader came for."""
    if not summary["critical"]:
        return [Text(_nothing(summary), "lead")]
    first, *others = _lead(summary)
    searched = searched_size.told(summary)
    return [
        *([Text(searched, "lead")] if searched else []),
        replace(first, text=f"{_DEFINITION} {first.text}"),
        *others,
        answer_table(summary),
        *(Text(text, "note") for text in (overlapping_windows.told(summary), *warnings(summary)) if text),
    ]


def _lead(summary: Summary) -> list[Text]:
    """A paragraph per group; one paragraph about all where there are many."""
    laws = summary["laws"]
    if len(laws) > _MOST_TOLD:
        return [Text(_counted(summary), "lead")]
    blocks: list[Text] = []
    for law in laws:
        own = [row for row in summary["critical"] if row["group"] == law["group"]]
        begin = f"{law['group']}: " if len(laws) > 1 else ""
        sentences = [
            _law(law, own),
            _located(own),
            *_open(own),
            _coded(summary, law["group"]),
            budget_sentence(summary, law["group"]),
        ]
        blocks.append(Text(begin + " ".join(s for s in sentences if s), "lead"))
    return blocks


def _coded(summary: Summary, group: str) -> str:
    """The largest critical size at the price that the weights' code has; empty: there is none."""
    found = [row for row in coded_rows(summary) if row["group"] == group and row["status"] == "bracketed"]
    if not found:
        return ""
    last = max(found, key=lambda row: row["subset_bytes"])
    size, rate = coded_cell(last)
    return (
        "If the weights are entropy-coded, so that a parameter costs what its code takes, the critical size of "
        f"{format_bytes(last['subset_bytes'])} is {size}, at {rate}."
    )


def _counted(summary: Summary) -> str:
    """Many corpora, contexts or vocabularies: the table has each."""
    rows = summary["critical"]
    found = _bracketed(rows)
    text = f"{len(found)} of {len(rows)} critical model sizes lie within their grids"
    if not found:
        return text + ". The table shows on which side each of them lies."
    ends = [by(found, key=lambda one: one[1]) for by in (min, max)]
    least, most = (format_size(n, row.get("low"), row.get("high")) for row, n in ends)
    return f"{text}, from {least} to {most} parameters. The table has each."


def _bracketed(rows: list[CriticalRow]) -> list[tuple[CriticalRow, float]]:
    """Rows whose critical size lies inside the grid, with it."""
    return [(row, row["n_params"]) for row in rows if row["status"] == "bracketed" and row["n_params"] is not None]


def _nothing(summary: Summary) -> str:
    if said := paper_table_page.lead(summary):
        return said
    if not summary["n_cells"]:
        return "No cell has been recorded, so nothing can be said about a critical model size. Run the sweep first."
    if summary["n_failed"] == summary["n_cells"]:
        return "Every cell failed, so nothing can be said about a critical model size. The reasons are below."
    if summary.get("online"):
        shortest = "; ".join(_shortest_online(summary["online"], where) for where in _online_places(summary))
        return (
            "Every cell is an online run: each byte is coded before the model learns from it, and the decoder learns "
            f"the same, so parameters cost nothing and there is no critical model size. {shortest}."
        )
    return "No cell's own subset was coded in full, so nothing can be said about a critical model size."


def _online_places(summary: Summary) -> list[tuple[str, int]]:
    return sorted({(row["group"], row["subset_bytes"]) for row in summary["online"]})


def _shortest_online(rows: list[OnlineRow], where: tuple[str, int]) -> str:
    """10 MB take 22.1 % with 96x4, the smallest of 3 shapes: at an end, others may be shorter still."""
    own = sorted((r for r in rows if (r["group"], r["subset_bytes"]) == where), key=lambda row: row["n_params"])
    best = min(own, key=lambda row: row["code_bits"])
    ends = {own[0]["n_params"]: "the smallest of ", own[-1]["n_params"]: "the largest of "}
    among = f", {ends.get(best['n_params'], 'of ')}{len(own)} shapes" if len(own) > 1 else ""
    rate = format_percent(best["code_bits"] / (8 * where[1]))
    return f"{format_bytes(where[1])} take {rate} with {best['size']}{among}"


def _located(rows: list[CriticalRow]) -> str:
    found = _bracketed(rows)
    if not found:
        return "No critical model size can be given within this grid."
    told = found if len(found) <= _MOST_PHRASES else found[-1:]
    units = [(" parameters", " of data"), *[("", "")] * len(told)]
    phrases = [_phrase(row, n, *unit) for (row, n), unit in zip(told, units, strict=False)]
    return f"The critical size is {join(phrases)}. {_flat(told[-1][0])}".strip()


def _phrase(row: CriticalRow, n_params: float, parameters: str, of_data: str) -> str:
    """11 K parameters for 300 KB of data (95 %: 9.8 K to 13 K)."""
    ends = span(row)
    known = f" (95 %: {ends[0]} to {ends[1]})" if ends else ""
    n = format_size(n_params, row.get("low"), row.get("high"))
    return f"{n}{parameters} for {format_bytes(row['subset_bytes'])}{of_data}{known}"


def _flat(row: CriticalRow) -> str:
    """How much the choice matters, at one dataset size."""
    ends = near_least(row)
    if ends is None:
        return ""
    size = format_bytes(row["subset_bytes"])
    return f"By the fitted curve, any size between {ends[0]} and {ends[1]} costs at most 1 % more at {size}."


def _open(rows: list[CriticalRow]) -> list[str]:
    return [f"For {format_bytes(r['subset_bytes'])}: {r['message']}." for r in rows if r["status"] != "bracketed"]


def _law(law: LawRow, rows: list[CriticalRow]) -> str:
    if law["gamma"] is None or law["k"] is None:
        return f"How the critical size grows with the data is not known: {law['message']}." if len(rows) > 1 else ""
    error = "no interval: a power law passes through any two dataset sizes"
    if law["gamma_se"] is not None:
        error = f"no interval: a line through {law['n_points']} dataset sizes"
    if law.get("gamma_low") is not None and law.get("gamma_high") is not None:
        error = f"95 %: {law['gamma_low']:.2f} to {law['gamma_high']:.2f}, {law['n_points']} dataset sizes"
    text = f"The critical size grows as D^γ with γ = {law['gamma']:.2f} ({error})"
    return f"{text}: about {format_about(law['k'] * 1e6 ** law['gamma'])} × (D / 1 MB)^γ parameters for D bytes."


def _caveat(summary: Summary) -> str:
    seeds = sorted({row["n_seeds"] for row in summary["rates"]})
    several = f"averages {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"averages {seeds[0]}"
    point = "is one cell" if seeds == [1] else f"{several} cells"
    text = (
        "The adjusted rate is (code + parameters) / D, and the raw rate code / D, where D is the dataset's size in "
        f"bytes. A cell is one shape (width × depth) trained on one dataset with one seed; each point {point}. "
        f"{summary['intervals']['note'] or ''}{_shared(summary)} "
        "Within 1 %: the model sizes whose adjusted rate is at most 1 % above the minimum. The critical sizes, and the "
        "rates there, are read from a smooth law of the code length, fitted to the shapes about the minimum. They hold "
        "for this training recipe. Code lengths of models are ideal ones. Those of classical coders are true file "
        "sizes of the same bytes, compressed as a whole."
    )
    if coded_rows(summary):
        text += (
            " Coded: a parameter costs what its code takes, at the best precision of each dataset size, and the data "
            "are coded by the weights as they decode."
        )
    inside = [(row, row["p_bracketed"]) for row, _ in _bracketed(summary["critical"])]
    at_edge = [(row, p) for row, p in inside if p is not None and p < _SURE]
    if at_edge:
        rows = [f"{format_percent(1 - p)} at {place(row, summary)}" for row, p in at_edge]
        text += f" With a probability of {join(rows)}, the minimum lies beyond the sizes that were run."
    return text


def _shared(summary: Summary) -> str:
    """How far two shuffles of one corpus are two samples: of the largest subsets they share most bytes."""
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
    hardly = ", so they are not independent samples" if share > _SAME_BYTES else ""
    return f" Two shuffles of a corpus share {format_percent(share)} of their bytes at {format_bytes(d)}{hardly}."


def notes(summary: Summary) -> list[Block]:
    """What a reader might otherwise take wrongly."""
    said = [memorising.note(summary), _unpaid(summary), _against_classical(summary)]
    caveat = [Text(_caveat(summary), "small")] if summary["critical"] else []
    return [*(Text(note, "note") for note in said if note), *caveat]


def _unpaid(summary: Summary) -> str:
    sizes = [place(row, summary) for row in summary["critical"] if row["adjusted_rate"] >= 1]
    if not sizes:
        return ""
    return f"Not paid for: at {join(sizes)} even the least adjusted rate is 100 % or more, so plain bytes cost less."


def _against_classical(summary: Summary) -> str:
    rows = [(row, row["classical_rate"]) for row in summary["critical"]]
    known = [(row, classical) for row, classical in rows if classical is not None]
    won = [place(row, summary) for row, classical in known if row["adjusted_rate"] < classical]
    if not known:
        return ""
    if not won:
        return f"At every dataset size, the best classical coder is shorter than the best model {_priced(summary)}."
    others = "" if len(won) == len(known) else " At the other dataset sizes the classical coder is."
    return (
        f"At {join(won)}, the best model {_priced(summary)} is shorter than the best classical coder that was run on "
        f"the same bytes in the same order.{others}"
    )


def _priced(summary: Summary) -> str:
    """At which price: at another one other models may win."""
    return f"with its parameters counted at the price {summary['cost']['name']}"


def _measure(study: Study) -> dict[str, Any]:
    return {
        "critical": study.critical,
        "intervals": study.intervals,
        "memorising": memorising.memorising(study.rates),
    }


register_section(
    WideSection(
        name="answer",
        measure=_measure,
        write=lambda summary: [*answer(summary), *notes(summary)],
        tables=(CsvTable("critical", "critical_size", even_empty=True),),
    ),
)
