"""Critical sizes after half of the training, in words and a table; those after less of it are in convergence.csv."""

from __future__ import annotations

from typing import Any, cast

from analysis.critical import MARGIN, Ends, endless
from analysis.formatting import (
    UNKNOWN,
    format_bytes,
    format_count,
    format_known,
    format_range,
    format_signed,
    format_size,
    join,
)
from analysis.records import uneven
from analysis.report.coded_convergence import coded_convergence
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Grid, Heading, Text, named_grid
from analysis.report.group_names import place
from analysis.report.rows.critical import ConvergenceRow, CriticalRow
from analysis.report.section import WideSection, register_section
from analysis.report.sections import searched_size
from analysis.report.summary_keys import Summary
from analysis.study import Study


def write(summary: Summary) -> list[Block]:
    """Whether more training would move the critical sizes; nothing where there was one budget."""
    rows = nearest_budgets(summary["convergence"])
    if not rows:
        return []
    of_half = all(2 * row["half_bytes_seen"] == row["bytes_seen"] for row in rows)
    blocks: list[Block] = [
        Heading("Half the training" if of_half else "Less training"),
        Text(_told(rows, summary)),
        Text(_LIMIT, "small"),
        _grid(rows, of_half=of_half),
    ]
    coded = summary.get("coded_convergence", [])
    return [*blocks, Text(_AT_CODED), _grid(coded, of_half=of_half)] if coded else blocks


_AT_CODED = (
    "The same where a parameter costs what its code takes, at the precision that is best after the longer training:"
)


def _grid(rows: list[ConvergenceRow], *, of_half: bool) -> Grid:
    header = (
        "dataset",
        *(() if of_half else ("less training",)),
        "N*: whole / half" if of_half else "N*: whole / less",
        "95 % interval",
        "rate, points",
        "N* moved",
        "limit / whole",
        "points to come",
    )
    digits = _n_decimals(rows)
    cells = [_cells(row, digits, of_half=of_half) for row in rows]
    align = "l" + ("" if of_half else "r") + "rrrlrr"
    return named_grid(header, cells, align, [row["group"] for row in rows])


def _cells(row: ConvergenceRow, digits: int, *, of_half: bool) -> tuple[str, ...]:
    return (
        format_bytes(row["subset_bytes"]),
        *(() if of_half else (format_bytes(row["half_bytes_seen"]),)),
        f"× {row['ratio']:.{digits}f}" if row["ratio"] is not None else _no_ratio(row),
        _factors(row["ratio_low"], row["ratio_high"], digits),
        format_known(row["points"], lambda points: format_signed(-100 * points, 1)),
        _judged(row),
        _limit(row),
        _to_come(row),
    )


_LIMIT = (
    "Limit: N* of endless training over N* of the whole training. Points to come: by how much endless training would "
    "lower the rate. Both are extrapolated. They assume that each doubling of the training gains between 2^−½ (0.71) "
    "and ½ of what the doubling before it gained. The interval of the limit is the wider the more points are to come."
)


def _n_decimals(rows: list[ConvergenceRow]) -> int:
    """Of all ratios of a table: three where two would make the ends of an interval one."""
    ends = [(row["ratio_low"], row["ratio_high"]) for row in rows]
    known = [(low, high) for low, high in ends if low is not None and high is not None]
    return 3 if any(f"{low:.2f}" == f"{high:.2f}" for low, high in known) else 2


def _factors(low: float | None, high: float | None, digits: int = 2) -> str:
    return format_range(low, high, lambda ratio: f"{ratio:.{digits}f}")


def _limit(row: ConvergenceRow) -> str:
    ends = _factors(row.get("limit_low"), row.get("limit_high"))
    return format_known(row.get("limit"), lambda limit: f"× {limit:.2f} ({ends})")


def _to_come(row: ConvergenceRow) -> str:
    least, most = row.get("points_least"), row.get("points_most")
    return (
        UNKNOWN
        if least is None or most is None
        else f"{format_signed(-100 * least, 1)} to {format_signed(-100 * most, 1)}"
    )


def _no_ratio(row: ConvergenceRow) -> str:
    """Which of the two sizes is not known."""
    if row["n_params_half"] is not None:
        return "whole: not bracketed"
    status = row["status_half"]
    return f"less: {status} its grid" if status in ("below", "above") else f"less: {status}"


_JUDGED = {"converged": f"less than × {MARGIN:g}", "unconverged": "yes: unconverged", "undecided": "not decided"}


def _judged(row: ConvergenceRow) -> str:
    if row["verdict"] == "unknown":
        return "not judged: not bracketed" if row["ratio"] is None else "not judged: no interval"
    return _JUDGED[row["verdict"]]


def nearest_budgets(rows: list[ConvergenceRow]) -> list[ConvergenceRow]:
    """Of each dataset size the budget that is nearest to the longest: half of it says whether training converged."""
    shortest_first = sorted(rows, key=lambda row: row["half_bytes_seen"])
    kept = {(row["group"], row["subset_bytes"]): row for row in shortest_first}
    return sorted(kept.values(), key=lambda row: (row["group"], row["subset_bytes"]))


def _told(rows: list[ConvergenceRow], summary: Summary) -> str:
    seen = {(row["half_bytes_seen"], row["bytes_seen"]) for row in rows}
    most = "up to " if summary["n_needless"] else ""  # some models needed no longer training, and ended before
    budgets = join(f"{most}{format_bytes(half)} instead of {most}{format_bytes(whole)}" for half, whole in sorted(seen))
    text = (
        f"A critical size depends on the recipe. Here the shapes were also trained on {budgets} per model (repeats "
        "counted). The table shows the ratio of the two critical sizes, both of the shapes that had both trainings; "
        "convergence.csv, which mdl report writes beside the report, has the sizes. They share the scatter of shapes "
        "and replicates, which therefore cancels in the ratio. N* moved by less than a factor of "
        f"{MARGIN:g} where the ratio's 95 % interval lies within that factor, with or without 1 in it. N* moved where "
        "the interval leaves out 1 and reaches beyond that factor. Elsewhere it is not decided. "
    )
    several = len({row["group"] for row in rows}) > 1
    if len(rows) < len(summary["convergence"]):
        text += "Shorter trainings are in convergence.csv, too. "
    unconverged = [place(row, summary, several=several) for row in rows if row["verdict"] == "unconverged"]
    if unconverged:
        text += f"At {join(unconverged)} N* moved: the training had not converged, and more training may move it again."
    elif any(row["verdict"] in ("converged", "undecided") for row in rows):
        n = sum(row["verdict"] == "converged" for row in rows)
        text += f"N* moved by less than that factor at {n} of {len(rows)} dataset sizes"
        text += "." if n == len(rows) else ", and it is not known at the others."
    return text.strip()


def budget_sentence(summary: Summary, group: str) -> str:
    """Page one: what twice the training does, at the largest dataset size that has both budgets."""
    rows = [row for row in summary["convergence"] if row["group"] == group and row["ratio_low"] is not None]
    if not rows:
        return ""
    row = max(rows, key=lambda row: (row["subset_bytes"], -row["half_bytes_seen"]))
    times = row["bytes_seen"] / row["half_bytes_seen"]
    digits = _n_decimals([row])
    ratio = format_known(row["ratio"], lambda ratio: f"{ratio:.{digits}f}")
    ends = _factors(row["ratio_low"], row["ratio_high"], digits)
    points = format_known(row["points"], _lower)
    nearest = max(rows, key=lambda row: (row["subset_bytes"], row["half_bytes_seen"]))  # as the table of limits has it
    return (
        f"After {times:.2g} times the training ({format_bytes(row['bytes_seen'])} read by each model instead of "
        f"{format_bytes(row['half_bytes_seen'])}), the critical size of {format_bytes(row['subset_bytes'])} is "
        f"{ratio} times as large (95 %: {ends}), and the rate is {points}.{_endless(nearest, summary)}"
    )


def _endless(row: ConvergenceRow, summary: Summary) -> str:
    """The size that training for ever is extrapolated to give; the report of `mdl size` begins with it."""
    if searched_size.told(summary):
        return ""
    own = critical_of(row, summary)
    size, limit = (own["n_params"], own["low"], own["high"]), (row["limit"], row["limit_low"], row["limit_high"])
    if None in (*size, *limit):
        return ""
    n, low, high = endless(cast(Ends, size), cast(Ends, limit))
    ends = f"{format_count(low)} to {format_count(high)}"
    return f" Endless training is extrapolated to give {format_size(n, low, high)} (95 %: {ends})."


def critical_of(row: ConvergenceRow, summary: Summary) -> CriticalRow:
    """The critical size of the same data on page one: of all shapes, also of those that had one training alone."""
    return next(one for one in summary["critical"] if all(one[key] == row[key] for key in ("group", "subset_bytes")))


def _lower(points: float) -> str:
    return f"{abs(100 * points):.1f} points {'lower' if points >= 0 else 'higher'}"


def _measured(study: Study) -> dict[str, Any]:
    short = uneven(study.table.cells, study.table.needless_runs)
    found = {"convergence": study.convergence, "coded_convergence": coded_convergence(study)}
    return found | ({} if short.empty else {"uneven": short})


register_section(
    WideSection(
        name="convergence",
        measure=_measured,
        write=write,
        tables=(CsvTable("convergence"), CsvTable("coded_convergence")),
    ),
)
