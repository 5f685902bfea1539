"""What a sweep or a table left, as notebooks have it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.api.studies import Price, Study
from analysis.costs import parse_cost
from analysis.formatting import format_counted
from analysis.records import Table, by_second_code
from analysis.records import load as load_table
from analysis.study import study as explain


def load(path: str | Path) -> Records:
    """The records of a sweep, or anyone's table of code lengths.

    Parameters
    ----------
    path
        A run folder such as runs/quick, or a table with columns N (parameters), D (bytes) and code_bits, optionally
        seed.

    Returns
    -------
    Records
        Its tables, and `.study(cost)`.

    Raises
    ------
    AnalysisError
        In one line naming the file, for what is neither, or is damaged, or of a newer schema.

    Examples
    --------
    >>> analysis.load(RECORDS)
    Records('quick': 21 cells of 3 dataset sizes by 7 model sizes)
    """
    return Records(load_table(Path(path)), Path(path))


@dataclass(frozen=True, repr=False)
class Records:
    """What was measured: one table a kind of record, as DataFrames in `table`.

    Attributes
    ----------
    table
        DataFrames `runs`, `cells`, `segments`, `baselines` and more. Lengths are in bits or bytes, times in seconds.
    path
        The folder or file that was read.

    Examples
    --------
    >>> records = analysis.load(RECORDS)
    >>> sorted(records.table.cells["size"].unique())
    ['12x1', '20x1', '24x2', '32x2', '40x2', '4x1', '8x1']
    """

    table: Table
    """`runs`, `cells`, `segments`, `baselines` … : see `analysis.records.Table`."""
    path: Path

    def study(
        self,
        cost: Price = "float16",
        *,
        stride_bytes: int | None = None,
        contexts: bool = False,
        predict_bytes: Sequence[float] = (),
    ) -> Study:
        """Everything that follows from the records under one price of a parameter.

        Parameters
        ----------
        cost
            A price by name (float16, float32, coded, coded4, logn, file, capacity, none), bytes, or an object.
        stride_bytes
            By the second code length, of windows that begin every so many bytes (`measure.stride_bytes`); None: by the
            first, of windows side by side.
        contexts
            By the second code length, of models mixed with contexts (`measure.contexts`).
        predict_bytes
            Dataset sizes D, bytes, for `.predictions`; none: ten times the largest.

        Returns
        -------
        Study
            `.critical`, `.size_law`, `.predictions`, `.plot`, `.report()`.

        Raises
        ------
        AnalysisError
            For an unknown price, or one that these records do not know; for a second code length that was not
            measured; for a dataset size that is not above 0.

        Examples
        --------
        >>> analysis.load(RECORDS).study(cost=1).critical["n_params"].round().astype(int).to_list()
        [7191, 15823, 37773]
        """
        table = by_second_code(self.table, stride_bytes, contexts=contexts)
        return Study(explain(table, parse_cost(cost), predict_bytes), self.path)

    def __repr__(self) -> str:
        cells = self.table.cells
        runs, data, sizes = (
            format_counted(cells[column].nunique(), noun)
            for column, noun in (("run_id", "cell"), ("subset_bytes", "dataset size"), ("n_params", "model size"))
        )
        return f"Records('{self.table.name}': {runs} of {data} by {sizes})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"
