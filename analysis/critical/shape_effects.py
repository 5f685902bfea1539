"""What shapes leave over from a smooth law of their sizes: noise of a shape, common to all dataset sizes, and drifts.

A shape's code length lies off the law by an effect of its own (its depth, its learning rate) that is much the same at
every dataset size, of relative standard deviation `shape`. The exponent of the law may drift over log N: a random walk
(`drift`) of standard deviation `walk` a unit of log N. Depth beyond the usual at a size may have a slope, of standard
deviation `depth` or 0; the law is that of shapes of usual depth. All are weighed by restricted maximum likelihood
(Patterson & Thompson 1971) of all dataset sizes together, on a grid over which results are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.critical.smooth_law import EXPONENT_SD, SmoothLaw
from analysis.types import Floats

DEPTHS = np.array([0.0, 0.06])  # relative code length a unit of log depth; six corpora gave −0.09 to +0.01
SHAPES = np.array([0.0005, 0.001, 0.002, 0.0035, 0.005, 0.0075, 0.01, 0.014, 0.02, 0.028, 0.04, 0.06, 0.09])
WALKS = np.array([0.025, 0.05, 0.1, 0.2, 0.4, 0.8])
# Of six committed corpora by themselves one has 0.1, two 0.1 to 0.2, three 0.4 to 0.8: long tails leave it to records.
USUAL_WALK, WALK_SPREAD = 0.1, 0.5
# Of the committed studies, rms about one law a dataset size: text 1.4 %, photographs 0.5 %, speech 2.2 %.
USUAL_SHAPE, _USUAL_SPREAD = 0.013, 0.6
FEWEST_SHAPES = 7  # of fewer, or of one dataset size, the shapes' scatter is taken from the studies
_MOST_LAWS = 9  # of more dataset sizes so many, evenly apart, weigh the effects
_LEAST_NOISE = 5e-4  # relative, of a code length; no training gives the same twice
_UNREPLICATED = (_LEAST_NOISE, 0.001, 0.002, 0.004, 0.008, 0.016)
_NEGLIGIBLE = 1e-4  # of the weight of the likeliest


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Relative standard deviations on a grid, (g,) each, and their weights, which sum to 1."""

    shape: Floats
    walk: Floats
    depth: Floats
    weight: Floats
    noise: list[Floats]  # a law each: (m,) relative variance of its code lengths by replicates, or by interaction
    is_usual: bool  # the scatter of shapes is mostly that of the committed studies

    @property
    def typical_shape(self) -> float:
        """Root mean square of what a shape is off."""
        return float(np.sqrt(self.weight @ self.shape**2))

    @property
    def typical_walk(self) -> float:
        """The same of the walk of the exponent, a unit of log N."""
        return float(np.sqrt(self.weight @ self.walk**2))

    @property
    def typical_depth(self) -> float:
        """The same of the slope over depth."""
        return float(np.sqrt(self.weight @ self.depth**2))


def weigh_effects(
    laws: Sequence[SmoothLaw], noise: Sequence[Floats | None], n_shapes: int, shape_sd: float | None = None
) -> Effects:
    """Of several dataset sizes of one group; `chosen` of each law are indices of the same `n_shapes` shapes.

    `noise`: relative variance at the shapes of each law; None: not replicated. What shapes leave over at one dataset
    size alone tells it then, the mean of a few variances by their likelihoods. `shape_sd`: None: not known.
    """
    depths = DEPTHS if any(law.depth.any() for law in laws) else DEPTHS[:1]
    shapes = SHAPES if shape_sd is None else np.array([shape_sd])
    shape, walk, depth = grid = [axis.ravel() for axis in np.meshgrid(shapes, WALKS, depths, indexing="ij")]
    filled = [None if own is None else np.maximum(own, _LEAST_NOISE**2) for own in noise]
    is_usual = len(laws) < 2 or n_shapes < FEWEST_SHAPES
    known_before = _known_before(shape, walk, is_usual)
    variance = _noise_variance(laws, filled, grid, known_before)
    fits, known = _fits(laws, filled, grid, variance)
    weight = np.exp(fits + known_before - (fits + known_before).max())
    kept = weight > _NEGLIGIBLE
    return Effects(
        shape=shape[kept],
        walk=walk[kept],
        depth=depth[kept],
        weight=weight[kept] / weight[kept].sum(),
        noise=known,
        is_usual=is_usual,
    )


def _known_before(shape: Floats, walk: Floats, is_usual: bool) -> Floats:
    """Log weights (g,) before any code length of the group is seen."""
    drifts = -np.log1p((np.log(walk / USUAL_WALK) / WALK_SPREAD) ** 2)
    return drifts - (np.log(shape / USUAL_SHAPE) / _USUAL_SPREAD) ** 2 / 2 if is_usual else drifts


def _noise_variance(
    laws: Sequence[SmoothLaw], noise: Sequence[Floats | None], grid: Sequence[Floats], known_before: Floats
) -> float:
    """Relative, of one measurement by itself where nothing was replicated."""
    if len(laws) < 2 or all(own is not None for own in noise):
        return _LEAST_NOISE**2
    variances = np.array(_UNREPLICATED) ** 2
    told = np.array([np.logaddexp.reduce(_fits(laws, noise, grid, one)[0] + known_before) for one in variances])
    weight = np.exp(told - told.max())
    return float(weight @ variances / weight.sum())


def inverse_covariance(laws: Sequence[SmoothLaw], noise: Sequence[Floats], grid: Sequence[Floats]) -> Floats:
    """`grid`: shape, walk, depth (g,).

    (g, m, m) of what was measured about the laws, one after another, and of what is known of their exponents."""
    names = np.concatenate([np.append(law.chosen, -1) for law in laws])
    real = names >= 0
    same = (names[:, None] == names) & real[:, None] & real
    drift = np.concatenate([np.vstack([law.drift, np.zeros_like(law.drift[:1])]) for law in laws])
    own = np.concatenate([np.append(each, EXPONENT_SD**2) for each in noise])
    deep = np.concatenate([np.append(law.depth, 0.0) for law in laws])
    covariance = np.diag(own)
    for sd, part in zip(grid, (same, drift @ drift.T, np.outer(deep, deep)), strict=True):
        covariance = covariance + sd[:, None, None] ** 2 * part
    return np.asarray(np.linalg.inv(covariance))


def depth_slope(laws: Sequence[SmoothLaw], effects: Effects) -> float:
    """Relative code length a unit of log depth beyond the usual, as the shapes tell it."""
    typical = [np.array([sd]) for sd in (effects.typical_shape, effects.typical_walk, effects.typical_depth)]
    inverse = inverse_covariance(laws, effects.noise, typical)[0]
    tangent, residual = _block_diagonal([law.tangent for law in laws]), np.concatenate([law.residual for law in laws])
    weighed = tangent.T @ inverse
    rest = residual - tangent @ np.linalg.solve(weighed @ tangent, weighed @ residual)
    deep = np.concatenate([np.append(law.depth, 0.0) for law in laws])
    return float(effects.typical_depth**2 * deep @ inverse @ rest)


def _fits(
    laws: Sequence[SmoothLaw], noise: Sequence[Floats | None], grid: Sequence[Floats], unreplicated: float
) -> tuple[Floats, list[Floats]]:
    """Log-likelihoods (g,), and the noise of every law, filled with the variance `unreplicated`."""
    known = [
        np.full(law.log_n.size, unreplicated) if own is None else own for law, own in zip(laws, noise, strict=True)
    ]
    some = np.unique(np.linspace(0, len(laws) - 1, min(len(laws), _MOST_LAWS)).round().astype(int))
    return _log_likelihood([laws[i] for i in some], [known[i] for i in some], grid), known


def _log_likelihood(laws: Sequence[SmoothLaw], noise: Sequence[Floats], grid: Sequence[Floats]) -> Floats:
    """Restricted, (g,)."""
    inverse = inverse_covariance(laws, noise, grid)
    tangent, residual = _block_diagonal([law.tangent for law in laws]), np.concatenate([law.residual for law in laws])
    weighed = tangent.T @ inverse
    information = weighed @ tangent
    step = np.linalg.solve(information, (weighed @ residual)[..., None])[..., 0]
    rest = residual - step @ tangent.T
    misfit = (rest * (inverse @ rest[..., None])[..., 0]).sum(axis=1)
    return np.asarray((np.linalg.slogdet(inverse)[1] - np.linalg.slogdet(information)[1] - misfit) / 2)


def _block_diagonal(blocks: Sequence[Floats]) -> Floats:
    whole = np.zeros((sum(len(block) for block in blocks), sum(block.shape[1] for block in blocks)))
    row = column = 0
    for block in blocks:
        whole[row : row + len(block), column : column + block.shape[1]] = block
        row, column = row + len(block), column + block.shape[1]
    return whole
