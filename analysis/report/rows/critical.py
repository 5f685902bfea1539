"""Rows about critical model sizes: where they lie, how they grow, and whether more training moves them."""

from __future__ import annotations

from typing import Literal, TypedDict

from analysis.critical import Status, Theory

Verdict = Literal["converged", "unconverged", "undecided", "unknown"]


class CriticalRow(TypedDict):
    """The critical size of one dataset size of one group."""

    corpus: str  # short name of the corpus
    group: str  # label of the group
    subset_bytes: int  # dataset size D
    n_params: float | None  # the critical size N*; None unless `status` is bracketed
    low: float | None  # 95 % interval of N*
    high: float | None
    interval: str  # what varies in it beside the shapes: seeds, corpus seeds, both, pooled; shapes alone, or none
    p_bracketed: float | None  # probability that the minimum lies between the smallest and the largest size
    adjusted_rate: float  # at N*, or at `grid_best` unless bracketed
    raw_rate: float  # the same without the parameters
    status: Status  # whether the minimum lies inside the grid, and on which side else
    message: str  # the same in words
    doubt: str  # a reason to distrust the smooth law here; empty: none is known
    grid_best: int  # the measured size with the least adjusted rate
    n_sizes: int  # model sizes that were run
    n_pooled: int  # of these, sizes averaged with a neighbor because the code length rose with N
    n_local: float | None  # N* by the local estimator
    local_low: float | None  # 95 % interval of `n_local`, over replicates alone
    local_high: float | None
    least_size: float | None  # the smallest size that was run
    most_size: float | None  # the largest
    near_low: float | None  # from here …
    near_high: float | None  # … to here the adjusted rate is at most 1 % above the minimum
    shape_sd: float | None  # standard deviation of the shapes about the smooth law, relative to the code length
    bend_sd: float | None  # standard deviation of the law's own bends, relative to the code length
    shapes_are_usual: bool  # whether `shape_sd` was taken from the committed studies: there were too few shapes
    coder: str | None  # the best classical coder on the same bytes; None: none was run
    order: str | None  # of the bytes that it coded: shuffled or contiguous
    classical_rate: float | None  # its rate


class LawRow(TypedDict):
    """N* = k · D^gamma through the bracketed critical sizes of one group."""

    group: str  # label of the group
    k: float | None  # N* at D = 1 byte; None: no law
    gamma: float | None  # the exponent
    gamma_se: float | None  # its standard error by least squares; None with fewer than three sizes
    n_points: int  # critical sizes that the law goes through
    message: str  # how it was fitted, or why there is no law
    gamma_low: float | None  # 95 % interval of gamma
    gamma_high: float | None
    k_low: float | None  # 95 % interval of k
    k_high: float | None
    scatter: float | None  # standard deviation of log N* about the line
    left_out_bytes: float | None  # the largest dataset size, left out of a second fit
    left_out_ratio: float | None  # that fit's prediction there over N*
    gamma_least: float | None  # least and greatest gamma when one dataset size is left out
    gamma_most: float | None
    gamma_local: float | None  # gamma through the local estimator's sizes
    scatter_local: float | None  # their scatter
    theory: Theory | None  # the test against gamma = 1/(1 + alpha); None: there is no law or no alpha


class PredictionRow(TypedDict):
    """The law's critical size at a dataset size that was asked for."""

    group: str  # label of the group
    subset_bytes: float  # dataset size D
    n_params: float | None  # N* by the law
    low: float | None  # 95 % interval
    high: float | None
    adjusted_rate: float | None  # the rate there, a fraction; None with fewer than four dataset sizes
    rate_low: float | None  # its 95 % interval
    rate_high: float | None
    extrapolated: bool  # whether D lies outside the grid


class TwoPartsRow(TypedDict):
    """The two parts of the code at a critical size."""

    group: str  # label of the group
    subset_bytes: int  # dataset size D
    n_params: float  # N*
    model_bits: float  # of the parameters, and of a tokenizer
    data_bits: float  # of the data given the model
    model_share: float  # model_bits as a fraction of both
    memorised_bits_per_param: float | None  # known by heart; None: no bytes behind the subset were coded


class UnevenRow(TypedDict):
    """A shape whose longest training saw at most six tenths of the bytes that another shape's saw."""

    group: str  # label of the group
    subset_bytes: int  # dataset size D
    size: str  # the shape, such as 16x2
    n_params: int  # its parameters
    bytes_seen: int  # in its longest training, repeats counted
    most_bytes_seen: int  # in the longest of any shape


class ConvergenceRow(TypedDict):
    """The critical size after the whole training and after less of it."""

    group: str  # label of the group
    subset_bytes: int  # dataset size D
    bytes_seen: int  # in the whole training, repeats counted
    half_bytes_seen: int  # in the shorter training
    n_params: float | None  # N* after the whole training, of the shapes that had both
    low: float | None  # 95 % interval of `n_params`
    high: float | None
    n_params_half: float | None  # N* after the shorter training
    status_half: Status  # whether that one is bracketed
    ratio: float | None  # n_params / n_params_half
    ratio_low: float | None  # its paired 95 % interval
    ratio_high: float | None
    points: float | None  # by how much the whole training's adjusted rate is lower, a fraction
    verdict: Verdict  # converged: the interval lies within a factor of 1.1; unconverged: it leaves out 1
    limit: float | None  # N* of endless training over `n_params`, extrapolated
    limit_low: float | None  # its 95 % interval
    limit_high: float | None
    points_least: float | None  # by how much endless training would lower the rate, at least and at most
    points_most: float | None
