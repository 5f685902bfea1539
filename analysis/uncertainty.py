"""How sure a code length is: draws of the averages at every size, from the spread of seeds, and what the spread means.

Cells of one corpus seed and one D were trained on the same bytes and share their noise, so whole (corpus seed, D)
columns are drawn together. Two or three seeds are too few to draw from with replacement (Hesterberg 2015: intervals too
short by a factor √((n − 1)/n) and with normal tails); deviations are instead multiplied by normal numbers and divided
by a χ, which makes intervals of linear functions Student's own, and leaves those of N* to follow from the draws. The χ
has the degrees of freedom of one column for what is said of it alone, of a slope through all of them for the laws.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Kind = Literal["seeds", "corpus seeds", "both", "pooled", "none"]
N_REPLICATES = 1000
_STREAM = 2014
_NEAR = 2  # noise of a size: its own and that of so many sizes on either side
_MOST = 3.0  # e^±3 of a code length: beyond, a draw says nothing more


@dataclass(frozen=True)
class Column:
    """Average code lengths of one (group, D) at its sizes, and draws of them."""

    group: str
    subset_bytes: int
    sizes: Floats  # (n,) ascending
    mean: Floats  # (n,) bits
    n_seeds: Floats  # (n,) cells averaged
    price: Floats  # (n,) bits a parameter, an average too; of a price for all that price
    kind: Kind
    draws: Floats | None  # (R, n) bits, for intervals of this column alone; None: nothing was replicated
    joint: Floats | None  # (R, n) bits, for those of laws through all columns of the group


@dataclass(frozen=True)
class _Spread:
    """Relative deviations at the sizes of one column: sums of squares and degrees of freedom, (n,) each."""

    squares: Floats
    freedom: Floats

    def pooled(self) -> tuple[float, float]:
        return float(self.squares.sum()), float(self.freedom.sum())


def columns(chosen: pd.DataFrame, n_replicates: int = N_REPLICATES, seed: int = 0) -> list[Column]:
    """A column for every (group, D) of cells with group, subset_bytes, n_params, seed, shuffle_seed, own_bits,

    and bits_per_param. A price that was measured is taken as it is: it has no draws.
    """
    return [
        column
        for group, own in chosen.groupby("group", sort=True)
        for column in _of_group(str(group), own, n_replicates, [_STREAM, seed, zlib.crc32(str(group).encode())])
    ]


def _of_group(group: str, own: pd.DataFrame, n_replicates: int, stream: list[int]) -> Iterator[Column]:
    cells = {int(str(d)): _Cells(at) for d, at in own.groupby("subset_bytes", sort=True)}
    squares, freedom = np.sum([of.spread.pooled() for of in cells.values()], axis=0)
    if not freedom:
        for d, of in cells.items():
            yield Column(group, d, of.sizes, of.mean, of.n_seeds, of.price, "none", None, None)
        return
    rngs = {d: np.random.default_rng([*stream, d]) for d in cells}
    noise = {d: of.noise(rngs[d], n_replicates, squares / freedom, freedom) for d, of in cells.items()}
    replicated = {d: noise[d][1] for d, of in cells.items() if of.spread.freedom.any()}
    joint = _student(np.random.default_rng(stream), n_replicates, _slope_freedom(replicated))
    for d, of in cells.items():
        normal, own_freedom = noise[d]
        alone = _student(rngs[d], n_replicates, own_freedom)
        draws = (of.mean * np.exp(np.clip(normal * factor, -_MOST, _MOST)) for factor in (alone, joint))
        yield Column(group, d, of.sizes, of.mean, of.n_seeds, of.price, of.kind(), *draws)


def _slope_freedom(freedom: dict[int, float]) -> float:
    """Degrees of freedom of a slope over log D, given those of each D: Satterthwaite 1946 for equal variances."""
    x = np.log(np.array(list(freedom), np.float64))
    weight = (x - x.mean()) ** 2
    share = weight / weight.sum() if x.size > 1 else np.ones(1)
    return float(1 / (share**2 / np.array(list(freedom.values()))).sum())


def _student(rng: np.random.Generator, n: int, freedom: float) -> Floats:
    """Factors (n, 1) that make Student's deviations of normal ones."""
    return np.asarray(1 / np.sqrt(rng.chisquare(freedom, (n, 1)) / freedom))


class _Cells:
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
        self.mean = total.sum(axis=0) / self.n_seeds
        prices = own["bits_per_param"].to_numpy(np.float64)
        self.price = np.bincount(at, weights=prices) / self.n_seeds
        self.n_units = (counts > 0).sum(axis=0)  # independent ones: cells, or draws of the corpus
        safe = np.where(self.mean > 0, self.mean, 1.0)
        self.deviations = (total - counts * self.mean) / safe / self.n_seeds  # (units, n), weighted, relative
        self.spread = _Spread((self.deviations**2).sum(axis=0) * self.n_units**2, np.maximum(self.n_units - 1.0, 0))

    def kind(self) -> Kind:
        """What varies, where something does."""
        if (self.n_units < 2).any():
            return "pooled"
        if not self.shared:
            return "seeds"
        return "both" if self.n_training_seeds > 1 else "corpus seeds"

    def noise(
        self, rng: np.random.Generator, n: int, elsewhere: float, elsewhere_freedom: float
    ) -> tuple[Floats, float]:
        """Normal relative deviations of the averages (n, sizes), and the degrees of freedom of their estimated size.

        `elsewhere`: relative variance of a cell, pooled over the whole group.
        """
        squares, freedom = self.spread.pooled()
        usual, degrees = (squares / freedom, freedom) if freedom else (elsewhere, elsewhere_freedom)
        noise = np.sqrt(usual) * rng.standard_normal((n, self.sizes.size)) / np.sqrt(np.maximum(self.n_units, 1))
        if not freedom:
            return noise, float(degrees)
        if not self.shared:
            near, degrees = self._near(usual)
            return noise * np.sqrt(near / usual) if usual > 0 else noise, degrees
        corrected = self.deviations * np.sqrt(self.n_units / np.maximum(self.n_units - 1, 1))
        together = rng.standard_normal((n, len(self.deviations))) @ corrected
        return np.where(self.n_units > 1, together, noise), float(self.n_units.max()) - 1

    def _near(self, usual: float) -> tuple[Floats, float]:
        """Relative variance at each size, from sizes beside it where replicated, and the usual degrees of freedom."""
        at = np.arange(self.sizes.size)
        window = np.abs(np.subtract.outer(at, at)) <= _NEAR
        squares, freedom = window @ self.spread.squares, window @ self.spread.freedom
        known = freedom > 0
        variance = np.where(known, squares / np.where(known, freedom, 1.0), usual)
        return variance, float(np.median(freedom[known]))


def interval(draws: Floats) -> tuple[float, float]:
    """95 % percentile interval of positive draws (R,)."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def relative_spread(chosen: pd.DataFrame) -> pd.DataFrame:
    """Spread of seeds: per (group, subset_bytes, n_params) size, n_seeds, rate_sd and relative_sd (NaN with one seed),

    and pooled_relative_sd, of all replicated cells of the group about their averages.
    """
    key = ["group", "subset_bytes", "n_params"]
    rate = chosen["own_bits"] / (8 * chosen["subset_bytes"])
    cells = chosen.assign(rate=rate).groupby(key, as_index=False)
    found = cells.agg(size=("size", "first"), n_seeds=("rate", "size"), mean=("rate", "mean"), rate_sd=("rate", "std"))
    found["relative_sd"] = found["rate_sd"] / found["mean"].where(found["mean"] > 0)
    freedom = found["n_seeds"] - 1.0
    squares = (freedom * found["relative_sd"] ** 2).groupby(found["group"]).sum()
    degrees = freedom.groupby(found["group"]).sum()
    pooled = (squares / degrees.where(degrees > 0)) ** 0.5
    found["pooled_relative_sd"] = found["group"].map(pooled).astype(float)
    return found[
        ["group", "subset_bytes", "size", "n_params", "n_seeds", "rate_sd", "relative_sd", "pooled_relative_sd"]
    ]


def describe(found: list[Column], n_replicates: int) -> dict[str, object]:
    """kind, n_replicates and a sentence: what the intervals of these columns are about."""
    kinds = {column.kind for column in found} - {"none"}
    if not kinds:
        note = "No cell was trained with two seeds, so there is no interval; mdl suggest names the cells to repeat."
        return {"kind": "none", "n_replicates": n_replicates, "note": note}
    kind = "pooled" if "pooled" in kinds else kinds.pop() if len(kinds) == 1 else "both"
    return {"kind": kind, "n_replicates": n_replicates, "note": f"{_NOTES[kind]} {_BESIDE}"}


_BESIDE = "Not covered is the error of interpolating between sizes, which the two estimators side by side show."
_NOTES = {
    "seeds": "What varies is the training seed; all models of a dataset size saw the same bytes, so the intervals do "
    "not cover another draw of the corpus.",
    "corpus seeds": "What varies is the draw of the corpus: models of one corpus seed and dataset size share their "
    "bytes, so they are drawn together.",
    "both": "What varies is the draw of the corpus and the training seed: models of one corpus seed and dataset size "
    "share their bytes, so they are drawn together.",
    "pooled": "What varies is the seed; where a size was trained once its noise is pooled from the sizes that were "
    "repeated, relative to the code length.",
}
