"""Critical sizes at half the training budget, in words and a table."""

from __future__ import annotations

from analysis.formatting import format_bytes, format_count, format_place, format_range, join
from analysis.report.elements import Block, Heading, Text, named_grid
from analysis.report.section import WideSection, register_section
from analysis.types import Json


def write(summary: Json) -> list[Block]:
    """Whether more training would move the critical sizes; nothing where there was one budget."""
    rows = summary["convergence"]
    if not rows:
        return []
    cells = [
        (format_bytes(row["subset_bytes"]), _size(row["n_params"]),
         "–" if row["n_params"] is None else format_range(row["low"], row["high"], format_count), _half(row),
         "–" if row["ratio"] is None else f"× {row['ratio']:.2f}", _judged(row))
        for row in rows
    ]  # fmt: skip
    header = ("dataset", "N* of them", "95 % interval", "N* at half", "whole / half", "N* at half is")
    return [Heading("Half the training"), Text(_told(rows)),
            named_grid(header, cells, "lrrrrl", [row["group"] for row in rows])]  # fmt: skip


def _size(n: float | None) -> str:
    return "not bracketed" if n is None else format_count(n)


def _half(row: Json) -> str:
    return _size(row["n_params_half"]) if row["n_params_half"] is not None else f"{row['status_half']} its grid"


def _judged(row: Json) -> str:
    if row["verdict"] == "unknown":
        return "not judged: not bracketed" if row["ratio"] is None else "not judged: no interval"
    return "within the interval" if row["verdict"] == "converged" else "outside: unconverged"


def _told(rows: list[Json]) -> str:
    seen = {(row["half_bytes_seen"], row["bytes_seen"]) for row in rows}
    budgets = join(f"{format_bytes(half)} instead of {format_bytes(whole)}" for half, whole in sorted(seen))
    text = f"A critical size is of a recipe. The shapes trained on {budgets} a model too (repeats counted): "
    several = len({row["group"] for row in rows}) > 1
    unconverged = [format_place(row, several=several) for row in rows if row["verdict"] == "unconverged"]
    if unconverged:
        text += (
            f"at {join(unconverged)} N* lies outside the interval of the whole: unconverged, more may move it again."
        )
    elif any(row["verdict"] == "converged" for row in rows):
        text += "no N* leaves its interval, which is not to say that more training would not move it."
    else:
        text += "without intervals there is only the factor by which N* moved."
    return text


register_section(
    WideSection(name="convergence", measure=lambda study: {"convergence": study.convergence}, write=write),
)
