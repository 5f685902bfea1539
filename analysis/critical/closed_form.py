"""The critical size in closed form: if a subset costs E + A·N^−α bits a byte, N* = (α·A·n/c)^(1/(1+α)).

The minimum of c·N + n·(E + A·N^−α), n bytes coded and c bits a parameter; there the parameters' bits are α times the
excess n·A·N^−α. An index of resolvability (Barron & Cover 1991) with the capacity term of Hoffmann et al. 2022. E drops
out, so it is left free, of either sign. The curve is the own subset's code length, never the held-out loss, at the five
sizes nearest the best one (two on either side, fewer at an edge): a law of the neighbourhood, for models that know
their subset by heart leave any power law.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.types import Floats

EXPONENTS = (0.02, 5.0)  # α is searched here; at either end the sizes do not determine it
_AROUND = 2
_ZOOMS = 12


class Curve(NamedTuple):
    """Code lengths of one dataset near the best size: `log_n` (m,), m ≥ 3, and `bits` a byte (R, m), a row a draw."""

    subset_bytes: float
    log_n: Floats
    bits: Floats


class CapacityFit(NamedTuple):
    """One entry a draw, (R,): the exponent α, A in bits a byte · N^α."""

    alpha: Floats
    A: Floats


def near_best(subset_bytes: float, sizes: Floats, bits: Floats, best: int) -> Curve:
    """The sizes that the closed form is fitted to; `bits` (R, n) of the whole subset, `best` the least total's size."""
    near = slice(max(best - _AROUND, 0), best + _AROUND + 1)
    return Curve(subset_bytes, np.log(sizes[near]), bits[:, near] / subset_bytes)


def fit_capacity(curve: Curve) -> CapacityFit:
    """Least squares of relative errors, E and A free, for each draw on its own."""
    alpha = _least(lambda a: _residual(curve, a), len(curve.bits))
    return CapacityFit(alpha, _capacity(curve, alpha))


def common_exponent(curves: Sequence[Curve]) -> Floats:
    """One α for several datasets, each with its own E and A; (R,), NaN where the sizes do not determine it."""
    alpha = _least(lambda a: sum((_residual(curve, a) for curve in curves), np.zeros_like(a)), len(curves[0].bits))
    return np.where(is_determined(alpha), alpha, np.nan)


def is_determined(alpha: Floats) -> npt.NDArray[np.bool_]:
    """Whether the sizes tell an exponent: it did not run to an end of where it is searched."""
    return np.asarray((alpha > EXPONENTS[0] * 1.01) & (alpha < EXPONENTS[1] / 1.01))


def closed_form(
    alpha: npt.ArrayLike, A: npt.ArrayLike, subset_bytes: npt.ArrayLike, bits_per_param: npt.ArrayLike
) -> Floats:
    """N* in parameters; broadcasts. A in bits a byte · N^α; 0 where it is not above 0: no size pays."""
    a, n, c = (np.asarray(v, np.float64) for v in (alpha, subset_bytes, bits_per_param))
    return np.asarray((a * np.maximum(np.asarray(A, np.float64), 0.0) * n / c) ** (1 / (1 + a)))


def _moments(curve: Curve, alpha: Floats) -> tuple[Floats, Floats, Floats]:
    """Weighted variances of N^−α and of the code lengths, and their covariance, at α (R, k); each (R, k)."""
    weight = curve.bits.mean(axis=0) ** -2.0
    weight = weight / weight.sum()
    z = np.exp(-alpha[..., None] * (curve.log_n - curve.log_n.mean()))  # (R, k, m)
    z = z - (z @ weight)[..., None]
    y = (curve.bits - (curve.bits @ weight)[:, None])[:, None, :]
    return (z * z) @ weight, (y * y) @ weight, (z * y) @ weight


def _residual(curve: Curve, alpha: Floats) -> Floats:
    """Sum of squared relative errors left at α (R, k), in units of the squared relative scale of the curve."""
    zz, yy, zy = _moments(curve, alpha)
    scale = (curve.bits.mean(axis=0) ** -2.0).sum()
    return np.asarray((yy - zy**2 / zz) * scale)


def _capacity(curve: Curve, alpha: Floats) -> Floats:
    zz, _, zy = _moments(curve, alpha[:, None])
    return np.asarray((zy / zz)[:, 0] * np.exp(alpha * curve.log_n.mean()))


def _least(objective: Callable[[Floats], Floats], n_draws: int) -> Floats:
    """The α of least objective for each draw, (R,): a grid in log α, then ever finer ones about its best."""
    first, last = np.log(EXPONENTS[0]), np.log(EXPONENTS[1])
    low, high = np.full(n_draws, first), np.full(n_draws, last)
    steps = np.linspace(0.0, 1.0, 33)
    for _ in range(_ZOOMS):
        at = low[:, None] + steps * (high - low)[:, None]
        k = objective(np.exp(at)).argmin(axis=1)[:, None]
        low, high = (np.take_along_axis(at, np.clip(k + i, 0, steps.size - 1), 1)[:, 0] for i in (-1, 1))
        steps = np.linspace(0.0, 1.0, 9)
    return np.asarray(np.exp((low + high) / 2))
