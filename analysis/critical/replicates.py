"""Replicates of one dataset size: averages at every model size, and how far the cells lie from them.

Every draw of the corpus counts once in an average, however many training seeds it was given at a size: with more seeds
of one corpus at some sizes alone, its level would else bend the curve there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.types import Floats

Kind = Literal["seeds", "corpus seeds", "both", "pooled", "none"]
_NEAR = 2  # noise of a size: its own and that of so many sizes on either side
_USUAL_FREEDOM = 4.0  # so many degrees of freedom has the noise of the other sizes beside that


@dataclass(frozen=True)
class Spread:
    """Relative deviations at the sizes of one column: sums of squares and degrees of freedom, (n,) each."""

    squares: Floats
    freedom: Floats

    def pooled(self) -> tuple[float, float]:
        """Over all sizes."""
        return float(self.squares.sum()), float(self.freedom.sum())


def _depths(own: pd.DataFrame, at: npt.NDArray[np.intp]) -> Floats:
    """Of every size, layers, the mean where several shapes have one size; 0: not known."""
    depth = own["depth"].to_numpy(np.float64, na_value=0.0)
    return np.bincount(at, weights=depth) / np.bincount(at)


class Cells:
    """The cells of one (group, D)."""

    def __init__(self, own: pd.DataFrame) -> None:
        N, bits = own["n_params"].to_numpy(np.float64), own["own_bits"].to_numpy(np.float64)
        self.sizes, at = np.unique(N, return_inverse=True)
        corpora, of = np.unique(own["shuffle_seed"].to_numpy(), return_inverse=True)
        self.n_training_seeds = int(own["seed"].nunique())
        self.shared = corpora.size > 1  # several draws of the corpus: what varies is whole columns
        unit = of if self.shared else np.arange(bits.size)
        counts = np.zeros((int(unit.max()) + 1, self.sizes.size))
        np.add.at(counts, (unit, at), 1.0)
        total = np.zeros_like(counts)
        np.add.at(total, (unit, at), bits)
        self.n_seeds = counts.sum(axis=0)
        self.n_units = (counts > 0).sum(axis=0)  # independent ones: cells, or draws of the corpus
        prices = own["bits_per_param"].to_numpy(np.float64)
        self.price = np.bincount(at, weights=prices) / self.n_seeds
        self.depth = _depths(own, at) if "depth" in own else None
        of_unit = np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
        self.mean = np.nanmean(_levelled(of_unit) if self.shared else of_unit, axis=0)
        safe = np.where(self.mean > 0, self.mean, 1.0)
        deviations = (of_unit - self.mean) / safe  # (units, n), relative
        self.levels = _levels(deviations) if self.shared else np.zeros(len(deviations))
        rest = np.nan_to_num(deviations - self.levels[:, None])
        self.spread = Spread((rest**2).sum(axis=0), np.maximum(self.n_units - 1.0, 0) * self._share_left())

    def _share_left(self) -> float:
        """Of the degrees of freedom, after the levels of the corpora have taken one a corpus."""
        n = int((self.n_units > 1).sum())
        return 1 - 1 / n if self.shared and n > 1 else 1.0

    def kind(self) -> Kind:
        """What varies, where something does."""
        if (self.n_units < 2).any():
            return "pooled"
        if not self.shared:
            return "seeds"
        return "both" if self.n_training_seeds > 1 else "corpus seeds"

    def variance(self, elsewhere: float) -> Floats:
        """Relative variance of the averages, (n,), without what all sizes of a corpus have in common.

        Near each size, but not by its few replicates alone. `elsewhere` as for `noise`.
        """
        squares, freedom = self.spread.pooled()
        usual = squares / freedom if freedom else elsewhere
        at = np.arange(self.sizes.size)
        window = np.abs(np.subtract.outer(at, at)) <= _NEAR
        near, known = window @ self.spread.squares, window @ self.spread.freedom
        return np.asarray((near + _USUAL_FREEDOM * usual) / (known + _USUAL_FREEDOM) / np.maximum(self.n_units, 1))

    def noise(
        self, rng: np.random.Generator, n: int, elsewhere: float, elsewhere_freedom: float
    ) -> tuple[Floats, float]:
        """Normal relative deviations of the averages (n, sizes), and the degrees of freedom of their estimated size.

        `elsewhere`: relative variance of a cell, pooled over the whole group. What the sizes of one corpus have in
        common is not in it: `level`.
        """
        squares, freedom = self.spread.pooled()
        usual, degrees = (squares / freedom, freedom) if freedom else (elsewhere, elsewhere_freedom)
        noise = np.sqrt(usual) * rng.standard_normal((n, self.sizes.size)) / np.sqrt(np.maximum(self.n_units, 1))
        if not freedom:
            return noise, float(degrees)
        near, degrees = self._near(usual)
        return noise * np.sqrt(near / usual) if usual > 0 else noise, degrees

    def level(self, rng: np.random.Generator, n: int) -> tuple[Floats, float]:
        """The same of what is common to all sizes of a corpus, (n, 1); it hardly moves N*."""
        units = self.levels.size
        if not self.shared:
            return np.zeros((n, 1)), 1.0
        deviations = np.sqrt((self.levels**2).sum() / (units - 1) / units) * rng.standard_normal((n, 1))
        return deviations, units - 1.0

    def _near(self, usual: float) -> tuple[Floats, float]:
        """Relative variance at each size, from sizes beside it where replicated, and the usual degrees of freedom."""
        at = np.arange(self.sizes.size)
        window = np.abs(np.subtract.outer(at, at)) <= _NEAR
        squares, freedom = window @ self.spread.squares, window @ self.spread.freedom
        known = freedom > 0
        variance = np.where(known, squares / np.where(known, freedom, 1.0), usual)
        return variance, float(np.median(freedom[known]))


def _levels(deviations: Floats) -> Floats:
    """What the sizes of each corpus have in common, (units,), of (units, n) with NaN: by sizes that all corpora have.

    The median: models that know their subset by heart scatter far more than the others.
    """
    common = ~np.isnan(deviations).any(axis=0)
    levels = np.median(deviations[:, common], axis=1) if common.any() else np.zeros(len(deviations))
    return np.asarray(levels - levels.mean())


def _levelled(bits: Floats) -> Floats:
    """(units, n): where a corpus lacks a size, the other corpora's at the level of all."""
    incomplete = np.isnan(bits).any(axis=0)
    complete = bits[:, ~incomplete]
    if not incomplete.any() or not complete.size:
        return bits
    mean = complete.mean(axis=0)
    levels = _levels((complete - mean) / np.where(mean > 0, mean, 1.0))
    return np.where(incomplete, bits / (1 + levels[:, None]), bits)
