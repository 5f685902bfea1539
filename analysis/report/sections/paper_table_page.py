"""The paper's Table 1 on our data, as two tables: raw and adjusted rates. The paper's numbers are grey, in %."""

from __future__ import annotations

from typing import Any

from analysis.formatting import format_bytes, join
from analysis.report.elements import Block, Grid, Text
from analysis.types import Json

_CITATION = "Delétang et al. 2024 (arXiv 2309.10668v2), Table 1"


def paper_table(summary: Json) -> list[Block]:
    """What was coded, then raw and adjusted rates; nothing where `mdl baselines` was not run."""
    rows = summary.get("paper_table")
    if not rows:
        return []
    data = list(dict.fromkeys(row["data"] for row in rows))
    blocks: list[Block] = [Text(_what(rows, data)), _raw(rows, data)]
    if any(row["kind"] != "classical" for row in rows):
        blocks += [Text(_how(rows)), _adjusted(rows, data)]
    return blocks


def _what(rows: list[Json], data: list[str]) -> str:
    own = [next(r for r in rows if r["data"] == name and r["kind"] != "paper") for name in data]
    sizes = [f"{row['data']}: {format_bytes(row['subset_bytes'])} of {row['source']}" for row in own]
    theirs = join(dict.fromkeys(_paper_name(rows, name) for name in data))
    return (
        f"Raw rates in %, parameters not counted. {'; '.join(sizes)}. Chunks are coded each by itself, a classical "
        f"coder's header counted once; in brackets what a model learned from. {_sampled(rows)}{_windows(rows)}"
        f"{theirs}, grey: {_CITATION}, 1 GB each; its models learned from text."
    )


def _sampled(rows: list[Json]) -> str:
    """How much was coded in chunks, where that is a part."""
    said = []
    for kind, name in (("classical", "classical coders"), ("model", "models")):
        own = [row for row in rows if row["kind"] == kind and row["chunk_bytes"]]
        sizes = dict.fromkeys(format_bytes(r["sample_bytes"]) for r in own if r["sample_bytes"] < r["subset_bytes"])
        said += [f"by {name} {join(sizes)}"] if sizes else []
    return f"In chunks an evenly spread sample of each was coded: {' and '.join(said)}. " if said else ""


def _windows(rows: list[Json]) -> str:
    """Models whose context is shorter than a chunk."""
    models = [row for row in rows if row["kind"] == "model" and 0 < row["context_bytes"] < row["chunk_bytes"]]
    contexts = sorted({(row["context_bytes"], row["trained_on"]) for row in models})
    if not contexts:
        return ""
    which = join(f"models of {name} {context:,.0f}" for context, name in contexts)
    chunk = join(f"{length:,.0f}" for length in sorted({row["chunk_bytes"] for row in models}))
    return (
        f"A chunk of {chunk} bytes is coded in windows of the model's own context where that is shorter, each by "
        f"itself, which costs some rate: {which}. "
    )


def _how(rows: list[Json]) -> str:
    text = (
        "Adjusted rates in %, 2 bytes a parameter counted: over the data coded (D), and as if D were the paper's 1 GB "
        "at the same raw rate, beside the paper's."
    )
    if any(row["own_corpus"] for row in rows):
        text += " †: the model learned from a part of this corpus, and what it codes may be in it."
    return text


def _raw(rows: list[Json], data: list[str]) -> Grid:
    header = ["chunk", "compressor"]
    for name in data:
        header += [name, _paper_name(rows, name)]
    return _grid(header, [[*_begin(own), *_pairs(own, data, "raw_rate")] for own in _together(rows)], len(data), 2, 2)


def _adjusted(rows: list[Json], data: list[str]) -> Grid:
    header = ["compressor"]
    for name in data:
        header += [name, "at 1 GB", _paper_name(rows, name)]
    lines = [
        [*_begin(own)[1:], *_pairs(own, data, "adjusted_rate", "adjusted_rate_1gb")]
        for own in _together(rows)
        if next(iter(own.values()))["kind"] != "classical"
    ]
    return _grid(header, lines, len(data), 1, 3)


def _grid(header: list[str], lines: list[list[str]], n_data: int, n_before: int, n_each: int) -> Grid:
    """The last of each data set's columns is the paper's."""
    grey = tuple(n_before + n_each * (k + 1) - 1 for k in range(n_data))
    align = "l" * n_before + "r" * (n_each * n_data)
    return Grid(tuple(header), tuple(tuple(line) for line in lines), align, grey=grey)


def _together(rows: list[Json]) -> list[dict[str, Json]]:
    """Rows of the same compressor and chunk, by data set, in the order given."""
    found: dict[tuple[Any, ...], dict[str, Json]] = {}
    for row in rows:
        key = (row["kind"], row["chunk_bytes"], row["compressor"], row["trained_on"], row["n_params"])
        found.setdefault(key, {})[row["data"]] = row
    return list(found.values())


def _begin(own: dict[str, Json]) -> list[str]:
    row = next(iter(own.values()))
    chunk = f"{row['chunk_bytes']:.0f}" if row["chunk_bytes"] else "whole"
    return [chunk, f"{row['compressor']} ({row['trained_on']})" if row["trained_on"] else row["compressor"]]


def _pairs(own: dict[str, Json], data: list[str], *columns: str) -> list[str]:
    """For each data set our columns, then the paper's of the first of them."""
    cells = []
    for name in data:
        row = own.get(name, {})
        mark = "†" if row.get("own_corpus") else ""
        cells += [_percent(row.get(column), mark if column == columns[0] else "") for column in columns]
        cells.append(_percent(row.get(f"paper_{columns[0]}")))
    return cells


def _percent(rate: float | None, mark: str = "") -> str:
    return "" if rate is None else f"{100 * rate:,.{1 if rate < 10 else 0}f}{mark}"


def _paper_name(rows: list[Json], name: str) -> str:
    known = next((row["paper_data"] for row in rows if row["data"] == name and row["paper_data"]), None)
    return known if known and known != name else "theirs"


def lead(summary: Json) -> str:
    """What a report says first that has this table and no sweep; empty where it has none."""
    rows = summary.get("paper_table")
    if not rows:
        return ""
    n = len({(row["compressor"], row["trained_on"]) for row in rows if row["kind"] == "model"})
    models = f" and {n} trained model{'s' * (n > 1)}" if n else ""
    data = list(dict.fromkeys(row["data"] for row in rows))
    return f"Classical coders{models} on {join(data)}, beside the paper's Table 1. No sweep was run."
