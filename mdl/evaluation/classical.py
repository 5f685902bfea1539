"""The classical coders on every subset, beside which a language model has to look good.

Whole and in chunks of the context, with true sizes and with what a header costs, in the order the models see (shuffled
blocks) and in the source's own order, from its beginning: as many, but other bytes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from mdl.compressors import REGISTRY, chunk_lengths, coders_for
from mdl.compressors import get as get_compressor
from mdl.data import Bytes, Corpus
from mdl.records import BaselineRecord, RunPaths, read_baseline, write_record
from mdl.storage import require_records_folder
from mdl.units import short_bytes

Order = Literal["shuffled", "contiguous"]
ORDERS: tuple[Order, ...] = ("shuffled", "contiguous")
# A chunk is coded by itself, so a sample of chunks says what all of them would.
CHUNKED_SAMPLE_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class BaselineJob:
    """One coder on one subset."""

    coder: str
    subset_bytes: int
    order: Order
    chunk_bytes: int | None  # None: whole


class Readable(Protocol):
    """The part of a corpus that a coder needs."""

    def read(self, start: int, end: int) -> Bytes:
        """Bytes [start, end)."""
        ...


def baseline_plan(corpus: Corpus, subset_sizes: Sequence[int], context_bytes: int) -> list[BaselineJob]:
    """Every coder that suits the data on every subset in both orders, whole and in chunks of the context."""
    for size in subset_sizes:
        corpus.require(size)
    return [
        BaselineJob(coder=coder, subset_bytes=size, order=order, chunk_bytes=chunk_bytes)
        for size, coder, order in product(subset_sizes, coders_for(corpus.info.modality), ORDERS)
        for chunk_bytes in chunk_lengths(coder, context_bytes)
    ]


def baseline_path(corpus: Corpus, job: BaselineJob, paths: RunPaths) -> Path:
    """Where the record lies: its name says all that it depends on."""
    info = corpus.info
    order: str = job.order
    if order == "shuffled":
        leak = f"-leak{info.leak_fraction:g}" if info.leak_fraction else ""
        order = f"shuffle{info.shuffle_seed}-block{info.block_bytes}{leak}"
    chunk = "whole" if job.chunk_bytes is None else f"chunk{job.chunk_bytes}"
    order += "-deduplicated" if info.deduplicated_bytes is not None else ""
    name = f"{info.sha256[:8]}-held{info.heldout_bytes}-{order}-{short_bytes(job.subset_bytes)}-{job.coder}-{chunk}"
    return paths.baselines / f"{name}.json"


def run_baseline(corpus: Corpus, job: BaselineJob, paths: RunPaths) -> BaselineRecord:
    """The record of a job: the one on disk, else a new one."""
    path = baseline_path(corpus, job, paths)
    if path.exists():
        return read_baseline(path)
    require_records_folder(paths.root)
    record = measure(corpus, job)
    corpus.check_unchanged()
    write_record(record, path)
    return record


def measure(corpus: Corpus, job: BaselineJob) -> BaselineRecord:
    """Really compress: the whole subset at once, or a sample of its chunks one by one."""
    corpus.require(job.subset_bytes)
    view = corpus.train if job.order == "shuffled" else corpus.source_train
    coder = get_compressor(job.coder, job.chunk_bytes)
    pieces = pieces_of(view, job)
    started = time.perf_counter()
    compressed_bytes = sum(len(coder.compress(piece)) for piece in pieces)
    seconds = time.perf_counter() - started
    return BaselineRecord(
        coder=job.coder,
        settings=coder.settings,
        # What leaks into subsets changes nothing in the source's own order.
        corpus=corpus.info if job.order == "shuffled" else replace(corpus.info, leak_fraction=0.0),
        subset_bytes=job.subset_bytes,
        order=job.order,
        chunk_bytes=job.chunk_bytes,
        sample_bytes=sum(map(len, pieces)),
        n_chunks=len(pieces),
        compressed_bytes=compressed_bytes,
        header_bytes=len(coder.compress(b"")),
        seconds=round(seconds, 6),
        version=coder.version,
        decoder_bytes=REGISTRY[job.coder].decoder_bytes,
        plugin_sha256=REGISTRY.plugin_of(job.coder),
    )


def pieces_of(view: Readable, job: BaselineJob) -> list[bytes]:
    """The subset, or evenly spread whole chunks of it, 256 KiB in all at the most (the last one may be partial)."""
    if job.chunk_bytes is None:
        return [view.read(0, job.subset_bytes).tobytes()]
    n_chunks = -(-job.subset_bytes // job.chunk_bytes)
    n_sample = min(n_chunks, max(1, CHUNKED_SAMPLE_BYTES // job.chunk_bytes))
    # The last of a sample is the one before the last chunk, unless all are taken: a partial chunk is not typical.
    n_typical = n_chunks if n_sample == n_chunks else max(1, job.subset_bytes // job.chunk_bytes)
    chosen = np.linspace(0, n_typical - 1, n_sample).astype(np.int64) * job.chunk_bytes
    return [view.read(s, min(s + job.chunk_bytes, job.subset_bytes)).tobytes() for s in chosen.tolist()]
