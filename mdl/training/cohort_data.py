"""What a cohort reads and is measured on: bytes, or tokens of its own for every subset."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mdl.config import Cohort
from mdl.data import ByteView, Corpus, Gatherable, TokenisedSubset, Tokens, open_corpus, tokenised
from mdl.errors import MdlError
from mdl.models import (
    BytesProgress,
    Part,
    PartLengths,
    StackedTransformer,
    code_lengths,
    stack,
    stream_sample,
    sum_bits,
)
from mdl.records import Segment, StreamSample, Tokenisation, ladder, reach
from mdl.training.members import Member
from mdl.units import VOCABULARY

Windows = npt.NDArray[Any]


class Reading(Protocol):
    """A cohort's data; `m` and `rows` number its cells."""

    corpora: Sequence[Corpus]  # a cell each; of one source and held-out part

    @property
    def source(self) -> Gatherable:
        """What training reads."""
        ...

    def members(self) -> list[Member]:
        """The cohort's members."""
        ...

    def heldout_sample(self) -> tuple[Windows, Sequence[int] | None]:
        """Windows (n, T), or each member's own (M, n, T) and the bytes (M,) that they are."""
        ...

    def code(
        self, model: StackedTransformer, rows: Sequence[int], progress: BytesProgress
    ) -> tuple[list[PartLengths], list[PartLengths]]:
        """Training and held-out part under the members `rows`, which `model` is stacked of."""
        ...

    def stream(self, model: StackedTransformer, m: int, unseen: PartLengths) -> StreamSample | None:
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


class ByteReading:
    """Every member reads a prefix of one of the corpora, which lie one after another as far as they are read."""

    def __init__(self, cohort: Cohort, corpora: Sequence[Corpus]) -> None:
        self.cohort, self.corpora = cohort, corpora
        furthest: dict[Corpus, int] = {}
        for cell, corpus in zip(cohort.cells, corpora, strict=True):
            furthest[corpus] = max(furthest.get(corpus, 0), cell.resolved.subset_bytes)
        self._first = dict(zip(furthest, np.cumsum([0, *furthest.values()]).tolist(), strict=False))
        self._source = Joined([(corpus.train, n_bytes) for corpus, n_bytes in furthest.items()])

    @property
    def source(self) -> Gatherable:
        """See `Reading`, as all here."""
        return self._source

    def members(self) -> list[Member]:
        """One a cell."""
        configs = [cell.resolved for cell in self.cohort.cells]
        return [
            Member(seed=c.seed, subset_length=c.subset_bytes, lr_scale=c.lr_scale, first=self._first[corpus])
            for c, corpus in zip(configs, self.corpora, strict=True)
        ]

    def heldout_sample(self) -> tuple[Windows, Sequence[int] | None]:
        """The same for all."""
        heldout, T = self.corpora[0].heldout, self.cohort.shape.context_tokens
        starts, length = sample_starts(len(heldout), T, self.cohort.cells[0].resolved.heldout_sample_bytes // T)
        return heldout.gather(starts, length), None

    def code(
        self, model: StackedTransformer, rows: Sequence[int], progress: BytesProgress
    ) -> tuple[list[PartLengths], list[PartLengths]]:
        """The members of one corpus at once."""
        train: dict[int, PartLengths] = {}
        for corpus in self._first:
            at = [i for i, m in enumerate(rows) if self.corpora[m] is corpus]
            whole, device = len(at) == len(rows), model.weight("embedding").device
            own = model if whole or not at else stack(model.shape, [model.member(i) for i in at]).to(device)
            train |= zip(at, self._code_train(own, corpus, [rows[i] for i in at], progress), strict=True)
        heldout, n = self.corpora[0].heldout, len(rows)
        unseen = code_lengths(model, heldout, "heldout", [len(heldout)] * n, progress=progress)
        return [train[i] for i in range(n)], unseen

    def _code_train(
        self, model: StackedTransformer, corpus: Corpus, rows: Sequence[int], progress: BytesProgress
    ) -> list[PartLengths]:
        if not rows:
            return []
        ends = [end_bytes(self.cohort, corpus, m) for m in rows]
        own = [self.cohort.cells[m].resolved.subset_bytes for m in rows]
        return code_lengths(model, corpus.train, "train", ends, own, progress)

    def stream(self, model: StackedTransformer, m: int, unseen: PartLengths) -> StreamSample | None:
        """As many bytes as asked for."""
        heldout = self.corpora[m].heldout
        n_bytes = min(self.cohort.cells[m].resolved.measure.stream_bytes, len(heldout))
        finite = math.isfinite(float(unseen.bits_by_position.sum()))
        return stream_sample(model, heldout, n_bytes) if n_bytes and finite else None

    def bytes_seen(self, m: int) -> int:
        """As configured."""
        return self.cohort.cells[m].resolved.bytes_seen

    def tokenisation(self, m: int) -> tuple[Tokenisation, bytes] | None:
        """None."""
        return None


class Joined:
    """The beginnings of some views, one after another: (view, bytes of it) each."""

    def __init__(self, parts: Sequence[tuple[ByteView, int]]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(n_bytes for _, n_bytes in parts)])

    def gather(self, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.uint8]:
        """Rows (n, length); a row lies within one view."""
        rows = np.empty((starts.size, length), np.uint8)
        of = np.searchsorted(self._starts, starts, side="right") - 1
        for i in np.unique(of):
            rows[of == i] = self._parts[i][0].gather(starts[of == i] - self._starts[i], length)
        return rows

    def read(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        """Bytes [start, end)."""
        pieces = [
            view.read(max(0, start - first), min(n_bytes, end - first))
            for (view, n_bytes), first in zip(self._parts, self._starts.tolist(), strict=False)
            if start < first + n_bytes and end > first
        ]
        return np.concatenate([np.empty(0, np.uint8), *pieces])


def sample_starts(n: int, T: int, n_wanted: int) -> tuple[npt.NDArray[np.int64], int]:
    """Where windows spread evenly over `n` begin, and their length; where n is less than a window, the whole of it."""
    length = min(T, n)
    n_windows = min(max(1, n_wanted), n // length)
    return np.linspace(0, n - length, n_windows).astype(np.int64), length


def end_bytes(cohort: Cohort, corpus: Corpus, m: int) -> int:
    """How far a cell's code of the training part is measured."""
    config = cohort.cells[m].resolved
    return reach(config.subset_bytes, len(corpus.train), config.measure.reach_ratio)


class TokenReading:
    """Every subset has a tokenizer of its own, so members read stretches of what all have, one after another.

    The context is so many tokens, not bytes: windows cost what they cost for bytes, and reach further.
    """

    def __init__(self, cohort: Cohort, corpora: Sequence[Corpus]) -> None:
        self.cohort, self.corpora = cohort, corpora
        corpus = self.corpus = corpora[0]  # one order of the corpus a cohort: a tokenizer is of one subset
        ends = {c.resolved.subset_bytes: end_bytes(cohort, corpus, m) for m, c in enumerate(cohort.cells)}
        self._subsets = {d: tokenised(corpus, d, end, cohort.shape.vocabulary) for d, end in sorted(ends.items())}
        for d, subset in self._subsets.items():
            least = min(subset.train.n_within(d), len(subset.heldout))
            if least < cohort.shape.context_tokens:
                raise MdlError(
                    f"a subset of {d:,} bytes, or what is held out, is {least:,} tokens, less than one context of "
                    f"{cohort.shape.context_tokens:,}; use a larger subset_bytes or a smaller model.context_bytes"
                )

    def _of(self, m: int) -> TokenisedSubset:
        return self._subsets[self._subset_bytes(m)]

    def _subset_bytes(self, m: int) -> int:
        return self.cohort.cells[m].resolved.subset_bytes

    @cached_property
    def source(self) -> Tokens:
        """The subsets one after another."""
        own = [subset.train.ids[: subset.train.n_within(d)] for d, subset in self._subsets.items()]
        nowhere = np.zeros(0, np.int64)
        return Tokens(np.concatenate(own), nowhere, nowhere)

    def members(self) -> list[Member]:
        """Each with where its subset begins in `source`."""
        lengths = [subset.train.n_within(d) for d, subset in self._subsets.items()]
        first = dict(zip(self._subsets, np.cumsum([0, *lengths]).tolist(), strict=False))
        return [
            Member(
                seed=c.seed,
                subset_length=self._of(m).train.n_within(c.subset_bytes),
                lr_scale=c.lr_scale,
                first=first[c.subset_bytes],
            )
            for m, c in enumerate(cell.resolved for cell in self.cohort.cells)
        ]

    def heldout_sample(self) -> tuple[Windows, Sequence[int] | None]:
        """About as many bytes as asked for, by each subset's own tokens."""
        T, config = self.cohort.shape.context_tokens, self.cohort.cells[0].resolved
        n_cells = range(len(self.cohort.cells))
        least = min(len(self._of(m).heldout) for m in n_cells)
        n_wanted = config.heldout_sample_bytes * least // (len(self.corpus.heldout) * T)
        windows = []
        for m in n_cells:
            heldout = self._of(m).heldout
            windows.append(heldout.gather(sample_starts(len(heldout), T, min(n_wanted, least // T))[0], T))
        n_bytes = [int(self._of(m).pairs.lengths[own].sum()) for m, own in enumerate(windows)]
        return np.stack(windows), n_bytes

    def code(
        self, model: StackedTransformer, rows: Sequence[int], progress: BytesProgress
    ) -> tuple[list[PartLengths], list[PartLengths]]:
        """One member after another."""
        train, heldout = [], []
        for i, m in enumerate(rows):
            own = stack(model.shape, [model.member(i)]).to(model.weight("embedding").device)
            subset, d = self._of(m), self._subset_bytes(m)
            end = end_bytes(self.cohort, self.corpus, m)
            train.append(token_lengths(own, subset, "train", [*ladder(end), d, end], progress))
            n_heldout = len(self.corpus.heldout)
            heldout.append(token_lengths(own, subset, "heldout", [*ladder(n_heldout), n_heldout], progress))
        return train, heldout

    def stream(self, model: StackedTransformer, m: int, unseen: PartLengths) -> StreamSample | None:
        """None: the entropy coder of files knows bytes only."""
        return None

    def bytes_seen(self, m: int) -> int:
        """Of so many tokens as the subset's are long on average."""
        d = self._subset_bytes(m)
        return round(self.cohort.cells[m].resolved.bytes_seen * d / self._of(m).train.n_within(d))

    def tokenisation(self, m: int) -> tuple[Tokenisation, bytes] | None:
        """What the subset's tokenizer costs, and what it makes of the subset."""
        subset, n_tokens = self._of(m), self._of(m).train.n_within(self._subset_bytes(m))
        content = subset.pairs.content
        told = Tokenisation(
            vocabulary=self.cohort.shape.vocabulary,
            n_merges=len(subset.pairs.merges),
            tokenizer_bytes=len(content),
            tokenizer_sha256=hashlib.sha256(content).hexdigest(),
            n_tokens=n_tokens,
            n_heldout_tokens=len(subset.heldout),
        )
        return told, content


def token_lengths(
    model: StackedTransformer, subset: TokenisedSubset, part: Part, ends: Sequence[int], progress: BytesProgress | None
) -> PartLengths:
    """Code the first max(ends) bytes of a part with a one-member model, in segments that end at `ends`, bytes."""
    tokens = subset.train if part == "train" else subset.heldout
    boundaries = sorted(set(ends))
    at = [tokens.n_within(b) for b in boundaries]
    bytes_a_token = boundaries[-1] / at[-1]
    told = 0

    def tell(n_tokens: int) -> None:
        nonlocal told
        if progress:
            progress(round(bytes_a_token * (told + n_tokens)) - round(bytes_a_token * told))
        told += n_tokens

    bits, by_position = sum_bits(model, tokens, [at[-1]], at, tell)
    starts = [0, *boundaries[:-1]]
    segments = tuple(
        Segment(part=part, start_bytes=a, end_bytes=b, code_bits=amount)
        for a, b, amount in zip(starts, boundaries, bits[0].tolist(), strict=True)
    )
    T = model.shape.context_tokens
    lengths = np.zeros(-(-at[-1] // T) * T, np.int64)
    lengths[: at[-1]] = subset.pairs.lengths[tokens.ids[: at[-1]]]
    return PartLengths(segments, by_position[0], lengths.reshape(-1, T).sum(axis=0))
