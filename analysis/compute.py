"""Two kinds of best size at the same compute: least held-out loss, and least code with the parameters counted.

FLOPs are those that records hold: 3 forward passes a byte seen, head and attention included. The budget of a dataset is
what training its critical size takes; `compute-optimal` is what the same FLOPs buy where data are not the limit:
the least of the fitted law L(N, D) with every byte seen once (Hoffmann et al. 2022, approach 3), or, without a law, of
an isoFLOP parabola through the models of this dataset along their training (approach 2; the learning rate has not yet
decayed there, which favours the runs that end at the budget).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.isoflop import isoflop_parabola
from analysis.table import Table

Floats = npt.NDArray[np.float64]
COLUMNS = ["group", "subset_bytes", "flops", "n_params", "low", "high", "kind", "method"]
_AROUND = 2  # sizes on either side of the best one that go into a parabola: wider ones bias it


def compute_view(table: Table, critical: pd.DataFrame, fit: dict[str, Any] | None) -> pd.DataFrame:
    """Rows COLUMNS: for each bracketed critical size one of kind MDL-optimal, with its interval, and where it can be

    told one of kind compute-optimal at the same FLOPs, without (NaN). `fit` as from `analysis.own_fit`.
    """
    sound = table.runs[(table.runs["status"] == "ok") & (table.runs["flops"] > 0)]
    rows: list[tuple[object, ...]] = []
    for at in critical[critical["status"] == "bracketed"].itertuples():
        group = sound[sound["group"] == at.group]
        own = group[group["subset_bytes"] == at.subset_bytes]
        if own.empty:
            continue
        ends = own.groupby("n_params")["flops"].mean()
        flops = float(np.exp(np.interp(np.log(float(str(at.n_params))), np.log(ends.index), np.log(ends))))
        key = (at.group, at.subset_bytes, flops)
        rows.append((*key, at.n_params, at.low, at.high, "MDL-optimal", "critical size"))
        lawful = fit is not None and fit["success"] and fit["group"] == at.group
        n = _of_law(fit or {}, group, flops) if lawful else _of_parabola(own, table.curves, flops)
        if n is not None:
            method = "fitted law, each byte seen once" if lawful else "isoFLOP parabola along training"
            rows.append((*key, n, np.nan, np.nan, "compute-optimal", method))
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_law(fit: dict[str, Any], runs: pd.DataFrame, flops: float) -> float | None:
    """N of least E + A·N^−α + B·D^−β with D = FLOPs / FLOPs a byte of N; None at an edge of the sizes.

    FLOPs a byte: those of the runs, between sizes log-log.
    """
    a_byte = (runs["flops"] / runs["bytes_seen"]).groupby(runs["n_params"]).mean()
    log_n = np.linspace(np.log(a_byte.index.min()), np.log(a_byte.index.max()), 4001)
    data = flops / np.exp(np.interp(log_n, np.log(a_byte.index), np.log(a_byte)))
    loss = fit["A"] * np.exp(-fit["alpha"] * log_n) + fit["B"] * data ** -fit["beta"]
    best = int(loss.argmin())
    return float(np.exp(log_n[best])) if 0 < best < log_n.size - 1 else None


def _of_parabola(own: pd.DataFrame, curves: pd.DataFrame, flops: float) -> float | None:
    """From each run's least held-out loss so far at the budget, linear in log FLOPs; None if not inside the sizes."""
    looks = curves[(curves["n_bytes"] > 0) & (curves["step"] > 0)]
    looks = looks.merge(own[["run_id", "n_params", "flops", "n_steps"]], on="run_id").sort_values(["run_id", "step"])
    known: dict[int, list[float]] = {}
    for _, run in looks.groupby("run_id", sort=True):
        spent = (run["flops"] * run["step"] / run["n_steps"].clip(lower=1)).to_numpy(np.float64)
        if spent[0] <= flops <= spent[-1] * (1 + 1e-9):
            loss = np.minimum.accumulate((run["code_bits"] / run["n_bytes"]).to_numpy(np.float64))
            at_budget = float(np.interp(np.log(flops), np.log(spent), loss))
            known.setdefault(int(run["n_params"].iloc[0]), []).append(at_budget)
    if not known:
        return None
    sizes = np.array(sorted(known))
    mean = np.array([float(np.mean(known[n])) for n in sizes])
    best = int(mean.argmin())
    near = slice(max(best - _AROUND, 0), best + _AROUND + 1)
    return isoflop_parabola(sizes[near], mean[near]).n_params
