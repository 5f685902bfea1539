"""Critical sizes at half the training budget, in words and a table."""

from __future__ import annotations

from analysis.critical import MARGIN
from analysis.formatting import format_bytes, format_count, format_place, format_range, join
from analysis.report.elements import Block, Heading, Text, named_grid
from analysis.report.section import WideSection, register_section
from analysis.types import Json


def write(summary: Json) -> list[Block]:
    """Whether more training would move the critical sizes; nothing where there was one budget."""
    rows = summary["convergence"]
    if not rows:
        return []
    cells: list[tuple[str, ...]] = [
        (format_bytes(row["subset_bytes"]), _size(row["n_params"]), _half(row),
         "–" if row["ratio"] is None else f"× {row['ratio']:.2f}",
         format_range(row["ratio_low"], row["ratio_high"], lambda ratio: f"{ratio:.2f}"), _points(row), _judged(row),
         _limit(row), _to_come(row))
        for row in rows
    ]  # fmt: skip
    several = len({(row["group"], row["subset_bytes"]) for row in rows}) < len(rows)
    if several:
        cells = [
            (cell[0], format_bytes(row["half_bytes_seen"]), *cell[1:]) for cell, row in zip(cells, rows, strict=True)
        ]
    header = (
        "dataset",
        *(["less training"] * several),
        "N*",
        "N* at less" if several else "N* at half",
        "whole / less" if several else "whole / half",
        "95 % interval",
        "rate, points",
        "N* is",
        "limit / whole",
        "points to come",
    )
    return [Heading("Less training" if several else "Half the training"), Text(_told(rows)), Text(_LIMIT, "small"),
            named_grid(header, cells, "l" + "r" * several + "rrrrrlrr", [row["group"] for row in rows])]  # fmt: skip


_LIMIT = (
    "Limit: N* of endless training over that of the whole, and the points of the rate that are still to come, if the "
    "gain of each doubling is 2^−½ (0.71) to ½ of the one before it; extrapolated."
)


def _limit(row: Json) -> str:
    ends = format_range(row.get("limit_low"), row.get("limit_high"), lambda ratio: f"{ratio:.2f}")
    return "–" if row.get("limit") is None else f"× {row['limit']:.2f} ({ends})"


def _to_come(row: Json) -> str:
    least, most = row.get("points_least"), row.get("points_most")
    return "–" if least is None or most is None else f"{-100 * least:+.1f} to {-100 * most:+.1f}"


def _size(n: float | None) -> str:
    return "not bracketed" if n is None else format_count(n)


def _half(row: Json) -> str:
    return _size(row["n_params_half"]) if row["n_params_half"] is not None else f"{row['status_half']} its grid"


def _points(row: Json) -> str:
    return "–" if row["points"] is None else f"{-100 * row['points']:+.1f}"


_JUDGED = {"converged": "the same", "unconverged": "another: unconverged", "undecided": "not decided"}


def _judged(row: Json) -> str:
    if row["verdict"] == "unknown":
        return "not judged: not bracketed" if row["ratio"] is None else "not judged: no interval"
    return _JUDGED[row["verdict"]]


def _told(rows: list[Json]) -> str:
    seen = {(row["half_bytes_seen"], row["bytes_seen"]) for row in rows}
    budgets = join(f"{format_bytes(half)} instead of {format_bytes(whole)}" for half, whole in sorted(seen))
    text = (
        f"A critical size is of a recipe. The shapes trained on {budgets} a model too (repeats counted), and the ratio "
        "of the two critical sizes, in which what shapes and replicates are off is common to both. The same: its 95 % "
        f"interval lies within a factor of {MARGIN:g}; another: it leaves out 1. "
    )
    several = len({row["group"] for row in rows}) > 1
    unconverged = [format_place(row, several=several) for row in rows if row["verdict"] == "unconverged"]
    if unconverged:
        text += f"At {join(unconverged)} N* moved: unconverged, more may move it again."
    elif any(row["verdict"] in ("converged", "undecided") for row in rows):
        n = sum(row["verdict"] == "converged" for row in rows)
        text += f"At {n} of {len(rows)} dataset sizes N* is the same, at none it is another."
    return text.strip()


def budget_sentence(summary: Json, group: str) -> str:
    """Page one: what twice the training does, at the largest dataset size that has both budgets."""
    rows = [row for row in summary["convergence"] if row["group"] == group and row["ratio_low"] is not None]
    if not rows:
        return ""
    row = max(rows, key=lambda row: (row["subset_bytes"], -row["half_bytes_seen"]))
    times = row["bytes_seen"] / row["half_bytes_seen"]
    return (
        f"At {times:.2g} times the training N* of {format_bytes(row['subset_bytes'])} is × {row['ratio']:.2f} "
        f"({row['ratio_low']:.2f} to {row['ratio_high']:.2f}), the rate {100 * row['points']:.1f} points lower."
    )


register_section(
    WideSection(name="convergence", measure=lambda study: {"convergence": study.convergence}, write=write),
)
