"""The adjusted rate at the critical size, E + s·D^(γ−1), and what it predicts for other dataset sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analysis.critical.estimates import Estimate
from analysis.critical.resampling import interval
from analysis.critical.size import PowerLaw
from analysis.critical.size_law import LawDraws
from analysis.types import Floats

_STREAM = 2024
_LEAST_SIZES = 4  # two numbers are fitted, and what the rates scatter about them needs two degrees of freedom


class RateLaw(NamedTuple):
    """R(D) = limit + scale · (D / unit_bytes)^(γ−1), a fraction of the raw size, and that of every draw, (R,) each."""

    unit_bytes: float
    gamma: float
    limit: float
    scale: float
    gammas: Floats
    limits: Floats
    scales: Floats

    def predict(self, dataset_bytes: float) -> tuple[float, float, float]:
        """The rate at D bytes and its 95 % interval."""
        ratio = dataset_bytes / self.unit_bytes
        low, high = interval(self.limits + self.scales * ratio ** (self.gammas - 1))
        return self.limit + self.scale * ratio ** (self.gamma - 1), low, high


def law_of_rates(found: PowerLaw, draws: LawDraws | None, estimates: Sequence[Estimate]) -> RateLaw | None:
    """The law of one group's rates; None with fewer than four bracketed sizes or without draws of γ.

    The rate is the least of code/D + c·N/D over N, so that only the price falls as D grows: dR/dD = −c·N*/D². With
    N* = k·D^γ this is R = E + s·D^(γ−1). s is fitted, because small datasets are learned by heart in part, which the
    code of a size at all D alike does not show. A draw has its own γ, and the rates' scatter about the curve as
    Student's with the fit's degrees of freedom.
    """
    used = [e for e in estimates if e.row["status"] == "bracketed"]
    if found.gamma is None or draws is None or len(used) < _LEAST_SIZES:
        return None
    data = np.array([float(str(e.row["subset_bytes"])) for e in used])
    rates = np.array([float(str(e.row["adjusted_rate"])) for e in used])
    x = data / data.max()
    limit, scale = _fitted(x, rates[:, None], np.array([found.gamma]))
    freedom, n_draws = len(used) - 2, draws.gamma.size
    residuals = rates / (limit + scale * x ** (found.gamma - 1)) - 1
    rng = np.random.default_rng([_STREAM, len(used)])
    student = rng.standard_normal((len(used), n_draws)) / np.sqrt(rng.chisquare(freedom, n_draws) / freedom)
    drawn = rates[:, None] * np.exp(np.sqrt((residuals**2).sum() / freedom) * student)
    limits, scales = _fitted(x, drawn, draws.gamma)
    return RateLaw(
        unit_bytes=float(data.max()),
        gamma=found.gamma,
        limit=float(limit[0]),
        scale=float(scale[0]),
        gammas=draws.gamma,
        limits=limits,
        scales=scales,
    )


def _fitted(x: Floats, rates: Floats, gamma: Floats) -> tuple[Floats, Floats]:
    """E and s (R,) of least squared relative errors through rates (n, R) at x = D / D_max (n,); E is at least 0."""
    falls = x[:, None] ** (gamma - 1) / rates
    ones = 1 / rates
    a, b, c = (ones**2).sum(axis=0), (ones * falls).sum(axis=0), (falls**2).sum(axis=0)
    u, v = ones.sum(axis=0), falls.sum(axis=0)
    limit = np.maximum(0.0, (c * u - b * v) / (a * c - b**2))
    return limit, (v - b * limit) / c
