"""The adjusted rate at the critical size, which falls as parameters cost less of the data, and what it predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from analysis.critical.estimates import Estimate
from analysis.critical.resampling import middle_and_interval, student
from analysis.critical.size import PowerLaw
from analysis.critical.size_law import LawDraws
from analysis.types import Floats

_STREAM = 2024
_LEAST_SIZES = 4  # two numbers are fitted, and what the rates scatter about them needs two degrees of freedom
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


class RateLaw(NamedTuple):
    """R(D) = first − slope · ∫ N*/D² dD from `start_bytes` on, a fraction of the raw size; N* by its own law."""

    start_bytes: float
    draws: LawDraws
    lines: Floats  # (2, R) first and slope of every draw

    def predict(self, dataset_bytes: float) -> tuple[float, float, float]:
        """The rate at D bytes and its 95 % interval."""
        drawn = self.lines[0] - self.lines[1] * _saved(self.draws.sizes, self.start_bytes, dataset_bytes)
        return middle_and_interval(drawn)


def law_of_rates(found: PowerLaw, draws: LawDraws | None, estimates: Sequence[Estimate]) -> RateLaw | None:
    """The law of one group's rates; None with fewer than four bracketed sizes or without draws of the size's law.

    The rate is the least of code/D + c·N/D over N. Where the code of a byte depends on N alone, only the price falls as
    D grows: dR/dD = −c·N*/D². With N* = k·D^γ that is R = E + s·D^(γ−1). The slope is fitted, not c, because small
    datasets are learned by heart in part. A draw has its own sizes, and the rates' scatter about the law as Student's
    with the fit's degrees of freedom.
    """
    used = [e for e in estimates if e.row["status"] == "bracketed"]
    if found.gamma is None or draws is None or len(used) < _LEAST_SIZES:
        return None
    data = [float(str(e.row["subset_bytes"])) for e in used]
    rates = np.array([float(str(e.row["adjusted_rate"])) for e in used])
    saved = np.stack([_saved(found.predict, data[0], d) for d in data])
    line = _fitted(saved, rates[:, None])
    residuals = rates / (line[0] - line[1] * saved).ravel() - 1
    n, freedom = len(used), len(used) - 2
    sd, rng = np.sqrt((residuals**2).sum() / freedom), np.random.default_rng([_STREAM, n])
    drawn = rates[:, None] * np.exp(student(rng, sd, (n, draws.gamma.size), freedom))
    lines = _fitted(np.stack([_saved(draws.sizes, data[0], d) for d in data]), drawn)
    return RateLaw(start_bytes=data[0], draws=draws, lines=lines)


def _saved(sizes: Callable[[float], Floats], start_bytes: float, dataset_bytes: float) -> Floats:
    """∫ N*/D² dD (R,), N* = sizes(D), from one dataset size to another, by Gauss-Legendre over log D."""
    half = np.log(dataset_bytes / start_bytes) / 2
    at = start_bytes * np.exp(half * (1 + _NODES))
    return np.asarray(half * sum(w * np.atleast_1d(sizes(float(d))) / d for w, d in zip(_WEIGHTS, at, strict=True)))


def _fitted(saved: Floats, rates: Floats) -> Floats:
    """First and slope (2, R) of least squared relative errors through rates (n, R)."""
    ones, falls = 1 / rates, -saved / rates
    a, b, c = (ones**2).sum(axis=0), (ones * falls).sum(axis=0), (falls**2).sum(axis=0)
    u, v = ones.sum(axis=0), falls.sum(axis=0)
    return np.asarray(np.stack([c * u - b * v, a * v - b * u]) / (a * c - b**2))
