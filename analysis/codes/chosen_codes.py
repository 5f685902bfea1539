"""Of every cell the shortest two-part code under a price: among snapshots, recipes, and ways to code its weights."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis.codes.best_precision import at_best_precision
from analysis.codes.best_recipe import recipe_envelope
from analysis.costs import PAPER, ParameterCost
from analysis.records import Table


def shortest_codes(table: Table, cost: ParameterCost = PAPER, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per (group, subset_bytes, n_params, seed, shuffle_seed): the cell with the least code and parameters,

    with own_bits and bits_per_param as of `priced`. A two-part code may choose among snapshots, recipes and precisions,
    for its decoder is given the weights; among learning rates as `codes.recipe_envelope` does. At the price of coded
    weights a shape's code is the shorter of rounding after the fact and training for the code. `heldout_bits` is the
    chosen run's `best` snapshot's, which was selected on a held-out sample. Cells without own_bits are left out.
    `like`, made by this too: weights are coded at the precisions that it has. `precision_bits`: NaN for what is not.
    """
    key = ["group", "subset_bytes", "n_params", "seed", "shuffle_seed"]
    coded = at_best_precision(cost.priced(table.cells, table.coded), like)
    if cost.is_coded and cost.precision_bits is None and len(table.for_code):
        coded = pd.concat([coded, table.for_code], ignore_index=True) if len(coded) else table.for_code.copy()
    coded["total_bits"] = coded["own_bits"] + coded["bits_per_param"] * coded["n_params"]
    coded["learning_rate"] = coded["learning_rate"].astype(float).fillna(1.0)
    coded["optimizer"] = coded["optimizer"].fillna("adamw")
    ordered = coded.sort_values([*key, "total_bits", "own_bits", "run_id", "snapshot"])
    of_recipe = ordered.drop_duplicates([*key, "optimizer", "learning_rate"]).drop(columns=["heldout_bits"])
    chosen = recipe_envelope(of_recipe).drop(columns=["total_bits", "optimizer"])
    known = pd.concat([table.cells, table.for_code]) if len(table.for_code) else table.cells
    best = known.sort_values("snapshot").drop_duplicates("run_id")  # "best" < "final": best where there is one
    return chosen.merge(best[["run_id", "heldout_bits"]], on="run_id", validate="one_to_one")


def plain(table: Table, cells: pd.DataFrame) -> Table:
    """With these cells alone, and none that were trained for their code, which has lengths of its own."""
    return replace(table, cells=cells, for_code=table.for_code.iloc[:0])
