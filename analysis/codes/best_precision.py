"""At which precision weights are coded where none is asked for: one for all models of a dataset size.

It is that whose smooth law has the least total. The shortest cell that was measured would go by which shapes happen to
stand near the minimum: where sizes are a factor of two or three apart it is off by more than precisions differ, and the
critical size of the one precision is a third less than that of the other.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.critical import Column, Estimate, columns, estimate_all, prices_at

PLACE = ["group", "subset_bytes"]
AT = [*PLACE, "precision_bits"]
_NEAR = 0.1  # of the shortest total measured: a law's least is hardly further below it, however far apart sizes are
_FEW = 2  # replicates drawn: enough for the law to weigh shapes by their noise


def best_precisions(chosen: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """One row AT a (group, subset_bytes) of cells by the precision they are coded at, each as of `shortest_codes`.

    Of the precisions that most shapes have. With fewer than three shapes the shortest measured total decides.
    """
    found = {bits: columns(own, _FEW) for bits, own in chosen.items()}
    rows = [
        (column.group, column.subset_bytes, bits, column.sizes.size, _shortest(column))
        for bits, of_one in found.items()
        for column in of_one
    ]
    at = pd.DataFrame(rows, columns=[*AT, "n_sizes", "shortest"])
    at = at[at["n_sizes"] == at.groupby(PLACE)["n_sizes"].transform("max")]
    at = at[at["shortest"] <= (1 + _NEAR) * at.groupby(PLACE)["shortest"].transform("min")]
    if not at.duplicated(PLACE).any():
        return at[AT]
    least = {
        (estimate.column.group, estimate.column.subset_bytes, bits): _least(estimate)
        for bits in sorted(set(at["precision_bits"]))
        for estimate in estimate_all(found[bits], n_draws=1)
    }
    totals = [least[key] for key in zip(*(at[name] for name in AT), strict=True)]
    return at.assign(least=totals).sort_values(["least", "precision_bits"]).drop_duplicates(PLACE)[AT]


def _shortest(column: Column) -> float:
    return float((column.mean + column.price * column.sizes).min())


def _least(estimate: Estimate) -> float:
    """Least total of the law between the smallest and the largest size that was run, bits."""
    column, minimum = estimate.column, estimate.minimum
    if minimum is None:
        return _shortest(column)
    log_n = minimum.places
    inside = (log_n >= np.log(column.sizes[0])) & (log_n <= np.log(column.sizes[-1]))
    return float((minimum.bits + prices_at(column.sizes, column.price, log_n))[inside].min())
