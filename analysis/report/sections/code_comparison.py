"""Everything counted: the shortest code of each dataset size of every kind, in bits and as a rate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.codes import best_classical
from analysis.costs import COSTS, ParameterCost
from analysis.critical import averages
from analysis.study import Study, shortest_codes

CODES = ("float16 two-part", "coded two-part", "prequential block", "prequential online", "best classical coder")
COLUMNS = ["group", "subset_bytes", "code", "n_params", "detail", "total_bits", "rate", "shortest"]


def who_wins(study: Study, blocks: pd.DataFrame, online: pd.DataFrame) -> pd.DataFrame:
    """Rows COLUMNS for what was measured, of sizes that were run (no interpolation); `shortest`: of its dataset size.

    `blocks` as from `block_codes.block_codes`, `online` from `online.online_codes`. Choosing among sizes is counted in
    prequential codes; a two-part code carries its size in its header, which is not counted. `detail`: which variant.
    """
    found = pd.concat(
        [
            _two_part(study, COSTS["float16"]),
            _two_part(study, COSTS["coded"]),
            _block(blocks),
            _online(online),
            _classical(study),
        ]
    )
    found = found.assign(rate=found["total_bits"] / (8 * found["subset_bytes"].astype(float)))
    places = ["group", "subset_bytes"]
    found["shortest"] = found["total_bits"] == found.groupby(places)["total_bits"].transform("min")
    order = found["code"].map(CODES.index)
    return found.assign(order=order).sort_values([*places, "order"]).reset_index(drop=True)[COLUMNS]


def _frame(rows: pd.DataFrame) -> pd.DataFrame:
    frame = rows[["group", "subset_bytes", "code", "n_params", "detail", "total_bits"]]
    return frame.astype({"subset_bytes": "int64", "n_params": "float64", "total_bits": "float64"})


def _least(totals: pd.DataFrame, code: str) -> pd.DataFrame:
    """The shortest of one kind of code for every dataset size; `totals` has all columns of the result but the code."""
    best = totals.sort_values("total_bits", kind="stable").drop_duplicates(["group", "subset_bytes"])
    return _frame(best.assign(code=code))


def _two_part(study: Study, cost: ParameterCost) -> pd.DataFrame:
    """The least of code and parameters, each averaged over seeds."""
    means = averages(shortest_codes(study.table, cost))
    means["total_bits"] = means["own_bits"] + means["bits_per_param"] * means["n_params"]
    details = [f"{bits:.3g} bits a parameter" for bits in means["bits_per_param"]]
    return _least(means.assign(detail=details), f"{cost.name} two-part")


def _block(blocks: pd.DataFrame) -> pd.DataFrame:
    """Which of the variants was taken is announced."""
    places = ["group", "subset_bytes"]
    n_variants = blocks.groupby(places)["code"].transform("nunique").astype(float)
    announced = blocks.assign(total_bits=blocks["code_bits"].astype(float) + np.log2(n_variants))
    details = [f"{row.code}, {row.snapshot} snapshots" for row in blocks.itertuples()]
    return _least(announced.assign(detail=details), "prequential block")


def _online(online: pd.DataFrame) -> pd.DataFrame:
    """The choice among sizes is announced."""
    places = ["group", "subset_bytes"]
    n_sizes = online.groupby(places)["n_params"].transform("size").astype(float)
    announced = online.assign(total_bits=online["code_bits"].astype(float) + np.log2(n_sizes))
    return _least(announced.assign(detail="one pass"), "prequential online")


def _classical(study: Study) -> pd.DataFrame:
    """Of the same bytes, as everywhere."""
    places = (
        study.table.runs[["corpus", "group", "subset_bytes"]].drop_duplicates().sort_values(["group", "subset_bytes"])
    )
    known = places.merge(best_classical(study.table.baselines), on=["corpus", "subset_bytes"])
    details = [f"{row.coder}, {row.order} order" for row in known.itertuples()]
    total_bits = 8 * known["rate"].astype(float) * known["subset_bytes"]
    return _frame(known.assign(code="best classical coder", n_params=np.nan, detail=details, total_bits=total_bits))
