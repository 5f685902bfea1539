"""Where a name beside a point lies on the fewest curves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from analysis.types import Floats

Side = tuple[tuple[float, float], str]  # offset of a name in points, and how it is aligned there
_SIDES: tuple[Side, ...] = (((4, 3), "left"), ((5, -11), "left"), ((-5, -11), "right"), ((-4, 4), "right"))
_STEPS = np.linspace(0, 1, 40)[:, None]  # of each piece of a curve


def free_side(point: Floats, size: tuple[float, float], lines: Sequence[Floats]) -> Side:
    """Of four sides of a point the first where the fewest curves pass. All in points: `size` (width, height) of the

    name, `lines` (n, 2) each.
    """
    pieces = [a + _STEPS * (b - a) for line in lines for a, b in itertools.pairwise(line)]
    passing = np.vstack([point[None], *pieces])

    def crowd(side: Side) -> int:
        offset, alignment = side
        left = point + offset - (np.array([size[0], 0.0]) if alignment == "right" else 0.0)
        return int(((passing >= left) & (passing <= left + size)).all(axis=1).sum())

    return min(_SIDES, key=crowd)
