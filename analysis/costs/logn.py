"""½·log₂ D bits: what the classical description length takes for a parameter that D bytes determine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.costs.base import ParameterCost
from analysis.costs.registry import register_cost
from analysis.types import Floats


@dataclass(frozen=True)
class HalfLogData(ParameterCost):
    """Half the logarithm of the dataset size, in bits."""

    def price(self, cells: pd.DataFrame) -> Floats:
        """By each cell's dataset size."""
        return np.asarray(0.5 * np.log2(cells["subset_bytes"].astype(float)), np.float64)

    @property
    def label(self) -> str:
        """The formula."""
        return "½·log₂ D bits"

    @property
    def noun(self) -> str:
        """The formula."""
        return "½·log₂ D bits per parameter"

    @property
    def sentence(self) -> str:
        """The formula and the name."""
        return f"A parameter costs ½·log₂ D bits ({self.name})."

    @property
    def rank(self) -> float:
        """Between the paper's and a capacity: 12 bits at 16 MB."""
        return 1.5


register_cost(HalfLogData("logn"))
