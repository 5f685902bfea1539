"""What `mdl size` answered, in its report: the size of endless training, before all that is of the training done."""

from __future__ import annotations

from typing import NamedTuple, cast

from analysis.critical import WIDEST, Ends, endless
from analysis.formatting import format_bytes, format_count, format_size
from analysis.report.rows.critical import ConvergenceRow, CriticalRow
from analysis.report.summary_keys import Summary


class SearchedSize(NamedTuple):
    """N* of all the data with its 95 % interval, and whether it is of endless training."""

    ends: Ends
    is_endless: bool


def told(summary: Summary) -> str:
    """A paragraph; nothing in the report of any other sweep, or where no size was found."""
    if not summary.get("is_searched") or len(summary["groups"]) != 1 or not summary["critical"]:
        return ""
    found = _found(summary, max(summary["critical"], key=lambda row: row["subset_bytes"]))
    if found is None:
        return ""
    training = "endless training" if found.is_endless else "no more training than this"
    rest = " All that follows is of the training that was done." if found.is_endless else ""
    return f"Answer of mdl size, for {training}: {_data(summary)} pays for {_size(found.ends)}{rest}"


def _size(ends: Ends) -> str:
    """The interval first where it is too wide for an answer, as in the terminal."""
    n, low, high = ends
    size = format_size(n, low, high)
    if high > WIDEST * low:
        between = f"something between {format_count(low)} and {format_count(high)} parameters"
        return f"{between}. That is too wide for an answer; the best guess is {size}."
    return f"{size} parameters (95 %: {format_count(low)} to {format_count(high)})."


def _data(summary: Summary) -> str:
    corpus = summary["corpora"][0]
    held_out = corpus["heldout_bytes"]
    whole = format_bytes(corpus["train_bytes"] + held_out)
    return f"{whole} ({format_bytes(held_out)} of it held out)" if held_out else whole


def _found(summary: Summary, row: CriticalRow) -> SearchedSize | None:
    """As `mdl.sizing.Answer` has it."""
    own = _carried_on(summary, row)
    if own is None:
        return None
    limit = _limit(summary, row)
    return SearchedSize(own if limit is None else endless(own, limit), limit is not None)


def _carried_on(summary: Summary, row: CriticalRow) -> Ends | None:
    """At this training; by the law, where the largest subset is a part of the data."""
    train_bytes = summary["corpora"][0]["train_bytes"]
    at = [row["n_params"], row["low"], row["high"]]
    if row["subset_bytes"] < train_bytes:
        foretold = [one for one in summary["predictions"] if one["subset_bytes"] == train_bytes]
        at = [foretold[0]["n_params"], foretold[0]["low"], foretold[0]["high"]] if foretold else [None]
    return None if None in at or row["status"] != "bracketed" else cast(Ends, tuple(at))


def _limit(summary: Summary, row: CriticalRow) -> Ends | None:
    rows = [one for one in summary["convergence"] if one["subset_bytes"] == row["subset_bytes"]]
    if not rows:
        return None
    last: ConvergenceRow = max(rows, key=lambda one: one["half_bytes_seen"])
    limit = (last["limit"], last["limit_low"], last["limit_high"])
    return None if None in limit else cast(Ends, limit)
