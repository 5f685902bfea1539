"""At which precision weights are coded where none is asked for: one for all models of a dataset size.

It is that whose smooth law has the least total. The shortest cell that was measured would go by which shapes happen to
stand near the minimum: sizes are a factor of two apart, so that it is off by more than precisions differ, and the
critical size of the one precision is a third less than that of the other.
"""

from __future__ import annotations

import pandas as pd

from analysis.critical import columns, estimate_all

_NEAR = 0.03  # of the shortest total measured: a law's least is not further below a cell than that
_PLACE = ["group", "subset_bytes"]
_AT = [*_PLACE, "precision_bits"]
_CELL = ["n_params", "seed", "shuffle_seed"]


def at_best_precision(priced: pd.DataFrame, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """Of cells priced at several `precision_bits`, those at the best of their (group, subset_bytes); else as given.

    Columns as of `ParameterCost.priced`. Where fewer than three sizes were run the shortest that was measured is best,
    averaged over replicates. `like`: at the precisions that it has instead.
    """
    if "precision_bits" not in priced or priced.empty:
        return priced
    best = _best(priced) if like is None else like
    return priced.merge(best[_AT].drop_duplicates(), on=_AT)


def _best(priced: pd.DataFrame) -> pd.DataFrame:
    """A row _AT a (group, subset_bytes)."""
    totals = priced.assign(total_bits=priced["own_bits"] + priced["bits_per_param"] * priced["n_params"])
    shortest = totals.sort_values("total_bits").drop_duplicates([*_AT, *_CELL])
    means = shortest.groupby([*_AT, "n_params"])["total_bits"].mean()
    least = means.groupby(_AT).min().rename("least_bits").reset_index()
    near = least[least["least_bits"] <= (1 + _NEAR) * least.groupby(_PLACE)["least_bits"].transform("min")]
    if near.duplicated(_PLACE).any():
        near = near.assign(least_bits=_least_of_laws(shortest.merge(near), near))
    return near.sort_values(["least_bits", "precision_bits"]).drop_duplicates(_PLACE)


def _least_of_laws(cells: pd.DataFrame, near: pd.DataFrame) -> pd.Series[float]:
    """Least total in bits of each row of `near`, in order."""
    found = {}
    for (group, precision), own in cells.groupby(["group", "precision_bits"]):
        for estimate in estimate_all(columns(own, n_replicates=0), n_draws=1):
            d, rate = estimate.column.subset_bytes, float(str(estimate.row["adjusted_rate"]))
            found[group, d, precision] = 8 * d * rate
    keys = zip(near["group"], near["subset_bytes"], near["precision_bits"], strict=True)
    return pd.Series([found[key] for key in keys], index=near.index)
