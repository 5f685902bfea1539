"""A law's exponent may drift over log N: a random walk, which all dataset sizes of a group share.

E + A·N^−a has the exponent a at the middle of its shapes. On either side the exponent is a and what the walk has gone
since, so that the slope s(x) of the code over x = log N is less by the factor e^(−∫ walk). That bends the code length
the more, the farther from the middle, as broken power laws do. To first order what the walk makes of a code length is
linear in the walk's steps, and these are the same at every dataset size.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.critical.smooth_law import FOLLOWED, SmoothLaw
from analysis.types import Floats

_N_STEPS = 160
_FOLLOWED_SLOPE = 4.0  # of log N from the middle; farther away a slope is as it is there
_EXPONENTS = (-0.5, 1.5)  # of the slope with which a drift is weighed


def steps_between(smallest: float, largest: float) -> Floats:
    """Places in log N (q,) evenly apart, from one to the next of which the walk of a group goes."""
    more = np.log(FOLLOWED) + 1e-6
    return np.linspace(np.log(smallest) - more, np.log(largest) + more, _N_STEPS)


def with_drift(law: SmoothLaw, steps: Floats) -> SmoothLaw:
    """What every step of a walk of one unit of exponent a unit of log N adds at the law's shapes and places."""
    away = np.clip(steps - law.middle, -_FOLLOWED_SLOPE, _FOLLOWED_SLOPE)
    slope = law.slope * np.exp(-np.clip(law.exponent, *_EXPONENTS) * away)
    walk = _walks(steps)
    gone = walk - _at(walk, steps, law.middle)
    less = slope[:, None] * _since(gone, steps, law.middle)  # of the slope
    added = _since(less, steps, law.middle)
    here = np.interp(law.log_n, law.places, law.bits)[:, None]
    return replace(law, drift=_at(added, steps, law.log_n) / here, drift_bits=_at(added, steps, law.places))


def mean_drift(law: SmoothLaw, steps: Floats, low: float, high: float) -> Floats:
    """By how much each step (q,) moves the exponent between two places in log N, on average, beside the middle's."""
    walk = _walks(steps)
    between = _at(walk, steps, np.linspace(low, high, _N_STEPS))
    return np.asarray(between.mean(axis=0) - _at(walk, steps, law.middle))


def bend(law: SmoothLaw, walk: float) -> float:
    """Relative standard deviation of what a walk makes of the code lengths beyond what the law itself can follow."""
    follows, _ = np.linalg.qr(law.tangent[:-1])
    beyond = law.drift - follows @ (follows.T @ law.drift)
    return walk * float(np.sqrt((beyond**2).sum() / law.log_n.size))


def _walks(steps: Floats) -> Floats:
    """Where every step alone (column) has taken a walk of one unit a unit of log N at each place (row)."""
    return np.tril(np.full((steps.size, steps.size), np.sqrt(steps[1] - steps[0])), -1)


def _since(values: Floats, steps: Floats, middle: float) -> Floats:
    """Integral over log N from the middle, column by column."""
    whole = np.zeros_like(values)
    whole[1:] = np.cumsum((values[1:] + values[:-1]) / 2 * np.diff(steps)[:, None], axis=0)
    return whole - _at(whole, steps, middle)


def _at(values: Floats, steps: Floats, log_n: float | Floats) -> Floats:
    """Rows of `values` (q, …) between steps, linearly."""
    place = (np.asarray(log_n) - steps[0]) / (steps[1] - steps[0])
    k = np.clip(place.astype(int), 0, steps.size - 2)
    share = (place - k)[..., None]
    return np.asarray((1 - share) * values[k] + share * values[k + 1])
