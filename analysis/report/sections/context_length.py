"""Rates against context length: cells of one corpus, size and D that differ in their windows alone."""

from __future__ import annotations

import pandas as pd

from analysis.study import Study

COLUMNS = ["corpus", "subset_bytes", "n_params", "size", "context_bytes", "n_seeds", "raw_rate", "adjusted_rate",
           "heldout_rate", "bytes_seen"]  # fmt: skip


def contexts(study: Study) -> pd.DataFrame:
    """A row a (corpus, D, size, context), of the largest D of each corpus; none where there is one context.

    Each context is a group of its own, with its own critical sizes. bytes_seen: in training, repeats counted.
    """
    rates = study.rates
    largest = rates.groupby("corpus")["subset_bytes"].transform("max")
    several = rates.groupby(["corpus", "subset_bytes"])["context_bytes"].transform("nunique") > 1
    own = rates[(rates["subset_bytes"] == largest) & several]
    key = ["group", "subset_bytes", "n_params"]
    seen = study.table.runs.groupby(key, as_index=False)["bytes_seen"].mean()
    both = own.merge(seen, on=key)
    return both.sort_values(["corpus", "n_params", "context_bytes"]).reset_index(drop=True)[COLUMNS]
