"""Shapes that were trained with several learning rates or optimizers: what the best recipe of each would give.

To take the shortest of several noisy code lengths is to take their noise too. Instead optimizer and rate are chosen by
the averages over all replicates, the rate as the least of a parabola in its logarithm, and every replicate counts with
what its own parabola has there: the error of that choice is in the scatter of the replicates and of the shapes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.types import Floats

_SHAPE = ["group", "subset_bytes", "n_params"]
REPLICATE = [*_SHAPE, "seed", "shuffle_seed"]
_FOR_A_PARABOLA = 3  # rates
_MOST_BELOW = 0.005  # of the code: a parabola that lies further below every measured one is of rates too far apart


def recipe_envelope(cells: pd.DataFrame) -> pd.DataFrame:
    """Of priced cells, one row per (shape, dataset size, replicate, recipe), one a (shape, dataset size, replicate).

    Columns as given, with optimizer and learning_rate among them. `own_bits` are at the best rate: at the least of the
    parabola through three rates or more (least squares), between the least and the greatest of them; with two rates
    those of the one that is shorter on average, and so where the parabola's least is further below all that was
    measured than half a percent. Other columns are of the measured cell nearest to it.
    """
    recipes = cells.groupby(REPLICATE, sort=False)["learning_rate"].transform("size")
    if cells.empty or (recipes == 1).all():
        return cells
    best = [_of_shape(own) for _, own in cells.groupby(_SHAPE, sort=False)]
    found: pd.DataFrame = pd.concat(best)
    return found


def _of_shape(own: pd.DataFrame) -> pd.DataFrame:
    """All replicates of a shape at one dataset size."""
    length = np.log(own["own_bits"])
    relative = length - length.groupby([own["seed"], own["shuffle_seed"]]).transform("mean")
    means = relative.groupby([own["optimizer"], own["learning_rate"]]).mean()
    optimizer, rate = means.idxmin()
    of_rates = means.loc[optimizer]
    at = np.log(of_rates.index.to_numpy(np.float64))
    best, has_parabola = _least(at, of_rates.to_numpy(np.float64), float(np.log(rate)))
    rows = []
    for _, cells in own[own["optimizer"] == optimizer].groupby(["seed", "shuffle_seed"], sort=False):
        log_rate = np.log(cells["learning_rate"].to_numpy(np.float64))
        nearest = cells.iloc[[int(np.abs(log_rate - best).argmin())]]
        if has_parabola and log_rate.size >= _FOR_A_PARABOLA:
            curve = _parabola(log_rate, np.log(cells["own_bits"].to_numpy(np.float64)))
            nearest = nearest.assign(own_bits=float(np.exp(curve(best))))
        rows.append(nearest)
    found: pd.DataFrame = pd.concat(rows)
    return found


def _least(log_rate: Floats, length: Floats, usual: float) -> tuple[float, bool]:
    """Where the parabola through mean lengths is least between the rates, and True; else `usual`, and False."""
    if log_rate.size < _FOR_A_PARABOLA:
        return usual, False
    at = np.linspace(log_rate.min(), log_rate.max(), 201)
    along = _parabola(log_rate, length)(at)
    return (float(at[along.argmin()]), True) if along.min() >= length.min() - _MOST_BELOW else (usual, False)


def _parabola(x: Floats, y: Floats) -> np.polynomial.Polynomial:
    return np.polynomial.Polynomial.fit(x, y, 2)
