"""Of every cell the shortest two-part code under a price: among snapshots, recipes, and ways to code its weights."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis.codes.best_precision import AT, best_precisions
from analysis.codes.best_recipe import REPLICATE, recipe_envelope
from analysis.costs import PAPER, ParameterCost, parse_cost
from analysis.records import Table


def shortest_codes(table: Table, cost: ParameterCost = PAPER, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per (group, subset_bytes, n_params, seed, shuffle_seed): the cell with the least code and parameters,

    with own_bits and bits_per_param as of `priced`. A two-part code may choose among snapshots, recipes and precisions,
    for its decoder is given the weights; among learning rates as `codes.recipe_envelope` does. At the price of coded
    weights a dataset size has one precision, `precision_bits`: that of `best_precisions`, or of `like`, which this made
    of other cells. A shape's code is then the shorter of rounding after the fact and training for the code, which has
    no such precision. `heldout_bits` is the chosen run's `best` snapshot's, which was selected on a held-out sample.
    Cells without own_bits are left out.
    """
    priced = cost.priced(table.cells, table.coded)
    if cost.is_coded and cost.precision_bits is None:
        at = _best_precisions(table) if like is None else like.reindex(columns=AT).dropna()
        priced = priced.merge(at.drop_duplicates().astype({"precision_bits": "int64"}), on=AT)
        if len(table.for_code):
            priced = pd.concat([priced, table.for_code], ignore_index=True) if len(priced) else table.for_code.copy()
    priced["total_bits"] = priced["own_bits"] + priced["bits_per_param"] * priced["n_params"]
    priced["learning_rate"] = priced["learning_rate"].astype(float).fillna(1.0)
    priced["optimizer"] = priced["optimizer"].fillna("adamw")
    ordered = priced.sort_values([*REPLICATE, "total_bits", "own_bits", "run_id", "snapshot"])
    of_recipe = ordered.drop_duplicates([*REPLICATE, "optimizer", "learning_rate"]).drop(columns=["heldout_bits"])
    chosen = recipe_envelope(of_recipe).drop(columns=["total_bits", "optimizer"])
    known = pd.concat([table.cells, table.for_code]) if len(table.for_code) else table.cells
    best = known.sort_values("snapshot").drop_duplicates("run_id")  # "best" < "final": best where there is one
    return chosen.merge(best[["run_id", "heldout_bits"]], on="run_id", validate="one_to_one")


def _best_precisions(table: Table) -> pd.DataFrame:
    """By the codes at each precision, as a report of that price has them."""
    known = sorted({int(bits) for bits in table.coded["precision_bits"]})
    rounded = plain(table, table.cells)
    at_each = {bits: shortest_codes(rounded, parse_cost(f"coded{bits}")) for bits in known}
    return best_precisions({bits: own for bits, own in at_each.items() if len(own)})


def plain(table: Table, cells: pd.DataFrame) -> Table:
    """With these cells alone, and none that were trained for their code, which has lengths of its own."""
    return replace(table, cells=cells, for_code=table.for_code.iloc[:0])
