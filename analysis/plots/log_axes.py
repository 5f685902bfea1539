"""Logarithmic axes with plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.plots.style import LETTER_POINTS, points

_TICKS = ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 3), (1,))  # of a decade, densest first

Name = Callable[[float], str]


def octaves(axes: Axes, ticks: Sequence[float]) -> None:
    """The horizontal axis in powers of two, whole numbers at the ticks."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))


def log_scales(axes: Axes, name_x: Name, name_y: Name | None, x_ticks: Sequence[float] | None = None) -> None:
    """Logarithmic axes with plain ticks; given `x_ticks`, each spans at least a decade; without `name_y`, y stays.

    All of `x_ticks` are drawn; where their names would touch, every second is named, or every third.
    """
    axes.set_xscale("log")
    if name_y is not None:
        axes.set_yscale("log")
    if x_ticks is not None:
        for scale, limits in ((axes.set_xlim, axes.get_xlim()), (axes.set_ylim, axes.get_ylim())):
            scale(*_at_least_a_decade(limits))
    wide = axes.get_window_extent().width * 72 / axes.figure.dpi

    def fits(ticks: Sequence[float]) -> bool:
        return _fit(ticks, axes.get_xlim(), name_x, wide)

    if x_ticks is None:
        _set_ticks(axes.xaxis, _log_ticks(*axes.get_xlim(), fits=fits), name_x)
    else:
        thinned = (list(x_ticks[::-k][::-1]) for k in range(1, len(x_ticks) + 1))
        named = next(some for some in thinned if len(some) < 3 or fits(some))
        _set_ticks(axes.xaxis, x_ticks, lambda x: name_x(x) if np.isclose(x, named).any() else "")
    if name_y is not None:
        _set_ticks(axes.yaxis, _log_ticks(*axes.get_ylim()), name_y)


def _set_ticks(axis: Axis, ticks: Sequence[float], name: Name) -> None:
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: name(value)))


def _log_ticks(
    low: float, high: float, most: int = 9, fits: Callable[[list[float]], bool] | None = None
) -> list[float]:
    """Round numbers between the limits: the densest choice of at most `most` whose names do not touch."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for choice in _TICKS:
        ticks = [m * 10.0**k for k in decades for m in choice if low <= m * 10.0**k <= high]
        if len(ticks) <= most and (fits is None or fits(ticks)):
            return ticks
    return ticks[:: -(-len(ticks) // most)]


def _fit(ticks: Sequence[float], limits: tuple[float, float], name: Name, width_points: float) -> bool:
    """Whether the names of neighbors stay apart on a logarithmic axis."""
    gaps = np.diff(np.log(ticks)) / np.log(limits[1] / limits[0]) * width_points
    letter = points(LETTER_POINTS)
    widths = [letter * len(name(tick)) for tick in ticks]
    return all(gap > (a + b) / 2 + letter for gap, a, b in zip(gaps, widths, widths[1:], strict=False))


def _at_least_a_decade(limits: tuple[float, float]) -> tuple[float, float]:
    """Few points close together would otherwise fill a picture of a few per cent."""
    low, high = np.log10(limits)
    half = max(0.5, (high - low) / 2 * 1.15)
    return float(10 ** ((low + high) / 2 - half)), float(10 ** ((low + high) / 2 + half))
