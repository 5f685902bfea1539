"""Rows that set cells side by side: prices, compute, leaks, vocabularies, contexts, and the paper's table."""

from __future__ import annotations

from typing import Literal, TypedDict

from analysis.critical import Status


class CostRow(TypedDict):
    """A critical size under one price of a parameter."""

    group: str  # label of the group
    subset_bytes: int  # dataset size D
    cost: str  # name of the price, as `--cost` takes it
    bytes_per_param: float | None  # None: another for every dataset size or cell
    status: Status  # whether the minimum lies inside the grid
    n_params: float | None  # N*; None unless bracketed
    low: float | None  # 95 % interval of N*
    high: float | None
    grid_best: int  # the measured size with the least adjusted rate
    adjusted_rate: float  # at N*, or at `grid_best`
    is_code: bool  # whether a decoder could read parameters at this price
    bits_per_param: float | None  # what one more parameter costs at N*
    label: str  # the price in a table's header
    is_coded: bool  # whether it is the measured size of coded weights
    precision_bits: int | None  # of coded weights at one precision
    best_bits: int | None  # of coded weights at the best precision of the dataset size: which that is
    n_predicted: float | None  # N* by the law of the price, from that of the paper's price
    ratio_low: float | None  # 95 % interval of n_params / n_predicted
    ratio_high: float | None


class CostLawRow(TypedDict):
    """The exponent of N* ∝ D^gamma under one price."""

    group: str  # label of the group
    cost: str  # name of the price
    gamma: float | None  # None: fewer than two critical sizes
    gamma_se: float | None  # standard error; None with fewer than three
    n_points: int  # critical sizes


class ComputeRow(TypedDict):
    """The critical size, and the size that makes the most of as much training compute."""

    group: str  # label of the group
    subset_bytes: int  # dataset size D
    mdl_optimal_flops: float | None  # FLOPs of training the critical size
    mdl_optimal_n: float | None  # N*
    compute_optimal_n: float | None  # size with the least loss for as many FLOPs; None: beyond the grid


class ContaminationRow(TypedDict):
    """A model trained on a subset of which a share was replaced by evaluation text."""

    group: str  # label of the group without its leak
    subset_bytes: int  # dataset size D
    n_params: int  # model size N
    size: str  # shape, width x depth
    leak_fraction: float  # share of the subset that was replaced
    n_seeds: int  # cells averaged
    evaluation_bytes: int  # length of the evaluation text
    leaked_bytes: int  # of it in the subset, repeats counted
    raw_rate: float  # of the evaluation text
    adjusted_rate: float  # of the evaluation text with the parameters
    two_part_rate: float  # of the own subset with the parameters


class TokenisationRow(TypedDict):
    """A shape with one vocabulary; the rates add up to the adjusted one."""

    group: str  # label of the group without its vocabulary
    subset_bytes: int  # dataset size D
    n_byte_params: int  # parameters of the shape with the smallest vocabulary
    size: str  # shape, width x depth
    vocabulary: int  # token values; 256: bytes
    n_params: int  # model size N
    n_seeds: int  # cells averaged
    bytes_per_token: float  # of the own subset
    raw_rate: float  # of the code
    parameter_rate: float  # of the parameters
    tokenizer_rate: float  # of the tokenizer
    adjusted_rate: float  # of all three
    heldout_rate: float | None  # on unseen bytes; None: not measured


class ContextRow(TypedDict):
    """A shape with one context length, on the largest dataset size."""

    corpus: str  # short name of the corpus
    subset_bytes: int  # dataset size D
    n_params: int  # model size N
    size: str  # shape, width x depth
    context_bytes: int  # window length, tokens of the model
    n_seeds: int  # cells averaged
    raw_rate: float  # on the own subset
    adjusted_rate: float  # with the parameters
    heldout_rate: float | None  # on unseen bytes; None: not measured
    bytes_seen: float  # in training, repeats counted


class OverlappingRow(TypedDict):
    """A shape's two code lengths at one dataset size, by the final snapshot: means over cells."""

    group: str  # label of the group
    context_bytes: int  # window length
    stride_bytes: int  # by which the windows of the second code length begin after one another
    bucket_bits: int | None  # memory of the contexts that it is mixed with; None: it is not
    subset_bytes: int  # dataset size D
    size: str  # shape, width x depth
    n_params: int  # model size N
    heldout_bytes: int  # of the held-out part
    n_cells: int  # averaged
    own_bits: float  # the first code length of the own subset
    second_own_bits: float  # the second
    heldout_bits: float  # the first of the held-out part
    second_heldout_bits: float  # the second
    own_gain: float | None  # share of the first that the second saves; None: nothing to compare
    heldout_gain: float | None  # the same of the held-out part


class ArchitectureRow(TypedDict):
    """One architecture at its own critical size, or at the best size of its grid."""

    group: str  # label of the group without its architecture
    subset_bytes: int  # dataset size D
    architecture: str  # its name
    n_params: float | None  # N*; None unless bracketed
    low: float | None  # 95 % interval of N*
    high: float | None
    least_size: float | None  # the smallest size that was run
    most_size: float | None  # the largest
    status: Status  # whether the minimum lies inside the grid
    raw_rate: float  # of the code there
    adjusted_rate: float  # with the parameters
    rate_low: float | None  # 95 % of it, by how far shapes are off one smooth law
    rate_high: float | None
    is_least: bool  # whether no other architecture has a lower one


class OvertakingRow(TypedDict):
    """Two architectures, and from which dataset size on one of them pays more."""

    group: str  # label of the group without its architecture
    better: str  # has the lower adjusted rate at the largest dataset size, and from `from_bytes` on
    other: str  # the one that it is compared with
    is_equal: bool  # are their adjusted rates the same at all sizes measured?
    least_bytes: float  # the smallest dataset size at which both were measured
    most_bytes: float  # the largest one
    from_bytes: float | None  # None: at all of these
    low: float | None  # 95 % of that place; 0: below these sizes; None: not known, as one has too few model sizes
    high: float | None  # None: above these sizes, or not known


class PaperRow(TypedDict):
    """A compressor on a data set, beside the paper's Table 1."""

    data: str  # name of the data set here
    source: str | None  # where it is from
    paper_data: str | None  # the paper's data set of that kind; None: it has none
    subset_bytes: int  # dataset size D
    kind: Literal["classical", "model", "paper"]  # paper: a model that only the paper has
    chunk_bytes: float  # 0: whole
    compressor: str  # its name
    trained_on: str  # kind of data that a model learned from; empty: a classical coder
    own_corpus: bool  # whether that was a part of this corpus
    n_params: int | None  # of a model; 0: a classical coder; None: the paper's
    context_bytes: float | None  # window of a model; 0: none
    sample_bytes: float | None  # of the data, actually coded
    raw_rate: float | None  # ours
    adjusted_rate: float | None  # with 2 bytes per parameter over D
    adjusted_rate_1gb: float | None  # the same if D were 1 GB
    paper_raw_rate: float | None  # the paper's
    paper_adjusted_rate: float | None
