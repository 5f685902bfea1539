"""What was found: how many parameters the data pay for, how surely, and under which conditions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.api import Study
from analysis.costs import ParameterCost, parse_cost
from analysis.errors import AnalysisError
from analysis.formatting import format_bytes, format_count, format_percent
from analysis.records import Table, known_rows, load
from analysis.report import plain_table
from analysis.study import study as explain

_FEWEST_SHAPES = 5  # of one training budget, for a critical size
_CONVERGED = 1.1  # a critical size that a longer training moves by less than this factor


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How big a model the data pay for.

    Examples
    --------
    >>> study = analysis.load(RECORDS).study()
    >>> answer = mdl.Answer(source="stdlib", size_bytes=1_300_000, train_bytes=1_000_000, folder=RECORDS, study=study)
    >>> answer.subset_bytes, answer.is_extrapolated
    (1000000, False)
    """

    source: str
    size_bytes: int
    """Of the data."""
    train_bytes: int
    """Of these what a model can be trained on; the rest is held out."""
    folder: Path
    """The run folder: records, the sweep file, the report."""
    study: Study | None
    """Everything that follows from the records; None where there are too few."""
    moved: float | None = None
    """By which factor the longest training moved the critical size, against the one before; None: not known."""
    longer: float | None = None
    """How many times as long as that one it was."""
    stopped: str = ""
    """Why the search ended."""
    signal_number: int | None = None
    """Of the signal that ended it before its time."""
    coded: Study | None = field(default=None, repr=False)
    """The same at the size of coded weights, where these were measured."""

    @cached_property
    def row(self) -> dict[str, Any] | None:
        """What is known of the largest subset: a row of `Study.critical`."""
        return None if self.study is None else _largest(self.study.critical)

    @property
    def subset_bytes(self) -> int | None:
        """D: the largest subset that was trained on."""
        return None if self.row is None else int(self.row["subset_bytes"])

    @property
    def n_params(self) -> float | None:
        """N* of all the data: of the largest subset, carried on by the law where that is not all; None: not found."""
        return self._carried_on("n_params")

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % of the critical size; None where it is not known."""
        low, high = self._carried_on("low"), self._carried_on("high")
        return None if low is None or high is None else (low, high)

    @property
    def is_extrapolated(self) -> bool:
        """Were the budget's models trained on a part of the data only?"""
        return self.subset_bytes is not None and self.subset_bytes < self.train_bytes

    @property
    def is_converged(self) -> bool | None:
        """Would longer training leave it as it is? None: not known."""
        return None if self.moved is None else 1 / _CONVERGED < self.moved < _CONVERGED

    def width(self) -> float:
        """The interval's upper end over its lower one; infinite where it is not known."""
        return self.interval[1] / self.interval[0] if self.interval else math.inf

    def report(self, out: str | Path | None = None, *, formats: tuple[str, ...] = ("pdf", "html")) -> Path:
        """Write the report into a folder, by default beside the records, and return it."""
        if self.study is None:
            raise AnalysisError(f"{self.folder} has too few records for a report; give more time")
        return self.study.report(out or self.folder / "report", formats=formats)

    def _carried_on(self, name: str) -> float | None:
        value = None if self.row is None else self.row[name]
        if value is None or math.isnan(value) or self.study is None:
            return None
        law = next(iter(self.study.size_laws.values()))
        gamma = law.gamma if self.is_extrapolated else 0.0
        return None if gamma is None else float(value) * (self.train_bytes / float(str(self.subset_bytes))) ** gamma


def _largest(critical: pd.DataFrame) -> dict[str, Any] | None:
    if critical.empty:
        return None
    return {str(key): value for key, value in critical.sort_values("subset_bytes").iloc[-1].items()}


def of_one_budget(table: Table) -> tuple[Table, Table | None]:
    """The cells of the longest training that enough shapes had, per dataset size; and those of the one before.

    Both of the shapes that both have, where there is one before, so that they can be compared.
    """
    cells = table.cells
    if cells.empty:
        raise AnalysisError("no cell has ended")
    latest, former = [], []
    for _, own in cells.groupby("subset_bytes"):
        shapes = own.groupby("bytes_seen")["n_params"].nunique()
        enough = shapes.index[shapes >= min(_FEWEST_SHAPES, shapes.max())].sort_values()
        latest.append(own[own["bytes_seen"] == enough[-1]])
        if len(enough) > 1:
            former.append(own[own["bytes_seen"] == enough[-2]])
    before = pd.concat(former) if former else None
    return _only(table, pd.concat(latest)), None if before is None else _only(table, before)


def _only(table: Table, cells: pd.DataFrame) -> Table:
    return replace(table, cells=cells, coded=table.coded[table.coded["run_id"].isin(cells["run_id"])])


def look(folder: Path, cost: str, **known: Any) -> Answer:
    """The answer as far as the records of a folder go."""
    price = parse_cost(cost)
    try:
        table = load(folder)
        latest, former = of_one_budget(table)
        found = Study(explain(latest, price), folder)
    except AnalysisError:
        return Answer(folder=folder, study=None, **known)
    moved, longer = _moved(latest, former, price) if former else (None, None)
    coded = Study(explain(latest, parse_cost("coded")), folder) if not latest.coded.empty else None
    return Answer(folder=folder, study=found, moved=moved, longer=longer, coded=coded, **known)


def _moved(latest: Table, former: Table, price: ParameterCost) -> tuple[float | None, float | None]:
    """N* of the longest training over that of the one before, both over the shapes and the largest data of both."""
    d = min(latest.cells["subset_bytes"].max(), former.cells["subset_bytes"].max())
    own = [table.cells[table.cells["subset_bytes"] == d] for table in (latest, former)]
    both = set(own[0]["n_params"]) & set(own[1]["n_params"])
    sizes = []
    for table, cells in zip((latest, former), own, strict=True):
        row = _largest(explain(_only(table, cells[cells["n_params"].isin(both)]), price).critical)
        sizes.append(math.nan if row is None else float(row["n_params"]))
    longer = float(own[0]["bytes_seen"].max() / own[1]["bytes_seen"].max())
    return (None if math.isnan(sizes[0] / sizes[1]) else sizes[0] / sizes[1]), longer


def table_lines(answer: Answer) -> list[str]:
    """One line a dataset size: what is known of it so far."""
    if answer.study is None:
        return ["nothing is known yet"]
    head = ("dataset", "N*", "95 %", "within 1 %", "rate", "best coder")
    return plain_table(head, [_cells(row) for row in known_rows(answer.study.critical)])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def told(name: str, how: Any) -> str:
        value = row.get(name)
        return "–" if value is None else how(value)

    return (
        format_bytes(row["subset_bytes"]),
        told("n_params", format_count) if row["status"] == "bracketed" else str(row["status"]),
        f"{told('low', format_count)} to {told('high', format_count)}",
        f"{told('near_low', format_count)} to {told('near_high', format_count)}",
        told("adjusted_rate", format_percent),
        f"{told('classical_rate', format_percent)} {row['coder'] if isinstance(row.get('coder'), str) else ''}".strip(),
    )


def sentences(answer: Answer, cost: str) -> list[str]:
    """The answer in words, and its conditions."""
    what = f"{answer.source}, {format_bytes(answer.size_bytes)},"
    row = answer.row
    if row is None or answer.study is None:
        return [f"{what} has no known model size yet: {answer.stopped or 'too few models have been trained'}."]
    ended = [f"The search ended because {answer.stopped}."] if answer.stopped else []
    if row["adjusted_rate"] >= 1:
        rate = format_percent(row["adjusted_rate"])
        return [
            f"{what} does not pay for any model: with the best model found, code and parameters take {rate} of its own "
            "bytes.",
            *ended,
        ]
    return [
        f"{what} {_pays_for(answer, row, cost)}.",
        *_flatness(row),
        *_beside_coders(row),
        *_conditions(answer),
        *ended,
    ]


def _pays_for(answer: Answer, row: dict[str, Any], cost: str) -> str:
    if row["status"] == "below":
        return f"pays for at most {format_count(row['least_size'])} parameters: the smallest model tried was the best"
    if row["status"] == "above":
        return f"pays for at least {format_count(row['most_size'])} parameters: the largest model tried was the best"
    if answer.study is None or answer.n_params is None:
        return f"has no known model size yet: {row['message']}"
    price = answer.study.cost.bytes_per_param
    noun = answer.study.cost.noun if price is None else f"{price:g} bytes each"
    between = f" ({format_count(answer.interval[0])} to {format_count(answer.interval[1])})" if answer.interval else ""
    return f"pays for {format_count(answer.n_params)} parameters{between} at {noun}{_coded(answer, cost)}"


def _flatness(row: dict[str, Any]) -> list[str]:
    if math.isnan(row["near_low"]):
        return []
    low, high = format_count(row["near_low"]), format_count(row["near_high"])
    return [f"Any size from {low} to {high} is within 1 % of the shortest code."]


def _coded(answer: Answer, cost: str) -> str:
    row = None if answer.coded is None or cost.startswith("coded") else _largest(answer.coded.critical)
    if row is None or math.isnan(row["n_params"]):
        return ""
    return f", and for {format_count(row['n_params'])} whose weights are coded"


def _beside_coders(row: dict[str, Any]) -> list[str]:
    own, theirs = row["adjusted_rate"], row.get("classical_rate")
    if theirs is None or math.isnan(theirs):
        return []
    points = f"{100 * abs(theirs - own):.2g} points"
    coder = row["coder"]
    which = f"{coder} is still shorter by {points}" if theirs < own else f"That is {points} shorter than {coder}"
    return [f"{which} ({format_percent(theirs)} against {format_percent(own)} with the model)."]


def _conditions(answer: Answer) -> list[str]:
    lines = []
    if answer.is_extrapolated:
        lines.append(
            f"Models were trained on {format_bytes(float(str(answer.subset_bytes)))} of "
            f"{format_bytes(answer.train_bytes)}; the size for all of it is extrapolated by the law of the critical "
            "sizes."
        )
    if answer.is_converged is None:
        lines.append(
            "The size is for this much training. Whether more training would move it is not known; give more time."
        )
    elif not answer.is_converged:
        lines.append(
            f"Unconverged: with {answer.longer:.2g} times the training the size moved by a factor of "
            f"{answer.moved:.2f}; it is the size at this budget."
        )
    if answer.interval is None:
        lines.append("No interval is known: give more time for other seeds.")
    return lines
