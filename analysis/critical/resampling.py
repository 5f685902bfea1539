"""How sure a code length is: draws of the averages at every size, from the spread of replicates, and what it means.

Cells of one corpus seed and one D were trained on the same bytes: what all sizes of such a column have in common, its
level, is drawn once for all of them, and the rest size by size. Two or three replicates are too few to draw from with
replacement (Hesterberg 2015: intervals too short by a factor √((n − 1)/n) and with normal tails); normal numbers with
their variance are instead divided by a χ, which makes intervals of linear functions Student's own, and leaves those of
N* to follow from the draws. The χ has the degrees of freedom of one column for what is said of it alone, of a slope
through all of them for the laws.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.critical.replicates import Cells, Kind
from analysis.types import Floats

N_REPLICATES = 1000
_STREAM = 2014
_MOST = 3.0  # e^±3 of a code length: beyond, a draw says nothing more


@dataclass(frozen=True, kw_only=True)
class Column:
    """Average code lengths of one (group, D) at its sizes, and draws of them."""

    group: str
    subset_bytes: int
    sizes: Floats  # (n,) ascending
    mean: Floats  # (n,) bits
    n_seeds: Floats  # (n,) cells averaged
    price: Floats  # (n,) bits a parameter, an average too; of a price for all that price
    kind: Kind
    draws: Floats | None = None  # (R, n) bits; None: nothing was replicated
    noise: Floats | None = None  # (n,) relative variance of the averages, but for what is common to all sizes
    depth: Floats | None = None  # (n,) layers; 0: not known


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
    cells = {int(str(d)): Cells(at) for d, at in own.groupby("subset_bytes", sort=True)}
    squares, freedom = np.sum([of.spread.pooled() for of in cells.values()], axis=0)
    known = {
        d: Column(
            group=group,
            subset_bytes=d,
            sizes=of.sizes,
            mean=of.mean,
            n_seeds=of.n_seeds,
            price=of.price,
            kind="none",
            depth=of.depth,
        )
        for d, of in cells.items()
    }
    if not freedom or not n_replicates:
        yield from known.values()
        return
    rngs = {d: np.random.default_rng([*stream, d]) for d in cells}
    levels = {d: of.level(rngs[d], n_replicates) for d, of in cells.items()}
    noise = {d: of.noise(rngs[d], n_replicates, squares / freedom, freedom) for d, of in cells.items()}
    for d, of in cells.items():
        parts = noise[d], levels[d]
        alone = [_student(rngs[d], n_replicates, degrees) for _, degrees in parts]
        drawn = _drawn(of.mean, [normal for normal, _ in parts], alone)
        yield replace(known[d], kind=of.kind(), draws=drawn, noise=of.variance(squares / freedom))


def _drawn(mean: Floats, normal: list[Floats], factors: list[Floats]) -> Floats:
    """Averages with relative deviations (R, n) or (R, 1), each with its factors (R, 1)."""
    deviation = normal[0] * factors[0] + normal[1] * factors[1]
    return np.asarray(mean * np.exp(np.clip(deviation, -_MOST, _MOST)))


def _slope_freedom(freedom: dict[int, float]) -> float:
    """Degrees of freedom of a slope over log D, given those of each D: Satterthwaite 1946 for equal variances."""
    x = np.log(np.array(list(freedom), np.float64))
    weight = (x - x.mean()) ** 2
    share = weight / weight.sum() if x.size > 1 else np.ones(1)
    return float(1 / (share**2 / np.array(list(freedom.values()))).sum())


def _student(rng: np.random.Generator, n: int, freedom: float) -> Floats:
    """Factors (n, 1) that make Student's deviations of normal ones."""
    return np.asarray(1 / np.sqrt(rng.chisquare(freedom, (n, 1)) / freedom))


def student(rng: np.random.Generator, sd: float, shape: tuple[int, int], freedom: float) -> Floats:
    """Student's deviations (n, R) of a scatter known with so many degrees of freedom; those of a draw share its χ."""
    normal, chi = rng.standard_normal(shape), np.sqrt(rng.chisquare(freedom, shape[1]) / freedom)
    return np.asarray(sd * normal / chi)


def averages(chosen: pd.DataFrame) -> pd.DataFrame:
    """group, subset_bytes, n_params with own_bits and bits_per_param over replicates, as in `columns`."""
    rows = [
        pd.DataFrame(
            {
                "group": column.group,
                "subset_bytes": column.subset_bytes,
                "n_params": column.sizes.astype(int),
                "own_bits": column.mean,
                "bits_per_param": column.price,
            }
        )
        for column in columns(chosen, n_replicates=0)
    ]
    names = ["group", "subset_bytes", "n_params", "own_bits", "bits_per_param"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=names)


def interval(draws: Floats) -> tuple[float, float]:
    """95 % percentile interval of positive draws (R,)."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def middle_and_interval(draws: Floats) -> tuple[float, float, float]:
    """The median of positive draws (R,), and their 95 % interval."""
    return float(np.median(draws)), *interval(draws)


def relative_spread(chosen: pd.DataFrame) -> pd.DataFrame:
    """Spread of replicates: per (group, subset_bytes, n_params) size, n_seeds, rate_sd and relative_sd (NaN with one),

    and of all replicated cells of the group pooled_relative_sd, about their averages, and pooled_training_sd, about
    those of the same corpus seed (NaN: no two training seeds).
    """
    key = ["group", "subset_bytes", "n_params"]
    cells = chosen.assign(rate=chosen["own_bits"] / (8 * chosen["subset_bytes"]))
    found = cells.groupby(key, as_index=False).agg(
        size=("size", "first"), n_seeds=("rate", "size"), mean=("rate", "mean"), rate_sd=("rate", "std")
    )
    found["relative_sd"] = found["rate_sd"] / found["mean"].where(found["mean"] > 0)
    trained = cells.groupby([*key, "shuffle_seed"], as_index=False)["rate"].agg(["mean", "std", "size"])
    trained["relative_sd"] = trained["std"] / trained["mean"].where(trained["mean"] > 0)
    pooled = {
        "pooled_relative_sd": _pooled(found["relative_sd"], found["n_seeds"] - 1.0, found["group"]),
        "pooled_training_sd": _pooled(trained["relative_sd"], trained["size"] - 1.0, trained["group"]),
    }
    for name, of_group in pooled.items():
        found[name] = found["group"].map(of_group).astype(float)
    return found[[*key[:2], "size", "n_params", "n_seeds", "rate_sd", "relative_sd", *pooled]]


def _pooled(sd: pd.Series[float], freedom: pd.Series[float], group: pd.Series[str]) -> pd.Series[float]:
    """Root mean square by group, weighted by the degrees of freedom."""
    squares, degrees = (freedom * sd**2).groupby(group).sum(), freedom.groupby(group).sum()
    return (squares / degrees.where(degrees > 0)) ** 0.5
