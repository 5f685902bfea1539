"""Two kinds of best size at the same compute: least held-out loss, and least code with the parameters counted.

FLOPs are those that records hold: 3 forward passes per byte seen, head and attention included. The budget of a dataset
is what training its critical size takes; `compute-optimal` is what the same FLOPs buy where data are not the limit: the
least of the fitted law L(N, D) with every byte seen once (Hoffmann et al. 2022, approach 3).

The law is fitted in unique bytes. It can be read with D = bytes seen only where the two were about the same: cells that
see more bytes the larger their dataset, none of them much more than four times (Muennighoff et al. 2023).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.formatting import format_bytes, format_ratio, join
from analysis.records import Table
from analysis.scaling.fit_keys import OwnFit
from analysis.scaling.from_records import law_of

COLUMNS = ["group", "subset_bytes", "flops", "n_params", "low", "high", "kind"]
_MOST_PASSES = 4  # from there on a repeated byte is worth visibly less than a fresh one


def not_asked(table: Table, fit: OwnFit | None) -> str | None:
    """Why these records cannot tell what their compute would buy, and which would; None: they can, or there is no fit.

    `fit` as from `analysis.scaling.from_records`.
    """
    if fit is None:
        return None
    cells = table.cells[(table.cells["group"] == fit["group"]) & (table.cells["heldout_bits"].notna())]
    seen, passes = cells["bytes_seen"], (cells["bytes_seen"] / cells["subset_bytes"]).max()
    reasons = [] if fit["success"] else ["no law of the held-out loss is identified"]
    if seen.nunique() < 2:
        reasons.append(f"every cell read the same number of bytes, {format_bytes(seen.max())}")
    if round(passes) > _MOST_PASSES:
        reasons.append(f"cells read their data up to {format_ratio(passes)} times, while the law counts unique bytes")
    if not reasons:
        return None
    return (
        f"The compute-optimal size is not given, because {join(reasons)}. It needs a grid whose cells read more bytes "
        f"the larger their dataset is, each byte at most about {_MOST_PASSES} times, with enough dataset sizes and "
        "corpus seeds to identify the law."
    )


def compute_view(table: Table, critical: pd.DataFrame, fit: OwnFit | None) -> pd.DataFrame:
    """Rows COLUMNS: for each bracketed critical size one of kind MDL-optimal, with its interval, and where it can be

    told one of kind compute-optimal at the same FLOPs, without (NaN). No rows where it is `not_asked`, nor of groups
    other than the fit's, which is as from `analysis.scaling.from_records`.
    """
    if fit is None or not_asked(table, fit):
        return pd.DataFrame(columns=COLUMNS)
    runs = table.runs
    sound = runs[(runs["status"] == "ok") & (runs["flops"] > 0) & (runs["group"] == fit["group"])]
    rows: list[tuple[object, ...]] = []
    for at in critical[(critical["status"] == "bracketed") & (critical["group"] == fit["group"])].itertuples():
        own = sound[sound["subset_bytes"] == at.subset_bytes]
        if own.empty:
            continue
        ends = own.groupby("n_params")["flops"].mean()
        flops = float(np.exp(np.interp(np.log(float(str(at.n_params))), np.log(ends.index), np.log(ends))))
        key = (at.group, at.subset_bytes, flops)
        rows.append((*key, at.n_params, at.low, at.high, "MDL-optimal"))
        n = _of_law(fit, sound, flops)
        if n is not None:
            rows.append((*key, n, np.nan, np.nan, "compute-optimal"))
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_law(fit: OwnFit, runs: pd.DataFrame, flops: float) -> float | None:
    """N of least loss by the law, with D = FLOPs / (FLOPs per byte of N) read once; None at an edge of the sizes.

    FLOPs per byte: those of the runs, between sizes log-log.
    """
    a_byte = (runs["flops"] / runs["bytes_seen"]).groupby(runs["n_params"]).mean()
    log_n = np.linspace(np.log(a_byte.index.min()), np.log(a_byte.index.max()), 4001)
    data = flops / np.exp(np.interp(log_n, np.log(a_byte.index), np.log(a_byte)))
    loss = law_of(fit).predict(np.exp(log_n), data)
    best = int(loss.argmin())
    return float(np.exp(log_n[best])) if 0 < best < log_n.size - 1 else None
