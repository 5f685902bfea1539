"""From which dataset size on a larger model pays: D·(l₁(D) − l₂(D)) = c·(N₂ − N₁), adjacent sizes, l in bits/byte."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.critical.resampling import Column, interval
from analysis.formatting import format_bytes
from analysis.types import Floats

COLUMNS = ["group", "n_small", "n_large", "subset_bytes", "low", "high", "message", "beyond", "beyond_bytes"]


class Crossing(NamedTuple):
    """One entry a draw, (R,). D is the grid's edge where the two do not cross in it."""

    subset_bytes: Floats
    crossed: npt.NDArray[np.bool_]
    above: npt.NDArray[np.bool_]  # not crossed: the larger does not yet pay at the largest D; else it always does


def crossing(subset_bytes: Floats, saved_bits: Floats, price_bits: float | Floats) -> Crossing:
    """Where the bits that the larger model saves come to outweigh `price_bits` of parameters, for good in the grid.

    `saved_bits` (R, n_D) at dataset sizes `subset_bytes` (n_D,), ascending; `price_bits` one or (n_D,). What is saved a
    byte and the price are interpolated linearly in log D, and the crossing solved for in them; of several the last,
    from where on the larger model pays.
    """
    log_d, a_byte = np.log(subset_bytes), saved_bits / subset_bytes
    price = np.broadcast_to(np.asarray(price_bits, np.float64), log_d.shape)
    surplus = saved_bits - price
    loses = surplus < 0
    last = loses.shape[1] - 1 - loses[:, ::-1].argmax(axis=1)  # the last D at which the larger does not pay
    above, crossed = loses[:, -1], loses.any(axis=1) & ~loses[:, -1]
    k = np.where(crossed, last, 0)
    rows, step = np.arange(len(k)), min(1, log_d.size - 1)
    low, high = log_d[k], log_d[k + step]
    at = a_byte[rows, k]
    width = np.where(high > low, high - low, 1.0)
    slope, dearer = (a_byte[rows, k + step] - at) / width, (price[k + step] - price[k]) / width
    start, left, right = low, low, high
    for _ in range(60):
        x = (left + right) / 2
        pays = np.exp(x) * (at + slope * (x - start)) >= price[k] + dearer * (x - start)
        left, right = np.where(pays, left, x), np.where(pays, x, right)
    edge = np.where(above, subset_bytes[-1], subset_bytes[0])
    return Crossing(np.where(crossed, np.exp((left + right) / 2), edge), crossed, above)


def crossings(columns: Sequence[Column]) -> pd.DataFrame:
    """A row for each two adjacent sizes of a group: COLUMNS, subset_bytes NaN where they do not cross in the grid.

    An end of the interval is NaN where it lies beyond the grid. Where the sizes do not cross in it, `beyond` is the
    side on which the crossing lies, above or below, and `beyond_bytes` that end of the grid.
    """
    rows = []
    for group, found in itertools.groupby(columns, key=lambda column: column.group):
        own = list(found)
        for small, large in itertools.pairwise(sorted({size for column in own for size in column.sizes})):
            both = [column for column in own if small in column.sizes and large in column.sizes]
            if both:
                rows.append({"group": group, "n_small": int(small), "n_large": int(large)} | _row(both, small, large))
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(both: list[Column], small: float, large: float) -> dict[str, object]:
    price = np.array([_dearer(column, small, large) for column in both])
    data = np.array([float(column.subset_bytes) for column in both])
    point = crossing(data, _saved([c.mean[None] for c in both], both, small, large), price)
    row: dict[str, object] = {"subset_bytes": np.nan, "low": np.nan, "high": np.nan}
    if point.crossed[0]:
        row["subset_bytes"] = float(point.subset_bytes[0])
    draws = [c.draws for c in both if c.draws is not None]
    if len(draws) == len(both):
        found = crossing(data, _saved(draws, both, small, large), price)
        if point.crossed[0] or found.crossed.any():
            row["low"], row["high"] = _open(*interval(found.subset_bytes), data, point)
    if point.crossed[0]:
        return row | {"message": "crossed", "beyond": None, "beyond_bytes": np.nan}
    side, end = ("above", data[-1]) if point.above[0] else ("below", data[0])
    message = f"not crossed in the grid: {side} {format_bytes(end)}"
    return row | {"message": message, "beyond": side, "beyond_bytes": float(end)}


def _open(low: float, high: float, data: Floats, point: Crossing) -> tuple[float, float]:
    """NaN for an end at the edge of the grid, or on the side where the crossing is told to lie beyond it.

    Draws that do not cross stand at the edge, which is where the measurements end and no crossing.
    """
    below = not (point.crossed[0] or point.above[0])
    known_low = data[0] < low < data[-1] and not below
    known_high = data[0] < high < data[-1] and not point.above[0]
    return low if known_low else np.nan, high if known_high else np.nan


def _dearer(column: Column, small: float, large: float) -> float:
    """Bits that the larger size's parameters cost more."""
    at_small, at_large = (float(column.price[column.sizes == size][0]) for size in (small, large))
    return at_large * (large - small) + (at_large - at_small) * small


def _saved(bits: Sequence[Floats], columns: Sequence[Column], small: float, large: float) -> Floats:
    """Bits that the larger size saves, (R, n_D)."""
    pairs = zip(bits, columns, strict=True)
    return np.column_stack([b[:, c.sizes == small][:, 0] - b[:, c.sizes == large][:, 0] for b, c in pairs])
