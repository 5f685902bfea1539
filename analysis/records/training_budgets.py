"""Cells by how long they were trained: the longest of the same shape, data and seeds, and those of about half of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

CELL_KEY = ["group", "subset_bytes", "n_params", "seed", "shuffle_seed"]
_HALF = 0.6  # a budget up to this share of the longest counts as half of it


def longest(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells trained longest, each among those of the same shape, data and seeds (the columns of `Table.cells`)."""
    return cells[cells["bytes_seen"] == _most(cells)]


def halved(cells: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The cells trained about half as long as the longest of the same shape, data and seeds, then half of that …"""
    below = cells[cells["bytes_seen"] > 0]  # 0: not told
    while len(below := below[below["bytes_seen"] <= _HALF * _most(below)]):
        yield longest(below)


def uneven(cells: pd.DataFrame, needless: pd.DataFrame) -> pd.DataFrame:
    """Of the longest trainings those of half of the bytes, or fewer, that another shape has seen of the same data.

    Columns group, subset_bytes, size, n_params, bytes_seen and most_bytes_seen, by the longest of a shape's seeds and
    orders. Shapes with a longer training that was `needless` (its run's columns) are not among them: they had enough.
    """
    shapes = ["group", "subset_bytes", "size", "n_params"]
    found = cells[[*shapes, "bytes_seen"]].groupby(shapes, as_index=False).max()
    found["most_bytes_seen"] = found.groupby(["group", "subset_bytes"])["bytes_seen"].transform("max")
    had_enough = set(zip(needless["subset_bytes"], needless["n_params"], strict=True))
    is_enough = [(d, n) in had_enough for d, n in zip(found["subset_bytes"], found["n_params"], strict=True)]
    found = found[~np.array(is_enough, dtype=bool)]
    return found[(found["bytes_seen"] > 0) & (found["bytes_seen"] <= _HALF * found["most_bytes_seen"])]  # 0: not told


def _most(cells: pd.DataFrame) -> pd.Series[int]:
    return cells.groupby(CELL_KEY)["bytes_seen"].transform("max")
