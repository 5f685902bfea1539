"""What follows from records under a price of a parameter."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.api.plots import Plots
from analysis.api.size_law import SizeLaw
from analysis.costs import ParameterCost, parse_cost
from analysis.errors import AnalysisError
from analysis.formatting import format_bytes, format_size, join
from analysis.records import Row, rows_of
from analysis.study import Study as Explained
from analysis.study import study as explain

_FIRST_COLUMNS = ["subset_bytes", "n_params", "low", "high", "near_low", "near_high", "adjusted_rate", "raw_rate"]
Price = str | float | ParameterCost


class Study:
    """Records explained under one price of a parameter: critical model sizes, their law, figures and a report.

    Attributes
    ----------
    cost
        The price of a parameter: `.name`, `.label`, and `.bytes_per_param` where it is one number.
    critical
        The critical model size N* of each dataset size: a DataFrame, a row for each.
    rates
        What was measured, averaged over seeds: a DataFrame, a row per group, dataset size and model size.
    size_law
        N* = k · D^γ; AnalysisError where there are several groups.
    size_laws
        The same for every group, by the group's name.
    predictions
        N* and the rate there at dataset sizes that were asked for, with intervals: a DataFrame.
    plot
        Figures, each a method that returns matplotlib Axes.
    explained
        All tables, for whoever wants more.
    path
        The folder or file that was read.

    Examples
    --------
    >>> study = analysis.load(RECORDS).study(cost="float16")
    >>> study
    Study('quick' at float16: N* 3.7 K at 100 KB, 8.7 K at 300 KB, 22 K at 1 MB)
    >>> study.critical[["subset_bytes", "n_params"]].round().astype(int).to_numpy().tolist()
    [[100000, 3660], [300000, 8715], [1000000, 21883]]
    """

    def __init__(self, explained: Explained, path: Path) -> None:
        self.explained = explained
        """All tables, for whoever wants more: see `analysis.study.Study`."""
        self.path = path

    @property
    def cost(self) -> ParameterCost:
        """The price of a parameter."""
        return self.explained.cost

    @cached_property
    def critical(self) -> pd.DataFrame:
        """The critical model size N* of each dataset size, a row for each.

        Returns
        -------
        pandas.DataFrame
            Columns: subset_bytes (D), n_params (N*, parameters; NaN where the grid does not bracket it), low and high
            (its 95 % interval), near_low and near_high (the sizes within 1 % of the least adjusted rate),
            adjusted_rate and raw_rate there (fractions), status, message, coder and classical_rate (the best classical
            coder on the same bytes), group (what is comparable) and the second estimator's columns.

        Examples
        --------
        >>> critical = analysis.load(RECORDS).study().critical
        >>> critical["status"].to_list(), critical["low"].round().astype(int).to_list()
        (['inside', 'inside', 'inside'], [2945, 7909, 18944])
        """
        frame = self.explained.critical
        return frame[[*_FIRST_COLUMNS, *(name for name in frame if name not in _FIRST_COLUMNS)]]

    @property
    def rates(self) -> pd.DataFrame:
        """What was measured, averaged over seeds: a row per (group, subset_bytes, n_params), rates as fractions."""
        return self.explained.rates

    @property
    def size_laws(self) -> dict[str, SizeLaw]:
        """N* = k · D^γ of every group."""
        return {group: SizeLaw(law) for group, law in self.explained.laws.items()}

    @property
    def size_law(self) -> SizeLaw:
        """N* = k · D^γ through the bracketed sizes.

        Raises
        ------
        AnalysisError
            Where there are several groups (corpora, contexts, vocabularies): take one of `size_laws`.

        Examples
        --------
        >>> law = analysis.load(RECORDS).study().size_law
        >>> round(law.gamma, 2), [round(end, 1) for end in law.interval], round(float(law.predict(3e6)), -3)
        (0.78, [0.7, 0.9], 52000.0)
        """
        return self.size_laws[self._only_group()]

    @property
    def predictions(self) -> pd.DataFrame:
        """N* and the adjusted rate there at the dataset sizes asked for, by laws whose exponent may change with D.

        Returns
        -------
        pandas.DataFrame
            Columns: group, subset_bytes (D), n_params (N*, parameters), low and high (its 95 % interval),
            adjusted_rate (a fraction; NaN with fewer than four bracketed sizes), rate_low and rate_high (its 95 %
            interval), extrapolated (D lies outside the sizes that were measured).

        Examples
        --------
        >>> predicted = analysis.load(RECORDS).study(predict_bytes=[3e6]).predictions
        >>> predicted[["n_params", "low", "high"]].round(-3).astype(int).to_numpy().tolist()
        [[51000, 39000, 68000]]
        """
        return self.explained.predictions

    @property
    def plot(self) -> Plots:
        """Its figures, each a method that returns matplotlib Axes."""
        return Plots(self.explained, self._only_group)

    def compare_costs(self, costs: Iterable[Price]) -> pd.DataFrame:
        """N* under several prices of a parameter.

        Parameters
        ----------
        costs
            Prices, each by name, as a number of bytes, or as an object.

        Returns
        -------
        pandas.DataFrame
            The rows of `critical` under each price, which the column `cost` names.

        Raises
        ------
        AnalysisError
            For an unknown price, or one that these records do not know.

        Examples
        --------
        >>> study = analysis.load(RECORDS).study()
        >>> study.compare_costs(["float16", 1])["n_params"].round().astype(int).to_list()
        [3660, 8715, 21883, 7191, 15823, 37773]
        """
        frames = []
        for cost in costs:
            found = Study(explain(self.explained.table, parse_cost(cost)), self.path)
            frames.append(found.critical.assign(cost=found.cost.name))
        frame = pd.concat(frames, ignore_index=True)
        return frame[["cost", *(name for name in frame if name != "cost")]]

    def report(self, out: str | Path, *, formats: Sequence[str] = ("pdf",)) -> Path:
        """Write the report into a folder and return it.

        Parameters
        ----------
        out
            The folder, made where it is not there. Of an earlier report only what that one wrote is replaced.
        formats
            pdf, md (the same for GitHub), html (an explorer).

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        AnalysisError
            For an unknown format, or an `out` that is a file.

        Examples
        --------
        >>> folder = analysis.load(RECORDS).study().report("my-report", formats=["md"])
        >>> (folder / "report.md").exists()
        True
        """
        from analysis.report import build_report

        table = self.explained.table
        made = build_report(
            self.path,
            Path(out),
            cost=self.cost,
            formats=tuple(formats),
            stride_bytes=table.stride_bytes,
            contexts=table.is_mixed,
            predict_bytes=sorted(set(self.explained.predictions["subset_bytes"]) - set(table.cells["subset_bytes"])),
        )
        return made.folder

    def _only_group(self, group: str | None = None) -> str:
        known = list(self.explained.laws)
        if group is None and len(known) == 1:
            return known[0]
        if group not in known:
            asked = "several groups" if group is None else f"no group '{group}'"
            raise AnalysisError(f"there are {asked}: give group=, one of {join([repr(name) for name in known])}")
        return group

    def __repr__(self) -> str:
        several = len(self.explained.laws) > 1
        found = [
            f"{_size(row)} at {format_bytes(float(row['subset_bytes']))}" + (f" of {row['group']}" if several else "")
            for row in rows_of(self.explained.critical)
        ]
        shown = found if len(found) <= 8 else [*found[:7], f"… {len(found) - 7} more"]
        return f"Study('{self.explained.table.name}' at {self.cost.name}: N* {', '.join(shown)})"

    def _repr_html_(self) -> str:
        columns = ["subset_bytes", "n_params", "low", "high", "adjusted_rate", "status"]
        table = self.critical[columns].to_html(index=False, float_format=lambda value: f"{value:.4g}", na_rep="–")
        return f"<p>{html.escape(repr(self))}</p>{table}"


def _size(row: Row) -> str:
    n_params, low, high = (float(row[name]) for name in ("n_params", "low", "high"))
    return "not bracketed" if np.isnan(n_params) else format_size(n_params, low, high)
