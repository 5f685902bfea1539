"""The least of code length + parameter bits between measured sizes, for many draws of the code lengths at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analysis.types import Floats, Ints

_GRID = np.linspace(0.0, 1.0, 129)  # places looked at between the neighbours of the best size
_HALVINGS = 45


class Minima(NamedTuple):
    """One entry a draw, shape (R,). At an edge of the sizes the minimum is that edge's."""

    n_params: Floats  # N where code + parameters is least
    code_bits: Floats  # of which the code there
    best: Ints  # which measured size has the least total
    n_pooled: Ints  # sizes whose code length was averaged with a neighbour's because it rose with N


def minima(sizes: Floats, bits: Floats, weights: Floats, bits_per_param: float | Floats) -> Minima:
    """`sizes` (n,) ascending, n ≥ 1; code lengths `bits` (R, n); `weights` (n,), how many cells a size averages;

    `bits_per_param`, one for all sizes or (n,): between two sizes the price of all parameters is a power law of N.
    """
    price = np.broadcast_to(np.asarray(bits_per_param, np.float64), sizes.shape)
    best = (bits + price * sizes).argmin(axis=1)
    rows = np.arange(len(bits))
    n_params, code, n_pooled = sizes[best], bits[rows, best], np.zeros(len(bits), np.int64)
    inside = np.flatnonzero((best > 0) & (best < sizes.size - 1))
    if inside.size:
        smooth = non_increasing(bits[inside], weights)
        n_pooled[inside] = (np.abs(smooth - bits[inside]) > 1e-9 * bits[inside]).sum(axis=1)
        n_params[inside], code[inside] = _between_neighbours(sizes, smooth, best[inside], price)
    return Minima(n_params, code, best, n_pooled)


def total_between(sizes: Floats, bits: Floats, weights: Floats, bits_per_param: float | Floats, at: Floats) -> Floats:
    """Code + parameters in bits at sizes `at` (m,) inside `sizes` (n ≥ 3,), by the curve whose least `minima` finds.

    `bits` (n,), the others as there.
    """
    from scipy.interpolate import CubicHermiteSpline

    price, log_n = np.broadcast_to(np.asarray(bits_per_param, np.float64), sizes.shape), np.log(sizes)
    smooth = non_increasing(bits[None], weights)[0]
    code = CubicHermiteSpline(log_n, smooth, slopes(log_n, smooth))(np.log(at))
    return np.asarray(code + at * [price_at(sizes, price, n) for n in at.tolist()])


def non_increasing(bits: Floats, weights: Floats) -> Floats:
    """Least-squares non-increasing code lengths, each row of (R, n): a larger model needs more bits only by noise.

    The min-max formula of isotonic regression (Barlow et al. 1972), which needs no loop over rows.
    """
    risen = np.flatnonzero((np.diff(bits, axis=1) > 0).any(axis=1))
    fitted, n = bits.copy(), bits.shape[1]
    at_once = max(1, 4_000_000 // n**2)
    total = np.append(0.0, np.cumsum(weights))
    width = total[None, 1:] - total[:-1, None]  # (from, to)
    beyond = np.tri(n, k=-1, dtype=bool)  # from > to
    for i in range(0, risen.size, at_once):
        rows = risen[i : i + at_once]
        summed = np.pad(np.cumsum(bits[rows] * weights, axis=1), ((0, 0), (1, 0)))
        mean = (summed[:, None, 1:] - summed[:, :-1, None]) / np.where(beyond, 1.0, width)
        mean[:, beyond] = -np.inf
        highest = np.maximum.accumulate(mean[:, :, ::-1], axis=2)[:, :, ::-1]  # (from, at): over all to ≥ at
        highest[:, beyond] = np.inf
        fitted[rows] = highest.min(axis=1)
    return np.minimum.accumulate(fitted, axis=1)  # of rounding


def price_exponents(sizes: Floats, bits_per_param: Floats) -> Floats:
    """s (n − 1,) of bits a parameter ∝ N^s between adjacent sizes; exactly 0 where both cost the same, or nothing."""
    ratio = np.ones(sizes.size - 1)
    np.divide(bits_per_param[1:], bits_per_param[:-1], out=ratio, where=(bits_per_param[1:] * bits_per_param[:-1]) > 0)
    return np.asarray(np.log(ratio) / np.diff(np.log(sizes)))


def price_at(sizes: Floats, bits_per_param: Floats, n_params: float) -> float:
    """Bits a parameter at a size between two of `sizes` (n ≥ 2,)."""
    k, s = _exponent_at(sizes, bits_per_param, n_params)
    return float(bits_per_param[k] * (n_params / sizes[k]) ** s)


def marginal_price(sizes: Floats, bits_per_param: Floats, n_params: float) -> float:
    """What one more parameter costs at a size, bits: d(price of all)/dN. The c of the closed form."""
    return price_at(sizes, bits_per_param, n_params) * (1 + _exponent_at(sizes, bits_per_param, n_params)[1])


def _exponent_at(sizes: Floats, bits_per_param: Floats, n_params: float) -> tuple[int, float]:
    k = int(np.clip(np.searchsorted(sizes, n_params) - 1, 0, sizes.size - 2))
    return k, float(price_exponents(sizes, bits_per_param)[k])


def _between_neighbours(sizes: Floats, bits: Floats, best: Ints, price: Floats) -> tuple[Floats, Floats]:
    """(N*, code bits there): a fine grid between the neighbours of `best`, then where the slope changes its sign."""
    near = slice(max(int(best.min()) - 2, 0), int(best.max()) + 3)  # no slope needed depends on other sizes
    log_n, y, middle = np.log(sizes[near]), bits[:, near], best - near.start
    d = slopes(log_n, y)
    rows = np.arange(len(y))
    nodes = [log_n[middle + k] for k in (-1, 0, 1)]
    values = [(y[rows, middle + k], d[rows, middle + k]) for k in (-1, 0, 1)]

    def code(x: Floats) -> tuple[Floats, Floats]:
        """Cubic Hermite interpolant and its slope at `x`, shape (R, m)."""
        left, right = (_hermite(x, nodes[k], nodes[k + 1], values[k], values[k + 1]) for k in (0, 1))
        first = x < nodes[1][:, None]
        return np.where(first, left[0], right[0]), np.where(first, left[1], right[1])

    exponent = price_exponents(sizes, price)
    rates = [(nodes[k], price[best - 1 + k][:, None], exponent[best - 1 + k][:, None]) for k in (0, 1)]

    def paid(x: Floats) -> tuple[Floats, Floats]:
        """Bits of all parameters and their slope at `x`; one price for all sizes is exactly price·N."""
        left, right = (a_param * np.exp(s * (x - node[:, None])) * np.exp(x) for node, a_param, s in rates)
        first = x < nodes[1][:, None]
        value = np.where(first, left, right)
        return value, value * (1 + np.where(first, rates[0][2], rates[1][2]))

    def total(x: Floats) -> Floats:
        return np.asarray(code(x)[0] + paid(x)[0])

    grid = nodes[0][:, None] + _GRID * (nodes[2] - nodes[0])[:, None]
    k = total(grid).argmin(axis=1)
    low, high = (grid[rows, np.clip(k + step, 0, _GRID.size - 1)][:, None] for step in (-1, 1))
    for _ in range(_HALVINGS):
        x = (low + high) / 2
        rising = code(x)[1] + paid(x)[1] > 0
        low, high = np.where(rising, low, x), np.where(rising, x, high)
    both = np.hstack([(low + high) / 2, grid[rows, k][:, None]])
    x = both[rows, total(both).argmin(axis=1)][:, None]
    return np.exp(x[:, 0]), code(x)[0][:, 0]


def _hermite(
    x: Floats, start: Floats, end: Floats, at_start: tuple[Floats, Floats], at_end: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Value and slope at `x` (R, m) of each row's cubic with given (value, slope) at `start` and `end`."""
    (y0, d0), (y1, d1), h = at_start, at_end, end - start
    t = (x - start[:, None]) / h[:, None]
    secant = (y1 - y0) / h
    c2, c3 = (3 * secant - 2 * d0 - d1) * h, (d0 + d1 - 2 * secant) * h
    value = y0[:, None] + t * ((d0 * h)[:, None] + t * (c2[:, None] + t * c3[:, None]))
    slope = ((d0 * h)[:, None] + t * (2 * c2[:, None] + t * 3 * c3[:, None])) / h[:, None]
    return value, slope


def slopes(x: Floats, y: Floats) -> Floats:
    """Slopes at the nodes of non-increasing curves for cubic Hermite interpolation that stays non-increasing.

    `x` (n,) with n ≥ 3, `y` (n,) or (R, n). Each is that of E + A·exp(−a·x), a power law with a floor in N, through the
    node and its two neighbours (ends: the nearest three); where no such curve passes through three points, PCHIP's.
    Limited after Fritsch & Carlson 1980. Chosen by measurement, largest error of N* over noise-free L(N, D), α 0.2 …
    0.6, size ratios up to 3.5, least cell inside the grid, three sizes and more: this 0.4 %, PCHIP 5.9 %,
    Hyman-filtered not-a-knot spline 6.0 %, the same on the logarithm 5.2 %, Akima 10.5 %. The truth was of the kind
    that the slopes assume; with 0.3 % and 1 % noise on the code lengths it was as good as PCHIP, and on noise-free
    sigmoid curves Hyman's filter did better on one grid of two.
    """
    from scipy.interpolate import PchipInterpolator

    curves = np.atleast_2d(y)
    middle = np.clip(np.arange(x.size), 1, x.size - 2)  # of the three points that give a node its slope
    step, drop = np.diff(x), -np.diff(curves, axis=1)
    local = _floored_power_slope(
        step[middle - 1], step[middle], drop[:, middle - 1], drop[:, middle], x - x[middle - 1]
    )
    usual = PchipInterpolator(x, curves, axis=1)(x, 1)
    secants = -drop / step
    steepest = 3 * np.maximum(
        np.insert(secants, -1, secants[:, -1], axis=1), np.insert(secants, 0, secants[:, 0], axis=1)
    )
    return np.clip(np.where(np.isnan(local), usual, local), steepest, 0.0).reshape(y.shape)


def _floored_power_slope(h1: Floats, h2: Floats, drop1: Floats, drop2: Floats, at: Floats) -> Floats:
    """Slope at `at` past the first of three points, of E + A·exp(−a·x) through them; NaN where no a in [−5, 20] is it.

    The points are `h1` (n,) and `h2` apart and fall by `drop1` (R, n) and `drop2`.
    """
    from scipy.special import exprel

    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.where((drop1 > 0) & (drop2 > 0), drop2 / drop1, np.nan)

    def ratio(a: Floats) -> Floats:
        """Second drop / first drop: falls with a."""
        return np.asarray(np.exp(-a * h1) * h2 * exprel(-a * h2) / (h1 * exprel(-a * h1)))

    low, high = np.full(wanted.shape, -5.0), np.full(wanted.shape, 20.0)
    possible = (ratio(low) >= wanted) & (wanted >= ratio(high))
    for _ in range(_HALVINGS):
        a = (low + high) / 2
        steep = ratio(a) < wanted
        low, high = np.where(steep, low, a), np.where(steep, a, high)
    a = (low + high) / 2
    return np.where(possible, -drop1 / (h1 * exprel(-a * h1)) * np.exp(-a * at), np.nan)
