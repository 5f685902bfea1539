"""Cells by how long they were trained: the longest of the same shape, data and seeds, and those of about half of it."""

from __future__ import annotations

from collections.abc import Iterator

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


def _most(cells: pd.DataFrame) -> pd.Series[int]:
    return cells.groupby(CELL_KEY)["bytes_seen"].transform("max")
