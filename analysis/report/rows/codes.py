"""Rows about code lengths: of models, of classical coders, and of codes that learn as they go."""

from __future__ import annotations

from typing import TypedDict


class RateRow(TypedDict):
    """One model size on one dataset size, averaged over seeds."""

    corpus: str  # short name of the corpus
    group: str  # label of the group
    context_bytes: int  # window length, tokens of the model
    subset_bytes: int  # dataset size D
    n_params: int  # model size N
    size: str  # shape, width x depth
    n_seeds: int  # cells averaged
    code_bits_sd: float | None  # standard deviation of `code_bits` over them; None with one
    heldout_rate: float | None  # on bytes that no subset holds; None: not measured in full
    vocabulary: int  # token values; 256: bytes
    tokenizer_bytes: float  # of the compressed merges; 0: bytes
    own_bits: float  # code length of the own subset
    bits_per_param: float  # what a parameter costs
    code_bits: float  # code length of the own subset without the tokenizer
    raw_rate: float  # code_bits / (8 D)
    adjusted_rate: float  # (code + parameters + tokenizer) / (8 D)
    rate_sd: float | None  # standard deviation of `raw_rate`


class SeedsRow(TypedDict):
    """How far the cells of one model size and dataset size lie apart."""

    group: str  # label of the group
    subset_bytes: int  # dataset size D
    size: str  # shape, width x depth
    n_params: int  # model size N
    n_seeds: int  # cells
    rate_sd: float | None  # standard deviation of the raw rate; None with one cell
    relative_sd: float | None  # the same relative to the mean
    pooled_relative_sd: float | None  # over all sizes of the group
    pooled_training_sd: float | None  # over training seeds of one corpus seed; None: no two of them


class GapRow(TypedDict):
    """The model that codes its own subset better than unseen bytes by most."""

    group: str  # label of the group
    size: str  # shape, width x depth
    subset_bytes: int  # dataset size D
    n_params: int  # model size N
    raw_rate: float  # on the own subset
    heldout_rate: float  # on unseen bytes
    adjusted_rate: float  # on the own subset, with the parameters


class Memorising(TypedDict):
    """How many models know their subset by heart."""

    n_models: int  # with a held-out rate
    n_memorising: int  # of these, those that memorise
    n_by_heart: int  # of these, those that code unseen bytes at 100 % or more
    largest_gap: GapRow | None  # None: none memorises


class ClassicalRow(TypedDict):
    """One classical coder on one dataset size."""

    corpus: str  # short name of the corpus
    subset_bytes: int  # dataset size D
    coder: str  # name of the coder
    settings: str  # its settings
    shuffled_rate: float | None  # of the subset that the models see; None: not run
    contiguous_rate: float | None  # of as many bytes in the source's own order
    chunk_bytes: float | None  # length of a chunk where it was run in chunks too
    chunked_rate: float | None  # in chunks, each with its header
    chunked_rate_header_once: float | None  # in chunks, the header counted once


class PrequentialRow(TypedDict):
    """A block-prequential code of one dataset size."""

    group: str  # label of the group
    subset_bytes: int  # dataset size D
    code: str  # fixed, leader or switching
    snapshot: str  # of the models that code: final or best
    n_params: float | None  # of a fixed code; None: the size changes
    code_bits: float  # of everything, with what follows
    choice_bits: float  # of all that is announced
    validation_bits: float  # of the sample that chose the snapshots; 0 for final ones
    first_bytes: int  # length of the first block
    first_bits: float  # its code
    first_coder: str  # who coded it; uniform: 8 bits per byte
    excess_bits: float | None  # what training anew after every byte could save at most
    n_chains: int  # seeds averaged


class OnlineRow(TypedDict):
    """An online code: one pass, each window coded before it is learned from."""

    group: str  # label of the group
    subset_bytes: int  # dataset size D
    n_params: int  # model size N
    size: str  # shape, width x depth
    n_seeds: int  # runs averaged
    code_bits: float  # of the whole subset
    choice_bits: float  # of these, what announces the recipe
    final_bits_per_byte: float  # mean over the last tenth of the bytes
    area_bits: float  # paid beyond that while the model learned


class ShortestRow(TypedDict):
    """The shortest code of one kind at one dataset size, everything counted."""

    group: str  # label of the group
    subset_bytes: int  # dataset size D
    code: str  # which kind of code
    n_params: float | None  # model size N; None: a classical coder, or sizes that change
    detail: str  # which variant, in words
    variant: str  # its name alone: of a classical coder, of a block code, of a price
    total_bits: float  # of everything that is sent
    rate: float  # total_bits / (8 D)
    shortest: bool  # whether it is the shortest of its dataset size
    decoder_bytes: float | None  # size of the program that decodes; None: a model, or not known
