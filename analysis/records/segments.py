"""Code lengths of stretches of a corpus, from the segments of a record."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from analysis.types import Floats

SEGMENT = ["start_bytes", "end_bytes", "code_bits"]


def segments_by(segments: pd.DataFrame, keys: Sequence[str]) -> dict[Hashable, Floats]:
    """Segments (n, 3) as SEGMENT says, of every value (a tuple where there are several) of the columns `keys`."""
    values = segments[SEGMENT].to_numpy(np.float64)
    at = segments.groupby(list(keys) if len(keys) > 1 else keys[0]).indices
    return {key: values[rows] for key, rows in at.items()}


def span_bits(segments: Floats, start_bytes: int, end_bytes: int) -> float:
    """Code length in bits of [start, end): the sum of the segments that tile it exactly; NaN where they do not.

    `segments` (n, 3) are of one part of one snapshot, columns as SEGMENT says, in any order.
    """
    inside = segments[(segments[:, 0] >= start_bytes) & (segments[:, 1] <= end_bytes)]
    tiles = inside[np.argsort(inside[:, 0])]
    if not len(tiles) or tiles[0, 0] != start_bytes or tiles[-1, 1] != end_bytes:
        return float("nan")
    return float(inside[:, 2].sum()) if np.array_equal(tiles[1:, 0], tiles[:-1, 1]) else float("nan")
