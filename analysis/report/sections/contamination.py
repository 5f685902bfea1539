"""What leaked evaluation text does to the rates: models trained on subsets of which a share was replaced by it."""

from __future__ import annotations

import pandas as pd

from analysis.study import Study

COLUMNS = ["group", "subset_bytes", "n_params", "size", "leak_fraction", "n_seeds", "evaluation_bytes", "leaked_bytes",
           "raw_rate", "adjusted_rate", "two_part_rate"]  # fmt: skip


def contamination(study: Study) -> pd.DataFrame:
    """A row a (corpus without its leak, D, N, leak fraction), averaged over seeds; none where nothing was leaked.

    evaluation_bytes  the held-out part, from which blocks were leaked, one after another and over again
    leaked_bytes      leak fraction · D: more than evaluation_bytes means that blocks were seen several times in a pass
    raw_rate          of the held-out part by the final snapshot, parameters not counted
    adjusted_rate     the same with the parameters, both over evaluation_bytes: what sending the evaluation text takes
    two_part_rate     of the subset that was trained on, leaked blocks included, with the parameters; of `study.rates`
    """
    cells = study.table.cells
    leaky = set(cells.loc[cells["leak_fraction"] > 0, "clean_group"])
    own = cells[(cells["snapshot"] == "final") & cells["clean_group"].isin(leaky) & cells["heldout_bits"].notna()]
    own = own[own["heldout_bytes"] > 0]
    key = ["clean_group", "group", "subset_bytes", "n_params", "size", "leak_fraction", "heldout_bytes"]
    means = own.groupby(key, as_index=False).agg(bits=("heldout_bits", "mean"), n_seeds=("heldout_bits", "size"))
    priced = study.rates[["group", "subset_bytes", "n_params", "bits_per_param", "adjusted_rate"]]
    both = means.merge(
        priced.rename(columns={"adjusted_rate": "two_part_rate"}), on=["group", "subset_bytes", "n_params"]
    )
    text_bits = 8.0 * both["heldout_bytes"]
    rates = both.assign(
        group=both["clean_group"],
        evaluation_bytes=both["heldout_bytes"],
        leaked_bytes=(both["leak_fraction"] * both["subset_bytes"]).round().astype(int),
        raw_rate=both["bits"] / text_bits,
        adjusted_rate=(both["bits"] + both["bits_per_param"] * both["n_params"]) / text_bits,
    )
    return rates.sort_values(["group", "subset_bytes", "n_params", "leak_fraction"]).reset_index(drop=True)[COLUMNS]
