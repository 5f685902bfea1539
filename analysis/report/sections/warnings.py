"""What speaks against an answer. It stands beside the answer: on page one and in the terminal."""

from __future__ import annotations

from analysis.formatting import UNKNOWN, format_beside, format_bytes, format_count, format_percent, join
from analysis.records import mixed_note
from analysis.report.group_names import place
from analysis.report.rows.codes import RateRow
from analysis.report.rows.comparisons import CostRow
from analysis.report.rows.critical import ConvergenceRow, CriticalRow
from analysis.report.sections.answer_table import DOUBTED, FEW_SHAPES, coded_rows
from analysis.report.sections.convergence import critical_of, nearest_budgets
from analysis.report.sections.size_law import two_estimates
from analysis.report.summary_keys import Summary

_MOST_PLACES = 4  # that are named
_NEAR_FACTOR = 1.5  # beyond the sizes whose rate is within 1 % of the least: shapes there tell where the minimum lies
_LEAST_LEFT_OUT = 3  # sizes that a law must have left for one more to test it
_NEAR = 0.01  # of the rate: by more a measured rate is another than the law's
_LEVEL = 0.003  # of the rate: shapes lie a per cent off a law, and some ten of them tell its least


def warnings(summary: Summary) -> list[str]:
    """A sentence for each of them; none: nothing is known against the critical sizes."""
    if not summary["critical"]:
        return []
    said = [
        _versions(summary),
        _estimators(summary),
        _edges(summary),
        _few_shapes(summary),
        _law_misses(summary),
        _best_run(summary),
        _one_seed(summary),
        _short(summary),
        _level_precisions(summary),
        _unconverged(summary),
        _not_judged(summary),
        _uneven(summary),
    ]
    return [text for text in said if text]


def _edges(summary: Summary) -> str:
    doubts: dict[str, list[str]] = {}
    for row in summary["critical"]:
        if row.get("doubt") and row["status"] == "bracketed":  # else the sentence before says so
            doubts.setdefault(row["doubt"], []).append(place(row, summary))
    return " ".join(f"Doubtful ({DOUBTED}) at {join(places)}: {doubt}." for doubt, places in doubts.items())


def _versions(summary: Summary) -> str:
    return mixed_note(summary["several_versions"])


def _few_shapes(summary: Summary) -> str:
    few = [row for row in summary["critical"] if row["n_sizes"] < FEW_SHAPES]
    if not few:
        return ""
    numbers = sorted({row["n_sizes"] for row in few})
    number = _from_to([str(numbers[0]), str(numbers[-1])])
    sizes = "" if len(few) == len(summary["critical"]) else f" at {join(place(row, summary) for row in few)}"
    return (
        f"Few shapes ({DOUBTED}): {number} model sizes were run{sizes}. At least seven are needed to measure how far "
        "shapes scatter about the smooth law."
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
    coded = [row for row in summary.get("coded_convergence", []) if row["verdict"] == "unconverged"]
    if not rows and not coded:
        return ""
    said = []
    if rows:
        sizes = join(f"{place(row, summary)} ({_after_less(row, summary)})" for row in rows)
        said.append(f"Unconverged: after less training, the critical size is another at {sizes}.")
    if coded:
        times = join(
            f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f}) at {place(row, summary)}"
            for row in coded
        )
        said.append(f"Unconverged at the coded price: more training multiplied the critical size by {times}.")
    return " ".join([*said, "More training may move it again."])


def _not_judged(summary: Summary) -> str:
    """Nothing is known of what longer training would change: of any size, or of those at the price of coded weights."""
    if not summary["convergence"]:
        return (
            "Not tested: whether longer training would move the critical sizes. No shape was trained for two lengths "
            "of time."
        )
    if coded_rows(summary) and not summary.get("coded_convergence"):
        return (
            f"Not tested at the coded price: whether longer training moves the critical size was judged at "
            f"{summary['cost']['name']} alone."
        )
    return ""


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
    own = critical_of(row, summary)
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
    slopes = [law["gamma_local"] for law in summary["laws"] if law.get("gamma_local") is not None]
    gamma = f", and γ = {slopes[0]:.2f}" if len(summary["laws"]) == len(slopes) == 1 else ""
    return (
        f"Two estimators disagree: at {sizes}, interpolating between the models that were run gives a size outside the "
        f"interval{gamma}. The interval holds if one smooth law describes all shapes; they scatter{by} about it."
    )


def _law_misses(summary: Summary) -> str:
    """The law of the critical sizes, fitted without the largest dataset size, predicts a size outside its interval."""
    rows = {(row["group"], row["subset_bytes"]): row for row in summary["critical"]}
    missed = []
    for law in summary["laws"]:
        row, ratio = rows.get((law["group"], int(law["left_out_bytes"] or 0))), law["left_out_ratio"]
        if row is None or ratio is None or law["n_points"] <= _LEAST_LEFT_OUT:
            continue
        n, low, high = row["n_params"], row["low"], row["high"]
        if n is not None and low is not None and high is not None and not low <= ratio * n <= high:
            missed.append(f"{ratio:.2f} times the critical size at {place(row, summary)}")
    if not missed:
        return ""
    return f"The law misses: through the other dataset sizes it predicts {join(missed)}, outside the interval."


def _best_run(summary: Summary) -> str:
    """Where a model that was run is shorter than the minimum of the law: the minimum is not a measurement."""
    better = []
    for row in summary["critical"]:
        best = _measured_best(row, summary)
        if row["status"] == "bracketed" and best and best["adjusted_rate"] < (1 - _NEAR) * row["adjusted_rate"]:
            better.append((row, best))
    if not better:
        return ""
    told = [
        f"{format_percent(best['adjusted_rate'])} at {place(row, summary)} ({format_count(best['n_params'])} "
        f"parameters; {format_percent(row['adjusted_rate'])} by the law)"
        for row, best in better[:_MOST_PLACES]
    ]
    more = f", and so at {len(better) - len(told)} more dataset sizes" if len(better) > len(told) else ""
    return f"A model that was run is shorter than the minimum of the law: {join(told)}{more}."


def _measured_best(row: CriticalRow, summary: Summary) -> RateRow | None:
    own = [r for r in summary["rates"] if (r["group"], r["subset_bytes"]) == (row["group"], row["subset_bytes"])]
    return min(own, key=lambda rate: rate["adjusted_rate"], default=None)


def _level_precisions(summary: Summary) -> str:
    """Where the weights might as well be coded at another precision, which would have another critical size.

    Compared at each precision by itself, as the report has them in a table.
    """
    rows = [row for row in summary.get("precisions", []) if row["status"] == "bracketed"]
    told = []
    for best in (row for row in rows if row.get("best_bits")):
        beside = [row for row in rows if row["precision_bits"] and _place_of(row) == _place_of(best)]
        own = next((row for row in beside if row["precision_bits"] == best["best_bits"]), None)
        level = [row for row in beside if own and row is not own and _is_level(row, own, best)]
        if level:
            said = join(f"{row['precision_bits']} bits have {format_count(row['n_params'] or 0)}" for row in level)
            told.append(f"at {place(best, summary)} {best['best_bits']} bits are best, and {said}")
    if not told:
        return ""
    return (
        f"Near-tied precisions: with rates that differ by at most {format_percent(_LEVEL)}, the critical size at "
        f"another precision lies outside the interval of the best: {'; '.join(told)}."
    )


def _place_of(row: CostRow) -> tuple[str, int]:
    return row["group"], row["subset_bytes"]


def _is_level(row: CostRow, own: CostRow, best: CostRow) -> bool:
    """As short as the best precision, `own`, and its size outside the interval of that, as in the answer's table."""
    n, low, high = row["n_params"], best["low"], best["high"]
    if n is None or low is None or high is None:
        return False
    return abs(row["adjusted_rate"] / own["adjusted_rate"] - 1) <= _LEVEL and not low <= n <= high


def _from_to(numbers: list[str]) -> str:
    """5 to 6; 5 where both are one in print."""
    return " to ".join(dict.fromkeys(numbers))
