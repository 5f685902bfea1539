"""A price by its name or its number."""

from __future__ import annotations

import difflib
import math

from analysis.costs.base import ParameterCost
from analysis.costs.coded import coded_cost
from analysis.costs.fixed import Capacity, Fixed
from analysis.costs.registry import COSTS
from analysis.errors import AnalysisError


def parse_cost(cost: str | float | ParameterCost) -> ParameterCost:
    """A cost by name (`capacity:3.8`: with other bits; `coded4`: at 4 bits per weight), or bytes per parameter.

    AnalysisError for anything else.
    """
    if isinstance(cost, ParameterCost):
        return cost
    text = str(cost)
    if text in COSTS:
        return COSTS[text]
    return coded_cost(text) or _number(text)


def require_price(cost: ParameterCost) -> None:
    """AnalysisError where parameters are free: then the largest model is the shortest."""
    if cost.bytes_per_param == 0:
        raise AnalysisError("free parameters have no critical size to look for; give --cost a price, such as float16")


def _number(text: str) -> ParameterCost:
    """So many bytes (`2`, `2 bytes`), or a capacity of so many bits."""
    kind, _, number = text.removesuffix(" bytes").rpartition(":")
    try:
        price = float(number) / (8 if kind else 1)
    except ValueError:
        price = None
    if price is None or kind not in ("", "capacity"):
        nearest = difflib.get_close_matches(text, list(COSTS), n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        known = f"{', '.join(COSTS)}, coded4 or bytes per parameter"
        raise AnalysisError(f"unknown cost '{text}': want {known}; --plugin FILE adds those of your own{hint}")
    if not (math.isfinite(price) and price >= 0):
        raise AnalysisError(
            f"a parameter cannot cost {number} {'bits' if kind else 'bytes'}; give a number of at least 0"
        )
    return Capacity(text, price) if kind else Fixed(f"{price:g} bytes", price)
