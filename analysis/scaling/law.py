"""L(N, D) = E + A·N^−α + B·D^−β, fitted to log losses under Huber's function (Hoffmann et al. 2022, approach 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.errors import AnalysisError
from analysis.formatting import format_counted
from analysis.scaling.huber import EXPONENTS, NO_FLOOR, Minima, Rows, derivatives, minimise, terms
from analysis.scaling.initial_values import spread_starts, variable_projection
from analysis.scaling.law_forms import FORMULAS, PLAIN, REPEATED, effective
from analysis.scaling.measurements import Dropped, Measurements
from analysis.types import Floats

PUBLISHED_DELTA = 1e-3  # of Hoffmann et al. 2022
EFFICIENT = 1.345  # robust scales: 95 % efficiency under normal noise (Huber 1981)
_LEAST_ROWS = 6  # five parameters and something left over
_MANY_ROWS = 1_000  # starts are tried on no more rows than this


@dataclass(frozen=True, kw_only=True)
class ScalingLaw:
    """L = E + A·N^−α + B·D^−β. E has the loss's unit, A that of loss·N^α, B of loss·D^β; nothing is rounded.

    Other forms (`analysis.scaling.law_forms`) have more parameters, by name.
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    form: str = PLAIN
    more: Mapping[str, float] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, float]:
        """All by name: E, A, B, alpha, beta, and what the form has beside them."""
        return {"E": self.E, "A": self.A, "B": self.B, "alpha": self.alpha, "beta": self.beta, **self.more}

    @property
    def formula(self) -> str:
        """What the loss is by it."""
        return FORMULAS[self.form]

    def predict(self, n_params: npt.ArrayLike, data: npt.ArrayLike, epochs: npt.ArrayLike = 1.0) -> Floats:
        """The loss at sizes N and unique data D, in the fit's units, broadcast; `epochs`: how often D is read."""
        N, D = np.asarray(n_params, np.float64), np.asarray(data, np.float64)
        if self.form == REPEATED:
            plain = self.A, self.B, self.alpha, self.beta
            N, D = effective(plain, self.more, N, D, np.asarray(epochs, np.float64))
        B = self.B * N ** self.more.get("kappa", 0.0) if "kappa" in self.more else self.B
        return np.asarray(self.E + self.A * N**-self.alpha + B * D**-self.beta)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A law, or why there is none."""

    params: ScalingLaw | None
    """None where the table does not determine it."""
    message: str
    """How the optimum was found, or why there is no law."""
    objective: float | None
    """Sum over rows of Huber_δ(log fitted − log measured); None without a law."""
    delta: float
    """Huber's δ."""
    n_points: int
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def success(self) -> bool:
        """Is there a law?"""
        return self.params is not None

    def predict(self, n_params: npt.ArrayLike, data: npt.ArrayLike, epochs: npt.ArrayLike = 1.0) -> Floats:
        """The loss as of `ScalingLaw.predict`; AnalysisError where nothing was fitted."""
        if self.params is None:
            raise AnalysisError(self.message)
        return self.params.predict(n_params, data, epochs)

    def predict_rows(self, measured: Measurements) -> Floats:
        """The loss of every row of a table."""
        return self.predict(measured.n_params, measured.data, measured.times_read)


class Located(NamedTuple):
    """The optimum in the coordinates of `analysis.scaling.huber`, from where the bootstrap goes on."""

    fit: Fit
    rows: Rows
    theta: Floats  # (5,); NaN where nothing was fitted


def fit_scaling_law(measured: Measurements, delta: float | None = PUBLISHED_DELTA) -> Fit:
    """The law at the optimum of the stated objective, from several kinds of starts that have to agree.

    `delta` None: 1.345 times the residuals' robust scale, for tables whose noise is not known beforehand.
    AnalysisError for δ ≤ 0. A table that does not determine the five parameters gives a Fit that says so.
    """
    return locate(measured, delta).fit


def locate(measured: Measurements, delta: float | None) -> Located:
    """`fit_scaling_law`, with the optimum's coordinates."""
    if delta is not None and not (np.isfinite(delta) and delta > 0):
        raise AnalysisError(f"δ is {delta:g}; want a number above 0, such as 1e-3")
    rows = centred(measured)
    problem = _undetermined(measured)
    if problem:
        nothing = np.full(5, np.nan)
        return Located(_no_fit(measured, delta or PUBLISHED_DELTA, problem), rows, nothing)
    starts = _thinned(rows)
    first = np.concatenate([variable_projection(starts), spread_starts(starts)])
    found = minimise(starts, first, delta or PUBLISHED_DELTA)
    best = found.theta[[found.objective.argmin()]]
    used = delta or PUBLISHED_DELTA
    if delta is None:
        used, best = _own_delta(rows, best)
    polished = minimise(rows, best, used, near=starts is not rows)
    return Located(_described(measured, rows, polished, used, _agreement(found)), rows, polished.theta[0])


def centred(measured: Measurements) -> Rows:
    """The rows in the coordinates of `analysis.scaling.huber`."""
    x, y = np.log(measured.n_params), np.log(measured.data)
    return Rows(x - x.mean(), y - y.mean(), np.log(measured.loss))


def _thinned(rows: Rows) -> Rows:
    """No more rows than choosing a start needs."""
    if rows.x.size <= _MANY_ROWS:
        return rows
    chosen = np.random.default_rng(0).choice(rows.x.size, _MANY_ROWS, replace=False)
    return Rows(*(column[chosen] for column in rows))


def _undetermined(measured: Measurements) -> str:
    """What about the grid leaves the five parameters open, or nothing."""
    N, D = measured.n_params, measured.data
    if N.size < _LEAST_ROWS:
        return f"{format_counted(N.size, 'usable row')}; five parameters need at least {_LEAST_ROWS}"
    for name, values, exponent in (("model size", N, "α"), ("dataset size", D, "β")):
        n_distinct = np.unique(values).size
        if n_distinct < 3:
            return f"not identified: {format_counted(n_distinct, f'distinct {name}')}, {exponent} needs at least 3"
    if abs(np.corrcoef(np.log(N), np.log(D))[0, 1]) > 1 - 1e-4:
        return (
            "not identified: log D is a linear function of log N in this table, so the two terms cannot be told apart; "
            "add models with another ratio D / N"
        )
    return ""


def _no_fit(measured: Measurements, delta: float, message: str) -> Fit:
    return Fit(
        params=None,
        message=message,
        objective=None,
        delta=delta,
        n_points=measured.loss.size,
        dropped=measured.dropped,
        notes=measured.notes,
    )


def _own_delta(rows: Rows, theta: Floats) -> tuple[float, Floats]:
    """1.345 robust scales of the residuals, and the optimum there: the scale and the fit by turns, until they agree."""
    delta = PUBLISHED_DELTA
    for _ in range(20):
        residuals = terms(rows, theta)[0][0] - rows.log_loss
        scale = float(np.median(np.abs(residuals))) / 0.6745
        wanted = max(EFFICIENT * scale, 1e-9)
        if abs(wanted - delta) < 1e-4 * delta:
            break
        delta = wanted
        theta = minimise(rows, theta, delta).theta
    return delta, theta


def _agreement(found: Minima) -> str:
    least = found.objective.min()
    n_same = int((found.objective <= least * (1 + 1e-7) + 1e-15).sum())
    return f"{n_same} of {found.objective.size} starts reached the optimum"


def _described(measured: Measurements, rows: Rows, found: Minima, delta: float, agreement: str) -> Fit:
    """The optimum as a law, unless it lies where the data do not determine it."""
    theta = found.theta[0]
    problem = _open_end(rows, theta, delta) or ("" if found.converged[0] else "the optimizer did not converge")
    if problem:
        return _no_fit(measured, delta, problem)
    E, A, B, alpha, beta = (float(value) for value in natural(theta[None], measured)[0])
    message = f"converged; {agreement}"
    if E == 0:
        message += "; E is 0, the least it can be: the table does not show a floor"
    return Fit(
        params=ScalingLaw(E=E, A=A, B=B, alpha=alpha, beta=beta),
        message=message,
        objective=float(found.objective[0]),
        delta=delta,
        n_points=rows.x.size,
        dropped=measured.dropped,
        notes=measured.notes,
    )


def _open_end(rows: Rows, theta: Floats, delta: float) -> str:
    """Which parameter the data leave open at the optimum, or nothing."""
    _, share = terms(rows, theta[None])
    for k, term, size in ((0, "α", "model size"), (1, "β", "dataset size")):
        if share[0, k].max() < 1e-6:
            return f"not identified: the loss does not fall with {size}, so {term} could be anything"
        exponent = theta[3 + k]
        if exponent <= EXPONENTS[0] * 1.001 or exponent >= EXPONENTS[1] * 0.999:
            return f"not identified: {term} ran to its bound {exponent:.3g}"
    # How well the rows tell the parameters apart whatever their noise; a floor of 0 is left out, it has no slope.
    _, _, bound = derivatives(rows, theta[None], delta, np.ones((1, rows.x.size)))
    kept = [0, 1, 3, 4] if has_no_floor(theta[None], rows)[0] else [0, 1, 2, 3, 4]
    information = bound[0][np.ix_(kept, kept)]
    diagonal = np.sqrt(np.diag(information))
    if np.linalg.eigvalsh(information / np.outer(diagonal, diagonal))[0] < 1e-9:
        return "not identified: other parameters fit this table as well; widen the range of N or D"
    return ""


def has_no_floor(theta: Floats, rows: Rows) -> npt.NDArray[np.bool_]:
    """Where E is as good as 0, shape (R,)."""
    return np.asarray(theta[:, 2] < rows.log_loss.min() - NO_FLOOR / 2)


def natural(theta: Floats, measured: Measurements) -> Floats:
    """(E, A, B, α, β) from the centred coordinates (R, 5)."""
    x, y = float(np.log(measured.n_params).mean()), float(np.log(measured.data).mean())
    floor = np.where(has_no_floor(theta, centred(measured)), 0.0, np.exp(theta[:, 2]))
    A, B = np.exp(theta[:, 0] + theta[:, 3] * x), np.exp(theta[:, 1] + theta[:, 4] * y)
    return np.stack([floor, A, B, theta[:, 3], theta[:, 4]], axis=1)
