"""The paper's Table 1 on our data, as two tables: raw and adjusted rates. The paper's numbers are grey, in %."""

from __future__ import annotations

from typing import Any

from analysis.formatting import format_bytes, join
from analysis.report.elements import Block, Grid, Text
from analysis.report.rows.comparisons import PaperRow
from analysis.report.summary_keys import Summary

_CITATION = "Delétang et al. 2024 (arXiv 2309.10668v2), Table 1"


def paper_table(summary: Summary) -> list[Block]:
    """What was coded, then raw and adjusted rates; nothing where `mdl baselines` was not run."""
    rows = summary["paper_table"]
    if not rows:
        return []
    data = list(dict.fromkeys(row["data"] for row in rows))
    blocks: list[Block] = [Text(_what(rows, data)), _raw(rows, data)]
    if any(row["kind"] != "classical" for row in rows):
        blocks += [Text(_how(rows)), _adjusted(rows, data)]
    return blocks


def _what(rows: list[PaperRow], data: list[str]) -> str:
    own = [next(r for r in rows if r["data"] == name and r["kind"] != "paper") for name in data]
    sizes = [f"{row['data']}: {format_bytes(row['subset_bytes'])} of {row['source']}" for row in own]
    theirs = join(dict.fromkeys(_paper_name(rows, name) for name in data))
    return (
        f"Raw rates in %, parameters not counted. {'; '.join(sizes)}. Each chunk is coded by itself, and a classical "
        "coder's header counts once. Brackets give the kind of data that a model learned from. "
        f"{_sampled(rows)}{_windows(rows)}Gray ({theirs}): {_CITATION}, with 1 GB of each. The paper's models learned "
        "from text."
    )


def _sampled(rows: list[PaperRow]) -> str:
    """How much was coded in chunks, where that is a part."""
    said = []
    for kind, name in (("classical", "classical coders"), ("model", "models")):
        own = [row for row in rows if row["kind"] == kind and row["chunk_bytes"]]
        coded = [row["sample_bytes"] for row in own if (row["sample_bytes"] or 0) < row["subset_bytes"]]
        sizes = dict.fromkeys(format_bytes(n_bytes) for n_bytes in coded if n_bytes is not None)
        said += [f"{join(sizes)} by {name}"] if sizes else []
    return f"In chunks, an evenly spread sample of each data set was coded: {' and '.join(said)}. " if said else ""


def _windows(rows: list[PaperRow]) -> str:
    """Models whose context is shorter than a chunk."""
    known = [(row, row["context_bytes"] or 0) for row in rows if row["kind"] == "model"]
    models = [(row, context) for row, context in known if 0 < context < row["chunk_bytes"]]
    contexts = sorted({(context, row["trained_on"]) for row, context in models})
    if not contexts:
        return ""
    which = join(f"{context:,.0f} bytes for models of {name}" for context, name in contexts)
    chunk = join(f"{length:,.0f}" for length in sorted({row["chunk_bytes"] for row, _ in models}))
    return (
        f"Where a model's context is shorter than a chunk of {chunk} bytes, the chunk is coded in windows of that "
        f"context, each by itself: {which}. This costs some rate. "
    )


def _how(rows: list[PaperRow]) -> str:
    text = (
        "Adjusted rates in %, with 2 bytes per parameter: over the data that were coded (D), and as if D were the "
        "paper's 1 GB at the same raw rate. The paper's adjusted rates stand beside."
    )
    if any(row["own_corpus"] for row in rows):
        text += " †: the model learned from a part of this corpus, which may contain what it codes."
    return text


def _raw(rows: list[PaperRow], data: list[str]) -> Grid:
    header = ["chunk", "compressor"]
    for name in data:
        header += [name, _paper_name(rows, name)]
    lines = [[*_begin(own), *(cell for name in data for cell in _raw_cells(own.get(name)))] for own in _together(rows)]
    return _grid(header, lines, n_data=len(data), n_before=2, n_each=2)


def _adjusted(rows: list[PaperRow], data: list[str]) -> Grid:
    header = ["compressor"]
    for name in data:
        header += [name, "at 1 GB", _paper_name(rows, name)]
    lines = [
        [*_begin(own)[1:], *(cell for name in data for cell in _adjusted_cells(own.get(name)))]
        for own in _together(rows)
        if next(iter(own.values()))["kind"] != "classical"
    ]
    return _grid(header, lines, n_data=len(data), n_before=1, n_each=3)


def _grid(header: list[str], lines: list[list[str]], *, n_data: int, n_before: int, n_each: int) -> Grid:
    """The last of each data set's columns is the paper's."""
    grey = tuple(n_before + n_each * (k + 1) - 1 for k in range(n_data))
    align = "l" * n_before + "r" * (n_each * n_data)
    return Grid(tuple(header), tuple(tuple(line) for line in lines), align, grey=grey)


def _together(rows: list[PaperRow]) -> list[dict[str, PaperRow]]:
    """Rows of the same compressor and chunk, by data set, in the order given."""
    found: dict[tuple[Any, ...], dict[str, PaperRow]] = {}
    for row in rows:
        key = (row["kind"], row["chunk_bytes"], row["compressor"], row["trained_on"], row["n_params"])
        found.setdefault(key, {})[row["data"]] = row
    return list(found.values())


def _begin(own: dict[str, PaperRow]) -> list[str]:
    row = next(iter(own.values()))
    chunk = f"{row['chunk_bytes']:.0f}" if row["chunk_bytes"] else "whole"
    return [chunk, f"{row['compressor']} ({row['trained_on']})" if row["trained_on"] else row["compressor"]]


def _raw_cells(row: PaperRow | None) -> list[str]:
    """Of one data set ours, then the paper's."""
    if row is None:
        return ["", ""]
    return [_percent(row["raw_rate"], _mark(row)), _percent(row["paper_raw_rate"])]


def _adjusted_cells(row: PaperRow | None) -> list[str]:
    """Of one data set ours over D and over 1 GB, then the paper's."""
    if row is None:
        return ["", "", ""]
    ours = [_percent(row["adjusted_rate"], _mark(row)), _percent(row["adjusted_rate_1gb"])]
    return [*ours, _percent(row["paper_adjusted_rate"])]


def _mark(row: PaperRow) -> str:
    return "†" if row["own_corpus"] else ""


def _percent(rate: float | None, mark: str = "") -> str:
    return "" if rate is None else f"{100 * rate:,.{1 if rate < 10 else 0}f}{mark}"


def _paper_name(rows: list[PaperRow], name: str) -> str:
    known = next((row["paper_data"] for row in rows if row["data"] == name and row["paper_data"]), None)
    return known if known and known != name else "theirs"


def lead(summary: Summary) -> str:
    """What a report says first that has this table and no sweep; empty where it has none."""
    rows = summary["paper_table"]
    if not rows:
        return ""
    n = len({(row["compressor"], row["trained_on"]) for row in rows if row["kind"] == "model"})
    models = f" and {n} trained model{'s' if n > 1 else ''}" if n else ""
    data = list(dict.fromkeys(row["data"] for row in rows))
    return f"Classical coders{models} on {join(data)}, beside the paper's Table 1. No sweep was run."
