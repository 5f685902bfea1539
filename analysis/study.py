"""A sweep explained: parameters priced, code lengths chosen and averaged, critical sizes and the law they follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.cost import Cost
from analysis.critical import PowerLaw, critical_size, fit_power_law
from analysis.rates import adjusted_compression_rate, best_classical, classical_rates, raw_rate
from analysis.table import Table


@dataclass(frozen=True)
class Study:
    """All that figures and reports show. Rates are fractions; `group` as in `table.Table`; NaN: not known.

    rates      one row per (group, subset_bytes, n_params): size, n_seeds, and averaged over seeds code_bits (own
               subset) with code_bits_sd, raw_rate, adjusted_rate with rate_sd, heldout_rate
    critical   one row per (group, subset_bytes): n_params (NaN unless bracketed), adjusted_rate and raw_rate there (or
               at the best measured size), status, message, grid_best, n_sizes, n_pooled, coder, classical_rate
    laws       per group, N* = k · D^gamma through the bracketed sizes
    classical  Table.baselines with rate and rate_header_once
    """

    table: Table
    cost: Cost
    rates: pd.DataFrame
    critical: pd.DataFrame
    laws: dict[str, PowerLaw]
    classical: pd.DataFrame


def study(table: Table, cost: Cost) -> Study:
    """Everything that follows from a table under one price of a parameter."""
    chosen = shortest_codes(table.cells)
    critical = _critical_sizes(chosen, cost).merge(
        best_classical(table.baselines).rename(columns={"rate": "classical_rate"}),
        on=["corpus", "subset_bytes"], how="left",
    )  # fmt: skip
    laws = {
        str(group): fit_power_law(own["subset_bytes"], own["n_params"])
        for group, own in critical.groupby("group", sort=True)
    }
    return Study(table, cost, _rates(chosen, cost), critical, laws, classical_rates(table.baselines))


def shortest_codes(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per (group, subset_bytes, n_params, seed, shuffle_seed): the cell with the least own_bits.

    A two-part code may choose among snapshots and recipes, for its decoder is given the weights. `heldout_bits` is the
    chosen run's `best` snapshot's, which was selected on a held-out sample. Cells without own_bits are left out.
    """
    key = ["group", "subset_bytes", "n_params", "seed", "shuffle_seed"]
    coded = cells[cells["own_bits"].notna()].sort_values([*key, "own_bits", "run_id", "snapshot"])
    chosen = coded.drop_duplicates(key).drop(columns="heldout_bits")
    best = cells.sort_values("snapshot").drop_duplicates("run_id")  # "best" < "final": best where there is one
    return chosen.merge(best[["run_id", "heldout_bits"]], on="run_id", validate="one_to_one")


def _rates(chosen: pd.DataFrame, cost: Cost) -> pd.DataFrame:
    """Averages over seeds."""
    with_rates = chosen.assign(heldout_rate=_heldout_rate(chosen))
    grouped = with_rates.groupby(["corpus", "group", "context_bytes", "subset_bytes", "n_params"], as_index=False)
    rates = grouped.agg(
        size=("size", "first"),
        n_seeds=("own_bits", "size"),
        code_bits=("own_bits", "mean"),
        code_bits_sd=("own_bits", "std"),
        heldout_rate=("heldout_rate", "mean"),
    )
    raw = raw_rate(rates["code_bits"], rates["subset_bytes"])
    return rates.assign(
        raw_rate=raw,
        adjusted_rate=adjusted_compression_rate(raw, rates["n_params"], rates["subset_bytes"], cost.bytes_per_param),
        rate_sd=raw_rate(rates["code_bits_sd"], rates["subset_bytes"]),
    )


def _heldout_rate(chosen: pd.DataFrame) -> pd.Series[float]:
    return chosen["heldout_bits"] / (8 * chosen["heldout_bytes"]).replace(0, np.nan)


def _critical_sizes(chosen: pd.DataFrame, cost: Cost) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for (corpus, group, subset_bytes), own in chosen.groupby(["corpus", "group", "subset_bytes"], sort=True):
        d = int(str(subset_bytes))
        found = critical_size(own["n_params"], own["own_bits"], cost.bits_per_param)
        rows.append(
            {
                "corpus": corpus,
                "group": group,
                "subset_bytes": d,
                "n_params": np.nan if found.n_params is None else found.n_params,
                "adjusted_rate": found.total_bits / (8 * d),
                "raw_rate": found.code_bits / (8 * d),
                "status": found.status,
                "message": found.message,
                "grid_best": found.grid_best,
                "n_sizes": found.n_sizes,
                "n_pooled": found.n_pooled,
            }
        )
    columns = ["corpus", "group", "subset_bytes", "n_params", "adjusted_rate", "raw_rate", "status", "message",
               "grid_best", "n_sizes", "n_pooled"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def law_line(law: PowerLaw, critical: pd.DataFrame) -> pd.DataFrame | None:
    """The law over the dataset sizes it was fitted to, to draw: subset_bytes, n_params, label; None without a law."""
    if law.gamma is None:
        return None
    fitted = critical.loc[critical["n_params"].notna(), "subset_bytes"]
    subset_bytes = np.geomspace(fitted.min(), fitted.max(), 50)
    error = "" if law.gamma_se is None else f" ± {law.gamma_se:.2g}"
    label = rf"$N^* \propto D^\gamma$, $\gamma$ = {law.gamma:.2f}{error}"
    return pd.DataFrame({"subset_bytes": subset_bytes, "n_params": law.predict(subset_bytes), "label": label})


def in_context(table: Table, group: str) -> pd.DataFrame:
    """Held-out bits a byte by position in the window, `best` snapshots on the group's largest subset, over all seeds.

    Columns n_params, size, position (the bin's last, from 1), bits_per_byte.
    """
    own = table.cells[(table.cells["group"] == group) & (table.cells["snapshot"] == "best")]
    largest = own[own["subset_bytes"] == own["subset_bytes"].max()]
    bins = table.positions.merge(largest[["run_id", "snapshot", "n_params", "size"]], on=["run_id", "snapshot"])
    summed = bins.groupby(["n_params", "size", "end"], as_index=False)[["code_bits", "n_bytes"]].sum()
    return summed.assign(position=summed["end"], bits_per_byte=summed["code_bits"] / summed["n_bytes"])
