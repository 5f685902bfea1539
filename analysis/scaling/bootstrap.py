"""How sure a fit is: the fit again on resampled rows, or on resampled groups of rows that share noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
from scipy.special import ndtr, stdtrit

from analysis.scaling.forms import refit
from analysis.scaling.huber import EXPONENTS, derivatives, minimise, terms
from analysis.scaling.law import Fit, Located, natural
from analysis.scaling.measurements import Measurements
from analysis.types import Bools, Floats, Ints

NAMES = ("E", "A", "B", "alpha", "beta", "log_A", "log_B")
N_REPLICATES = 1000
N_OF_FORMS = 200  # of the other forms, whose fits take longer
_STREAM = 1979  # apart from the stream of a synthetic table that was made with the same seed
_AT_ONCE = 50_000  # rows of replicates solved together: what the processor's cache holds
_MOST_ROWS = 20_000  # beyond, the law of large numbers serves and a thousand fits do not
_LEAST_CLUSTERS = 5
_FEW_SIZES = 100  # with more distinct sizes than this no replicate can lack three
_MOST_LOST = 0.025  # share of replicates without an answer; more and an end of the interval would be unknown


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """Standard errors and 95 % intervals of E, A, B, α, β and of log A and log B; empty where there are none.

    `varies` says what is resampled, hence what the interval covers. `message` says how it was made, or that there is
    none and why; `reason` is that why alone.
    `identified` is False where too many replicates leave a parameter open; too few groups to resample do not tell.
    """

    se: dict[str, float]
    ci95: dict[str, tuple[float, float]]
    n_replicates: int
    varies: str
    message: str
    reason: str = ""
    identified: bool = True
    draws: Floats | None = field(default=None, repr=False, compare=False)  # (n, 5): E, A, B, α, β of each replicate


def bootstrap(measured: Measurements, at: Located, n_replicates: int = N_REPLICATES, seed: int = 0) -> Uncertainty:
    """Standard deviation and percentiles over replicates, each fitted from the optimum under the same objective.

    Percentiles are widened for few clusters after Hesterberg 2015, "What teachers should know about the bootstrap".
    Above 20,000 rows, the sandwich covariance, which is what the bootstrap tends to (Huber 1967).
    """
    _, cluster = np.unique(measured.clusters, return_inverse=True)
    n_clusters = int(cluster.max()) + 1 if cluster.size else 0
    if not at.fit.success:
        return _without_law(measured, at.fit)
    if n_clusters < _LEAST_CLUSTERS:
        return _none(measured, _too_few(n_clusters, cluster.size))
    if measured.loss.size > _MOST_ROWS:
        return _sandwich(measured, at, cluster)
    stream = np.random.default_rng([_STREAM, seed])
    counts = stream.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), n_replicates)
    draws = _refit(at, counts, cluster)
    lost = _at_a_bound(draws) | _too_few_sizes(measured, counts, cluster)
    if lost.mean() > _MOST_LOST:
        why = f"{lost.sum()} of {n_replicates} replicates do not identify the parameters"
        return _none(measured, why, identified=False)
    laws = natural(draws[~lost], measured)
    named = _named(NAMES, _all_seven(laws), n_clusters)
    message = _message(n_replicates, n_clusters, cluster.size, int(lost.sum()))
    return Uncertainty(**named, n_replicates=n_replicates, varies=measured.varies, message=message, draws=laws)


def bootstrap_form(measured: Measurements, fit: Fit, n_replicates: int = N_OF_FORMS, seed: int = 0) -> Uncertainty:
    """The same of another form than the plain one."""
    _, cluster = np.unique(measured.clusters, return_inverse=True)
    n_clusters = int(cluster.max()) + 1 if cluster.size else 0
    if fit.params is None:
        return _without_law(measured, fit)
    if n_clusters < _LEAST_CLUSTERS:
        return _none(measured, _too_few(n_clusters, cluster.size))
    stream = np.random.default_rng([_STREAM, seed])
    rows = [np.flatnonzero(cluster == k) for k in range(n_clusters)]
    found = []
    for _ in range(n_replicates):
        some = measured.where(np.concatenate([rows[k] for k in stream.integers(0, n_clusters, n_clusters)]))
        enough = min(np.unique(some.n_params).size, np.unique(some.data).size) >= 3
        found.append(refit(some, fit.params, fit.delta) if enough else None)
    draws = [values for values in found if values is not None]
    lost = n_replicates - len(draws)
    if lost > _MOST_LOST * n_replicates:
        why = f"{lost} of {n_replicates} replicates do not identify the parameters"
        return _none(measured, why, identified=False)
    named = _named(tuple(fit.params.parameters), np.stack(draws), n_clusters)
    message = _message(n_replicates, n_clusters, cluster.size, lost)
    return Uncertainty(**named, n_replicates=n_replicates, varies=measured.varies, message=message)


def _too_few(n_clusters: int, n_rows: int) -> str:
    if n_clusters == n_rows:
        return f"there are only {n_rows} rows, and an interval takes at least {_LEAST_CLUSTERS}"
    return (
        f"the rows form only {n_clusters} independent groups (rows that share their data are one group), and an "
        f"interval takes at least {_LEAST_CLUSTERS}"
    )


def _message(n_replicates: int, n_clusters: int, n_rows: int, n_lost: int) -> str:
    unit = "rows" if n_clusters == n_rows else "groups"
    left_out = f"; {n_lost} that did not identify the parameters are left out" if n_lost else ""
    return f"{n_replicates} bootstrap replicates of {n_clusters} {unit}{left_out}"


def _refit(at: Located, counts: Ints, cluster: Ints) -> Floats:
    """θ of every replicate, shape (n_replicates, 5); `counts` (n_replicates, n_clusters) is how often each is drawn."""
    thetas = []
    size = max(1, _AT_ONCE // cluster.size)
    for i in range(0, len(counts), size):
        weights = counts[i : i + size][:, cluster].astype(np.float64)
        thetas.append(minimise(at.rows, np.tile(at.theta, (len(weights), 1)), at.fit.delta, weights).theta)
    return np.concatenate(thetas)


def _at_a_bound(draws: Floats) -> Bools:
    """Replicates that do not determine α or β, shape (n_replicates,)."""
    exponents = draws[:, 3:]
    return np.asarray(((exponents <= EXPONENTS[0] * 1.001) | (exponents >= EXPONENTS[1] * 0.999)).any(axis=1))


def _too_few_sizes(measured: Measurements, counts: Ints, cluster: Ints) -> Bools:
    """Replicates with fewer than three model or dataset sizes: on them a fit stays at its start, as if it were sure."""
    lost = np.zeros(len(counts), bool)
    for values in (measured.n_params, measured.data):
        _, size = np.unique(values, return_inverse=True)
        if size.max() < _FEW_SIZES:
            has = np.zeros((counts.shape[1], size.max() + 1))
            has[cluster, size] = 1
            lost |= ((counts @ has) > 0).sum(axis=1) < 3
    return lost


def _all_seven(values: Floats) -> Floats:
    """E, A, B, α, β with log A and log B beside them."""
    return np.column_stack([values, np.log(values[:, 1:3])])


def _tail(n_clusters: int) -> float:
    """Share of replicates beyond each end of a 95 % interval: 2.5 %, less for few clusters."""
    return float(ndtr(stdtrit(n_clusters - 1, 0.025) * math.sqrt(n_clusters / (n_clusters - 1))))


def _sandwich(measured: Measurements, at: Located, cluster: Ints) -> Uncertainty:
    """Normal intervals from H⁻¹·(Σ g gᵀ)·H⁻¹, H the Hessian, g the gradient of one cluster; log-normal for A and B."""
    rows, theta, delta = at.rows, at.theta[None], at.fit.delta
    _, hessian, _ = derivatives(rows, theta, delta, np.ones((1, rows.x.size)))
    fitted, share = terms(rows, theta)
    slope = np.clip((fitted[0] - rows.log_loss) / delta, -1.0, 1.0) / delta
    jacobian = np.stack([*share[0], -rows.x * share[0, 0], -rows.y * share[0, 1]], axis=1)
    scores = np.stack([np.bincount(cluster, weights=slope * column) for column in jacobian.T], axis=1)
    inverse = np.linalg.pinv(hessian[0], hermitian=True)
    draws = np.random.default_rng(0).multivariate_normal(theta[0], inverse @ (scores.T @ scores) @ inverse, 4000)
    laws = natural(draws, measured)
    named = _named(NAMES, _all_seven(laws), int(cluster.max()) + 1)
    message = f"sandwich covariance: with {rows.x.size} rows the bootstrap has practically this limit"
    return Uncertainty(**named, n_replicates=0, varies=measured.varies, message=message, draws=laws)


class _Named(TypedDict):
    """Standard errors and intervals by the parameters' names."""

    se: dict[str, float]
    ci95: dict[str, tuple[float, float]]


def _named(names: tuple[str, ...], values: Floats, n_clusters: int) -> _Named:
    """Of the parameters of every replicate, (n, p)."""
    tail = _tail(n_clusters)
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    se = values.std(axis=0, ddof=1).tolist()
    ci95 = {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}
    return {"se": dict(zip(names, se, strict=True)), "ci95": ci95}


def _none(measured: Measurements, reason: str, *, identified: bool = True) -> Uncertainty:
    """There is a law, and no interval."""
    return Uncertainty(
        se={},
        ci95={},
        n_replicates=0,
        varies=measured.varies,
        message=f"no interval: {reason}",
        reason=reason,
        identified=identified,
    )


def _without_law(measured: Measurements, fit: Fit) -> Uncertainty:
    return replace(_none(measured, fit.message, identified=False), message=fit.message)
