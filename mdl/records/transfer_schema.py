"""The record of one trained model on any data, as `mdl baselines --model` makes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mdl.records.fields import KEY, Positive
from mdl.records.schema import SCHEMA_VERSION, CorpusInfo, PositionBin, Provenance


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A run's final snapshot and what it learned from; `trained_on` None: weights without a record."""

    name: str  # the run's id, or the file's name
    size: str  # width x depth
    n_params: Positive  # N
    context_tokens: int = field(metadata={KEY: "context_bytes"})  # window length; bytes of a model that reads bytes
    weights_sha256: str
    trained_on: CorpusInfo | None
    trained_bytes: int | None  # of the subset that it learned from


@dataclass(frozen=True, kw_only=True)
class TransferRecord:
    """One model on one data set. `n_params` are not in `code_bits`; positions from 0, in bins of a quarter octave."""

    model: TrainedModel
    corpus: CorpusInfo
    subset_bytes: Positive  # D: the data, its first bytes
    chunk_bytes: int | None  # None: whole, in windows of the context
    sample_bytes: Positive  # of it, actually coded
    n_chunks: int
    code_bits: float  # their ideal code length
    positions: tuple[PositionBin, ...]
    seconds: float
    device: str
    provenance: Provenance | None = None  # None: a record of before there was one
    kind: Literal["transfer"] = "transfer"
    schema_version: int = SCHEMA_VERSION
    plugin_sha256: str | None = None  # of a model of a user's own
