"""What stands against an answer, told where the answer stands: on page one and in the terminal."""

from __future__ import annotations

from analysis.formatting import format_bytes, format_count, format_place, join
from analysis.types import Json

_FEW_SHAPES = 7  # with fewer the scatter of shapes is not measured


def warnings(summary: Json) -> list[str]:
    """A sentence for each of them; none: nothing is known against the critical sizes."""
    if not summary["critical"]:
        return []
    said = [_edges(summary), _few_shapes(summary), _one_seed(summary), _short(summary), _unconverged(summary)]
    return [text for text in said if text]


def place(row: Json, summary: Json) -> str:
    """1 MB, or 1 MB of a corpus where there are several."""
    return format_place(row, several=len(summary["laws"]) > 1)


def _edges(summary: Json) -> str:
    doubts: dict[str, list[str]] = {}
    for row in summary["critical"]:
        if row.get("doubt") and row["status"] == "bracketed":  # else the sentence before says so
            doubts.setdefault(row["doubt"], []).append(place(row, summary))
    return " ".join(f"Doubtful at {join(places)}: {doubt}." for doubt, places in doubts.items())


def _few_shapes(summary: Json) -> str:
    few = [row for row in summary["critical"] if row["n_sizes"] < _FEW_SHAPES]
    if not few:
        return ""
    numbers = sorted({row["n_sizes"] for row in few})
    number = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    sizes = "" if len(few) == len(summary["critical"]) else f" at {join(place(row, summary) for row in few)}"
    return f"Few shapes: {number}{sizes}, fewer than the seven that would tell how far shapes scatter."


def _one_seed(summary: Json) -> str:
    if any(row["n_seeds"] > 1 for row in summary["rates"]):
        return ""
    return "One seed: every cell was trained once, so that the noise of training is not known by itself."


def _short(summary: Json) -> str:
    """Fewer than one pass over the largest subset, by the longest training."""
    passes = summary.get("recipe", {}).get("passes", [])
    largest = max((row["subset_bytes"] for row in summary["critical"]), default=0)
    seen = max((row["passes"] for row in passes if row["subset_bytes"] == largest), default=1.0)
    if seen >= 1:
        return ""
    return f"Less than one pass: models saw {seen:.2g} of the {format_bytes(largest)} that they code."


def _nearest(rows: list[Json]) -> list[Json]:
    """Of each dataset size the budget that is nearest to the longest."""
    ordered = sorted(rows, key=lambda row: row["half_bytes_seen"])
    return list({(row["group"], row["subset_bytes"]): row for row in ordered}.values())


def _unconverged(summary: Json) -> str:
    rows = [row for row in _nearest(summary["convergence"]) if row["verdict"] == "unconverged"]
    if not rows:
        return ""
    sizes = join(f"{place(row, summary)} ({format_count(row['n_params_half'])})" for row in rows)
    return f"Unconverged: with half the training the critical size is another at {sizes}."
