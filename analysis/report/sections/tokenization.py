"""What byte-pair vocabularies do to the rates: the same cells with their vocabularies side by side."""

from __future__ import annotations

import pandas as pd

from analysis.study import Study

COLUMNS = ["group", "subset_bytes", "n_byte_params", "size", "vocabulary", "n_params", "n_seeds", "bytes_per_token",
           "raw_rate", "parameter_rate", "tokenizer_rate", "adjusted_rate", "heldout_rate"]  # fmt: skip


def tokenisation(study: Study) -> pd.DataFrame:
    """A row a (group without its vocabulary, D, shape, vocabulary), averaged over seeds; none with one vocabulary.

    n_byte_params    the shape's least parameters, those of the smallest vocabulary run: what orders the shapes
    bytes_per_token  of the own subset; 1: bytes
    raw_rate, parameter_rate, tokenizer_rate  add up to adjusted_rate; all over raw bytes
    """
    runs = study.table.runs
    n_vocabularies = runs.groupby("byte_group")["vocabulary"].transform("nunique")
    several = runs[(n_vocabularies > 1) & (runs["status"] == "ok")]
    several = several.assign(bytes_per_token=several["subset_bytes"] / several["n_tokens"])
    key = ["group", "subset_bytes", "n_params"]
    named = several.groupby([*key, "byte_group"], as_index=False)["bytes_per_token"].mean()
    both = study.rates.merge(named, on=key)
    rates = both.assign(
        group=both["byte_group"],
        n_byte_params=both.groupby(["byte_group", "size"])["n_params"].transform("min"),
        parameter_rate=both["bits_per_param"] * both["n_params"] / (8 * both["subset_bytes"]),
        tokenizer_rate=both["tokenizer_bytes"] / both["subset_bytes"],
    )
    return rates.sort_values(["group", "subset_bytes", "n_byte_params", "vocabulary"]).reset_index(drop=True)[COLUMNS]
