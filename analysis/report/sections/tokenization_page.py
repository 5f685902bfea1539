"""The section on tokenisation: rates of byte-pair vocabularies beside those of bytes."""

from __future__ import annotations

from typing import Any

from analysis.formatting import format_bytes, format_percent
from analysis.report.elements import Block, Text, named_grid
from analysis.types import Json

_PARTS = ("raw_rate", "parameter_rate", "tokenizer_rate", "adjusted_rate", "heldout_rate")


def tokenisation(summary: Json) -> list[Block]:
    """Rates by vocabulary, and which shape and vocabulary are best."""
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
    """Of every dataset size the least adjusted rate of all, beside that of bytes."""
    datasets: dict[tuple[Any, ...], list[Json]] = {}
    for row in rows:
        datasets.setdefault((row["group"], row["subset_bytes"]), []).append(row)
    several = len({group for group, _ in datasets}) > 1
    said = []
    for (group, d), own in datasets.items():
        of = f"{format_bytes(d)} of {group}" if several else format_bytes(d)
        with_bytes = [row for row in own if row["vocabulary"] == 256]
        beside = f"; with bytes, {_least(with_bytes)}" if with_bytes else ""
        said.append(f"The least adjusted rate of {of} is {_least(own)}{beside}.")
    return " ".join(said)


def _least(rows: list[Json]) -> str:
    best = min(rows, key=lambda row: row["adjusted_rate"])
    name = "" if best["vocabulary"] == 256 else f" with {vocabulary_name(best['vocabulary'])} tokens"
    return f"{format_percent(best['adjusted_rate'])}, of {best['size']}{name}"
