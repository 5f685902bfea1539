"""Every key of summary.json, in order, with what it holds. Sections of a user's own add theirs behind.

The rows are described key by key in `analysis.report.rows`, the scaling law in `analysis.scaling.fit_keys`.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from analysis.critical import Intervals
from analysis.report.rows.codes import (
    ClassicalRow,
    Memorising,
    OnlineRow,
    PrequentialRow,
    RateRow,
    SeedsRow,
    ShortestRow,
)
from analysis.report.rows.comparisons import (
    ArchitectureRow,
    ComputeRow,
    ContaminationRow,
    ContextRow,
    CostLawRow,
    CostRow,
    OverlappingRow,
    OvertakingRow,
    PaperRow,
    TokenisationRow,
)
from analysis.report.rows.critical import (
    ConvergenceRow,
    CriticalRow,
    LawRow,
    PredictionRow,
    TwoPartsRow,
    UnevenRow,
)
from analysis.report.rows.crossings import CrossingRow, LeastRow, PaysFromRow
from analysis.report.rows.records import CorpusRow, FailedRow, GroupRow, Provenance, Recipe
from analysis.scaling import OwnFit


class Cost(TypedDict):
    """The price of a parameter under which all of a report is."""

    name: str  # as `--cost` takes it
    bytes_per_param: float | None  # None: another for every dataset size or cell
    sentence: str  # what is paid


class Summary(TypedDict):
    """Numbers, names and messages, unrounded. Rates are fractions, lengths bits, sizes bytes; None: not known."""

    summary_version: int  # 1
    name: str  # of the sweep
    cost: Cost  # of a parameter
    stride_bytes: int | None  # all code lengths are the second ones, of windows that begin so; None: the first ones
    is_mixed: NotRequired[bool]  # and these are of models mixed with contexts; absent: they are not
    is_searched: NotRequired[bool]  # the cells are those of mdl size; absent: they are not
    n_cells: int  # recorded, failed ones too
    n_failed: int  # of these
    n_missing: int  # asked for by the sweep, not recorded yet
    n_needless: int  # longer trainings that were left out, foretold to gain too little
    n_superseded: int  # cells that are left out, since a newer version of their plugin made the same ones
    several_versions: list[str]  # what cells of several versions of a plugin stand for: an architecture, an optimizer
    groups: list[GroupRow]  # one per label that rows name as their group or corpus
    critical: list[CriticalRow]  # one per (group, subset_bytes): the critical size, its intervals, the rates there
    intervals: Intervals  # what the intervals of critical sizes cover
    laws: list[LawRow]  # one per group: N* = k·D^γ, its interval and scatter, and what theory asks for
    two_parts: list[TwoPartsRow]  # at each critical size the bits of parameters and of data, and what is memorized
    crossings: list[CrossingRow]  # neighboring sizes, and the dataset size from which on the larger codes shorter
    pays_from: list[PaysFromRow]  # of models not trained here: from which dataset size on each beats the best coder
    least: list[LeastRow]  # where each size has the least adjusted rate of all, per group and form
    predictions: list[PredictionRow]  # critical sizes by the law at dataset sizes asked for
    fit: OwnFit | None  # the scaling law of the held-out loss, its intervals, residuals and held-out tests
    compute: list[ComputeRow]  # one per dataset size: the MDL-optimal and the compute-optimal size
    compute_not_asked: str | None  # why there is no such comparison; None: there is one, or no fit
    seeds: list[SeedsRow]  # relative standard deviation of code lengths between replicates
    convergence: list[ConvergenceRow]  # critical sizes after less training, with a verdict
    coded_convergence: NotRequired[list[ConvergenceRow]]  # the same at the price of coded weights; absent in old ones
    uneven: NotRequired[list[UnevenRow]]  # shapes that were trained less than others on the same data; absent: none
    rates: list[RateRow]  # one per (group, subset_bytes, n_params), averaged over seeds
    memorising: Memorising  # counts of models that know their subset by heart, and the largest gap
    classical: list[ClassicalRow]  # one per (corpus, subset_bytes, coder): whole in both orders, and in chunks
    failed: list[FailedRow]  # cells without a result
    not_evaluated: list[str]  # run ids whose own subset was not coded in full
    corpora: list[CorpusRow]  # source, hash, split, and copies where known
    recipe: Recipe  # shapes, budgets, passes and the settings that all cells share
    provenance: Provenance  # commands, commits, devices, versions, seconds, bytes seen, FLOPs
    costs: list[CostRow]  # critical sizes under every price of a parameter, and the law of the price
    cost_laws: list[CostLawRow]  # gamma under each price
    precisions: list[CostRow]  # critical sizes with every weight coded at one precision
    overlapping: list[OverlappingRow]  # the second code length, of overlapping windows, beside the first
    prequential: list[PrequentialRow]  # block-prequential code lengths
    online: list[OnlineRow]  # code lengths of models that code each window before they learn from it
    who_wins: list[ShortestRow]  # the shortest code of every kind at every dataset size, everything counted
    contamination: list[ContaminationRow]  # rates by leaked share
    tokenisation: list[TokenisationRow]  # rates by vocabulary
    contexts: list[ContextRow]  # rates by context length
    architectures: list[ArchitectureRow]  # critical sizes and rates of each architecture, and the shortest
    overtakings: list[OvertakingRow]  # of each two architectures: from which dataset size on the second pays more
    paper_table: list[PaperRow]  # Table 1 of Delétang et al. on this data, the paper's rates beside
