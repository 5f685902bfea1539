"""What the weights of a cell came to when they were really coded: at every precision, or at one."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.costs.base import ParameterCost
from analysis.costs.registry import register_cost
from analysis.errors import AnalysisError
from analysis.types import Floats

_CODED = re.compile(r"coded(\d+)?")


@dataclass(frozen=True)
class CodedCost(ParameterCost):
    """The actual size of the coded weights; the data's code is that of the weights as they decode.

    `coded` is what they came to at every precision, of which `codes.shortest_codes` chooses one for all cells of a
    dataset size, so that what changes along N is the model alone; `coded4` that at 4 bits, at `smooth_price`.
    """

    bits: int | None = None

    @property
    def is_coded(self) -> bool:
        """It is."""
        return True

    @property
    def precision_bits(self) -> int | None:
        """As asked for; None: the best of each dataset size."""
        return self.bits

    def price(self, cells: pd.DataFrame) -> Floats:
        """Not a function of sizes alone: AnalysisError."""
        raise AnalysisError(f"the price '{self.name}' is known only for whole subsets that were coded")

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    @property
    def noun(self) -> str:
        """At which precision where one was asked for."""
        return "the size of the coded weights" + (f" at {self.bits} bits" if self.bits is not None else "")

    @property
    def sentence(self) -> str:
        """At which precision."""
        if self.bits is None:
            best = "at each dataset size's best precision"
            return f"Parameters cost the actual size of the coded weights, {best} ({self.name})."
        size = f"the measured size of weights coded at {self.bits} bits each"
        return f"Parameters cost {size}, in models of their size ({self.name})."

    @property
    def rank(self) -> float:
        """Between ½·log₂ D bits and a capacity."""
        return 1.0

    def priced(self, cells: pd.DataFrame, coded: pd.DataFrame) -> pd.DataFrame:
        """Of models of bytes, where their weights were coded; without a precision asked for a row for each of them."""
        asked = coded if self.bits is None else coded[coded["precision_bits"] == self.bits]
        measured = cells.assign(tokenizer_bits=0.0).merge(asked.drop(columns="coder"), on=["run_id", "snapshot"])
        found = measured.assign(
            own_bits=measured["data_bits"].astype(float),
            bits_per_param=measured["model_bits"].astype(float) / measured["n_params"],
        ).drop(columns=["model_bits", "data_bits"])
        found = found[found["own_bits"].notna()]
        return found if self.bits is None else _smoothed(found)


def coded_cost(name: str) -> CodedCost | None:
    """`coded`, or `coded4` at 4 bits per weight; None for another name."""
    match = _CODED.fullmatch(name)
    return CodedCost(name, int(match[1]) if match[1] else None) if match else None


def _smoothed(found: pd.DataFrame) -> pd.DataFrame:
    places = [found[name] for name in ("group", "subset_bytes")]
    smooth = found["bits_per_param"].copy()
    for _, at in found.groupby(places):
        own = at["bits_per_param"].to_numpy(np.float64)
        smooth[at.index] = smooth_price(at["n_params"].to_numpy(np.float64), own)
    return found.assign(bits_per_param=smooth)


def smooth_price(n_params: Floats, bits_per_param: Floats) -> Floats:
    """b + k·N^−½ through measured bits per parameter, all (n,), by least squares of relative errors.

    Scales are coded a row and a matrix has some √N rows. What lies between shapes beyond that is the coders'
    granularity, a few per cent; as a price that jumps it would pin a critical size to a shape.
    """
    design = np.column_stack([np.ones_like(n_params), n_params**-0.5])
    fitted, *_ = np.linalg.lstsq(design / bits_per_param[:, None], np.ones_like(bits_per_param), rcond=None)
    return np.asarray(design @ fitted)


register_cost(CodedCost("coded"))
