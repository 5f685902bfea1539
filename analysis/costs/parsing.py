"""A price by its name or its number, and cells under it."""

from __future__ import annotations

import difflib
import math

import pandas as pd

from analysis.costs.base import ParameterCost
from analysis.costs.coded import coded_cost
from analysis.costs.fixed import Capacity, Fixed
from analysis.costs.registry import COSTS
from analysis.errors import AnalysisError


def parse_cost(cost: str | float | ParameterCost) -> ParameterCost:
    """A cost by name (`capacity:3.8`: with other bits; `coded4`: at 4 bits a weight), or bytes per parameter.

    AnalysisError for anything else.
    """
    if isinstance(cost, ParameterCost):
        return cost
    text = str(cost)
    if text in COSTS:
        return COSTS[text]
    return coded_cost(text) or _number(text)


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
        raise AnalysisError(f"unknown cost '{text}': want {', '.join(COSTS)}, coded4 or bytes per parameter{hint}")
    if not (math.isfinite(price) and price >= 0):
        raise AnalysisError(
            f"a parameter cannot cost {number} {'bits' if kind else 'bytes'}; give a number of at least 0"
        )
    return Capacity(text, price) if kind else Fixed(f"{price:g} bytes", price)


def priced(cells: pd.DataFrame, coded: pd.DataFrame, cost: ParameterCost) -> pd.DataFrame:
    """The cells that have a two-part code under a cost: columns of `cells`, with

    own_bits  code length of the own subset, bits; under `coded` that of the weights as they decode; and whatever a
              parameter costs, the tokenizer: all of the two-part code that is not parameters
    tokenizer_bits  of these those of the tokenizer, 0 for bytes
    bits_per_param  what a parameter of this cell costs, bits: a float, by which N is multiplied

    `cells` and `coded` as in `table.Table`.
    """
    return cost.priced(cells, coded)
