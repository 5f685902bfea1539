"""The answer in words: a table while the search runs, sentences at its end."""

from __future__ import annotations

import math
from typing import Any

from analysis.formatting import (
    UNKNOWN,
    format_beside,
    format_bytes,
    format_count,
    format_known,
    format_percent,
    format_range,
    format_size,
)
from analysis.records import known_rows
from analysis.report import plain_table
from mdl.compressors import REGISTRY
from mdl.sizing.answer import Answer, Limit, largest

_STRONG = ("ppmd", "zpaq")  # of the coders of any data those that are the shortest on most
_EDGES = {"below": ("at most", "least_size", "smallest"), "above": ("at least", "most_size", "largest")}


def table_lines(answer: Answer) -> list[str]:
    """One line a dataset size: what is known of it so far."""
    if answer.study is None:
        return ["nothing is known yet"]
    head = ("dataset", "N*", "95 %", "within 1 %", "rate", "best coder")
    return [*plain_table(head, [_cells(row) for row in known_rows(answer.study.critical)]), *_beyond_the_table(answer)]


def _beyond_the_table(answer: Answer) -> list[str]:
    """Why the interval of the answer is another than the table's."""
    more = [
        *(["the rest of the data"] if answer.is_extrapolated else []),
        *(["longer training"] if answer.limit else []),
    ]
    if answer.interval is None or not more:
        return []
    return [f"95 %: for the models as they are now. The answer's interval also allows for {' and '.join(more)}."]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def told(name: str, how: Any) -> str:
        return format_known(row.get(name), how)

    def both(low: str, high: str) -> str:
        if row.get(low) == row.get(high):  # beyond an edge, where nothing varies
            return UNKNOWN
        return format_range(row.get(low), row.get(high), format_count)

    def size(n: float) -> str:
        return format_size(n, row.get("low"), row.get("high"))

    return (
        format_bytes(row["subset_bytes"]),
        told("n_params", size) if row["status"] == "bracketed" else str(row["status"]),
        both("low", "high"),
        both("near_low", "near_high"),
        told("adjusted_rate", format_percent),
        f"{told('classical_rate', format_percent)} {row['coder'] if isinstance(row.get('coder'), str) else ''}".strip(),
    )


def sentences(answer: Answer, cost: str) -> list[str]:
    """The answer in words, and its conditions."""
    what = f"{answer.source}, {format_bytes(answer.size_bytes)},"
    row = answer.row
    if row is None or answer.study is None:
        return [f"{what} has no known model size yet: too few models were trained.", *_ended(answer), "Give more time."]
    what = f"{answer.source}, {format_bytes(answer.size_bytes)}{_held_out(answer)},"
    ended = _ended(answer)
    if row["adjusted_rate"] >= 1:
        rate, part = format_percent(row["adjusted_rate"]), format_bytes(row["subset_bytes"])
        pays = f"does not pay, by {part} of it," if answer.is_extrapolated else "does not pay"
        taken = f"that part's own {part}" if answer.is_extrapolated else "its own bytes"
        best = f"with the best model found, code and parameters take {rate} of {taken}"
        return [f"{what} {pays} for any model: {best}.", *ended]
    if answer.is_wide and answer.interval and answer.n_params and row["status"] not in _EDGES:
        return [*_too_wide(what, answer, row, cost), *_beside_coders(answer, row), *_conditions(answer), *ended]
    return [
        f"{what} {_pays_for(answer, row, cost)}.",
        *_flatness(answer, row),
        *_beside_coders(answer, row),
        *_conditions(answer),
        *ended,
    ]


def _held_out(answer: Answer) -> str:
    """The size is that of all the data; the models are trained on less, and the table has that."""
    held_out = answer.size_bytes - answer.train_bytes
    return f" ({format_bytes(held_out)} of it held out)" if held_out > 0 else ""


def _too_wide(what: str, answer: Answer, row: dict[str, Any], cost: str) -> list[str]:
    """The interval first: a size alone would be quoted, and so would what a size near it costs."""
    low, high = map(format_count, answer.interval or ())
    pays = _pays(answer, row)
    guess = format_size(answer.n_params or math.nan, *(answer.interval or (None, None)))
    return [
        f"{what} {pays} for something between {low} and {high} parameters{_at_price(answer)}{_coded(answer, cost)}. "
        f"That is too wide for an answer; the best guess is {guess}.",
        *(["Give more time: a longer --budget."] if answer.more_helps else []),
    ]


def _ended(answer: Answer) -> list[str]:
    return [f"The search ended because {answer.stopped}."] if answer.stopped else []


def _pays_for(answer: Answer, row: dict[str, Any], cost: str) -> str:
    pays = _pays(answer, row)
    if row["status"] in _EDGES:
        return f"{pays} {_edge(row)}"
    if answer.n_params is None:
        return f"has no known model size yet: {why_no_size(answer, row)}"
    between = f" ({format_count(answer.interval[0])} to {format_count(answer.interval[1])})" if answer.interval else ""
    size = format_size(answer.n_params, *(answer.interval or (None, None)))
    trained = "" if answer.limit else ", after no more training than this"
    return f"{pays} for {size} parameters{between}{_at_price(answer)}{_coded(answer, cost)}{trained}"


def _pays(answer: Answer, row: dict[str, Any]) -> str:
    is_edge = row["status"] in _EDGES
    return f"pays, by {format_bytes(row['subset_bytes'])} of it," if answer.is_extrapolated and is_edge else "pays"


def _at_price(answer: Answer) -> str:
    if answer.study is None:
        return ""
    price = answer.study.cost.bytes_per_param
    return f" at {answer.study.cost.noun if price is None else f'{price:g} bytes each'}"


def _edge(row: dict[str, Any]) -> str:
    limit, of, model = _EDGES[row["status"]]
    return f"for {limit} {format_count(row[of])} parameters: the {model} model tried was the best"


def why_no_size(answer: Answer, row: dict[str, Any]) -> str:
    """Of an answer without one."""
    if row["status"] in _EDGES:
        of = "that part pays" if answer.is_extrapolated else "the data pay"
        return f"{of} {_edge(row)}"
    return _of_a_part(row) if answer.is_extrapolated and row["status"] == "bracketed" else str(row["message"])


def _of_a_part(row: dict[str, Any]) -> str:
    """Where no law carries it on to all of the data."""
    n = format_size(*(row[name] for name in ("n_params", "low", "high")))
    low, high = (format_count(row[name]) for name in ("low", "high"))
    return (
        f"{format_bytes(row['subset_bytes'])} of it pay for {n} parameters ({low} to {high}), and too few other parts "
        "have a size for a law that carries it on"
    )


def _flatness(answer: Answer, row: dict[str, Any]) -> list[str]:
    if math.isnan(row["near_low"]) or answer.n_params is None:
        return []
    further = answer.n_params / row["n_params"]
    low, high = (format_count(further * row[name]) for name in ("near_low", "near_high"))
    size = format_size(answer.n_params, *(answer.interval or (None, None)))
    return [f"If it is {size}, any size from {low} to {high} costs at most 1 % more."]


def _coded(answer: Answer, cost: str) -> str:
    row = None if answer.coded is None or cost.startswith("coded") else largest(answer.coded.critical)
    if row is None or math.isnan(row["n_params"]):
        return ""
    return f", and for {format_size(row['n_params'], row['low'], row['high'])} whose weights are coded"


def _beside_coders(answer: Answer, row: dict[str, Any]) -> list[str]:
    """The rate is that of the models there are: it is told of which of them, for the answer may be another size."""
    theirs = row.get("classical_rate")
    if theirs is None or math.isnan(theirs):
        return []
    own, model = _rate(answer, row)
    amount = f"{100 * abs(theirs - own):.2g}"
    points = f"{amount} point" if amount == "1" else f"{amount} points"
    coder = row["coder"]
    which = f"{coder} is still shorter by {points}" if theirs < own else f"That is {points} shorter than {coder}"
    return [f"{which} ({format_percent(theirs)} against {format_percent(own)} with {model}).", *_not_run(answer, row)]


def _not_run(answer: Answer, row: dict[str, Any]) -> list[str]:
    """Strong coders that there was no time for: the best of the others says less."""
    assert answer.study is not None  # noqa: S101 - there is a row
    coded = answer.study.explained.table.baselines
    run = set(coded.loc[coded["subset_bytes"] == row["subset_bytes"], "coder"])
    missing = [name for name in _STRONG if REGISTRY[name].is_there and name not in run]
    if not missing:
        return []
    verb = "was" if len(missing) == 1 else "were"
    return [f"{' and '.join(missing)}, often shorter than others, {verb} not run on so many bytes, for want of time."]


def _rate(answer: Answer, row: dict[str, Any]) -> tuple[float, str]:
    """By the law at its own size; of the best model that was run, where the size is hardly known or at an edge."""
    part = f" for {format_bytes(row['subset_bytes'])}" if answer.is_extrapolated else ""
    if answer.study is None or (row["status"] == "bracketed" and not answer.is_wide):
        size = format_size(*(row[name] for name in ("n_params", "low", "high")))
        return row["adjusted_rate"], f"the model of {size} parameters{part}"
    rates = answer.study.rates
    own = rates[rates["subset_bytes"] == row["subset_bytes"]]
    best = own.loc[own["adjusted_rate"].idxmin()]
    return float(best["adjusted_rate"]), f"the best model tried, of {format_count(best['n_params'])} parameters{part}"


def _conditions(answer: Answer) -> list[str]:
    lines = []
    if answer.n_params is None:
        return ["Give more time."] if answer.more_helps else []
    if answer.is_extrapolated:
        lines.append(
            f"Models were trained on {format_bytes(float(str(answer.subset_bytes)))} of "
            f"{format_bytes(answer.train_bytes)}; the size for all of it is extrapolated by the law of the critical "
            "sizes."
        )
    if answer.limit is None or answer.doubled is None:
        lines.append(
            "Unconverged: it is the size for this much training. How far more would move it is not known; give more "
            "time."
        )
    elif not answer.is_converged:
        lines.append(_unconverged(answer, answer.limit, answer.doubled))
    if answer.interval is None:
        lines.append("No interval is known: give more time for other seeds.")
    return lines


def _unconverged(answer: Answer, limit: Limit, doubled: dict[str, Any]) -> str:
    """What was measured, and what of the answer is extrapolated from it."""
    share = doubled["half_bytes_seen"] / doubled["bytes_seen"]
    part = "half" if 0.45 < share < 0.55 else f"{share:.2g}"
    low, high = (answer.at_this_training(name) for name in ("low", "high"))
    longest = float(str(answer.at_this_training("n_params")))
    size = format_size(longest, low, high)
    less = format_beside(longest / doubled["ratio"], longest, low, high, format_count)
    begin = f"The training was too short: {part} of it gave {less}, and all of it gave {size}"
    if less == size:
        begin = f"Not known to have converged: {part} of the training gave {size}, as all of it did"
    return (
        f"{begin}. The answer is extrapolated from these two to endless training: "
        f"{size} × {limit.factor:.2f} ({limit.low:.2f} to {limit.high:.2f})."
    )
