"""What a cohort of byte models reads and is measured on: prefixes of its corpora."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mdl.config import Cohort
from mdl.data import ByteView, Corpus, Gatherable
from mdl.mixing import require_compiler
from mdl.models import BytesProgress, PartLengths, StackedModel, code_lengths, stack, stream_sample
from mdl.records import OverlappingCode, StreamSample, Tokenisation
from mdl.training.corpus_samples import end_bytes, sample_starts
from mdl.training.members import Member
from mdl.training.mixed_code import mixed_code


class ByteReading:
    """Every member reads a prefix of one of the corpora, which lie one after another as far as they are read."""

    def __init__(self, cohort: Cohort, corpora: Sequence[Corpus]) -> None:
        if cohort.cells[0].resolved.measure.contexts:
            require_compiler()
        self.cohort, self.corpora = cohort, corpora
        furthest: dict[Corpus, int] = {}
        for cell, corpus in zip(cohort.cells, corpora, strict=True):
            furthest[corpus] = max(furthest.get(corpus, 0), cell.resolved.subset_bytes)
        self._first = dict(zip(furthest, np.cumsum([0, *furthest.values()]).tolist(), strict=False))
        self._source = Joined([(corpus.train, n_bytes) for corpus, n_bytes in furthest.items()])

    @property
    def source(self) -> Gatherable:
        """All subsets, as `Reading` says; so do the methods below."""
        return self._source

    def members(self) -> list[Member]:
        """One per cell, with where its corpus begins in `source`."""
        configs = [cell.resolved for cell in self.cohort.cells]
        return [
            Member(seed=c.seed, subset_length=c.subset_bytes, lr_scale=c.lr_scale, first=self._first[corpus])
            for c, corpus in zip(configs, self.corpora, strict=True)
        ]

    def heldout_sample(self) -> tuple[npt.NDArray[Any], Sequence[int] | None]:
        """Windows (n, T), the same for all members."""
        heldout, T = self.corpora[0].heldout, self.cohort.shape.context_tokens
        starts, length = sample_starts(len(heldout), T, self.cohort.cells[0].resolved.heldout_sample_bytes // T)
        return heldout.gather(starts, length), None

    def code(
        self, model: StackedModel, rows: Sequence[int], progress: BytesProgress
    ) -> tuple[list[PartLengths], list[PartLengths]]:
        """The members of one corpus at once."""
        ends = [end_bytes(self.cohort, self.corpora[m], m) for m in rows]
        return self._code(model, rows, ends, None, progress)

    def code_overlapping(
        self, model: StackedModel, rows: Sequence[int], progress: BytesProgress
    ) -> list[OverlappingCode | None]:
        """Of the own subsets and the held-out part, where `measure.stride_bytes` or `measure.contexts` asks for it."""
        asked = self.cohort.cells[0].resolved.measure  # the same in all cells
        stride = asked.stride_bytes
        if asked.contexts:
            return [self._mixed(model, i, m, progress) for i, m in enumerate(rows)]
        if not stride:
            return [None] * len(rows)
        train, heldout = self._code(model, rows, [self._subset_bytes(m) for m in rows], stride, progress)
        return [
            OverlappingCode(stride_bytes=stride, segments=(*seen.segments, *unseen.segments))
            for seen, unseen in zip(train, heldout, strict=True)
        ]

    def _mixed(self, model: StackedModel, i: int, m: int, progress: BytesProgress) -> OverlappingCode:
        """Of the model's member i, cell m."""
        corpus, stride = self.corpora[m], self.cohort.cells[m].resolved.measure.stride_bytes
        own = self._subset_bytes(m)
        return mixed_code(
            model, i, train=corpus.train, n_bytes=own, heldout=corpus.heldout, stride=stride, tell=progress
        )

    def _subset_bytes(self, m: int) -> int:
        return self.cohort.cells[m].resolved.subset_bytes

    def _code(
        self,
        model: StackedModel,
        rows: Sequence[int],
        ends: Sequence[int],
        stride: int | None,
        progress: BytesProgress,
    ) -> tuple[list[PartLengths], list[PartLengths]]:
        """The training part up to `ends`, of each of the `rows`, and the held-out part."""
        train: dict[int, PartLengths] = {}
        n_devices = self.cohort.execution.n_devices if model.device.type == "cuda" else 1
        for corpus in self._first:
            places = [i for i, m in enumerate(rows) if self.corpora[m] is corpus]
            if not places:
                continue
            readers = model
            if len(places) < len(rows):
                members = [model.member(i) for i in places]
                readers = stack(model.shape, members).to(model.device)
            lengths = code_lengths(
                readers,
                corpus.train,
                "train",
                [ends[i] for i in places],
                subset_ends=[self._subset_bytes(rows[i]) for i in places],
                stride=stride,
                progress=progress,
                n_devices=n_devices,
            )
            train |= zip(places, lengths, strict=True)
        heldout, n = self.corpora[0].heldout, len(rows)
        unseen = code_lengths(
            model, heldout, "heldout", [len(heldout)] * n, stride=stride, progress=progress, n_devices=n_devices
        )
        return [train[i] for i in range(n)], unseen

    def stream(self, model: StackedModel, m: int, unseen: PartLengths) -> StreamSample | None:
        """Of as many bytes as `measure.stream_bytes` asks for, where the code is finite."""
        heldout = self.corpora[m].heldout
        n_bytes = min(self.cohort.cells[m].resolved.measure.stream_bytes, len(heldout))
        finite = math.isfinite(float(unseen.bits_by_position.sum()))
        return stream_sample(model, heldout, n_bytes) if n_bytes and finite else None

    def bytes_seen(self, m: int) -> int:
        """What the configuration comes to."""
        return self.cohort.cells[m].resolved.bytes_seen

    def tokenisation(self, m: int) -> tuple[Tokenisation, bytes] | None:
        """None: it reads bytes."""
        return None


class Joined:
    """The beginnings of some views, one after another: (view, bytes of it) each."""

    def __init__(self, parts: Sequence[tuple[ByteView, int]]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(n_bytes for _, n_bytes in parts)])

    def gather(self, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.uint8]:
        """Rows (n, length); a row lies within one view."""
        rows = np.empty((starts.size, length), np.uint8)
        part = np.searchsorted(self._starts, starts, side="right") - 1
        for i in np.unique(part):
            rows[part == i] = self._parts[i][0].gather(starts[part == i] - self._starts[i], length)
        return rows

    def read(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        """Bytes [start, end)."""
        pieces = [
            view.read(max(0, start - first), min(n_bytes, end - first))
            for (view, n_bytes), first in zip(self._parts, self._starts.tolist(), strict=False)
            if start < first + n_bytes and end > first
        ]
        return np.concatenate([np.empty(0, np.uint8), *pieces])
