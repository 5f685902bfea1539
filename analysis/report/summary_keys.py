"""Every key of summary.json, in order, with what it holds. Sections of a user's own add theirs behind."""

from __future__ import annotations

from typing import TypedDict

from analysis.types import Json


class Cost(TypedDict):
    """The price of a parameter under which all of a report is."""

    name: str  # as `--cost` takes it
    bytes_per_param: float | None  # None: another for every dataset size or cell
    sentence: str  # what is paid


class Summary(TypedDict, total=False):
    """Numbers, names and messages, unrounded. Rates are fractions, lengths bits, sizes bytes; None: not known.

    Rows are lists of dicts, a dict a row; `group` names corpus, context, vocabulary and leak as far as they vary.
    """

    summary_version: int  # 1
    name: str  # of the sweep
    cost: Cost
    n_cells: int  # recorded, failed ones too
    n_failed: int  # of these
    n_missing: int  # asked for by the sweep, not recorded yet
    critical: list[Json]  # a row a (group, subset_bytes): the critical size, its intervals, the rates there
    intervals: Json  # what varies in the intervals (kind), n_replicates, and a note in words
    laws: list[Json]  # a group each: N* = k·D^gamma, its interval and scatter, and what theory asks for
    two_parts: list[Json]  # at each critical size the bits of parameters and of data, and what is known by heart
    crossings: list[Json]  # neighbours n_small, n_large, and the subset_bytes from which the larger codes shorter
    pays_from: list[Json]  # of models not trained here: from which dataset size on each beats the best classical coder
    least: list[Json]  # where a size has the least adjusted rate of all, by group and form (own subset or prefix)
    predictions: list[Json]  # critical sizes by the law at dataset sizes asked for
    fit: Json | None  # the scaling law of the held-out loss, its intervals, residuals and held-out tests
    compute: list[Json]  # a row a dataset size: the MDL-optimal size and the compute-optimal at as many FLOPs
    compute_not_asked: str  # why there is no such comparison; empty: there is
    seeds: list[Json]  # relative standard deviation of code lengths between replicates, by size and dataset size
    convergence: list[Json]  # critical sizes at half the training, with a verdict
    rates: list[Json]  # a row a (group, subset_bytes, n_params), averaged over seeds
    memorising: Json  # counts of models that know their subset by heart, and the largest gap
    classical: list[Json]  # a row a (corpus, subset_bytes, coder): whole in both orders, and in chunks
    failed: list[Json]  # run_id and reason
    not_evaluated: list[str]  # run ids whose own subset was not coded in full
    corpora: list[Json]  # source, bytes, sha256, block length, shuffle seed, split, copies where known
    recipe: Json  # shapes, budgets, passes and the settings that all cells share
    provenance: Json  # command, commits, devices, versions, seconds, bytes seen, FLOPs
    costs: list[Json]  # critical sizes under every price of a parameter, and the law of the price
    cost_laws: list[Json]  # gamma under each price
    precisions: list[Json]  # critical sizes with every weight coded at one precision
    prequential: list[Json]  # block-prequential code lengths
    online: list[Json]  # code lengths of models that code each window before they learn from it
    who_wins: list[Json]  # the shortest code of every kind at every dataset size, everything counted
    contamination: list[Json]  # rates by leaked share
    tokenisation: list[Json]  # rates by vocabulary
    contexts: list[Json]  # rates by context length
    architectures: list[Json]  # critical sizes and rates of each architecture, and the shortest
    overtakings: list[Json]  # of each two architectures: from which dataset size on the second pays more
    paper_table: list[Json]  # Table 1 of Delétang et al. on this data, the paper's rates beside
