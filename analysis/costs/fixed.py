"""Prices that are one number: float32, float16 (the paper's), a capacity, nothing, or any number of bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.costs.base import ParameterCost
from analysis.costs.registry import register_cost
from analysis.types import Floats

CAPACITY_BITS = 3.6  # a GPT-like model stores about so much a parameter (Morris et al. 2025)


@dataclass(frozen=True)
class Fixed(ParameterCost):
    """So many bytes per parameter, at least 0."""

    size_bytes: float

    @property
    def bytes_per_param(self) -> float | None:
        """The price."""
        return self.size_bytes

    def price(self, cells: pd.DataFrame) -> Floats:
        """The same for all."""
        return np.full(len(cells), 8 * self.size_bytes)

    @property
    def label(self) -> str:
        """The name, and the price where the name does not say it."""
        return self.name if self.name.endswith("bytes") else f"{self.name}, {self.size_bytes:g} B"

    @property
    def sentence(self) -> str:
        """In bytes."""
        name = "" if self.name.endswith("bytes") else f" ({self.name})"
        return f"A parameter costs {self.size_bytes:g} bytes{name}."

    @property
    def is_code(self) -> bool:
        """Free parameters are no code."""
        return self.size_bytes != 0

    @property
    def rank(self) -> float:
        """The price."""
        return self.size_bytes


@dataclass(frozen=True)
class Capacity(Fixed):
    """What a model can store a parameter: a bound, not a code."""

    @property
    def label(self) -> str:
        """In bits."""
        return f"capacity, {8 * self.size_bytes:g} bits"

    @property
    def sentence(self) -> str:
        """In bits."""
        return f"A parameter costs {8 * self.size_bytes:g} bits (capacity: a bound, not a code)."

    @property
    def is_code(self) -> bool:
        """Nobody can decode from so few."""
        return False


PAPER = Fixed("float16", 2.0)  # Delétang et al. 2024 count two bytes per parameter
register_cost(Fixed("float32", 4.0))
register_cost(PAPER)
register_cost(Capacity("capacity", CAPACITY_BITS / 8))
register_cost(Fixed("none", 0.0))
