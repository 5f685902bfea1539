"""A sweep explained: parameters priced, code lengths chosen and averaged, critical sizes and the law they follow."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.codes import (
    adjusted_compression_rate,
    best_classical,
    classical_rates,
    of_one_budget,
    plain,
    raw_rate,
    shortest_codes,
)
from analysis.costs import ParameterCost
from analysis.critical import (
    N_REPLICATES,
    Estimate,
    Intervals,
    PowerLaw,
    Theory,
    averages,
    between,
    columns,
    convergence_table,
    critical_table,
    crossings,
    describe,
    estimate_all,
    law,
    law_of_rates,
    prediction_table,
    predictions,
    relative_spread,
    theory,
)
from analysis.errors import AnalysisError
from analysis.formatting import join
from analysis.records import Table, halved, longest
from analysis.scaling import OwnFit, compute_view, not_asked, own_fit


class TwoPartCodes:
    """A table's shortest codes and estimates of the critical size under any price of a parameter, each made once."""

    def __init__(
        self, table: Table, n_replicates: int = N_REPLICATES, seed: int = 0, like: TwoPartCodes | None = None
    ) -> None:
        """`like`: weights are coded at the precisions that these have, as after a longer training."""
        self._table, self.n_replicates, self.seed, self._like = table, n_replicates, seed, like
        self._codes: dict[ParameterCost, pd.DataFrame] = {}
        self._estimates: dict[ParameterCost, list[Estimate]] = {}

    def under(self, cost: ParameterCost) -> pd.DataFrame:
        """As of `shortest_codes`; not to be changed."""
        if cost not in self._codes:
            like = self._like.under(cost) if self._like else None
            self._codes[cost] = shortest_codes(self._table, cost, like)
        return self._codes[cost]

    def estimates(self, cost: ParameterCost) -> list[Estimate]:
        """One per group and dataset size, in order."""
        if cost not in self._estimates:
            found = columns(self.under(cost), self.n_replicates, self.seed)
            self._estimates[cost] = estimate_all(found, self.n_replicates)
        return self._estimates[cost]


@dataclass(frozen=True, kw_only=True)
class Study:
    """All that figures and reports show. Rates are fractions; `group` as in `table.Table`; NaN: not known.

    rates      one row per (group, subset_bytes, n_params): size, n_seeds, and averaged over seeds bits_per_param (what
               a parameter costs, bits), code_bits (own subset) with code_bits_sd, raw_rate, adjusted_rate with
               rate_sd, heldout_rate; vocabulary, and tokenizer_bytes, which are in the adjusted rate alone
    between    rows group, subset_bytes, n_params, adjusted_rate: the curve whose least is the critical size
    critical   one row per (group, subset_bytes): n_params (NaN unless bracketed), adjusted_rate and raw_rate there (or
               at the best measured size), status, message, grid_best, n_sizes, n_pooled, coder, classical_rate
               and low, high (95 % interval; NaN: none), interval (what varies beside the shapes: seeds, corpus seeds,
               both, pooled; shapes alone, or none), p_bracketed (the chance that it lies in the grid), doubt (why the
               law of the code length may not hold); second estimator n_local, local_low, local_high (of replicates)
    laws       per group, N* = k · D^gamma through the bracketed sizes
    classical  Table.baselines with rate and rate_header_once
    intervals  what the intervals are about: kind, n_replicates, note
    crossings  one row per (group, n_small, n_large), adjacent sizes: subset_bytes at which the larger begins to pay
               (NaN: not in the grid), low, high, message
    theory     per group, γ against 1/(1+a); None: cannot be tested
    predictions  one row per (group, subset_bytes) asked: n_params, low, high, and the adjusted_rate there, rate_low,
               rate_high (NaN: fewer than four dataset sizes), extrapolated
    fit        the scaling law of the held-out loss, as JSON (`scaling.fit_report`), with group, residuals; None: no fit
    compute    rows group, subset_bytes, flops, n_params, low, high, kind (compute-optimal or MDL-optimal)
    compute_not_asked  why there are none; None: they are asked for, or there is no fit
    convergence  critical sizes at the whole and at half the training budget, and their ratio; no rows: one budget
    shorter    tables of what was trained about half as long, then half of that …; none: one budget
    seeds      one row per (group, subset_bytes, n_params): size, n_seeds, rate_sd, relative_sd, pooled_relative_sd and
               pooled_training_sd (`uncertainty.relative_spread`)
    codes      the code lengths and the estimates of `table` under any price
    """

    table: Table
    cost: ParameterCost
    rates: pd.DataFrame
    between: pd.DataFrame
    critical: pd.DataFrame
    laws: dict[str, PowerLaw]
    classical: pd.DataFrame
    intervals: Intervals
    crossings: pd.DataFrame
    theory: dict[str, Theory | None]
    predictions: pd.DataFrame
    seeds: pd.DataFrame
    convergence: pd.DataFrame
    shorter: tuple[Table, ...]
    codes: TwoPartCodes

    @cached_property
    def fit(self) -> OwnFit | None:
        """Made when it is first asked for: it takes longer than all the rest, and is the same under every price."""
        return own_fit(self.table)

    @cached_property
    def compute(self) -> pd.DataFrame:
        """By that law, too."""
        return compute_view(self.table, self.critical, self.fit)

    @property
    def compute_not_asked(self) -> str | None:
        """In one line."""
        return not_asked(self.table, self.fit)


def study(
    table: Table,
    cost: ParameterCost,
    predict_bytes: Sequence[float] = (),
    n_replicates: int = N_REPLICATES,
    seed: int = 0,
) -> Study:
    """Everything that follows from a table under one price of a parameter, of each cell's longest training.

    `predict_bytes`: dataset sizes, bytes, to give critical sizes for; none: ten times the largest of each group.
    AnalysisError for one that is not above 0.
    """
    for asked in predict_bytes:
        if not (np.isfinite(asked) and asked > 0):
            raise AnalysisError(f"a dataset of {asked:g} bytes has no critical size; give a number above 0")
    if table.is_searched and len(table.cells):
        table = of_one_budget(table, cost)
    shorter = tuple(halved(table.cells))
    for_code = longest(table.for_code) if len(table.for_code) else table.for_code
    table = replace(table, cells=longest(table.cells), for_code=for_code)
    codes = TwoPartCodes(table, n_replicates, seed)
    chosen = codes.under(cost)
    if chosen.empty and table.cells["own_bits"].notna().any():
        absent = _not_coded(table, cost) if cost.is_coded else f"{table.name} has {cost.absence}"
        raise AnalysisError(absent)
    estimates = codes.estimates(cost)
    found = [estimate.column for estimate in estimates]
    critical = _with_classical(critical_table(estimates), chosen, table.baselines)
    laws, theories, predicted = {}, {}, []
    for group, own in itertools.groupby(estimates, key=lambda e: str(e.row["group"])):
        of = list(own)
        laws[group], draws = law(of)
        theories[group] = theory(laws[group], draws, of)
        data = [float(str(e.row["subset_bytes"])) for e in of]
        predicted += predictions(
            group,
            laws[group],
            draws,
            rates=law_of_rates(laws[group], draws, of),
            grid_bytes=data,
            asked=predict_bytes or [10 * max(data)],
        )
    return Study(
        table=table,
        cost=cost,
        rates=_rates(chosen),
        between=between(found, [e.minimum for e in estimates]),
        critical=critical,
        laws=laws,
        classical=classical_rates(table.baselines),
        intervals=describe(estimates, n_replicates),
        crossings=crossings(found),
        theory=theories,
        predictions=prediction_table(predicted),
        seeds=relative_spread(chosen),
        convergence=convergence_table(
            table.cells, shorter, lambda some: shortest_codes(plain(table, some), cost, chosen), n_replicates, seed
        ),
        shorter=tuple(plain(table, some) for some in shorter),
        codes=codes,
    )


def _not_coded(table: Table, cost: ParameterCost) -> str:
    known = sorted(set(table.coded["precision_bits"]))
    if table.is_mixed:
        return (
            "coded weights are measured without contexts; take another cost, such as float16, or leave the contexts out"
        )
    if table.stride_bytes:
        return (
            f"coded weights are measured with windows side by side, not with a stride of {table.stride_bytes}; take "
            "another cost, such as float16, or leave the stride out"
        )
    if not known:
        return f"{table.name} has no coded weights; run the sweep with measure.coded_weights: true"
    has = f"it has {join(known)}, so take coded{known[0]}"
    return f"{table.name} has no weights coded at {cost.precision_bits} bits; {has}"


def _with_classical(critical: pd.DataFrame, chosen: pd.DataFrame, baselines: pd.DataFrame) -> pd.DataFrame:
    """The corpus of each group before, and its best classical coder behind."""
    corpora = chosen[["corpus", "group"]].drop_duplicates()
    tokenizers = chosen.groupby(["group", "subset_bytes"])["tokenizer_bits"].mean().rename("bits").reset_index()
    sent = critical[["group", "subset_bytes"]].merge(tokenizers, how="left")["bits"].to_numpy()
    critical = critical.assign(raw_rate=critical["raw_rate"] - raw_rate(sent, critical["subset_bytes"]))
    best = best_classical(baselines).rename(columns={"rate": "classical_rate"})
    return corpora.merge(critical, on="group").merge(best, on=["corpus", "subset_bytes"], how="left")


def _rates(chosen: pd.DataFrame) -> pd.DataFrame:
    """Averages over seeds."""
    with_rates = chosen.assign(heldout_rate=_heldout_rate(chosen))
    grouped = with_rates.groupby(["corpus", "group", "context_bytes", "subset_bytes", "n_params"], as_index=False)
    rates = grouped.agg(
        size=("size", "first"),
        n_seeds=("own_bits", "size"),
        code_bits_sd=("own_bits", "std"),
        heldout_rate=("heldout_rate", "mean"),
        vocabulary=("vocabulary", "first"),
        tokenizer_bytes=("tokenizer_bytes", "mean"),
    )
    rates = rates.merge(averages(chosen), on=["group", "subset_bytes", "n_params"])
    rates["code_bits"] = rates["own_bits"] - 8 * rates["tokenizer_bytes"]
    bytes_per_param = rates["bits_per_param"] / 8
    raw, d = raw_rate(rates["code_bits"], rates["subset_bytes"]), rates["subset_bytes"]
    sent = raw + rates["tokenizer_bytes"] / d
    return rates.assign(
        raw_rate=raw,
        adjusted_rate=adjusted_compression_rate(sent, rates["n_params"], d, bytes_per_param),
        rate_sd=raw_rate(rates["code_bits_sd"], d),
    )


def _heldout_rate(chosen: pd.DataFrame) -> pd.Series[float]:
    return chosen["heldout_bits"] / (8 * chosen["heldout_bytes"]).replace(0, np.nan)


def law_line(law: PowerLaw, critical: pd.DataFrame) -> pd.DataFrame | None:
    """The law over the dataset sizes it was fitted to, to draw: subset_bytes, n_params, label; None without a law."""
    if law.gamma is None:
        return None
    fitted = critical.loc[critical["n_params"].notna(), "subset_bytes"]
    subset_bytes = np.geomspace(fitted.min(), fitted.max(), 50)
    label = rf"$N^* \propto D^\gamma$, $\gamma$ = {law.gamma:.2f}"
    return pd.DataFrame({"subset_bytes": subset_bytes, "n_params": law.predict(subset_bytes), "label": label})


def in_context(table: Table, group: str) -> pd.DataFrame:
    """Held-out bits per byte by position in the window, `best` snapshots on the group's largest subset, over all seeds.

    Columns n_params, size, position (the bin's last, from 1), bits_per_byte.
    """
    own = table.cells[(table.cells["group"] == group) & (table.cells["snapshot"] == "best")]
    largest = own[own["subset_bytes"] == own["subset_bytes"].max()]
    bins = table.positions.merge(largest[["run_id", "snapshot", "n_params", "size"]], on=["run_id", "snapshot"])
    summed = bins.groupby(["n_params", "size", "end"], as_index=False)[["code_bits", "n_bytes"]].sum()
    return summed.assign(position=summed["end"], bits_per_byte=summed["code_bits"] / summed["n_bytes"])
