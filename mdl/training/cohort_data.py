"""What a cohort reads and is measured on: bytes, or tokens of its own for every subset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt

from mdl.config import Cohort
from mdl.data import Corpus, Gatherable, open_corpus
from mdl.models import BytesProgress, PartLengths, StackedModel
from mdl.records import OverlappingCode, StreamSample, Tokenisation
from mdl.training.cohort_bytes import ByteReading
from mdl.training.cohort_tokens import TokenReading
from mdl.training.members import Member
from mdl.units import VOCABULARY


class Reading(Protocol):
    """A cohort's data; `m` and `rows` number its cells."""

    corpora: Sequence[Corpus]  # a cell each; of one source and held-out part

    @property
    def source(self) -> Gatherable:
        """What training reads: the subsets of all members."""
        ...

    def members(self) -> list[Member]:
        """One per cell, with where its subset begins in `source`."""
        ...

    def heldout_sample(self) -> tuple[npt.NDArray[Any], Sequence[int] | None]:
        """Windows (n, T), or each member's own (M, n, T) and the bytes (M,) that they are."""
        ...

    def code(
        self, model: StackedModel, rows: Sequence[int], progress: BytesProgress
    ) -> tuple[list[PartLengths], list[PartLengths]]:
        """Training and held-out part under the members `rows`, which `model` is stacked of."""
        ...

    def code_overlapping(
        self, model: StackedModel, rows: Sequence[int], progress: BytesProgress
    ) -> list[OverlappingCode | None]:
        """The same members' second code length; None: not asked for, or not possible."""
        ...

    def stream(self, model: StackedModel, m: int, unseen: PartLengths) -> StreamSample | None:
        """A real stream of the first held-out bytes by a one-member model; None: not asked for, or not possible."""
        ...

    def bytes_seen(self, m: int) -> int:
        """In training, repeats counted."""
        ...

    def tokenisation(self, m: int) -> tuple[Tokenisation, bytes] | None:
        """What the record says of the tokenizer, and the tokenizer; None: bytes."""
        ...


def reading(cohort: Cohort) -> Reading:
    """As the cohort's vocabulary asks for; MdlError where a corpus is missing or too small for a cell."""
    opened = {spec: open_corpus(spec) for spec in dict.fromkeys(cell.resolved.corpus for cell in cohort.cells)}
    corpora = [opened[cell.resolved.corpus] for cell in cohort.cells]
    for cell, corpus in zip(cohort.cells, corpora, strict=True):
        corpus.require(cell.resolved.subset_bytes)
    return ByteReading(cohort, corpora) if cohort.shape.vocabulary == VOCABULARY else TokenReading(cohort, corpora)
