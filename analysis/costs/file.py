"""The bytes of a model's file as it lies on disk, whatever it holds: float16, bfloat16, four bits and their scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.costs.base import ParameterCost
from analysis.costs.registry import register_cost
from analysis.types import Floats


@dataclass(frozen=True)
class FileBytes(ParameterCost):
    """What a decoder would be sent as it is. Known of models that were made elsewhere, where the record says it."""

    def price(self, cells: pd.DataFrame) -> Floats:
        """The file's bits over N, NaN where a record does not know them."""
        if "file_bytes" not in cells:
            return np.full(len(cells), np.nan)
        return np.asarray(8 * cells["file_bytes"].astype(float) / cells["n_params"].astype(float), np.float64)

    def priced(self, cells: pd.DataFrame, coded: pd.DataFrame) -> pd.DataFrame:
        """Of models whose bytes on disk are known."""
        known = super().priced(cells, coded)
        return known[known["bits_per_param"].notna()]

    @property
    def label(self) -> str:
        """The name."""
        return "file on disk"

    @property
    def noun(self) -> str:
        """As in: at …"""
        return "the size of its file on disk"

    @property
    def sentence(self) -> str:
        """What is counted."""
        return f"A model costs the bytes of its weights' file as it lies on disk ({self.name})."

    @property
    def absence(self) -> str:
        """Which records know it."""
        return "no model whose bytes on disk are known: mdl evaluate records them, and mdl.measure with files=[…]"

    @property
    def rank(self) -> float:
        """Beside the paper's: most files hold two bytes per parameter."""
        return 2.0


register_cost(FileBytes("file"))
