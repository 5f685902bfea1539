"""The critical model size: where the adjusted rate is least, and how it grows with the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.critical.interpolation import minima, price_at
from analysis.errors import AnalysisError
from analysis.formatting import format_bytes, format_count, format_counted
from analysis.types import Floats

Status = Literal["bracketed", "below", "above", "too few sizes"]
LEAST_SIZES = 3  # a minimum between two neighbours needs both


@dataclass(frozen=True, kw_only=True)
class CriticalSize:
    """Where code length + parameter bits is least. `below` and `above`: beyond the smallest or the largest size."""

    n_params: float | None  # None unless bracketed
    total_bits: float  # code and parameters: there if bracketed, else at `grid_best`
    code_bits: float  # of which the code
    status: Status
    message: str
    grid_best: int  # the measured size with the least total
    n_sizes: int
    n_pooled: int  # sizes whose code length was averaged with a neighbour's because it rose with N


def critical_size(
    n_params: npt.ArrayLike, code_bits: npt.ArrayLike, bits_per_param: npt.ArrayLike, n_seeds: npt.ArrayLike = 1
) -> CriticalSize:
    """Critical size of one dataset from code lengths in bits at sizes N; a size given several times is averaged.

    `bits_per_param`: one price, or one for each code length. `n_seeds`: how many cells each averages already.

    Only the measured code length is interpolated, monotone in log N; the parameters' bits are added exactly (a measured
    price is a power law of N between sizes, so that it rises where what was measured does) and the sum is minimised
    between the neighbours of the best measured size. Definition: Delétang et al. 2024, section 3.
    AnalysisError for unequal lengths, no sizes, sizes below 1, code lengths or a price that are negative or not finite.
    """
    n, bits, prices = _checked(n_params, code_bits, bits_per_param)
    counts = np.broadcast_to(np.asarray(n_seeds, np.float64), n.shape)
    sizes, where = np.unique(n, return_inverse=True)
    weights = np.bincount(where, weights=counts).astype(np.float64)
    mean = np.bincount(where, weights=bits * counts) / weights
    price = np.bincount(where, weights=prices * counts) / weights
    found = minima(sizes, mean[None], weights, price)
    best, code, n_pooled = int(found.best[0]), float(found.code_bits[0]), int(found.n_pooled[0])
    status, message = _edge(sizes, best)
    if status != "bracketed":
        return CriticalSize(
            n_params=None,
            total_bits=float(mean[best] + price[best] * sizes[best]),
            code_bits=float(mean[best]),
            status=status,
            message=message,
            grid_best=int(sizes[best]),
            n_sizes=sizes.size,
            n_pooled=0,
        )
    located = float(found.n_params[0])
    if n_pooled:
        message = f"bracketed; the code length rose with N at some sizes, {n_pooled} were averaged with a neighbor"
    return CriticalSize(
        n_params=located,
        total_bits=code + float(price_at(sizes, price, located)) * located,
        code_bits=code,
        status="bracketed",
        message=message,
        grid_best=int(sizes[best]),
        n_sizes=sizes.size,
        n_pooled=n_pooled,
    )


def _checked(
    n_params: npt.ArrayLike, code_bits: npt.ArrayLike, bits_per_param: npt.ArrayLike
) -> tuple[Floats, Floats, Floats]:
    n, bits = np.asarray(n_params, np.float64).ravel(), np.asarray(code_bits, np.float64).ravel()
    if n.size != bits.size or not n.size:
        raise AnalysisError(
            f"a critical size needs one code length per size, got {n.size} sizes and {bits.size} lengths"
        )
    if not (np.isfinite(n).all() and (n >= 1).all()):
        raise AnalysisError("model sizes must be parameter counts of at least 1")
    if not (np.isfinite(bits).all() and (bits >= 0).all()):
        raise AnalysisError("code lengths must be finite and at least 0 bits; leave out what was not measured")
    prices = np.asarray(bits_per_param, np.float64).ravel()
    if prices.size not in (1, n.size):
        raise AnalysisError(f"a price is one number or one per size, got {prices.size} prices of {n.size} sizes")
    for price in prices[~(np.isfinite(prices) & (prices >= 0))][:1]:
        raise AnalysisError(f"a parameter cannot cost {price:g} bits; give a number of at least 0")
    return n, bits, np.broadcast_to(prices, n.shape)


def _edge(sizes: Floats, best: int) -> tuple[Status, str]:
    if sizes.size < LEAST_SIZES:
        return "too few sizes", f"{format_counted(sizes.size, 'model size')}; at least {LEAST_SIZES} are needed"
    if best == 0:
        return "below", f"not bracketed; extend the grid below {format_count(sizes[0])} parameters"
    if best == sizes.size - 1:
        return "above", f"not bracketed; extend the grid above {format_count(sizes[-1])} parameters"
    return "bracketed", "bracketed"


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """N* = k · D^gamma, D in bytes. `gamma_se` is the standard error, None with fewer than three points."""

    k: float | None
    gamma: float | None
    gamma_se: float | None
    n_points: int
    message: str
    gamma_low: float | None = None  # 95 % interval over what `Study.intervals` says
    gamma_high: float | None = None
    k_low: float | None = None
    k_high: float | None = None
    scatter: float | None = None  # standard deviation of log N* about the line, n − 2 degrees of freedom
    left_out_bytes: float | None = None  # the largest D, and predicted / measured N* there by the law through the rest
    left_out_ratio: float | None = None
    gamma_least: float | None = None  # of the laws without one of the dataset sizes each, from four sizes on
    gamma_most: float | None = None
    gamma_local: float | None = None  # through the local estimator's sizes instead, and their scatter
    scatter_local: float | None = None

    def predict(self, dataset_bytes: npt.ArrayLike) -> Floats:
        """N* at dataset sizes in bytes; AnalysisError where nothing was fitted."""
        if self.k is None or self.gamma is None:
            raise AnalysisError(self.message)
        return self.k * np.asarray(dataset_bytes, np.float64) ** self.gamma


def fit_power_law(dataset_bytes: npt.ArrayLike, n_params: npt.ArrayLike) -> PowerLaw:
    """Least squares of log N* on log D over the bracketed critical sizes (the others are given as NaN or left out)."""
    d, n = np.asarray(dataset_bytes, np.float64), np.asarray(n_params, np.float64)
    known = np.isfinite(n)
    x, y = np.log(d[known]), np.log(n[known])
    if np.unique(x).size < 2:
        one = f"only {format_bytes(d[known][0])} has one" if x.size else "none has one"
        message = f"a law needs two dataset sizes with a bracketed critical size; {one}"
        return PowerLaw(k=None, gamma=None, gamma_se=None, n_points=x.size, message=message)
    if x.size == 2:
        gamma, intercept = np.polyfit(x, y, 1)
        message = "a power law passes through any two dataset sizes, so its exponent has no interval"
        return PowerLaw(k=float(np.exp(intercept)), gamma=float(gamma), gamma_se=None, n_points=2, message=message)
    (gamma, intercept), covariance = np.polyfit(x, y, 1, cov=True)
    se = float(np.sqrt(covariance[0, 0]))
    scatter = float(np.sqrt(((y - gamma * x - intercept) ** 2).sum() / (x.size - 2)))
    last = int(x.argmax())
    others = np.delete(np.arange(x.size), last)
    ratio = float(np.exp(np.polyval(np.polyfit(x[others], y[others], 1), x[last]) - y[last]))
    message = f"least squares through {x.size} points"
    least, most = _without_one(x, y) if x.size > 3 else (None, None)
    return PowerLaw(
        k=float(np.exp(intercept)),
        gamma=float(gamma),
        gamma_se=se,
        n_points=x.size,
        message=message,
        scatter=scatter,
        left_out_bytes=float(d[known][last]),
        left_out_ratio=ratio,
        gamma_least=least,
        gamma_most=most,
    )


def _without_one(x: Floats, y: Floats) -> tuple[float, float]:
    """The least and the greatest slope of y on x with one point left out."""
    slopes = [float(np.polyfit(np.delete(x, i), np.delete(y, i), 1)[0]) for i in range(x.size)]
    return min(slopes), max(slopes)
