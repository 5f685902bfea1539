"""How the critical size grows, in words and tables: its law, its estimators, and from where on a size pays."""

from __future__ import annotations

from analysis.critical import EXPONENTS
from analysis.formatting import format_bytes, format_count, format_end, format_place, format_range, join, sentence
from analysis.report.elements import Block, Text, named_grid
from analysis.types import Json


def law(summary: Json) -> list[Block]:
    """The law of the critical size: how well it holds, and what theory asks for."""
    return [Text(text) for found in summary["laws"] for text in (*_holds(found, summary), *_tested(found, summary))]


def estimates(summary: Json) -> list[Block]:
    """The two estimators of the critical size, and what the law predicts beyond the grid."""
    blocks: list[Block] = []
    both = [row for row in summary["critical"] if row.get("n_closed_form") is not None]
    if both:
        header = ("dataset", "interpolated", "95 % interval", "closed form", "95 % interval", "its α", "95 % interval")
        rows = [_estimates(row) for row in both]
        blocks += [
            Text(f"Two estimators of the critical size, from the same code lengths. {_apart(both)}".strip()),
            named_grid(header, rows, "lrrrrrr", [row["group"] for row in both]),
        ]
    return blocks + _predicted(summary)


def _apart(rows: list[Json]) -> str:
    """How far the estimators are from each other, and whether their intervals allow it."""
    known = [row for row in rows if row["n_params"] is not None]
    if not known:
        return ""
    several = len({row["group"] for row in rows}) > 1
    most = max(known, key=_factor)
    text = f"They lie apart by a factor of {_factor(most):.2f} at most, at {format_place(most, several=several)}."
    sure = [row for row in known if None not in (row["low"], row["closed_low"])]
    outside = [row for row in sure if row["high"] < row["closed_low"] or row["closed_high"] < row["low"]]
    if outside:
        sizes = join(format_place(row, several=several) for row in outside)
        text += (
            f" At {sizes} their intervals exclude each other: the code lengths of the shapes that were run do not lie "
            "on one smooth curve, and the intervals, of replicates alone, do not hold that error."
        )
    return text


def _factor(row: Json) -> float:
    ratio: float = row["n_closed_form"] / row["n_params"]
    return max(ratio, 1 / ratio)


def _holds(found: Json, summary: Json) -> list[str]:
    """Scatter about the line, and the largest dataset size by the law through the others."""
    if found.get("scatter") is None:
        return []
    begin = f"{found['group']}: " if len(summary["laws"]) > 1 else ""
    text = f"{begin}The sizes scatter by {100 * found['scatter']:.2g} % about the line (standard deviation of log N*)"
    if found["n_points"] > 3:
        at, ratio = format_bytes(found["left_out_bytes"]), found["left_out_ratio"]
        text += f"; the law through the others gives × {ratio:.2f} of what was found at {at}"
    if found.get("gamma_least") is not None:
        text += f"; without one of them γ is {found['gamma_least']:.2f} to {found['gamma_most']:.2f}"
    if found.get("gamma_closed") is not None:
        text += (
            f"; through the closed form's sizes it is {found['gamma_closed']:.2f}, and they scatter by "
            f"{100 * found['scatter_closed']:.2g} %"
        )
    known = " Its interval is of the replicates and of that scatter." if found.get("gamma_low") is not None else ""
    return [f"{text}.{known}"]


def _tested(found: Json, summary: Json) -> list[str]:
    theory, begin = found.get("theory"), f"{found['group']}: " if len(summary["laws"]) > 1 else ""
    if not theory or theory.get("gamma_predicted") is None:
        return [begin + theory["message"]] if theory and theory.get("message") else []
    alpha = f"α = {theory['alpha']:.3g}{_interval(theory, 'alpha_low', 'alpha_high')}"
    asked = f"{theory['gamma_predicted']:.3g}{_interval(theory, 'predicted_low', 'predicted_high')}"
    text = f"{begin}The closed form asks for γ = 1/(1+α): with {alpha} that is {asked}"
    if found["gamma"] is not None:
        text += f"; measured γ = {found['gamma']:.3g}{_interval(found, 'gamma_low', 'gamma_high')}"
    return [f"{text}. {sentence(theory['message'])}"]


def _interval(row: Json, low: str, high: str) -> str:
    ends = row.get(low), row.get(high)
    return "" if None in ends else f" (95 %: {ends[0]:.3g} to {ends[1]:.3g})"


def _estimates(row: Json) -> tuple[str, ...]:
    found = "not bracketed" if row["n_params"] is None else format_count(row["n_params"])
    first = format_range(row.get("low"), row.get("high"), format_count)
    second = format_range(row["closed_low"], row["closed_high"], format_count)
    alpha = "–" if row.get("alpha") is None else f"{row['alpha']:.2f}"
    third = format_range(row.get("alpha_low"), row.get("alpha_high"), _exponent)
    closed = format_count(row["n_closed_form"])
    return format_bytes(row["subset_bytes"]), found, first, closed, second, alpha, third


def _exponent(value: float) -> str:
    """An end of its interval that is where its search ends says so."""
    return format_end(value, 1.01 * EXPONENTS[0], EXPONENTS[1] / 1.01, lambda alpha: f"{alpha:.2f}")


def _predicted(summary: Json) -> list[Block]:
    rows = [row for row in summary["predictions"] if row["n_params"] is not None and row["extrapolated"]]
    if not rows:
        return []
    cells = [
        (format_bytes(r["subset_bytes"]), format_count(r["n_params"]), format_range(r["low"], r["high"], format_count),
         "extrapolated")
        for r in rows
    ]  # fmt: skip
    grid = named_grid(("dataset", "predicted", "95 % interval", ""), cells, "lrrl", [row["group"] for row in rows])
    return [Text("What the law says of dataset sizes outside the grid:"), grid]


def crossings(summary: Json) -> list[Block]:
    """From how many bytes on each model size beats the next smaller one, and where it beats all."""
    rows = summary["crossings"]
    if not any(row["subset_bytes"] is not None for row in rows):
        return []
    cells = [
        (f"{row['n_large']:,}", f"{row['n_small']:,}", _beats(row), _between(row),
         *(_least(row, form, summary["least"]) for form in ("own subset", "prefix")))
        for row in rows
    ]  # fmt: skip
    header = ("parameters", "next smaller", "shorter from", "95 % interval", "least of all", "least of all, prefixes")
    text = (
        "From how many bytes on a model size codes shorter than the next smaller one, parameters counted, and where it "
        "is the shortest of all that were run. Prefixes: models of the largest subset alone, each coding the first "
        "bytes of it. –: nowhere. Straight lines between the dataset sizes that were run, in bits a byte over log D. "
        "An interval without one of its ends is open there: some replicates do not cross in the grid."
    )
    return [Text(text), named_grid(header, cells, "rrrrrr", [row["group"] for row in rows])]


def _beats(row: Json) -> str:
    if row["subset_bytes"] is not None:
        return format_bytes(row["subset_bytes"])
    return str(row["message"]).removeprefix("not crossed in the grid: ")


def _between(row: Json) -> str:
    """The interval, open where an end lies beyond the grid; none where both do."""
    return "–" if row["low"] is row["high"] is None else _stretch(row["low"], row["high"])


def _least(row: Json, form: str, least: list[Json]) -> str:
    """Where the larger size of a crossing has the least adjusted rate of all."""
    own = [r for r in least if (r["group"], r["form"], r["n_params"]) == (row["group"], form, row["n_large"])]
    return join(_stretch(found["from_bytes"], found["to_bytes"]) for found in own) or "–"


def _stretch(start: float | None, end: float | None) -> str:
    if start is None or end is None:
        known = start or end
        return "throughout" if known is None else f"{'up to' if start is None else 'from'} {format_bytes(known)}"
    return f"{format_bytes(start)} to {format_bytes(end)}"
