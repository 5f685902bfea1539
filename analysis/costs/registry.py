"""What a parameter costs. The same code length gives another critical size under another price.

A price is a number of bits a parameter (float32, float16, capacity, none, or any number), a function of the dataset
size (logn), or what the weights of a cell came to when they were really coded (coded; coded4: every weight at 4 bits).
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.types import Floats

CAPACITY_BITS = 3.6  # a GPT-like model stores about so much a parameter (Morris et al. 2025)
_CODED = re.compile(r"coded(\d+)?")
_WORDS = {
    "logn": "A parameter costs ½·log₂ D bits (logn).",
    "coded": "Parameters cost the actual size of the coded weights, at each dataset size's best precision (coded).",
}


@dataclass(frozen=True)
class Cost:
    """A price by name: `bytes_per_param` ≥ 0, None where it is another for every dataset size or cell."""

    name: str
    bytes_per_param: float | None

    @property
    def bits_per_param(self) -> float | None:
        """The same in bits."""
        return None if self.bytes_per_param is None else 8 * self.bytes_per_param

    @property
    def is_coded(self) -> bool:
        """Whether it is the actual size of coded weights, and the data's code that of the weights as they decode."""
        return _CODED.fullmatch(self.name) is not None

    @property
    def precision_bits(self) -> int | None:
        """At which all weights are coded; None: at that of the shortest code, or not coded."""
        coded = _CODED.fullmatch(self.name)
        return int(coded[1]) if coded and coded[1] else None

    @property
    def is_code(self) -> bool:
        """Whether a decoder could be sent as much: a capacity is a bound, and free parameters are no code."""
        return not self.name.startswith("capacity") and self.bytes_per_param != 0

    def label(self) -> str:
        """The name with the price, as a column's head."""
        if self.bytes_per_param is None:
            return "½·log₂ D bits" if self.name == "logn" else self.name
        if self.name.startswith("capacity"):
            return f"capacity, {self.bits_per_param:g} bits"
        return self.name if self.name.endswith("bytes") else f"{self.name}, {self.bytes_per_param:g} B"

    def words(self) -> str:
        """A sentence that says what is paid."""
        if self.precision_bits is not None:
            return (
                f"Parameters cost what weights coded at {self.precision_bits} bits each come to in models of their "
                f"size ({self.name})."
            )
        if self.bytes_per_param is None:
            return _WORDS[self.name]
        if self.name.startswith("capacity"):
            return f"A parameter costs {self.bits_per_param:g} bits (capacity: a bound, not a code)."
        name = "" if self.name.endswith("bytes") else f" ({self.name})"
        return f"A parameter costs {self.bytes_per_param:g} bytes{name}."


# The paper's is float16: Delétang et al. 2024 count two bytes a parameter.
COSTS = (
    Cost("float32", 4.0), Cost("float16", 2.0), Cost("logn", None), Cost("coded", None),
    Cost("capacity", CAPACITY_BITS / 8), Cost("none", 0.0),
)  # fmt: skip


PAPER = COSTS[1]


def parse_cost(cost: str | float | Cost) -> Cost:
    """A cost by name (`capacity:3.8`: with other bits; `coded4`: at 4 bits a weight), or bytes per parameter.

    AnalysisError for anything else.
    """
    if isinstance(cost, Cost):
        return cost
    text = str(cost)
    named = {known.name: known for known in COSTS}
    if text in named:
        return named[text]
    if _CODED.fullmatch(text):
        return Cost(text, None)
    kind, _, number = text.rpartition(":")
    try:
        price = float(number) / (8 if kind else 1)
    except ValueError:
        price = None
    if price is None or kind not in ("", "capacity"):
        nearest = difflib.get_close_matches(text, named, n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        raise AnalysisError(f"unknown cost '{cost}': want {', '.join(named)}, coded4 or bytes per parameter{hint}")
    if not (math.isfinite(price) and price >= 0):
        raise AnalysisError(
            f"a parameter cannot cost {number} {'bits' if kind else 'bytes'}; give a number of at least 0"
        )
    return Cost(text if kind else f"{price:g} bytes", price)


def priced(cells: pd.DataFrame, coded: pd.DataFrame, cost: Cost) -> pd.DataFrame:
    """The cells that have a two-part code under a cost: columns of `cells`, with

    own_bits  code length of the own subset, bits; under `coded` that of the weights as they decode; and whatever a
              parameter costs, the tokenizer: all of the two-part code that is not parameters
    tokenizer_bits  of these those of the tokenizer, 0 for bytes
    bits_per_param  what a parameter of this cell costs, bits: a float, by which N is multiplied

    `cells` and `coded` as in `table.Table`. Under `coded` all cells of a (group, D) have one precision, so that what
    changes along N is the model alone: of `coded` that of the shortest code and parameters of all, at what the weights
    came to; of `coded4` that which is asked for, at `smooth_price`.
    """
    if cost.is_coded:
        asked = coded if cost.precision_bits is None else coded[coded["precision_bits"] == cost.precision_bits]
        found = _at_best_precision(cells.assign(tokenizer_bits=0.0), asked)  # of models of bytes
        return found if cost.precision_bits is None else _smoothed(found)
    tokenizer_bits = 8.0 * cells["tokenizer_bytes"]
    own = cells.assign(tokenizer_bits=tokenizer_bits, own_bits=cells["own_bits"] + tokenizer_bits)
    own = own[own["own_bits"].notna()]
    if cost.name == "logn":
        return own.assign(bits_per_param=0.5 * np.log2(own["subset_bytes"].astype(float)))
    return own.assign(bits_per_param=cost.bits_per_param)


def _at_best_precision(cells: pd.DataFrame, coded: pd.DataFrame) -> pd.DataFrame:
    place, of_cell = ["group", "subset_bytes"], ["n_params", "seed", "shuffle_seed"]
    measured = cells.merge(coded.drop(columns="coder"), on=["run_id", "snapshot"])
    total = (measured["model_bits"] + measured["data_bits"]).astype(float)
    found = measured.assign(
        own_bits=measured["data_bits"].astype(float),
        bits_per_param=measured["model_bits"].astype(float) / measured["n_params"],
        total_bits=total,
    )
    shortest = found.groupby([*place, "precision_bits", *of_cell], as_index=False)["total_bits"].min()
    means = shortest.groupby([*place, "precision_bits", "n_params"], as_index=False)["total_bits"].mean()
    best = means.sort_values(["total_bits", "precision_bits"]).drop_duplicates(place)[[*place, "precision_bits"]]
    return found.merge(best, on=[*place, "precision_bits"]).drop(columns=["model_bits", "data_bits", "total_bits"])


def _smoothed(found: pd.DataFrame) -> pd.DataFrame:
    places = [found[name] for name in ("group", "subset_bytes")]
    smooth = found["bits_per_param"].copy()
    for _, at in found.groupby(places):
        own = at["bits_per_param"].to_numpy(np.float64)
        smooth[at.index] = smooth_price(at["n_params"].to_numpy(np.float64), own)
    return found.assign(bits_per_param=smooth)


def smooth_price(n_params: Floats, bits_per_param: Floats) -> Floats:
    """b + k·N^−½ through measured bits a parameter, all (n,), by least squares of relative errors.

    Scales are coded a row and a matrix has some √N rows. What lies between shapes beyond that is the coders'
    granularity, a few per cent; as a price that jumps it would pin a critical size to a shape.
    """
    design = np.column_stack([np.ones_like(n_params), n_params**-0.5])
    fitted, *_ = np.linalg.lstsq(design / bits_per_param[:, None], np.ones_like(bits_per_param), rcond=None)
    return np.asarray(design @ fitted)
