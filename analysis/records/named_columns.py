"""Which column of anyone's table holds N, D, C or what was measured: as the user says, or by its usual names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.records.number_parsing import Numbers, read_numbers

# Usual names by what we call the column, in lower case and without blanks and underscores.
_USUAL = {
    "N": (
        "n",
        "params",
        "parameters",
        "nparams",
        "nparameters",
        "numparams",
        "numparameters",
        "modelsize",
        "modelparams",
    ),
    "D": (
        "d",
        "tokens",
        "ntokens",
        "numtokens",
        "trainingtokens",
        "traintokens",
        "datasetsize",
        "data",
        "nbytes",
        "bytes",
        "databytes",
        "subsetbytes",
        "datasetbytes",
        "trainingbytes",
    ),
    "C": ("c", "flops", "flop", "compute", "trainingflops", "trainflops", "totalflops", "ncompute"),
    "loss": ("loss", "valloss", "validationloss", "testloss", "evalloss", "finalloss", "heldoutloss"),
    "epochs": ("epochs", "epoch", "passes", "nepochs", "numepochs", "repeats", "timesread"),
    "code_bits": ("codebits", "bits", "codelength", "codelengthbits"),
    "seed": ("seed",),
}
_TOKENS = {"tokens", "ntokens", "numtokens", "trainingtokens", "traintokens"}
# A scale in the name, as in "params (M)".
_SCALE = re.compile(
    r"(.*?)\s*[(\[]\s*(k|m|millions?|b|bn|g|billions?|t|trillions?|thousands?)\s*[)\]]\s*", re.IGNORECASE
)
_FACTORS = {"k": 1e3, "t": 1e12, "m": 1e6, "b": 1e9, "g": 1e9}


def find_column(frame: pd.DataFrame, path: Path, wanted: str, named: str | None, *, unit: str = "") -> str | None:
    """The column that holds `wanted` (N, D, C, loss, epochs, code_bits, seed), or None where there is none.

    `named`: by the user; the default name is as good as none. `unit` "bytes": a column of tokens is not taken for it.
    AnalysisError where several could be meant, or the one that was named is not there.
    """
    if named is not None and named in frame:
        return named
    if named is not None and named != wanted:
        raise AnalysisError(f"{path} has no column '{named}'; it has {given(frame)}")
    usual = [str(name) for name in frame.columns if _bare(str(name)) in _USUAL[wanted]]
    if unit == "bytes":
        usual = [name for name in usual if _bare(name) not in _TOKENS]
    if len(usual) > 1:
        option = wanted.lower().replace("_", "-")
        raise AnalysisError(f"{path}: '{usual[0]}' and '{usual[1]}' may both be {wanted}; say which with --{option}")
    return usual[0] if usual else None


def given(frame: pd.DataFrame) -> str:
    """The columns that there are, the first dozen."""
    return ", ".join(f"{name!s:.40}" for name in frame.columns[:12])


def column_numbers(frame: pd.DataFrame, name: str) -> Numbers:
    """A column's numbers, multiplied by what its name says, as in "params (M)"."""
    found, factor = read_numbers(frame[name]), factor_of(name)
    with np.errstate(all="ignore"):
        return replace(found, values=found.values * factor)


def factor_of(name: str) -> float:
    """1e6 for "params (M)"; 1 where a name says nothing."""
    match = _SCALE.fullmatch(name)
    if match is None:
        return 1.0
    word = match[2].lower()
    return _FACTORS["k"] if word.startswith("thousand") else _FACTORS[word[0]]


def _bare(name: str) -> str:
    match = _SCALE.fullmatch(name)
    return re.sub(r"[\s_\-]", "", match[1] if match else name).lower()


def refusals(numbers: Mapping[str, Numbers], frame: pd.DataFrame, lines: list[int], path: Path) -> None:
    """AnalysisError naming the first value that may be one number or another: nothing is guessed."""
    for name, found in numbers.items():
        if found.doubtful:
            row = min(found.doubtful)
            value = str(frame[name].iloc[row])
            raise AnalysisError(f"{path}, line {lines[row]}: {name} is '{value:.40}'; {found.refused[row]}")
