"""Where to begin a fit of L(N, D): variable projection on squared errors, and points spread widely."""

from __future__ import annotations

import numpy as np

from analysis.scaling.huber import NO_FLOOR, Rows
from analysis.types import Floats

_EXPONENTS = np.geomspace(0.02, 4.0, 28)


def variable_projection(rows: Rows, n_starts: int = 8) -> Floats:
    """The best of a grid of (α, β) under squared error on L, where E, A and B are linear (Golub & Pereyra 1973).

    Shape (at most n_starts, 5); least squares with E and without it, only where all are positive.
    """
    alpha, beta = (grid.ravel() for grid in np.meshgrid(_EXPONENTS, _EXPONENTS, indexing="ij"))
    loss = np.exp(rows.log_loss)
    # Relative errors, for it is the logarithm that will be fitted.
    f, g, one = np.exp(-np.outer(_EXPONENTS, rows.x)) / loss, np.exp(-np.outer(_EXPONENTS, rows.y)) / loss, 1 / loss
    found = [_squares(f, g, one, [0, 1, 2]), _squares(f, g, one, [0, 1])]
    error = np.concatenate([e for e, _ in found])
    coefficients = np.concatenate([c for _, c in found])
    best = np.argsort(error)[:n_starts]
    best = best[np.isfinite(error[best])]
    floor = np.log(np.maximum(coefficients[best, 2], np.exp(rows.log_loss.min() - NO_FLOOR)))
    ab = np.log(coefficients[best, :2])
    which = best % alpha.size
    return np.column_stack([ab, floor, alpha[which], beta[which]])


def _squares(f: Floats, g: Floats, one: Floats, kept: list[int]) -> tuple[Floats, Floats]:
    """Sum of squared relative errors, shape (k²,), infinite unless A, B, E > 0, and (A′, B′, E) there, (k², 3)."""
    k = len(f)
    ff, gg, fg = (f * f).sum(1), (g * g).sum(1), f @ g.T
    normal = np.empty((k, k, 3, 3))
    normal[..., 0, 0], normal[..., 1, 1], normal[..., 2, 2] = ff[:, None], gg[None, :], one @ one
    normal[..., 0, 1] = normal[..., 1, 0] = fg
    normal[..., 0, 2] = normal[..., 2, 0] = (f @ one)[:, None]
    normal[..., 1, 2] = normal[..., 2, 1] = (g @ one)[None, :]
    right = np.empty((k, k, 3))
    right[..., 0], right[..., 1], right[..., 2] = f.sum(1)[:, None], g.sum(1)[None, :], one.sum()
    normal, right = normal.reshape(-1, 3, 3)[:, kept][:, :, kept], right.reshape(-1, 3)[:, kept]
    solved = (np.linalg.pinv(normal, hermitian=True) @ right[:, :, None])[:, :, 0]
    error = np.where((solved > 0).all(axis=1), one.size - (solved * right).sum(axis=1), np.inf)
    coefficients = np.zeros((k * k, 3))
    coefficients[:, kept] = solved
    return error, coefficients


def spread_starts(rows: Rows, n_starts: int = 24) -> Floats:
    """Independent of the data but for their range: shape (n_starts, 5), the same every time."""
    lowest, highest = rows.log_loss.min(), rows.log_loss.max()
    low = [lowest - 4, lowest - 4, lowest - 4, 0.05, 0.05]
    high = [highest + 1, highest + 1, lowest, 2.0, 2.0]
    return np.random.default_rng(0).uniform(low, high, (n_starts, 5))
