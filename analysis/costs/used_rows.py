"""float16, but of the embedding only the rows of byte values that occur: a decoder fills in the others unseen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.costs.base import ParameterCost
from analysis.costs.fixed import PAPER
from analysis.costs.registry import register_cost
from analysis.types import Floats

_BYTE_VALUES = 256
MASK_BITS = _BYTE_VALUES  # 32 bytes say which values occur


@dataclass(frozen=True)
class UsedRows(ParameterCost):
    """Two bytes for each parameter that the subset can touch, and a mask of the byte values that occur in it.

    The row of a value that never occurs is neither read nor, in the tied head, ever needed for a byte that follows.
    Known of models of bytes whose record counts the values.
    """

    def price(self, cells: pd.DataFrame) -> Floats:
        """The charged parameters' bits and the mask's over N; NaN where a record does not know them."""
        known = {name: cells[name].astype(float) for name in _NEEDED if name in cells}
        if len(known) < len(_NEEDED):
            return np.full(len(cells), np.nan)
        n_values, embedding, vocabulary = known.values()
        n_unused = (embedding * (1 - n_values / _BYTE_VALUES)).where(vocabulary == _BYTE_VALUES)
        n_params = cells["n_params"].astype(float)
        paid = float(PAPER.bits_per_param or 0) * (n_params - n_unused) + MASK_BITS
        return np.asarray(paid / n_params, np.float64)

    def priced(self, cells: pd.DataFrame, coded: pd.DataFrame) -> pd.DataFrame:
        """Of models of bytes whose subset's byte values were counted."""
        found = super().priced(cells, coded)
        return found[found["bits_per_param"].notna()]

    @property
    def label(self) -> str:
        """What is charged."""
        return "float16, rows in use"

    @property
    def noun(self) -> str:
        """As in: at …"""
        return "two bytes per parameter without the embedding's rows of byte values that do not occur"

    @property
    def sentence(self) -> str:
        """What is counted."""
        return (
            "A parameter costs 2 bytes. Embedding rows of byte values that do not occur in the subset cost nothing, "
            f"and a mask of the values that occur costs {MASK_BITS // 8} bytes per model ({self.name})."
        )

    @property
    def absence(self) -> str:
        """Which records know it."""
        return (
            "no model of bytes whose record counts the byte values of its subset; old records do not: "
            "train the cells again"
        )

    @property
    def rank(self) -> float:
        """Just below the paper's."""
        return 1.9


_NEEDED = ("n_byte_values", "embedding_params", "vocabulary")
register_cost(UsedRows("float16-used"))
