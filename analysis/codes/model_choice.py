"""Which trained model codes a file of a given size in the fewest bytes, its parameters counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.codes.rates import raw_rate
from analysis.costs import PAPER
from analysis.records import Table

_BYTES_PER_PARAM = PAPER.bytes_per_param or 2.0


@dataclass(frozen=True, kw_only=True)
class BestModel:
    """The model, and what is to be expected of it."""

    run_id: str
    n_params: int
    expected_bytes: float
    """Of the coded file and the parameters at two bytes each."""


def best_model(table: Table, size_bytes: int) -> BestModel | None:
    """The least adjusted size for a file of that size, among the models trained on subsets of about its size.

    A model of a much smaller subset may know that by heart: its own rate says nothing of a larger file. Models of bytes
    whose weights are there, final snapshots; None where there is none.
    """
    cells = table.cells
    usable = (cells["snapshot"] == "final") & cells["own_bits"].notna() & (cells["vocabulary"] == 256)
    cells = cells[usable & (cells["size"].str.match(r"\d+x\d+")) & (cells["flops"] > 0)]
    if cells.empty:
        return None
    distance = np.abs(np.log(cells["subset_bytes"] / max(size_bytes, 1))).round(6)
    cost = raw_rate(cells["own_bits"], cells["subset_bytes"]) * size_bytes + _BYTES_PER_PARAM * cells["n_params"]
    ordered = cells.assign(distance=distance, cost=cost).sort_values(["distance", "cost", "run_id"])
    best = ordered.iloc[0]
    return BestModel(run_id=str(best["run_id"]), n_params=int(best["n_params"]), expected_bytes=float(best["cost"]))
