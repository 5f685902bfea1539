"""Online prequential codes: one pass, every byte coded before it is learned from (Bornschein et al. 2022)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.records import Table

_KEY = ["group", "subset_bytes", "n_params"]
COLUMNS = [*_KEY, "size", "n_seeds", "code_bits", "choice_bits", "final_bits_per_byte", "area_bits"]
LAST = 0.1  # share of the bytes whose mean code is taken for the loss at the end


def online_codes(table: Table) -> pd.DataFrame:
    """A row per (group, D, N) whose subset was coded to its end, averaged over seeds: COLUMNS.

    code_bits of the whole subset, choice_bits (log₂ of how many recipes there were to choose from) included;
    final_bits_per_byte L_final, over the last tenth; area_bits = Σ (L_i − L_final), what was paid beyond that while
    learning (the estimate of epiplexity in arXiv 2601.03220).
    """
    runs = table.runs[table.runs["is_online"]]
    rows = []
    for run_id, curve in table.online.groupby("run_id", sort=True):
        run = runs.loc[runs["run_id"] == run_id].iloc[0]
        ordered = curve.sort_values("end_bytes")
        end, bits = ordered["end_bytes"].to_numpy(np.float64), ordered["code_bits"].to_numpy(np.float64)
        if end[-1] != run["subset_bytes"]:
            continue
        last = float(bits[-1] - np.interp((1 - LAST) * end[-1], np.append(0, end), np.append(0, bits)))
        final = last / (LAST * end[-1])
        rows.append(
            {name: run[name] for name in [*_KEY, "size", "seed", "shuffle_seed"]}
            | {"code_bits": bits[-1], "final_bits_per_byte": final, "area_bits": bits[-1] - final * end[-1]}
        )
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    cells = pd.DataFrame(rows)
    of_cell = [*_KEY, "seed", "shuffle_seed"]
    choice = np.log2(cells.groupby(of_cell)["code_bits"].transform("size"))
    cells = cells.assign(code_bits=cells["code_bits"] + choice, choice_bits=choice)
    chosen = cells.sort_values("code_bits", kind="stable").drop_duplicates(of_cell)
    numbers = {name: (name, "mean") for name in ("code_bits", "choice_bits", "final_bits_per_byte", "area_bits")}
    means = chosen.groupby(_KEY, as_index=False).agg(size=("size", "first"), n_seeds=("seed", "size"), **numbers)
    return pd.DataFrame(means, columns=COLUMNS)


def online_curves(table: Table, group: str) -> pd.DataFrame:
    """Cumulative codes of a group's runs over its largest online subset, averaged over seeds.

    Columns n_params, size, end_bytes, bits_per_byte (of [0, end_bytes)).
    """
    runs = table.runs[table.runs["is_online"] & (table.runs["group"] == group)]
    largest = runs[runs["subset_bytes"] == runs["subset_bytes"].max()]
    points = table.online.merge(largest[["run_id", "n_params", "size"]], on="run_id")
    points = points[points["end_bytes"] > 0]
    means = points.groupby(["n_params", "size", "end_bytes"], as_index=False)["code_bits"].mean()
    means["bits_per_byte"] = means["code_bits"] / means["end_bytes"]
    return pd.DataFrame(means)
