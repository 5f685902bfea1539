"""What a cohort that reads tokens reads and is measured on: byte pairs of its own for every subset."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mdl.config import Cohort
from mdl.data import Corpus, TokenisedSubset, Tokens, tokenised
from mdl.errors import MdlError
from mdl.models import BytesProgress, Part, PartLengths, StackedModel, stack, sum_bits
from mdl.records import OverlappingCode, Segment, StreamSample, Tokenisation, ladder
from mdl.training.corpus_samples import end_bytes, sample_starts
from mdl.training.members import Member


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
        ids = [subset.train.ids[: subset.train.n_within(d)] for d, subset in self._subsets.items()]
        nowhere = np.zeros(0, np.int64)
        return Tokens(np.concatenate(ids), nowhere, nowhere)

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

    def heldout_sample(self) -> tuple[npt.NDArray[Any], Sequence[int] | None]:
        """About as many bytes as asked for, by each subset's own tokens."""
        T, config = self.cohort.shape.context_tokens, self.cohort.cells[0].resolved
        n_cells = range(len(self.cohort.cells))
        least = min(len(self._of(m).heldout) for m in n_cells)
        n_wanted = config.heldout_sample_bytes * least // (len(self.corpus.heldout) * T)
        windows = []
        for m in n_cells:
            heldout = self._of(m).heldout
            windows.append(heldout.gather(sample_starts(len(heldout), T, min(n_wanted, least // T))[0], T))
        n_bytes = [int(self._of(m).pairs.lengths[ids].sum()) for m, ids in enumerate(windows)]
        return np.stack(windows), n_bytes

    def code(
        self, model: StackedModel, rows: Sequence[int], progress: BytesProgress
    ) -> tuple[list[PartLengths], list[PartLengths]]:
        """One member after another."""
        train, heldout = [], []
        for i, m in enumerate(rows):
            alone = stack(model.shape, [model.member(i)]).to(model.device)
            subset, d = self._of(m), self._subset_bytes(m)
            end = end_bytes(self.cohort, self.corpus, m)
            train.append(token_lengths(alone, subset, "train", [*ladder(end), d, end], progress))
            n_heldout = len(self.corpus.heldout)
            heldout.append(token_lengths(alone, subset, "heldout", [*ladder(n_heldout), n_heldout], progress))
        return train, heldout

    def code_overlapping(
        self, model: StackedModel, rows: Sequence[int], progress: BytesProgress
    ) -> list[OverlappingCode | None]:
        """None: it is measured for archives, which hold bytes only."""
        return [None] * len(rows)

    def stream(self, model: StackedModel, m: int, unseen: PartLengths) -> StreamSample | None:
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
        description = Tokenisation(
            vocabulary=self.cohort.shape.vocabulary,
            n_merges=len(subset.pairs.merges),
            tokenizer_bytes=len(content),
            tokenizer_sha256=hashlib.sha256(content).hexdigest(),
            n_tokens=n_tokens,
            n_heldout_tokens=len(subset.heldout),
        )
        return description, content


def token_lengths(
    model: StackedModel, subset: TokenisedSubset, part: Part, ends: Sequence[int], progress: BytesProgress | None
) -> PartLengths:
    """Code the first max(ends) bytes of a part with a one-member model, in segments that end at `ends`, bytes."""
    tokens = subset.train if part == "train" else subset.heldout
    boundaries = sorted(set(ends))
    token_ends = [tokens.n_within(b) for b in boundaries]
    n_tokens = token_ends[-1]
    bits, by_position = sum_bits(model, tokens, [n_tokens], token_ends, _in_bytes(progress, boundaries[-1] / n_tokens))
    starts = [0, *boundaries[:-1]]
    segments = tuple(
        Segment(part=part, start_bytes=a, end_bytes=b, code_bits=amount)
        for a, b, amount in zip(starts, boundaries, bits[0].tolist(), strict=True)
    )
    T = model.shape.context_tokens
    lengths = np.zeros(-(-n_tokens // T) * T, np.int64)
    lengths[:n_tokens] = subset.pairs.lengths[tokens.ids[:n_tokens]]
    return PartLengths(segments, by_position[0], lengths.reshape(-1, T).sum(axis=0))


def _in_bytes(progress: BytesProgress | None, bytes_a_token: float) -> BytesProgress:
    """Called with numbers of tokens, tells as many bytes on average."""
    n_done = 0

    def tell(n_new: int) -> None:
        nonlocal n_done
        if progress:
            progress(round(bytes_a_token * (n_done + n_new)) - round(bytes_a_token * n_done))
        n_done += n_new

    return tell
