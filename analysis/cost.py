"""What a parameter costs. The same code length gives another critical size under another price."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

from analysis import AnalysisError

# Delétang et al. 2024 count two bytes a parameter, float16.
PRICES_BYTES = {"float32": 4.0, "float16": 2.0, "none": 0.0}


@dataclass(frozen=True)
class Cost:
    """A price: every parameter costs `bytes_per_param`."""

    name: str
    bytes_per_param: float  # >= 0

    @property
    def bits_per_param(self) -> float:
        """The same in bits."""
        return 8 * self.bytes_per_param


def parse_cost(cost: str | float | Cost) -> Cost:
    """A cost model by name, or a number of bytes per parameter; AnalysisError for anything else."""
    if isinstance(cost, Cost):
        return cost
    if isinstance(cost, str) and cost in PRICES_BYTES:
        return Cost(cost, PRICES_BYTES[cost])
    try:
        price = float(cost)
    except ValueError:
        nearest = difflib.get_close_matches(str(cost), PRICES_BYTES, n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        known = ", ".join(PRICES_BYTES)
        raise AnalysisError(f"unknown cost '{cost}': want {known} or bytes per parameter{hint}") from None
    if not (math.isfinite(price) and price >= 0):
        raise AnalysisError(f"a parameter cannot cost {price:g} bytes; give a number of at least 0")
    return Cost(f"{price:g} bytes", price)
