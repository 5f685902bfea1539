"""Two simpler fits: parabolas at equal compute (Hoffmann et al. 2022, approach 2), and power laws in one variable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.errors import AnalysisError
from analysis.types import Floats

_EXPONENTS = np.geomspace(1e-3, 5.0, 400)


@dataclass(frozen=True)
class Parabola:
    """The best model size at one compute: loss = a quadratic in log N. None where its least is not inside the sizes."""

    n_params: float | None
    loss: float | None
    n_points: int
    success: bool
    message: str


def isoflop_parabola(n_params: npt.ArrayLike, loss: npt.ArrayLike) -> Parabola:
    """Least squares through models of one compute budget, sizes N in parameters.

    Biased even without noise: the loss is a sum of two exponentials in log N, steeper on one side unless α = β, so the
    vertex of a symmetric curve misses its minimum, the more the wider the sizes and the less centred they are. Use it
    to look at data; `scaling.law` fits the law itself. AnalysisError for unequal lengths or values not above 0.
    """
    N, L = _checked(n_params, loss)
    if np.unique(N).size < 4:
        return Parabola(None, None, N.size, False, f"{np.unique(N).size} sizes; a parabola and its fit need 4")
    x = np.log(N)
    middle = x.mean()
    curvature, slope, level = np.polyfit(x - middle, L, 2)
    if curvature <= 0:
        return Parabola(None, None, N.size, False, "the losses do not curve upwards: no best size among these")
    vertex = -slope / (2 * curvature)
    if not x.min() < middle + vertex < x.max():
        return Parabola(None, None, N.size, False, "the least loss is not inside the sizes; add sizes beyond the edge")
    least = level - slope**2 / (4 * curvature)
    return Parabola(float(np.exp(middle + vertex)), float(least), N.size, True, "the vertex is inside the sizes")


@dataclass(frozen=True)
class FlooredPowerLaw:
    """loss = E + A·x^−alpha, E ≥ 0; None where the data do not determine it."""

    E: float | None
    A: float | None
    alpha: float | None
    n_points: int
    success: bool
    message: str


def fit_floored_power_law(x: npt.ArrayLike, loss: npt.ArrayLike) -> FlooredPowerLaw:
    """Least squares of relative errors in one variable: model size, data or compute, everything else being equal.

    Variable projection: E and A are linear given α, and α is searched from 0.001 to 5. AnalysisError for unequal
    lengths or values not above 0.
    """
    from scipy.optimize import minimize_scalar

    at, L = _checked(x, loss)
    if np.unique(at).size < 4:
        return FlooredPowerLaw(
            None, None, None, at.size, False, f"{np.unique(at).size} places; three parameters need 4"
        )
    scale = float(np.exp(np.log(at).mean()))
    places = np.log(at / scale)
    errors = [_error(alpha, places, L) for alpha in _EXPONENTS]
    k = int(np.argmin(errors))
    around = np.log(_EXPONENTS[[max(k - 1, 0), min(k + 1, _EXPONENTS.size - 1)]])
    found = minimize_scalar(
        lambda t: _error(np.exp(t), places, L), bounds=tuple(around), method="bounded", options={"xatol": 1e-12}
    )
    alpha = float(np.exp(found.x))
    E, A = _coefficients(alpha, places, L)
    if k in (0, _EXPONENTS.size - 1) or A <= 0:
        return FlooredPowerLaw(None, None, None, at.size, False, "not identified: no power law falls like these losses")
    message = "converged" if E > 0 else "converged; E is 0, the least it can be"
    return FlooredPowerLaw(E, A * scale**alpha, alpha, at.size, True, message)


def _coefficients(alpha: float, places: Floats, loss: Floats) -> tuple[float, float]:
    """E and A at the middle of the data, E not below 0."""
    term = np.exp(-alpha * places) / loss
    E, A = np.linalg.lstsq(np.column_stack([1 / loss, term]), np.ones_like(loss), rcond=None)[0]
    return (float(E), float(A)) if E > 0 else (0.0, float(term.sum() / (term @ term)))


def _error(alpha: float, places: Floats, loss: Floats) -> float:
    E, A = _coefficients(alpha, places, loss)
    return float((((E + A * np.exp(-alpha * places)) / loss - 1) ** 2).sum())


def _checked(x: npt.ArrayLike, loss: npt.ArrayLike) -> tuple[Floats, Floats]:
    at, L = np.asarray(x, np.float64).ravel(), np.asarray(loss, np.float64).ravel()
    if at.size != L.size:
        raise AnalysisError(f"a fit needs one loss a place, got {at.size} places and {L.size} losses")
    if not (np.isfinite(at).all() and np.isfinite(L).all() and (at > 0).all() and (L > 0).all()):
        raise AnalysisError("sizes and losses must be finite and above 0; leave out what was not measured")
    return at, L
