"""Everything counted: the shortest code of each dataset size of every kind, in bits and as a rate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.cost import COSTS, Cost
from analysis.rates import best_classical
from analysis.study import Study, shortest_codes

CODES = ("float16 two-part", "coded two-part", "prequential block", "prequential online", "best classical coder")
COLUMNS = ["group", "subset_bytes", "code", "n_params", "detail", "total_bits", "rate", "shortest"]
_FLOAT16, _CODED = COSTS[1], COSTS[3]


def who_wins(study: Study, blocks: pd.DataFrame, online: pd.DataFrame) -> pd.DataFrame:
    """Rows COLUMNS for what was measured, of sizes that were run (no interpolation); `shortest`: of its dataset size.

    `blocks` as from `block_codes.block_codes`, `online` from `online.online_codes`. Choosing among sizes is counted in
    prequential codes; a two-part code carries its size in its header, which is not counted. `detail`: which variant.
    """
    found = pd.concat(
        [_two_part(study, _FLOAT16), _two_part(study, _CODED), _block(blocks), _online(online), _classical(study)]
    )
    found = found.assign(rate=found["total_bits"] / (8 * found["subset_bytes"].astype(float)))
    places = ["group", "subset_bytes"]
    found["shortest"] = found["total_bits"] == found.groupby(places)["total_bits"].transform("min")
    order = found["code"].map(CODES.index)
    return found.assign(order=order).sort_values([*places, "order"]).reset_index(drop=True)[COLUMNS]


def _frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["group", "subset_bytes", "code", "n_params", "detail", "total_bits"])
    return frame.astype({"subset_bytes": "int64", "n_params": "float64", "total_bits": "float64"})


def _two_part(study: Study, cost: Cost) -> pd.DataFrame:
    """The least of code and parameters, each averaged over seeds."""
    chosen = shortest_codes(study.table, cost)
    totals = chosen.assign(total_bits=chosen["own_bits"] + chosen["bits_per_param"] * chosen["n_params"])
    means = totals.groupby(["group", "subset_bytes", "n_params"], as_index=False)[
        ["total_bits", "bits_per_param"]
    ].mean()
    best = means.sort_values("total_bits", kind="stable").drop_duplicates(["group", "subset_bytes"])
    return _frame(
        [
            {"group": row.group, "subset_bytes": row.subset_bytes, "code": f"{cost.name} two-part",
             "n_params": row.n_params, "detail": f"{row.bits_per_param:.3g} bits a parameter",
             "total_bits": row.total_bits}
            for row in best.itertuples()
        ]
    )  # fmt: skip


def _block(blocks: pd.DataFrame) -> pd.DataFrame:
    """Which of the variants was taken is announced."""
    places = ["group", "subset_bytes"]
    n_variants = blocks.groupby(places)["code"].transform("nunique").astype(float)
    announced = blocks.assign(total_bits=blocks["code_bits"].astype(float) + np.log2(n_variants))
    best = announced.sort_values("total_bits", kind="stable").drop_duplicates(places)
    return _frame(
        [
            {"group": row.group, "subset_bytes": row.subset_bytes, "code": "prequential block",
             "n_params": row.n_params, "detail": f"{row.code}, {row.snapshot} snapshots", "total_bits": row.total_bits}
            for row in best.itertuples()
        ]
    )  # fmt: skip


def _online(online: pd.DataFrame) -> pd.DataFrame:
    """The choice among sizes is announced."""
    places = ["group", "subset_bytes"]
    n_sizes = online.groupby(places)["n_params"].transform("size").astype(float)
    announced = online.assign(total_bits=online["code_bits"].astype(float) + np.log2(n_sizes))
    best = announced.sort_values("total_bits", kind="stable").drop_duplicates(places)
    return _frame(
        [
            {"group": row.group, "subset_bytes": row.subset_bytes, "code": "prequential online",
             "n_params": row.n_params, "detail": "one pass", "total_bits": row.total_bits}
            for row in best.itertuples()
        ]
    )  # fmt: skip


def _classical(study: Study) -> pd.DataFrame:
    """The better of the shuffled and the original order, as everywhere."""
    places = (
        study.table.runs[["corpus", "group", "subset_bytes"]].drop_duplicates().sort_values(["group", "subset_bytes"])
    )
    known = places.merge(best_classical(study.table.baselines), on=["corpus", "subset_bytes"])
    return _frame(
        [
            {"group": row.group, "subset_bytes": row.subset_bytes, "code": "best classical coder", "n_params": np.nan,
             "detail": f"{row.coder}, {row.order} order",
             "total_bits": 8 * float(str(row.rate)) * float(str(row.subset_bytes))}
            for row in known.itertuples()
        ]
    )  # fmt: skip
