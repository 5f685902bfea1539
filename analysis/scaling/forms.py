"""Other forms of L(N, D) than the plain one, for data that are read more than once, and how each is fitted.

repeated     a repeated byte is worth less than a fresh one, and so is a parameter that the unique data cannot use
             (Muennighoff et al. 2023, equations 5 and 6): E + A·N′^−α + B·D′^−β
overfitting  the cost of too few data grows with the model, so that one too large for them does worse on unseen bytes:
             E + A·N^−α + B·N^κ·D^−β
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.scaling.huber import EXPONENTS, huber
from analysis.scaling.law import EFFICIENT, PUBLISHED_DELTA, Fit, ScalingLaw, fit_scaling_law
from analysis.scaling.law_forms import EXTRA, OVERFITTING, PLAIN, REPEATED, SYMBOLS
from analysis.scaling.measurements import Measurements
from analysis.types import Floats

FORMS = (PLAIN, REPEATED, OVERFITTING)
_KAPPA = -2.0, 5.0
_PASSES = 0.0, 12.0  # log of R*: e^12 repeats are as many as there are
_UNLIMITED = SYMBOLS["sizes_star"]  # at its upper bound every parameter is of use, which is an answer
_REPEATED = 1.5  # times that the subset read most often is read; below, no form can tell repeats from fresh data
_LEAST_SIZES = 5  # of models and of data; with fewer a form that has more to fit passes through all of them
_NEAR_END = 1e-3
_STEP = 1e-5
_LEAST_SIGHT = 1e-7  # smallest eigenvalue of the scaled information


@dataclass(frozen=True, kw_only=True)
class _Form:
    """The parameters that a form has beside the plain ones, as they are searched."""

    names: tuple[str, ...]
    starts: tuple[tuple[float, ...], ...]
    bounds: tuple[float, float]


_OF = {
    OVERFITTING: _Form(names=EXTRA[OVERFITTING], starts=((0.05,), (0.4,)), bounds=_KAPPA),
    REPEATED: _Form(names=EXTRA[REPEATED], starts=((2.0, 2.0), (4.0, 1.0), (1.0, 4.0)), bounds=_PASSES),
}


def fit_form(measured: Measurements, delta: float | None, form: str) -> Fit:
    """The law of a form at the optimum of the same objective; a Fit that says why where the data do not identify it.

    AnalysisError for a name that is none of FORMS.
    """
    if form not in FORMS:
        raise AnalysisError(f"unknown form '{form}' of the law; want auto, {', '.join(FORMS)}")
    plain = fit_scaling_law(measured, delta)
    if form == PLAIN:
        return plain
    if problem := _not_there(measured, form):
        return replace(plain, params=None, objective=None, message=problem)
    start = _start(measured, plain)
    found, used = _optimum(measured, form, start, delta), delta
    if delta is None:
        used = _own_delta(measured, form, found)
        found = _descend(measured, form, found, used)
    return _described(measured, form, found, used or PUBLISHED_DELTA, plain)


def law_at(theta: Floats, form: str, measured: Measurements) -> ScalingLaw:
    """From the searched coordinates, (log A′, log B′, log E, α, β, …) about the middle of log N and log D."""
    plain, more = _parameters(theta, form, measured)
    return ScalingLaw(
        **{name: float(value) for name, value in plain.items()},
        form=form,
        more={name: float(value) for name, value in more.items()},
    )


def _parameters(theta: Floats, form: str, measured: Measurements) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plain ones and those of the form, by name; of coordinates (p, k, 1) each (k, 1)."""
    x, y = np.log(measured.n_params).mean(), np.log(measured.data).mean()
    a, b, e, alpha, beta = theta[:5]
    more = dict(zip(_OF[form].names, np.exp(theta[5:]) if form == REPEATED else theta[5:], strict=True))
    B = np.exp(b + beta * y - more.get("kappa", 0.0) * x)
    return {"E": np.exp(e), "A": np.exp(a + alpha * x), "B": B, "alpha": alpha, "beta": beta}, more


def refit(measured: Measurements, law: ScalingLaw, delta: float) -> Floats | None:
    """The parameters in the order of `law.parameters` on other rows, from a law; None: not identified there."""
    start = _coordinates(law, measured)
    theta = _descend(measured, law.form, start, delta)
    if _open_end(measured, theta, law.form, delta):
        return None
    return np.array(list(law_at(theta, law.form, measured).parameters.values()))


def _not_there(measured: Measurements, form: str) -> str:
    for name, values in (("model", measured.n_params), ("dataset", measured.data)):
        if np.unique(values).size < _LEAST_SIZES:
            return f"the form '{form}' needs {_LEAST_SIZES} {name} sizes"
    if form != REPEATED:
        return ""
    if measured.epochs is None:
        return "the form 'repeated' needs to know how often each model read its data; name that column with --epochs"
    most = float(measured.epochs.max())
    return "" if most >= _REPEATED else f"no data were repeated (read {most:.3g} times at the most)"


def _start(measured: Measurements, plain: Fit) -> Floats:
    """The plain law's optimum where there is one."""
    x, y, loss = np.log(measured.n_params).mean(), np.log(measured.data).mean(), float(measured.loss.min())
    if plain.params is None:
        return np.array([np.log(loss / 3), np.log(loss / 3), np.log(loss / 3), 0.3, 0.3])
    law = plain.params
    floor = max(law.E, 0.01 * loss)
    return np.array([np.log(law.A) - law.alpha * x, np.log(law.B) - law.beta * y, np.log(floor), law.alpha, law.beta])


def _coordinates(law: ScalingLaw, measured: Measurements) -> Floats:
    x, y = float(np.log(measured.n_params).mean()), float(np.log(measured.data).mean())
    more = [np.log(value) if law.form == REPEATED else value for value in law.more.values()]
    b = np.log(law.B) - law.beta * y + law.more.get("kappa", 0.0) * x
    return np.array([np.log(law.A) - law.alpha * x, b, np.log(law.E), law.alpha, law.beta, *more])


def _bounds(measured: Measurements, form: str) -> tuple[list[float], list[float]]:
    least, most = float(np.log(measured.loss.min())), float(np.log(measured.loss.max()))
    of, n = _OF[form], len(_OF[form].names)
    low = [least - 20, least - 20, least - 20, EXPONENTS[0], EXPONENTS[0], *[of.bounds[0]] * n]
    return low, [most + 20, most + 20, most, EXPONENTS[1], EXPONENTS[1], *[of.bounds[1]] * n]


def _optimum(measured: Measurements, form: str, start: Floats, delta: float | None) -> Floats:
    """The best of several starts."""
    used = delta or PUBLISHED_DELTA * 10
    found = [_descend(measured, form, np.append(start, more), used) for more in _OF[form].starts]
    return min(found, key=lambda theta: float(huber(_residuals(theta, form, measured), used).sum()))


def _descend(measured: Measurements, form: str, start: Floats, delta: float) -> Floats:
    from scipy.optimize import least_squares

    low, high = _bounds(measured, form)
    begin = np.clip(start, np.array(low) + 1e-9, np.array(high) - 1e-9)
    residuals: Callable[[Floats], Floats] = partial(_residuals, form=form, measured=measured)
    slopes: Callable[[Floats], Floats] = partial(_slopes, form=form, measured=measured)
    for wide in (30.0, 5.0, 1.0):  # kinks of a Huber function far below the noise stop any optimiser
        found = least_squares(
            residuals, begin, slopes, bounds=(low, high), loss="huber", f_scale=wide * delta, max_nfev=200
        )
        begin = np.clip(found.x, np.array(low) + 1e-9, np.array(high) - 1e-9)
    return np.asarray(found.x)


def _residuals(theta: Floats, form: str, measured: Measurements) -> Floats:
    """(n,); of coordinates (p, k, 1) it is (k, n)."""
    plain, more = _parameters(theta, form, measured)
    law = ScalingLaw(**plain, form=form, more=more)
    with np.errstate(all="ignore"):
        fitted = law.predict(measured.n_params, measured.data, 1.0 if measured.epochs is None else measured.epochs)
    off = np.log(np.maximum(fitted, 1e-300)) - np.log(measured.loss)
    return np.asarray(np.clip(np.nan_to_num(off, nan=50.0), -50.0, 50.0))


def _slopes(theta: Floats, form: str, measured: Measurements) -> Floats:
    """Of the residuals by every coordinate, (n, p), all at once."""
    p = theta.size
    moved = theta[:, None] + _STEP * np.hstack([np.eye(p), -np.eye(p)])
    off = _residuals(moved[:, :, None], form, measured)
    return np.asarray((off[:p] - off[p:]).T / (2 * _STEP))


def _own_delta(measured: Measurements, form: str, theta: Floats) -> float:
    scale = float(np.median(np.abs(_residuals(theta, form, measured)))) / 0.6745
    return max(EFFICIENT * scale, 1e-9)


def _described(measured: Measurements, form: str, theta: Floats, delta: float, plain: Fit) -> Fit:
    problem = _open_end(measured, theta, form, delta)
    if problem:
        return replace(plain, params=None, objective=None, delta=delta, message=problem)
    objective = float(huber(_residuals(theta, form, measured), delta).sum())
    message = f"converged; form '{form}'"
    return replace(plain, params=law_at(theta, form, measured), objective=objective, delta=delta, message=message)


def _open_end(measured: Measurements, theta: Floats, form: str, delta: float) -> str:
    """Which parameter the data leave open, or nothing."""
    low, high = (np.array(ends) for ends in _bounds(measured, form))
    near = _NEAR_END * (high - low)
    names = ("A", "B", "E", "α", "β", *(SYMBOLS[name] for name in _OF[form].names))
    at_end = (theta < low + near) | (theta > high - near)
    unlimited = np.array([name == _UNLIMITED for name in names]) & (theta > high - near)
    for name, is_open in zip(names, at_end & ~unlimited, strict=True):
        if is_open:
            return f"not identified: {name} of the form '{form}' ran to its bound"
    inside = np.abs(_residuals(theta, form, measured)) <= 3 * delta
    slopes = _slopes(theta, form, measured)[inside][:, ~unlimited]
    information = slopes.T @ slopes
    diagonal = np.sqrt(np.maximum(np.diag(information), 1e-300))
    if np.linalg.eigvalsh(information / np.outer(diagonal, diagonal))[0] < _LEAST_SIGHT:
        return f"not identified: other parameters of the form '{form}' fit as well"
    return ""
