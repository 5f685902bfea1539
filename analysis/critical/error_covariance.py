"""Errors that are linear in what shapes, the walk of the exponent and replicates are off, and how they go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.critical.shape_effects import Effects
from analysis.types import Floats, Ints


@dataclass(frozen=True, kw_only=True)
class LinearError:
    """Of one number found at one dataset size, in units that cancel in a correlation."""

    subset_bytes: int  # replicates count for errors of the same dataset size together
    shapes: Ints  # (m,) which of the group's shapes
    log_n: Floats  # (m,) their sizes
    by_shape: Floats  # (m,) weight of what each is off
    noise: Floats  # (m,) relative variance of what was measured, by replicates
    by_walk: Floats  # (q,) weight of each step of the exponent's walk
    by_depth: float  # weight of the slope over depth
    alone: float  # variance by what no other error has in it


def covariance(errors: Sequence[LinearError], effects: Effects, with_walk: bool = True) -> Floats:
    """(n, n); `with_walk=False`: of an exponent that does not drift."""
    n_shapes = 1 + max(int(error.shapes.max()) for error in errors)
    by_shape, noise = np.zeros((len(errors), n_shapes)), np.zeros((len(errors), n_shapes))
    for row, own, error in zip(by_shape, noise, errors, strict=True):
        row[error.shapes], own[error.shapes] = error.by_shape, error.by_shape * np.sqrt(error.noise)
    by_walk = np.stack([error.by_walk for error in errors])
    data = np.array([error.subset_bytes for error in errors])
    replicates = noise @ noise.T * (data[:, None] == data) + np.diag([error.alone for error in errors])
    shapes = effects.typical_shape**2 * by_shape @ by_shape.T
    walks = effects.typical_walk**2 * by_walk @ by_walk.T if with_walk else 0.0
    deep = effects.typical_depth * np.array([error.by_depth for error in errors])
    return np.asarray(shapes + walks + replicates + np.outer(deep, deep))


def correlation(covariances: Floats) -> Floats:
    """Of covariances (n, n), a little short of ±1, so that it has a root."""
    sd = np.sqrt(np.maximum(np.diag(covariances), 1e-300))
    return np.asarray(covariances / np.outer(sd, sd) * (1 - 1e-6) + 1e-6 * np.eye(len(sd)))
