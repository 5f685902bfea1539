"""Where a name beside a point lies on the fewest curves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from analysis.types import Floats

Side = tuple[tuple[float, float], str]  # offset of a name in points, and how it is aligned there
Box = tuple[Floats, Floats]  # its lower left and upper right corner, in points
_SIDES: tuple[Side, ...] = (
    ((4, 3), "left"),
    ((5, -11), "left"),
    ((-5, -11), "right"),
    ((-4, 4), "right"),
    ((7, -4), "left"),
    ((-7, -4), "right"),
)
_STEPS = np.linspace(0, 1, 40)[:, None]  # of each piece of a curve


def free_side(
    point: Floats, size: tuple[float, float], lines: Sequence[Floats], taken: Sequence[Box] = ()
) -> tuple[Side, Box]:
    """Of the sides of a point the first where no name stands, as in `taken`, and the fewest curves pass; its box too.

    All in points: `size` (width, height) of the name, `lines` (n, 2) each.
    """
    pieces = [a + _STEPS * (b - a) for line in lines for a, b in itertools.pairwise(line)]
    passing = np.vstack([point[None], *pieces])

    def box(side: Side) -> Box:
        offset, alignment = side
        low = point + offset - (np.array([size[0], 0.0]) if alignment == "right" else 0.0)
        return low, low + size

    def crowd(side: Side) -> tuple[int, int]:
        low, high = box(side)
        n_names = sum(bool((low < other[1]).all() and (other[0] < high).all()) for other in taken)
        return n_names, int(((passing >= low) & (passing <= high)).all(axis=1).sum())

    found = min(_SIDES, key=crowd)
    return found, box(found)
