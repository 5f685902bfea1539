"""All dataset sizes of a group together: their smooth laws, the shapes' effects, and where the totals are least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from analysis.critical.depth_factor import depth_beside_usual
from analysis.critical.error_covariance import LinearError, correlation, covariance
from analysis.critical.exponent_drift import bend, mean_drift, steps_between, with_drift
from analysis.critical.minimum import Minimum, exponent_of, locate, normal_share
from analysis.critical.resampling import Column
from analysis.critical.shape_effects import Effects, depth_slope, weigh_effects
from analysis.critical.smooth_law import LEAST_SHAPES, SmoothLaw, smooth_law
from analysis.types import Floats, Ints

_STREAM = 2014
_MORE_SHAPES = 2  # at a time, where the interval runs out of the window
_MOST_ROUNDS = 4


class Draws(NamedTuple):
    """Draws of a group that go together."""

    n_params: Floats  # (n, R) N*, each with its own distribution
    without_drift: Floats  # (n, R) N* by an exponent that does not drift
    alpha: Floats  # (R,)


@dataclass(frozen=True, kw_only=True)
class GroupFit:
    """An entry for each of the columns, in order."""

    laws: list[SmoothLaw]
    minima: list[Minimum]
    effects: Effects
    alpha: float  # exponent at critical sizes, by all shapes at the largest dataset size, where fewest know it by heart
    alpha_error: LinearError
    depth_slope: float  # relative code length a unit of log depth beyond the usual

    @property
    def bends(self) -> list[float]:
        """Relative standard deviation of what the laws' exponents drift makes of the code lengths of each."""
        return [bend(law, self.effects.typical_walk) for law in self.laws]

    def draws(self, n_draws: int, stream: Sequence[int] = ()) -> Draws:
        """Of N* and α."""
        errors = [*(one.error for one in self.minima), self.alpha_error]
        together = covariance(errors, self.effects)
        rest = covariance(errors, self.effects, with_walk=False)
        normal = np.random.default_rng([_STREAM, *stream]).standard_normal((len(together), n_draws))
        z = np.linalg.cholesky(correlation(together)) @ normal
        share = np.sqrt(np.diag(rest) / np.maximum(np.diag(together), 1e-300))
        without_drift = share[:, None] * (np.linalg.cholesky(correlation(rest)) @ normal)
        return Draws(
            n_params=self._at_deviates(z[:-1]),
            without_drift=self._at_deviates(without_drift[:-1]),
            alpha=self.alpha + z[-1] * np.sqrt(together[-1, -1]),
        )

    def _at_deviates(self, z: Floats) -> Floats:
        """N* (n, R) at deviates of a standard normal distribution."""
        log_n = [
            np.clip(one.quantile(normal_share(row)), one.places[0], one.places[-1])
            for one, row in zip(self.minima, z, strict=True)
        ]
        return np.exp(np.stack(log_n))


def fit_group(columns: Sequence[Column], shape_sd: float | None = None) -> GroupFit:
    """Columns of one group with three sizes at least. What is equal in size is the same shape.

    `shape_sd`: what a shape is off, relative, where that is known from elsewhere.
    """
    names = np.unique(np.concatenate([column.sizes for column in columns]))
    wanted = [LEAST_SHAPES] * len(columns)
    for _ in range(_MOST_ROUNDS):
        fit = _fit(columns, names, wanted, shape_sd)
        short = [
            _runs_out(minimum, law, column.sizes)
            for column, law, minimum in zip(columns, fit.laws, fit.minima, strict=True)
        ]
        if not any(short):
            break
        wanted = [law.log_n.size + _MORE_SHAPES * more for law, more in zip(fit.laws, short, strict=True)]
    return fit


def _fit(columns: Sequence[Column], names: Floats, wanted: Sequence[int], shape_sd: float | None) -> GroupFit:
    laws, noise, deep = [], [], depth_beside_usual(columns, names)
    steps = steps_between(float(names[0]), float(names[-1]))
    for column, n in zip(columns, wanted, strict=True):
        law = smooth_law(column.sizes, column.mean, column.price, n)
        noise.append(None if column.noise is None else column.noise[law.chosen])
        chosen = _named(names, column.sizes[law.chosen])
        laws.append(with_drift(replace(law, chosen=chosen, depth=deep[chosen]), steps))
    effects = weigh_effects(laws, noise, names.size, shape_sd)
    minima = [
        locate(law, own, effects, column.subset_bytes)
        for column, law, own in zip(columns, laws, effects.noise, strict=True)
    ]
    alpha, error = _alpha(columns, names, effects, deep, minima)
    return GroupFit(
        laws=laws,
        minima=minima,
        effects=effects,
        alpha=alpha,
        alpha_error=error,
        depth_slope=depth_slope(laws, effects),
    )


def _alpha(
    columns: Sequence[Column], names: Floats, effects: Effects, deep: Floats, minima: Sequence[Minimum]
) -> tuple[float, LinearError]:
    """By the law of all shapes that may be best, averaged over log N from the least critical size to the greatest."""
    largest = max(range(len(columns)), key=lambda i: columns[i].subset_bytes)
    column, steps = columns[largest], steps_between(float(names[0]), float(names[-1]))
    law = smooth_law(column.sizes, column.mean, column.price, column.sizes.size)
    usual = np.full(law.chosen.size, float(effects.noise[largest].mean()))
    chosen = _named(names, column.sizes[law.chosen])
    whole = with_drift(replace(law, chosen=chosen, depth=deep[chosen]), steps)
    critical = np.clip([float(one.quantile(0.5)) for one in minima], *np.log(column.sizes[[0, -1]]))
    drift = mean_drift(whole, steps, critical.min(), critical.max())
    noise = usual if column.noise is None else column.noise[law.chosen]
    return exponent_of(whole, noise, effects, drift, column.subset_bytes)


def _named(names: Floats, sizes: Floats) -> Ints:
    return np.searchsorted(names, sizes)


def _runs_out(minimum: Minimum, law: SmoothLaw, sizes: Floats) -> bool:
    """Of the window, where more shapes were run on that side."""
    (low, high), (first, last) = minimum.interval, np.exp(law.log_n[[0, -1]]).tolist()
    return bool((low <= first and first > 1.001 * sizes[0]) or (high >= last and 1.001 * last < sizes[-1]))
