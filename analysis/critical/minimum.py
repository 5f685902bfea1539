"""Where code + parameters is least by a smooth law, and how sure that is.

The total rises from one place to the next by an amount that is linear in what was measured; with normal noise the
chance that it rises is the chance that the minimum lies below. Averaged over the effects' grid that is the distribution
of log N*, from which intervals and draws are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from analysis.critical.error_covariance import LinearError
from analysis.critical.shape_effects import Effects, inverse_covariance
from analysis.critical.smooth_law import EXPONENT_SD, SmoothLaw
from analysis.types import Floats

_SURE = 1e-12
ENDS = 0.025, 0.5, 0.975  # of the 95 % interval, and the middle


class Steps(NamedTuple):
    """By how much the code changes from one place to the next, for each of the effects' (g,) weights."""

    weight: Floats
    code: Floats  # (g, p − 1) bits
    sd: Floats  # (g, p − 1)
    least: int  # the place inside the shapes where the total expected is least


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """Of one dataset size: log N* with its distribution, and the curve whose least it is."""

    log_n: Floats  # (p − 1,) between the law's places
    below: Floats  # (p − 1,) the chance that log N* lies below, not falling
    deviate: Floats  # (p − 1,) the same as normal deviates, which are nearly linear in log N
    bits: Floats  # (p,) code length expected at the law's places
    places: Floats  # (p,) log N
    window: tuple[float, float]  # log N of the outermost shapes that the law goes by
    error: LinearError  # of the slope at the median, which moves log N*
    steps: Steps  # what the distribution is of

    def quantile(self, share: float | Floats) -> Floats:
        """log N* below which a share of the distribution lies; ±inf beyond where the law was followed."""
        asked = np.asarray(share, np.float64)
        k = np.searchsorted(self.below, asked)
        right = np.clip(k, 1, self.below.size - 1)
        z0, z1, z = self.deviate[right - 1], self.deviate[right], _deviate(asked)
        x0, x1 = self.log_n[right - 1], self.log_n[right]
        at = x0 + np.clip((z - z0) / np.maximum(z1 - z0, 1e-300), 0.0, 1.0) * (x1 - x0)
        return np.where(k == 0, -np.inf, np.where(k == self.below.size, np.inf, at))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of N*; where it is open, how far the law was followed."""
        low, high = np.exp(np.clip(self.quantile(np.array([ENDS[0], ENDS[2]])), self.places[0], self.places[-1]))
        return float(low), float(high)

    def prices(self, share: float) -> Floats:
        """Bits a parameter at which a share of the distribution lies below each of `log_n`, not rising with N (p − 1,).

        At a price c of every parameter that share's N* is where this is c.
        """
        more = np.diff(np.exp(self.places))  # parameters from place to place
        low, high = np.full(more.size, -20.0), np.full(more.size, 20.0)
        for _ in range(40):
            middle = (low + high) / 2
            rises = _chance_of_rising(self.steps.code, self.steps.sd, np.exp(middle) * more)
            less = self.steps.weight @ rises < share
            low, high = np.where(less, middle, low), np.where(less, high, middle)
        return -_rising(-np.exp((low + high) / 2), self.steps.least)

    def share_below(self, n_params: float) -> float:
        """The chance that N* is less."""
        return float(np.interp(np.log(n_params), self.log_n, self.below))

    def code_bits(self, n_params: float) -> float:
        """Code length expected at a size."""
        return float(np.interp(np.log(n_params), self.places, self.bits))


def locate(law: SmoothLaw, noise: Floats, effects: Effects, subset_bytes: int = 0) -> Minimum:
    """`noise` (m,): relative variance of what was measured."""
    m, p = law.log_n.size, law.places.size
    inverse, gain = _gain(law, noise, effects)
    drifts = np.zeros((p, m + 1))
    drifts[:, :m] = law.drift_bits @ law.drift.T
    drifted = (effects.walk**2)[:, None, None] * (drifts @ (inverse - inverse @ law.tangent @ gain))
    weights = law.tangent_bits @ gain + drifted  # (g, p, m + 1): the curve from residuals
    steps = np.diff(weights, axis=1)
    sd = np.sqrt(_step_variance(law, steps, noise, effects))
    code = np.diff(law.bits) + steps @ law.residual
    rises = _chance_of_rising(code, sd, np.diff(law.price_bits))
    bits = law.bits + effects.weight @ (weights @ law.residual)
    inside = (law.places >= law.log_n[0]) & (law.places <= law.log_n[-1])
    least = int(np.where(inside, bits + law.price_bits, np.inf).argmin())
    below = _rising(effects.weight @ rises, least)
    k = int(np.clip(np.searchsorted(below, 0.5), 0, p - 2))
    total = (effects.weight @ code + np.diff(law.price_bits)) / np.sqrt(effects.weight @ sd**2)
    is_told = (below > _SURE) & (below < 1 - _SURE)  # else a chance says no more of how far away N* is
    slope = -effects.weight @ steps[:, k]
    error = LinearError(
        subset_bytes=subset_bytes,
        shapes=law.chosen,
        log_n=law.log_n,
        by_shape=slope[:m],
        noise=noise,
        by_walk=slope[:m] @ law.drift + law.drift_bits[k + 1] - law.drift_bits[k],
        by_depth=float(slope[:m] @ law.depth),
        alone=float((slope[m] * EXPONENT_SD) ** 2),
    )
    return Minimum(
        log_n=(law.places[1:] + law.places[:-1]) / 2,
        below=below,
        deviate=np.where(is_told, _deviate(below), total),
        places=law.places,
        bits=bits,
        window=(float(law.log_n[0]), float(law.log_n[-1])),
        error=error,
        steps=Steps(effects.weight, code, sd, least),
    )


def exponent_of(
    law: SmoothLaw, noise: Floats, effects: Effects, drift: Floats, subset_bytes: int = 0
) -> tuple[float, LinearError]:
    """An exponent, and its error: a of the law and what the walk's steps add to it by `drift` (q,)."""
    m = law.log_n.size
    inverse, gain = _gain(law, noise, effects)
    drifted = np.append(law.drift @ drift, 0.0) @ (inverse - inverse @ law.tangent @ gain)
    row = effects.weight @ (gain[:, 2] + (effects.walk**2)[:, None] * drifted)
    error = LinearError(
        subset_bytes=subset_bytes,
        shapes=law.chosen,
        log_n=law.log_n,
        by_shape=row[:m],
        noise=noise,
        by_walk=row[:m] @ law.drift - drift,
        by_depth=float(row[:m] @ law.depth),
        alone=float((row[m] * EXPONENT_SD) ** 2),
    )
    return law.exponent + float(row @ law.residual), error


def _gain(law: SmoothLaw, noise: Floats, effects: Effects) -> tuple[Floats, Floats]:
    """The inverse covariance (g, m + 1, m + 1), and the law's parameters from residuals (g, 3, m + 1)."""
    inverse = inverse_covariance([law], [noise], [effects.shape, effects.walk, effects.depth])
    weighed = law.tangent.T @ inverse
    return inverse, np.asarray(np.linalg.solve(weighed @ law.tangent, weighed), np.float64)


def _rising(values: Floats, least: int) -> Floats:
    """Made not to fall. A minimum below a place means a total that rises from there to `least` without a break.

    So a place on the far side of one where the total surely falls is no minimum, however little is known there.
    """
    left = np.minimum.accumulate(values[:least][::-1])[::-1]
    return np.maximum.accumulate(np.concatenate([left, values[least:]]))


def _chance_of_rising(code: Floats, sd: Floats, price: Floats) -> Floats:
    """Of the total, where the code changes by `code`, known to `sd` and never upwards, and the price by `price`."""
    falls = np.maximum(normal_share(-code / np.maximum(sd, 1e-300)), 1e-12)
    more = normal_share(-(code + price) / np.maximum(sd, 1e-300))  # falls by more than the price rises
    return np.asarray(np.clip(1 - more / falls, 0.0, 1.0))


def _step_variance(law: SmoothLaw, steps: Floats, noise: Floats, effects: Effects) -> Floats:
    """(g, p − 1): variance of what the curve is wrong by from one place to the next."""
    m = law.log_n.size
    squares = steps**2
    shapes = squares @ np.append(noise, EXPONENT_SD**2) + effects.shape[:, None] ** 2 * squares[:, :, :m].sum(axis=2)
    walks = effects.walk[:, None] ** 2 * ((steps[:, :, :m] @ law.drift - np.diff(law.drift_bits, axis=0)) ** 2).sum(
        axis=2
    )
    depths = (effects.depth[:, None] * (steps[:, :, :m] @ law.depth)) ** 2
    return np.asarray(shapes + depths + walks)


def normal_share(z: Floats) -> Floats:
    """Of a normal distribution below z."""
    from scipy.special import ndtr

    return np.asarray(ndtr(z))


def _deviate(share: Floats) -> Floats:
    """The normal deviate below which a share lies."""
    from scipy.special import ndtri

    return np.asarray(ndtri(np.clip(share, 1e-15, 1 - 1e-15)))
