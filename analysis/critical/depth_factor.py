"""Depth as a factor: how deep each shape is beside what is usual at its size, among the shapes that were run.

A shape deeper than usual codes shorter, or longer, by an effect that is the same at every dataset size; whether and by
how much is told by the shapes (`shape_effects`). The law is then that of shapes of usual depth. On committed records it
foretells a left-out shape better on text and speech and no better on photographs (benchmarks/README.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.critical.resampling import Column
from analysis.types import Floats

_LEAST_SHAPES = 4  # a trend takes two of them


def depth_beside_usual(columns: Sequence[Column], names: Floats) -> Floats:
    """Log depth of each of the group's sizes `names` (n,) less its trend over log N; 0 where depths are not known."""
    depth = np.full(names.size, np.nan)
    for column in columns:
        if column.depth is not None:
            depth[np.searchsorted(names, column.sizes)] = column.depth
    if names.size < _LEAST_SHAPES or not (depth > 0).all():
        return np.zeros(names.size)
    x, y = np.log(names), np.log(depth)
    return np.asarray(y - np.polyval(np.polyfit(x, y, 1), x))
