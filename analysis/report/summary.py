"""What a report says, as JSON: numbers, names and messages, unrounded. Every number in its text comes from here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from analysis.codes import block_codes, classical_rates, online_codes
from analysis.records import PROVENANCE, Table, rows_of, short_source
from analysis.report.sections.code_comparison import who_wins
from analysis.report.sections.contamination import contamination
from analysis.report.sections.context_length import contexts
from analysis.report.sections.crossovers import least_sizes
from analysis.report.sections.paper_table import paper_table
from analysis.report.sections.parameter_costs import cost_laws, cost_models
from analysis.report.sections.precision import precisions
from analysis.report.sections.provenance import origins
from analysis.report.sections.recipe import recipe
from analysis.report.sections.tokenization import tokenisation
from analysis.study import Study
from analysis.types import Json

SUMMARY_VERSION = 1


def summarise(study: Study) -> Json:
    """The summary of a study. Not known: null, never NaN. Rates are fractions, lengths bits, sizes bytes."""
    table = study.table
    snapshots_coded = table.cells.groupby("run_id")["own_bits"].count()
    content = {
        "summary_version": SUMMARY_VERSION,
        "name": table.name,
        "cost": {"name": study.cost.name, "bytes_per_param": study.cost.bytes_per_param},
        "n_cells": len(table.runs),
        "n_failed": len(table.failed),
        "n_missing": table.n_missing,
        "critical": rows_of(study.critical),
        "intervals": study.intervals,
        "laws": [{"group": group, **vars(law), "theory": study.theory[group]} for group, law in study.laws.items()],
        "crossings": rows_of(study.crossings),
        "least": rows_of(least_sizes(study)),
        "predictions": rows_of(study.predictions),
        "fit": study.fit,
        "compute": _compute(study.compute),
        "compute_not_asked": study.compute_not_asked,
        "seeds": rows_of(study.seeds),
        "convergence": rows_of(study.convergence),
        "rates": rows_of(study.rates),
        "memorising": _memorising(study.rates),
        "classical": classical(table.baselines),
        "failed": rows_of(table.failed[["run_id", "reason"]]),
        "not_evaluated": sorted(snapshots_coded[snapshots_coded == 0].index),
        "corpora": _corpora(table),
        "recipe": recipe(table),
        "provenance": _provenance(table),
    }
    return {key: _plain(value) for key, value in content.items()}


def compare(study: Study) -> Json:
    """Codes side by side: prices of a parameter, prequential codes, who wins, and what a leak does."""
    blocks, online, costs = block_codes(study.table), online_codes(study.table), cost_models(study)
    content = {
        "costs": costs,
        "cost_laws": cost_laws(costs),
        "precisions": precisions(study),
        "prequential": rows_of(blocks),
        "online": rows_of(online),
        "who_wins": rows_of(who_wins(study, blocks, online)),
        "contamination": rows_of(contamination(study)),
        "tokenisation": rows_of(tokenisation(study)),
        "contexts": rows_of(contexts(study)),
        "paper_table": rows_of(paper_table(study.table)),
    }
    return {key: _plain(value) for key, value in content.items()}


def _compute(compute: pd.DataFrame) -> list[Json]:
    """Per dataset size the MDL-optimal size, what training it takes, and the compute-optimal size at as much."""
    at = ["group", "subset_bytes", "flops"]
    kinds = compute["kind"]
    best = compute.loc[kinds == "compute-optimal", [*at, "n_params"]].rename(columns={"n_params": "compute_optimal_n"})
    paid = compute[kinds == "MDL-optimal"].merge(best, on=at, how="left")
    names = {"flops": "mdl_optimal_flops", "n_params": "mdl_optimal_n"}
    return rows_of(paid.rename(columns=names)[["group", "subset_bytes", *names.values(), "compute_optimal_n"]])


def _memorising(rates: pd.DataFrame) -> Json:
    """Models that code their own subset better than unseen bytes by a tenth more than the least memorising model does.

    Held-out files may be harder or easier than the rest: that model's ratio of the two rates, 1 at the most, tells.
    And nobody knows more by heart than two bytes a parameter: a larger gap is of other files.
    """
    known = rates[rates["heldout_rate"].notna()]
    ratios = known["raw_rate"] / known["heldout_rate"]
    usual = ratios.groupby(known["group"]).transform("max").clip(upper=1.0)
    # Held-out bytes cost as much as they are: what such a model knows of its subset is that subset alone.
    by_heart = known[(known["heldout_rate"] >= 1) & (known["raw_rate"] < 1)]
    gap_bytes = (known["heldout_rate"] - known["raw_rate"]) * known["subset_bytes"]
    held = (ratios < 0.9 * usual) & (gap_bytes <= 2 * known["n_params"])
    below = known[held | known.index.isin(by_heart.index)]
    ratio = below["raw_rate"] / below["heldout_rate"]
    columns = ["group", "size", "subset_bytes", "n_params", "raw_rate", "heldout_rate", "adjusted_rate"]
    return {
        "n_models": len(known),
        "n_memorising": len(below),
        "n_by_heart": len(by_heart),
        "largest_gap": rows_of(below.loc[[ratio.idxmin()], columns])[0] if len(below) else None,
    }


def classical(baselines: pd.DataFrame) -> list[Json]:
    """Every coder at every D: whole in both orders, and in chunks at true size and with the header counted once.

    Chunks are of the order that models read: where that is shuffled, the source's own order is easier or harder.
    """
    rates, rows = classical_rates(baselines), []
    for (corpus, subset_bytes, coder), own in rates.groupby(["corpus", "subset_bytes", "coder"], sort=True):
        whole, chunked = own[own["chunk_bytes"].isna()], own[own["chunk_bytes"].notna()]
        as_read = chunked[chunked["order"] == "shuffled"]  # by models, where the corpus has such an order
        chunked = as_read if len(as_read) else chunked
        chunked = chunked[chunked["chunk_bytes"] == chunked["chunk_bytes"].max()]  # the longest of several contexts
        rows.append(
            {
                "corpus": corpus,
                "subset_bytes": subset_bytes,
                "coder": coder,
                "settings": (whole if len(whole) else own)["settings"].iloc[0],
                "shuffled_rate": whole.loc[whole["order"] == "shuffled", "rate"].mean(),
                "contiguous_rate": whole.loc[whole["order"] == "contiguous", "rate"].mean(),
                "chunk_bytes": chunked["chunk_bytes"].max(),
                "chunked_rate": chunked["rate"].mean(),
                "chunked_rate_header_once": chunked["rate_header_once"].mean(),
            }
        )
    return rows


def _corpora(table: Table) -> list[Json]:
    columns = ["corpus", "source", "corpus_bytes", "sha256", "block_bytes", "shuffle_seed", "train_bytes"]
    if len(table.runs) or (table.baselines.empty and table.transfers.empty):
        return rows_of(table.runs[[*columns, "heldout_bytes"]].drop_duplicates())
    others = pd.concat([table.baselines, table.transfers])  # of `mdl baselines`
    others = others.assign(corpus=others["source"].map(short_source))
    return rows_of(others[[*columns, "heldout_bytes"]].drop_duplicates("sha256"))


def _provenance(table: Table) -> Json:
    """How, where and when; a cohort's seconds count once. Several commands: of a folder that no sweep wrote."""
    runs, transfers = table.runs, table.transfers
    cohorts = runs.drop_duplicates("cohort_id")
    every = pd.concat([frame[[*PROVENANCE]] for frame in (cohorts, transfers) if len(frame)] or [runs[[*PROVENANCE]]])
    versions = sorted({f"{name} {version}" for own in every["versions"].dropna() for name, version in own.items()})

    def values(column: str) -> list[Any]:
        return sorted({v for v in every[column] if pd.notna(v) and v != ""})

    commands = values("command")
    return {
        "command": table.manifest.get("command") or "; ".join(commands if len(transfers) else commands[:1]) or None,
        "created": max(values("created"), default=table.manifest.get("created")),
        "git_commits": values("git_commit"),
        "devices": values("device"),
        "hostnames": values("hostname"),
        "precisions": values("precision"),
        "n_threads": values("n_threads"),
        "versions": versions,
        **origins(table),
        "n_cohorts": len(cohorts),
        "training_seconds": every["training_seconds"].sum(),
        "measuring_seconds": every["measuring_seconds"].sum(),
        "bytes_seen": runs["bytes_seen"].sum(),
        "flops": runs["flops"].sum(),
    }


def _plain(value: Any) -> Any:
    """Python's own numbers, and null for NaN: what JSON can say."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
