"""Rates against context length in words and a table."""

from __future__ import annotations

from analysis.formatting import format_bytes, format_percent
from analysis.report.elements import Block, Text, named_grid
from analysis.types import Json


def context_page(summary: Json) -> list[Block]:
    """Which context codes the subset best at each size, and all rates; nothing where there is one context."""
    rows = summary.get("contexts")
    if not rows:
        return []
    header = ("shape", "parameters", "context", "seen in training", "raw", "adjusted", "held out")
    lines = [
        (row["size"], f"{row['n_params']:,}", f"{row['context_bytes']:,}", format_bytes(row["bytes_seen"]),
         *(_rate(row[name]) for name in ("raw_rate", "adjusted_rate", "heldout_rate")))
        for row in rows
    ]  # fmt: skip
    return [Text(_best(rows)), named_grid(header, lines, "lrrrrrr", [row["corpus"] for row in rows])]


def _best(rows: list[Json]) -> str:
    sizes = list(dict.fromkeys((row["corpus"], row["size"]) for row in rows))
    best = [min((r for r in rows if (r["corpus"], r["size"]) == size), key=lambda r: r["raw_rate"]) for size in sizes]
    several = len({row["corpus"] for row in rows}) > 1
    told = [
        f"{(row['corpus'] + ' ') * several}{row['size']} {row['context_bytes']:,} bytes ({_rate(row['raw_rate'])})"
        for row in best
    ]
    d = ", ".join(dict.fromkeys(format_bytes(row["subset_bytes"]) for row in rows))
    unequal = len({row["bytes_seen"] for row in rows}) > 1
    caveat = " The cells saw unlike amounts of data in training, which moves the rates too." if unequal else ""
    return (
        f"Of {d}, the context with the least raw rate: {'; '.join(told)}.{caveat} Every context has its own models; "
        "the other figures show those of the longest."
    )


def _rate(rate: float | None) -> str:
    return "–" if rate is None else format_percent(rate)
