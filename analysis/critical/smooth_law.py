"""One smooth law of the code length over the shapes about a minimum: E + A·N^−a, for one dataset size.

Written E − B·(1 − e^(−a·u))/a with u = log N − log of the middle size, so that it passes smoothly through a = 0
(falling with log N) to a < 0 (falling ever faster, as models do that learn their subset by heart).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.critical.interpolation import price_exponents
from analysis.types import Floats, Ints

LEAST_SHAPES = 7  # of the window; fewer where fewer were run
# A shape whose parameters alone cost more than the best shape with its code is none of them: it may have its data by
# heart, which no such law describes, and cannot be the minimum. The smallest so many are, whatever they cost.
FEWEST = 4
FACTOR = 10.0  # and the shapes within so great a factor of N*,
MOST_SHAPES = 11  # no more than these, the nearest
EXPONENT, EXPONENT_SD = 0.4, 1.0  # known of a beforehand: laws of language models have 0.1 to 0.6
_SCALE = 0.01  # relative scatter against which that knowledge is weighed when a is searched for
_SEARCHED = (-2.0, 5.0)
_ROUNDS = 2  # the window lies about the law's own minimum
_N_PLACES = 129
_DENSE = 0.2  # of log N about the middle, within which places are near one another
FOLLOWED = 5.0  # so great a factor outside of all shapes


@dataclass(frozen=True, kw_only=True)
class SmoothLaw:
    """The least-squares law of relative errors at `chosen` sizes (m,), and what it says at `places` (p,) in log N.

    The last row of `tangent` and `residual` is what is known of a beforehand, of standard deviation EXPONENT_SD.
    """

    chosen: Ints  # indices of the sizes of the column
    log_n: Floats  # (m,) of them
    middle: float  # log N where u = 0
    slope: float  # B, bits that the code falls there a unit of log N
    exponent: float  # a
    residual: Floats  # (m + 1,) relative: measured / law − 1
    tangent: Floats  # (m + 1, 3) derivative of the law by its parameters, relative to what was measured
    places: Floats  # (p,) log N, ascending
    bits: Floats  # (p,) of the law
    tangent_bits: Floats  # (p, 3) its derivative there
    price_bits: Floats  # (p,) bits of all parameters
    depth: Floats  # (m,) log depth beside the usual at that size; 0: not known
    drift: Floats  # (m, q) relative code length by each step of the walk of the exponent; `drift.with_drift` fills them
    drift_bits: Floats  # (p, q) the same at the places, bits


def smooth_law(
    sizes: Floats, bits: Floats, price: Floats, n_shapes: int = LEAST_SHAPES, factor: float | None = None
) -> SmoothLaw:
    """Through code lengths `bits` (n,) at `sizes` (n,) ascending, n ≥ 3, at `price` (n,) bits a parameter.

    `n_shapes`: as many at least are in the window, where there are as many; and all within `factor` of N*.
    """
    log_n = np.log(sizes)
    total = bits + price * sizes
    middle = float(log_n[total.argmin()])
    told = log_n[: max(FEWEST, int((price * sizes <= total.min()).sum()))]
    for _ in range(_ROUNDS):
        chosen = _window(told, middle, n_shapes, factor or FACTOR)
        about, x, y = middle, log_n[chosen] - middle, bits[chosen]
        places = _places(log_n, chosen, middle)
        price_bits = prices_at(sizes, price, places)
        a, (E, B) = _fit(x, y)
        drop, steeper = _falls(places - middle, a)
        law = np.maximum(E - B * drop, 1e-9 * bits.max())
        inside = (places >= log_n[chosen[0]]) & (places <= log_n[chosen[-1]])
        middle = float(places[np.where(inside, law + price_bits, np.inf).argmin()])
    drop_here, steeper_here = _falls(x, a)
    tangent = np.column_stack([np.ones_like(x), -drop_here, -B * steeper_here]) / y[:, None]
    return SmoothLaw(
        chosen=chosen,
        log_n=log_n[chosen],
        middle=about,
        slope=B,
        exponent=a,
        residual=np.append(1 - (E - B * drop_here) / y, EXPONENT - a),
        tangent=np.vstack([tangent, [0.0, 0.0, 1.0]]),
        places=places,
        bits=law,
        tangent_bits=np.column_stack([np.ones_like(places), -drop, -B * steeper]),
        price_bits=price_bits,
        depth=np.zeros(chosen.size),
        drift=np.zeros((chosen.size, 1)),
        drift_bits=np.zeros((places.size, 1)),
    )


def prices_at(sizes: Floats, price: Floats, log_n: Floats) -> Floats:
    """Bits of all parameters at any log N: between two sizes, and beyond the outer two, the price is a power of N."""
    k = np.clip(np.searchsorted(np.log(sizes), log_n) - 1, 0, sizes.size - 2)
    exponent = price_exponents(sizes, price)[k]
    return np.asarray(price[k] * np.exp(exponent * (log_n - np.log(sizes[k])) + log_n))


def _places(log_n: Floats, chosen: Ints, middle: float) -> Floats:
    """From the first to the last of the chosen shapes, and beyond where these are the outermost that were run;

    a hundredth of N apart about the middle, where a minimum may be known to so much, and farther apart away from it.
    """
    first = log_n[chosen[0]] - (np.log(FOLLOWED) if chosen[0] == 0 else 0.0)
    last = log_n[chosen[-1]] + (np.log(FOLLOWED) if chosen[-1] == log_n.size - 1 else 0.0)
    ends = np.arcsinh((np.array([first, last]) - middle) / _DENSE)
    places = middle + _DENSE * np.sinh(np.linspace(ends[0], ends[1], _N_PLACES))
    return np.asarray(np.clip(places, first, last))


def _window(log_n: Floats, middle: float, n_shapes: int, factor: float) -> Ints:
    away = np.abs(log_n - middle)
    within = int((away <= np.log(factor)).sum())
    n = min(max(n_shapes, min(within, MOST_SHAPES)), log_n.size)
    return np.sort(np.argsort(away, kind="stable")[:n])


def _falls(u: Floats, a: float) -> tuple[Floats, Floats]:
    """(1 − e^(−a·u))/a, and its derivative by a."""
    if abs(a) < 1e-4:
        return u - a * u**2 / 2, -(u**2) / 2 + a * u**3 / 3
    fallen = np.exp(-a * u)
    return (1 - fallen) / a, (fallen * (1 + a * u) - 1) / a**2


def _fit(u: Floats, bits: Floats) -> tuple[float, tuple[float, float]]:
    """a, and (E, B) in bits, of least squares of relative errors: E and B are linear once a is fixed."""
    low, high = _SEARCHED
    weight = bits**-2.0 / (bits**-2.0).sum()
    y = bits - bits @ weight
    scale = (bits**-2.0).sum()
    for n in (57, *[9] * 7):
        a = np.linspace(low, high, n)[:, None]
        z = np.where(np.abs(a) < 1e-4, u, (1 - np.exp(-a * u)) / np.where(np.abs(a) < 1e-4, 1.0, a))
        z = z - (z @ weight)[:, None]
        slope = -(z * y) @ weight / ((z * z) @ weight)
        squares = ((y + slope[:, None] * z) ** 2) @ weight * scale
        k = int((squares + (_SCALE / EXPONENT_SD * (a[:, 0] - EXPONENT)) ** 2).argmin())
        low, high = float(a[max(k - 1, 0), 0]), float(a[min(k + 1, n - 1), 0])
    best = (low + high) / 2
    drop, _ = _falls(u, best)
    centered = drop - drop @ weight
    B = float(-(centered * y) @ weight / ((centered * centered) @ weight))
    return best, (float(bits @ weight + B * (drop @ weight)), B)
