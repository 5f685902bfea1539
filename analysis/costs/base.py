"""What a parameter costs: the price of a model beside the code of its data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.types import Floats


@dataclass(frozen=True)
class ParameterCost(ABC):
    """A price by name. To add one, subclass it in a file of your own and register an instance (`register_cost`).

    A price is a function of a cell's dataset size and number of parameters. What was really coded with a model has a
    price of its own for every cell (`coded`).
    """

    name: str

    @abstractmethod
    def price(self, cells: pd.DataFrame) -> Floats:
        """Bits per parameter, (n,), of cells with columns subset_bytes and n_params; at least 0.

        A column file_bytes holds what a model's file takes on disk, NaN where that is not known.
        """

    @property
    @abstractmethod
    def label(self) -> str:
        """The name with the price, as a column's head."""

    @property
    @abstractmethod
    def sentence(self) -> str:
        """What is paid, as a sentence."""

    @property
    def noun(self) -> str:
        """The price within a sentence: at …"""
        return self.label

    @property
    def bytes_per_param(self) -> float | None:
        """Of a price that is one number; None where it is another for every dataset size or cell."""
        return None

    @property
    def bits_per_param(self) -> float | None:
        """The same in bits."""
        return None if self.bytes_per_param is None else 8 * self.bytes_per_param

    @property
    def is_code(self) -> bool:
        """Whether a decoder could be sent as much: a capacity is a bound, and free parameters are no code."""
        return True

    @property
    def is_coded(self) -> bool:
        """Whether it is the actual size of coded weights, and the data's code that of the weights as they decode."""
        return False

    @property
    def precision_bits(self) -> int | None:
        """At which all weights are coded; None: at the best of each dataset size, or not coded."""
        return None

    @property
    def absence(self) -> str:
        """What records lack under which nothing has this price."""
        return "no cell that has this price"

    @property
    @abstractmethod
    def rank(self) -> float:
        """Its place in a table, the dearest first: about what it takes, bytes per parameter."""

    def priced(self, cells: pd.DataFrame, coded: pd.DataFrame) -> pd.DataFrame:
        """The cells that have a two-part code under it: columns of `cells`, with

        own_bits  code length of the own subset, bits; of coded weights that of the weights as they decode; and whatever
                  a parameter costs, the tokenizer: all of the two-part code that is not parameters
        tokenizer_bits  of these those of the tokenizer, 0 for bytes
        bits_per_param  what a parameter of this cell costs, bits: a float, by which N is multiplied

        Of coded weights a row for each precision at which the cell was coded, `precision_bits`, if none is asked for.
        `cells` and `coded` as in `records.Table`.
        """
        tokenizer_bits = 8.0 * cells["tokenizer_bytes"]
        own = cells.assign(tokenizer_bits=tokenizer_bits, own_bits=cells["own_bits"] + tokenizer_bits)
        own = own[own["own_bits"].notna()]
        return own.assign(bits_per_param=np.asarray(self.price(own), np.float64))
