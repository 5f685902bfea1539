"""Tables of several studies beside each other, as the documents have them: a row a study, from its summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.errors import AnalysisError
from analysis.formatting import format_bytes, true_minus
from analysis.report.rows.critical import CriticalRow, LawRow
from analysis.report.sections.answer_table import answer_row
from analysis.report.summary_keys import Summary


@dataclass(frozen=True)
class Study:
    """A row: a group of a summary, by the name that readers know its data by."""

    data: str
    summary: Summary
    law: LawRow  # of the group


def theory_table(studies: Sequence[Study]) -> str:
    """The exponent that was measured beside the one that the closed form predicts.

    A difference is bold if its interval is clear of 0 in the digits that are printed.
    """
    rows = [("data", "recipe", "measured (95 %)", "predicted (95 %)", "difference (95 %)", "least detectable")]
    for study in studies:
        found = study.law["theory"]
        if found is None or found["detectable"] is None:
            raise AnalysisError(f"{study.data}: its summary has no test of the theory; leave its line out")
        predicted = _exponent(found["gamma_predicted"], found["predicted_low"], found["predicted_high"])
        difference = _exponent(found["difference"], found["difference_low"], found["difference_high"])
        if _is_clear_of_0(found["difference_low"], found["difference_high"]):
            difference = f"**{difference}**"
        rows.append((study.data, _recipes(study), _gamma(study), predicted, difference, f"{found['detectable']:.2f}"))
    return markdown_table(rows)


def exponents_table(studies: Sequence[Study]) -> str:
    """The critical sizes at the dataset sizes that the last study has, and the exponent."""
    sizes = sorted({row["subset_bytes"] for row in _critical(studies[-1])})
    rows = [("data", "recipe", *map(format_bytes, sizes), "exponent (95 %)")]
    for study in studies:
        found = {row["subset_bytes"]: answer_row(row)[1] for row in _critical(study)}
        rows.append((study.data, _recipes(study), *(found.get(size, "") for size in sizes), _gamma(study)))
    return markdown_table(rows)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]) + "\n"


TABLES: dict[str, Callable[[Sequence[Study]], str]] = {"theory": theory_table, "exponents": exponents_table}


def _critical(study: Study) -> list[CriticalRow]:
    return [row for row in study.summary["critical"] if row["group"] == study.law["group"]]


def _recipes(study: Study) -> str:
    return ", ".join(str(row["recipe"]) for row in study.summary["recipe"]["recipes"])


def _gamma(study: Study) -> str:
    return _exponent(study.law["gamma"], study.law["gamma_low"], study.law["gamma_high"])


def _exponent(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        raise AnalysisError("an exponent has no interval; tables of several studies take only those that have one")
    value, low, high = (round(number, 2) + 0.0 for number in (value, low, high))  # + 0.0: no −0.00
    return true_minus(f"{value:.2f} ({low:.2f} to {high:.2f})")


def _is_clear_of_0(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and (round(low, 2) > 0 or round(high, 2) < 0)
