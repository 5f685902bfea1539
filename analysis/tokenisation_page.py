"""The section on tokenisation: rates of byte-pair vocabularies beside those of bytes."""

from __future__ import annotations

from typing import Any

from analysis.blocks import Block, Text, named_grid
from analysis.units import format_bytes, format_percent, join

Json = dict[str, Any]
_PARTS = ("raw_rate", "parameter_rate", "tokenizer_rate", "adjusted_rate", "heldout_rate")


def tokenisation(summary: Json) -> list[Block]:
    """Rates by vocabulary, and which vocabulary is best for which shape."""
    rows = summary["tokenisation"]
    if not rows:
        return []
    cells = [
        (format_bytes(r["subset_bytes"]), r["size"], vocabulary_name(r["vocabulary"]), f"{r['n_params']:,}",
         f"{r['bytes_per_token']:.2f}", *("–" if r[part] is None else format_percent(r[part]) for part in _PARTS))
        for r in rows
    ]  # fmt: skip
    text = (
        "Byte pairs learned on the subset itself against bytes; all rates are of raw bytes. Code, parameters (the "
        "embedding's row for every token among them) and the tokenizer's own bytes, its merges compressed, add up to "
        "the adjusted rate; the tokenizer is paid in full whatever a parameter costs. Windows hold as many tokens as "
        "they would bytes, and every model takes as many steps, so with a larger vocabulary a model reaches further "
        f"back and sees its subset more often. {_best(rows)}"
    )
    header = ("dataset", "shape", "vocabulary", "parameters", "bytes a token", "code", "+ parameters",
              "+ tokenizer", "= adjusted", "held out")  # fmt: skip
    return [Text(text), named_grid(header, cells, "lllrrrrrrr", [row["group"] for row in rows])]


def vocabulary_name(vocabulary: int) -> str:
    """How figures and tables call it."""
    return "bytes" if vocabulary == 256 else f"{vocabulary:,}"


def _best(rows: list[Json]) -> str:
    """What was measured, in a sentence a rate."""
    models: dict[tuple[Any, ...], list[Json]] = {}
    for row in rows:
        models.setdefault((row["group"], row["subset_bytes"], row["size"]), []).append(row)
    said = []
    for name, what in (("adjusted_rate", "adjusted"), ("raw_rate", "raw")):
        best = [
            f"{vocabulary_name(min(own, key=lambda row: row[name])['vocabulary'])} for {size} on {format_bytes(d)}"
            for (_, d, size), own in models.items()
        ]
        said.append(f"The {what} rate is least at {join(best)}.")
    return " ".join(said)
