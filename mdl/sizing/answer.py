"""What was found: how many parameters the data pay for, how surely, and under which conditions."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from analysis.api import Study
from analysis.codes import of_one_budget
from analysis.costs import parse_cost
from analysis.critical import MARGIN, WIDEST, endless
from analysis.errors import AnalysisError
from analysis.formatting import format_bytes, format_count, format_size
from analysis.records import Table, load
from analysis.study import study as explain


class Limit(NamedTuple):
    """N* of endless training over that of the longest there was, extrapolated from it and its half; 95 %."""

    factor: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Answer:
    """How big a model the data pay for: what `mdl.size` returns.

    Attributes
    ----------
    n_params
        N*, parameters; None where the trained models do not bracket it.
    interval
        The 95 % interval of N*, (low, high), parameters; None where it is not known.
    is_wide
        Whether the interval is too wide for one size to be called the answer: beyond a factor of four.
    is_converged
        Whether endless training would leave N* as it is, but for a tenth, surely; None: not known.
    is_extrapolated
        Whether N* is carried on from a part of the data to all of it.
    limit
        How far endless training moves N*: a factor with its 95 % interval, which `n_params` holds; None: not known.
    subset_bytes
        D, bytes: the largest subset that was trained on; None without records.
    source
        The data, as a sweep file names them.
    size_bytes
        Their size.
    train_bytes
        Of these what a model can be trained on; the rest is held out.
    read
        What was read, and what bytes it became, in a line.
    folder
        The run folder: records, the sweep file, the report.
    study
        Everything that follows from the records; None where there are too few.
    coded
        The same at the size of coded weights; None where these were not measured.
    row
        What is known of the largest subset: a row of `Study.critical`; None without one.
    doubled
        What twice the training changed on the largest subset; None: not known.
    stopped
        Why the search ended.
    more_helps
        Whether more time could tell more.
    signal_number
        The signal that ended the search before its time; None without one.

    Examples
    --------
    >>> study = analysis.load(RECORDS).study()
    >>> answer = mdl.Answer(
    ...     source="stdlib", size_bytes=1_300_000, train_bytes=1_000_000, folder=RECORDS, study=study
    ... )
    >>> answer
    Answer('stdlib': 22 K parameters, 95 % 18.9 K to 25.8 K, after no more training than this)
    >>> round(answer.n_params), answer.subset_bytes, answer.is_extrapolated
    (21883, 1000000, False)
    """

    source: str
    size_bytes: int
    train_bytes: int
    folder: Path
    study: Study | None
    read: str = ""
    stopped: str = ""
    more_helps: bool = True
    signal_number: int | None = None
    coded: Study | None = None

    @cached_property
    def row(self) -> dict[str, Any] | None:
        """What is known of the largest subset: a row of `Study.critical`."""
        return None if self.study is None else largest(self.study.critical)

    @cached_property
    def doubled(self) -> dict[str, Any] | None:
        """What twice the training changed on the largest subset: a row of `analysis.study.Study.convergence`."""
        if self.study is None or self.subset_bytes is None:
            return None
        table = self.study.explained.convergence
        own = table[table["subset_bytes"] == self.subset_bytes].sort_values("half_bytes_seen")
        return None if own.empty else {str(key): value for key, value in own.iloc[-1].items()}

    @property
    def limit(self) -> Limit | None:
        """How far endless training would move the size, and `n_params` has been moved; None: not known."""
        if self.doubled is None:
            return None
        found = Limit(*(float(self.doubled[name]) for name in ("limit", "limit_low", "limit_high")))
        return found if all(map(math.isfinite, found)) else None

    @property
    def subset_bytes(self) -> int | None:
        """D: the largest subset that was trained on."""
        return None if self.row is None else int(self.row["subset_bytes"])

    @property
    def n_params(self) -> float | None:
        """N* of all the data, of endless training where that is known; None: not found.

        It is that of the largest subset at the longest training, carried on by the law where that is not all of the
        data, and by `limit`.
        """
        size = self.at_this_training("n_params")
        return size if size is None or self.limit is None else size * self.limit.factor

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % of it, of the size at the longest training and of how far that is from endless; None: not known."""
        size, low, high = (self.at_this_training(name) for name in ("n_params", "low", "high"))
        if size is None or low is None or high is None:
            return None
        return endless((size, low, high), self.limit or (1.0, 1.0, 1.0))[1:]

    @property
    def is_extrapolated(self) -> bool:
        """Were the budget's models trained on a part of the data only?"""
        return self.subset_bytes is not None and self.subset_bytes < self.train_bytes

    @property
    def is_converged(self) -> bool | None:
        """Whether endless training would surely change the size by less than a factor of 1.1. None: not known."""
        return None if self.limit is None else self.limit.low >= 1 / MARGIN and self.limit.high <= MARGIN

    def width(self) -> float:
        """How wide the interval is, as a factor.

        Returns
        -------
        float
            Its upper end over its lower one, at least 1; infinite where the interval is not known.

        Examples
        --------
        >>> study = analysis.load(RECORDS).study()
        >>> known = {"source": "stdlib", "size_bytes": 1_300_000, "train_bytes": 1_000_000}
        >>> round(mdl.Answer(folder=RECORDS, study=study, **known).width(), 2)
        1.37
        """
        return self.interval[1] / self.interval[0] if self.interval else math.inf

    @property
    def is_wide(self) -> bool:
        """Is the interval too wide for one size to be called the answer?"""
        return self.interval is not None and self.width() > WIDEST

    def at_this_training(self, name: str) -> float | None:
        """A size of `Study.critical` as the longest training has it, without what endless training would change.

        The law of all dataset sizes carries it on to all of the data where that was too much to train on.

        Parameters
        ----------
        name
            "n_params", "low" or "high".

        Returns
        -------
        float or None
            Parameters; None where it is not known.

        Examples
        --------
        >>> study = analysis.load(RECORDS).study()
        >>> known = {"source": "stdlib", "size_bytes": 1_300_000, "train_bytes": 1_000_000}
        >>> round(mdl.Answer(folder=RECORDS, study=study, **known).at_this_training("low"))
        18855
        """
        if self.row is None or self.study is None:
            return None
        value, foretold = self.row[name], self.study.explained.predictions
        if self.is_extrapolated and name in foretold.columns:
            own = foretold.loc[foretold["subset_bytes"] == self.train_bytes]
            known = len(own) and own[["low", "high"]].notna().all(axis=None)  # a law through two sizes has no interval
            value = own[name].iloc[0] if known else math.nan
        return None if math.isnan(value) else float(value)

    def __repr__(self) -> str:
        ends = self.interval or (None, None)
        size = "no size known yet" if self.n_params is None else f"{format_size(self.n_params, *ends)} parameters"
        known = ", 95 % {} to {}".format(*map(format_count, self.interval)) if self.interval else ""
        if self.is_wide:
            size, known = known.removeprefix(", ") + " parameters", f", too wide for an answer; best guess {size}"
        elif self.n_params is not None and self.limit is None:
            known += ", after no more training than this"
        carried = f", extrapolated from {format_bytes(self.subset_bytes or 0)}" if self.is_extrapolated else ""
        return f"Answer({self.source!r}: {size}{known}{carried})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.study._repr_html_() if self.study else ''}"

    def report(self, out: str | Path | None = None, *, formats: tuple[str, ...] = ("pdf", "html")) -> Path:
        """Write the report into a folder.

        Parameters
        ----------
        out
            The folder, made where it is not there; None: `report` beside the records.
        formats
            Some of "pdf", "md" and "html".

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        AnalysisError
            For too few records, an unknown format, or an `out` that is a file.

        Examples
        --------
        >>> study = analysis.load(RECORDS).study()
        >>> known = {"source": "stdlib", "size_bytes": 1_300_000, "train_bytes": 1_000_000}
        >>> made = mdl.Answer(folder=RECORDS, study=study, **known).report("answer", formats=("md",))
        >>> (made / "report.md").exists()
        True
        """
        if self.study is None:
            raise AnalysisError(f"{self.folder} has too few records for a report; give more time")
        return self.study.report(out or self.folder / "report", formats=formats)


def largest(critical: pd.DataFrame) -> dict[str, Any] | None:
    """The row of the largest subset."""
    if critical.empty:
        return None
    return {str(key): value for key, value in critical.sort_values("subset_bytes").iloc[-1].items()}


def look(folder: Path, cost: str, **known: Any) -> Answer:
    """The answer as far as the records of a folder go."""
    try:
        return answer_of(load(folder), cost, folder=folder, **known)
    except AnalysisError:
        return Answer(folder=folder, study=None, **known)


def answer_of(records: Table, cost: str, *, folder: Path, **known: Any) -> Answer:
    """The answer that records of one corpus give; AnalysisError where they are too few."""
    price = parse_cost(cost)
    table = of_one_budget(records, price)
    found = Study(explain(table, price, [known["train_bytes"]]), folder)
    coded = Study(explain(table, parse_cost("coded")), folder) if not table.coded.empty else None
    return Answer(folder=folder, study=found, coded=coded, **known)
