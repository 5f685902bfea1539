"""Which of the trainings of several lengths tell a size: the longest that enough shapes had, and its half."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from analysis.costs import ParameterCost
from analysis.errors import AnalysisError
from analysis.records import Table

_FEWEST_SHAPES = 5  # of one training budget, for a critical size
_NEARLY_HALF = 0.45  # of a training that is another's half
_USUAL_PRICE = 2.0  # bytes, where a parameter's is only known once its weights are coded


def of_one_budget(table: Table, price: ParameterCost) -> Table:
    """The cells of the training that tells most of the size, per dataset size, and of about half of it.

    What is given back is no longer `is_searched`: the choice is made.
    """
    cells = table.cells
    if cells.empty:
        raise AnalysisError("no cell has ended")
    kept = []
    for _, own in cells.groupby("subset_bytes"):
        longest = _telling(own, price)
        kept.append(own[(own["bytes_seen"] <= longest) & (own["bytes_seen"] >= _NEARLY_HALF * longest)])
        shapes_of_it = kept[-1].loc[kept[-1]["bytes_seen"] == longest, "n_params"]
        kept[-1] = kept[-1][kept[-1]["n_params"].isin(shapes_of_it)]
    chosen = pd.concat(kept)
    return replace(
        table, is_searched=False, cells=chosen, coded=table.coded[table.coded["run_id"].isin(chosen["run_id"])]
    )


def _telling(cells: pd.DataFrame, price: ParameterCost) -> float:
    """Bytes seen by the longest training that enough shapes had, on either side of the best shape.

    One whose shapes all lie on one side is asked only where a shorter one's best shape is among them: it then says that
    training has moved the size past its end.
    """
    shapes = cells.groupby("bytes_seen")["n_params"].nunique()
    enough = shapes.index[shapes >= min(_FEWEST_SHAPES, shapes.max())].sort_values()[::-1]
    longer: list[pd.DataFrame] = []
    for seen in enough:
        own = cells[cells["bytes_seen"] == seen]
        best = _best(own, price)
        if own["n_params"].min() < best < own["n_params"].max():
            about = (one for one in longer if one["n_params"].min() < best < one["n_params"].max())
            return float(next(about, own)["bytes_seen"].iloc[0])
        longer.append(own)
    return float(enough[0])


def _best(cells: pd.DataFrame, price: ParameterCost) -> float:
    """Parameters of the best shape; NaN: not known."""
    total = cells["own_bits"] + 8 * (price.bytes_per_param or _USUAL_PRICE) * cells["n_params"]
    return math.nan if total.isna().all() else float(cells["n_params"].to_numpy()[total.argmin()])
