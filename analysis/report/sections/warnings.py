"""What speaks against an answer. It stands beside the answer: on page one and in the terminal."""

from __future__ import annotations

from analysis.formatting import UNKNOWN, format_beside, format_bytes, format_count, join
from analysis.records import mixed_note
from analysis.report.group_names import place
from analysis.report.rows.critical import ConvergenceRow
from analysis.report.sections.convergence import nearest_budgets
from analysis.report.sections.size_law import two_estimates
from analysis.report.summary_keys import Summary

_MOST_PLACES = 4  # that are named
_NEAR_FACTOR = 1.5  # beyond the sizes whose rate is within 1 % of the least: shapes there tell where the minimum lies
_FEW_SHAPES = 7  # with fewer the scatter of shapes is not measured


def warnings(summary: Summary) -> list[str]:
    """A sentence for each of them; none: nothing is known against the critical sizes."""
    if not summary["critical"]:
        return []
    said = [
        _versions(summary),
        _edges(summary),
        _few_shapes(summary),
        _one_seed(summary),
        _short(summary),
        _unconverged(summary),
        _uneven(summary),
        _estimators(summary),
    ]
    return [text for text in said if text]


def _edges(summary: Summary) -> str:
    doubts: dict[str, list[str]] = {}
    for row in summary["critical"]:
        if row.get("doubt") and row["status"] == "bracketed":  # else the sentence before says so
            doubts.setdefault(row["doubt"], []).append(place(row, summary))
    return " ".join(f"Doubtful at {join(places)}: {doubt}." for doubt, places in doubts.items())


def _versions(summary: Summary) -> str:
    return mixed_note(summary["several_versions"])


def _few_shapes(summary: Summary) -> str:
    few = [row for row in summary["critical"] if row["n_sizes"] < _FEW_SHAPES]
    if not few:
        return ""
    numbers = sorted({row["n_sizes"] for row in few})
    number = _from_to([str(numbers[0]), str(numbers[-1])])
    sizes = "" if len(few) == len(summary["critical"]) else f" at {join(place(row, summary) for row in few)}"
    return (
        f"Few shapes: {number} model sizes were run{sizes}. At least seven are needed to measure how far shapes "
        "scatter about the smooth law."
    )


def _one_seed(summary: Summary) -> str:
    if any(row["n_seeds"] > 1 for row in summary["rates"]):
        return ""
    return "One seed: every model was trained once, so the noise between training runs was not measured."


def _short(summary: Summary) -> str:
    """Less than one epoch of the largest subset, by the longest training."""
    passes = summary["recipe"]["passes"] if "recipe" in summary else []
    largest = max((row["subset_bytes"] for row in summary["critical"]), default=0)
    seen = max((row["passes"] for row in passes if row["subset_bytes"] == largest), default=1.0)
    if seen >= 1:
        return ""
    return f"Less than one epoch: models were trained on {seen:.2g} of the {format_bytes(largest)} that they code."


def _unconverged(summary: Summary) -> str:
    rows = [row for row in nearest_budgets(summary["convergence"]) if row["verdict"] == "unconverged"]
    if not rows:
        return ""
    sizes = join(f"{place(row, summary)} ({_after_less(row, summary)})" for row in rows)
    return (
        f"Unconverged: after less training, the critical size is another at {sizes}. More training may move it again."
    )


def _uneven(summary: Summary) -> str:
    """Shapes near the minimum that were trained less than others, as by a sweep that was stopped on its way."""
    near = {
        (row["group"], row["subset_bytes"]): (row["near_low"], row["near_high"])
        for row in summary["critical"]
        if row["near_low"] and row["near_high"]
    }
    short = [
        row
        for row in summary.get("uneven", [])
        if (ends := near.get((row["group"], row["subset_bytes"])))
        and ends[0] / _NEAR_FACTOR <= row["n_params"] <= ends[1] * _NEAR_FACTOR
    ]
    if not short:
        return ""
    shapes = join(dict.fromkeys(row["size"] for row in sorted(short, key=lambda row: row["n_params"])))
    data = join(dict.fromkeys(format_bytes(row["subset_bytes"]) for row in short))
    return (
        f"Uneven training: near the minimum at {data}, {shapes} saw at most six tenths of the bytes that other shapes "
        "saw. Their codes are longer than they would be, and the critical size may be off. Train them as long as the "
        "others: the same command goes on with a sweep that was stopped."
    )


def _after_less(row: ConvergenceRow, summary: Summary) -> str:
    """From the size in the table by the ratio, which is of the shapes that had both trainings; so `mdl size` has it."""
    own = next(one for one in summary["critical"] if all(one[key] == row[key] for key in ("group", "subset_bytes")))
    if own["n_params"] is None or row["ratio"] is None:
        return UNKNOWN
    return format_beside(own["n_params"] / row["ratio"], own["n_params"], own["low"], own["high"], format_count)


def _estimators(summary: Summary) -> str:
    """Where the local estimator lies outside the interval, and why: single shapes lie off the law by so much."""
    both = two_estimates(summary)
    apart = [one for one in both if one.is_outside]
    if not apart:
        return ""
    if len(apart) <= _MOST_PLACES:
        sizes = join(f"{place(one.row, summary)} ({format_count(one.n_local)})" for one in apart)
    else:
        sizes = f"{len(apart)} of {len(both)} dataset sizes"
    scatter = [sd for one in apart if (sd := one.row["shape_sd"])]
    by = f" by {_from_to([f'{100 * sd:.1f}' for sd in (min(scatter), max(scatter))])} %" if scatter else ""
    return (
        f"Two estimators disagree: the local estimator lies outside the interval at {sizes}. It follows the shapes "
        f"next to the best one. Code lengths of shapes scatter{by} about the smooth law, and near a flat minimum that "
        "moves the local estimate far. The interval allows for this scatter."
    )


def _from_to(numbers: list[str]) -> str:
    """5 to 6; 5 where both are one in print."""
    return " to ".join(dict.fromkeys(numbers))
