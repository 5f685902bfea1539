"""The objective of Hoffmann et al. 2022 (approach 3) and its minimum, for many starts or bootstrap replicates at once.

Shapes: R fits in the batch, n rows, 5 parameters θ = (log A′, log B′, log E, α, β), where A′ = A·exp(−α·mean log N) and
B′ alike: log A and α are almost perfectly correlated, about the middle of the data they are nearly not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analysis.types import Bools, Floats

EXPONENTS = (1e-3, 5.0)  # range of α and β; at its ends the data do not determine them
NO_FLOOR = 20.0  # log E is kept within this of the least log loss: e⁻²⁰ of the loss is no floor
_TOLERANCE = 1e-10  # of θ, in a step that Newton's method would take undamped
_MAX_STEPS = 200


class Rows(NamedTuple):
    """What is fitted: log N and log D less their means, and log loss; each of shape (n,)."""

    x: Floats
    y: Floats
    log_loss: Floats

    def bounds(self) -> Floats:
        """Least and greatest θ, shape (2, 5)."""
        low, high = self.log_loss.min() - NO_FLOOR, self.log_loss.max() + NO_FLOOR
        return np.array([[low, low, low, EXPONENTS[0], EXPONENTS[0]], [high, high, high, *[EXPONENTS[1]] * 2]])


class Minima(NamedTuple):
    """θ of shape (R, 5); `objective`, the sum of Huber terms, and whether the last step was negligible, shape (R,)."""

    theta: Floats
    objective: Floats
    converged: Bools


def terms(rows: Rows, theta: Floats) -> tuple[Floats, Floats]:
    """Log of the fitted loss, shape (R, n), and each of the three terms' share of it, shape (R, 3, n)."""
    a, b, e, alpha, beta = (theta[:, k, None] for k in range(5))
    u, v = a - alpha * rows.x, b - beta * rows.y
    top = np.maximum(np.maximum(u, v), e)
    share = np.exp(np.stack([u - top, v - top, e - top], axis=1))
    total = share[:, 0] + share[:, 1] + share[:, 2]
    share /= total[:, None]
    return np.log(total) + top, share


def huber(residuals: Floats, delta: float) -> Floats:
    """r²/2 where |r| ≤ δ, else δ·(|r| − δ/2)."""
    size = np.abs(residuals)
    inside = np.minimum(size, delta)
    return np.asarray(inside * (size - inside / 2))


def objective(rows: Rows, theta: Floats, delta: float, weights: Floats) -> Floats:
    """Sum over rows of weight · Huber(log fitted − log loss), shape (R,)."""
    fitted, _ = terms(rows, theta)
    return np.asarray((weights * huber(fitted - rows.log_loss, delta)).sum(axis=1))


def derivatives(rows: Rows, theta: Floats, delta: float, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Gradient (R, 5), Hessian (R, 5, 5) and the matrix of reweighted least squares, which bounds it from above.

    All three are of the objective over δ², so that their size does not depend on δ.
    """
    fitted, share = terms(rows, theta)
    r = (fitted - rows.log_loss) / delta
    slope = weights * np.clip(r, -1.0, 1.0) / delta
    jacobian = _by_parameter(rows, share)
    gradient = (jacobian @ slope[:, :, None])[:, :, 0]
    inside = weights * (np.abs(r) <= 1) / delta**2
    bound = weights / np.maximum(np.abs(r), 1.0) / delta**2
    # Second derivatives of log-sum-exp: diag(share) − share·shareᵀ, carried from the three terms to the parameters.
    hessian = (jacobian * (inside - slope)[:, None, :]) @ jacobian.swapaxes(1, 2)
    moments = (share * slope[:, None, :])[:, :2]
    for k, u in enumerate((rows.x, rows.y)):
        m = moments[:, k] @ np.stack([np.ones_like(u), -u, u * u], axis=1)
        hessian[:, k, k] += m[:, 0]
        hessian[:, k, k + 3] += m[:, 1]
        hessian[:, k + 3, k] += m[:, 1]
        hessian[:, k + 3, k + 3] += m[:, 2]
    hessian[:, 2, 2] += (share[:, 2] * slope).sum(axis=1)
    return gradient, hessian, (jacobian * bound[:, None, :]) @ jacobian.swapaxes(1, 2)


def _by_parameter(rows: Rows, share: Floats) -> Floats:
    """d log fitted / d θ, shape (R, 5, n)."""
    return np.stack([share[:, 0], share[:, 1], share[:, 2], -rows.x * share[:, 0], -rows.y * share[:, 1]], axis=1)


def minimise(rows: Rows, start: Floats, delta: float, weights: Floats | None = None, *, near: bool = False) -> Minima:
    """The minimum of the summed Huber terms that is reached from each start, shape (R, 5).

    `weights` (R, n) or (1, n), default 1, are how often a row counts. Damped Newton steps with exact derivatives, first
    on a wide Huber function and then on narrower ones down to δ: at once with a δ far below the noise the objective is
    nearly the sum of absolute residuals, whose kinks stop any optimiser. `near`: the starts are close to their minima
    (those of a sample of the rows), where the narrow function alone does.
    """
    weights = np.ones((1, rows.x.size)) if weights is None else weights
    weights = np.broadcast_to(weights, (len(start), rows.x.size))
    theta = np.clip(start, *rows.bounds())
    for k in range(0 if near else _widenings(rows, theta, delta), 0, -1):
        theta, _ = _newton(rows, theta, delta * 4.0**k, weights, tolerance=1e-3)
    theta, converged = _newton(rows, theta, delta, weights, tolerance=_TOLERANCE)
    return Minima(theta, objective(rows, theta, delta, weights), converged)


def _widenings(rows: Rows, theta: Floats, delta: float) -> int:
    """How often δ is multiplied by 4 to reach the residuals' size."""
    fitted, _ = terms(rows, theta)
    wide = float(np.median(np.abs(fitted - rows.log_loss))) / delta
    return max(0, int(np.ceil(np.log(max(wide, 1.0)) / np.log(4))))


def _newton(rows: Rows, theta: Floats, delta: float, weights: Floats, tolerance: float) -> tuple[Floats, Bools]:
    """Levenberg's damping, relative to the bounding matrix; rows of the batch drop out when they have converged."""
    theta, converged = theta.copy(), np.zeros(len(theta), bool)
    damping, best = np.full(len(theta), 1e-2), objective(rows, theta, delta, weights)
    low, high = rows.bounds()
    open_ = np.arange(len(theta))
    for _ in range(_MAX_STEPS):
        of = derivatives(rows, theta[open_], delta, weights[open_])
        step, newton = _steps(theta[open_], damping[open_], of, low, high)
        trial = np.clip(theta[open_] + step, low, high)
        value = objective(rows, trial, delta, weights[open_])
        better = value < best[open_]
        # Along a ridge that the data leave open steps stay long though nothing is gained.
        idle = better & (best[open_] - value < 1e-14 * best[open_]) & (damping[open_] < 1e-4)
        theta[open_[better]], best[open_[better]] = trial[better], value[better]
        damping[open_] = np.where(better, damping[open_] / 8, np.maximum(damping[open_], 1e-6) * 6)
        done = idle | (np.abs(newton).max(axis=1) < tolerance) | (damping[open_] > 1e12)
        converged[open_[done]] = True
        open_ = open_[~done]
        if not open_.size:
            break
    return theta, converged


def _steps(
    theta: Floats, damping: Floats, of: tuple[Floats, Floats, Floats], low: Floats, high: Floats
) -> tuple[Floats, Floats]:
    """Damped and undamped step; a parameter that its bound holds back stays where it is."""
    gradient, hessian, bound = of
    held = ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
    free = ~held[:, :, None] & ~held[:, None, :]
    identity = np.eye(theta.shape[1])
    bound = np.where(free, bound, identity)
    bound = bound + 1e-13 * np.trace(bound, axis1=1, axis2=2)[:, None, None] * identity
    inverse = np.linalg.inv(np.linalg.cholesky(bound))
    whitened = inverse @ np.where(free, hessian, identity) @ inverse.swapaxes(1, 2)
    curvature, vectors = np.linalg.eigh(whitened)
    along = vectors.swapaxes(1, 2) @ (inverse @ np.where(held, 0.0, gradient)[:, :, None])
    # Newton's step where the objective is convex; where it is not, downhill all the same.
    size = np.maximum(np.abs(curvature), 1e-9)[:, :, None]
    back = inverse.swapaxes(1, 2) @ vectors
    return -(back @ (along / (size + damping[:, None, None])))[:, :, 0], -(back @ (along / size))[:, :, 0]
