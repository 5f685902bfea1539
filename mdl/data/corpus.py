"""A corpus as a byte array read from its file: shuffled in blocks, its subsets nested prefixes, a part held out.

The order is fixed by the shuffle seed before any result. D₁ ⊂ D₂ because every subset is a prefix; no subset touches
the held-out part: whole documents where there are several, else a contiguous tail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mdl.data.byte_view import ByteView
from mdl.data.corpus_file import CorpusFile
from mdl.data.sources.registry import open_source
from mdl.data.spec import CorpusSpec
from mdl.data.split import check_units, n_heldout_bytes, set_aside, shuffled
from mdl.errors import MdlError
from mdl.records import CorpusInfo, RunPaths, read_manifest
from mdl.storage import ChangedError, FileBytes, Progress, cache_folder


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What is trained on and coded, and the record of which bytes it is."""

    info: CorpusInfo
    spec: CorpusSpec  # as asked for, and how many bytes were to be held out where that was left open
    train: ByteView  # shuffled
    heldout: ByteView  # in the order of the source
    source_train: ByteView  # the training part in the order of the source, for coders that mind a shuffle
    file: FileBytes  # all of it
    n_documents: int = 1
    read: str = ""  # for people: what was read, and what bytes it became; empty: one file's bytes as they lie

    def require(self, subset_bytes: int) -> None:
        """MdlError with both numbers where a subset would be larger than the training part."""
        if subset_bytes > len(self.train):
            raise MdlError(
                f"subset_bytes {subset_bytes:,} is more than the {len(self.train):,} training bytes of corpus "
                f"'{self.info.source}' ({self.info.size_bytes:,} in all, {len(self.heldout):,} held out"
                + (f", {self.info.deduplicated_bytes:,} left out as copies" if self.info.deduplicated_bytes else "")
                + "); ask for less"
            )

    def check_unchanged(self) -> None:
        """ChangedError where its file holds other bytes than `info` says: before anything made from it is saved."""
        if found := self.file.other_than(self.info.sha256):
            raise ChangedError(
                f"corpus '{self.info.source}' is not what it was when it was opened ({found}, was "
                f"{self.info.sha256[:12]}…); bring the old bytes back"
            )

    def require_as_in(self, paths: RunPaths) -> None:
        """ChangedError where the sweep of that folder was begun with other bytes of this name."""
        info = self.info
        before = read_manifest(paths).get("corpora", {}).get(info.source, info.sha256)
        if before != info.sha256:
            raise ChangedError(
                f"corpus '{info.source}' is not what {paths.root} was made from (sha256 {info.sha256[:12]}…, was "
                f"{before[:12]}…); bring the old bytes back, or use another --runs"
            )


def open_corpus(
    spec: CorpusSpec,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    *,
    most_heldout_bytes: int | None = None,
) -> Corpus:
    """Open the bytes, set a part aside, shuffle the rest; MdlError where the corpus is missing or too small.

    Copies of the held-out part in the rest are counted, at the first opening. `most_heldout_bytes`: at most so many
    are to be held out where `spec` leaves it open.
    """
    if spec.block_bytes < 1 or not 0 <= spec.shuffle_seed < 1 << 64:
        raise MdlError(f"block_bytes must be at least 1 and shuffle_seed in [0, 2^64), got {spec}")
    cache = cache_dir or cache_folder()
    source = open_source(spec.source, cache, progress)
    file = CorpusFile.open(source, cache)
    if spec.deduplicate:
        file = file.deduplicated(progress)
    check_units(spec, source.unit_bytes, file.size)
    n_heldout = n_heldout_bytes(spec, file.size, source.unit_bytes)
    if spec.heldout_bytes is None and most_heldout_bytes is not None:
        n_heldout = min(n_heldout, most_heldout_bytes)
    n_heldout += -n_heldout % source.unit_bytes  # then what is left to train on is whole units
    parts = set_aside(file.starts, file.size, n_heldout)
    train, heldout = map(file.on_file, parts)
    order = shuffled(train, heldout, spec)
    info = CorpusInfo(
        source=spec.source,
        modality=source.modality,
        size_bytes=file.raw.size,
        sha256=file.sha256,
        block_bytes=spec.block_bytes,
        shuffle_seed=spec.shuffle_seed,
        train_bytes=int(train[1].sum()),
        heldout_bytes=int(heldout[1].sum()),
        leak_fraction=spec.leak_fraction,
        heldout_copied_bytes=file.copied_bytes(*parts, progress),
        deduplicated_bytes=file.raw.size - file.size if spec.deduplicate else None,
    )
    raw = file.raw
    return Corpus(
        info=info,
        spec=replace(spec, heldout_bytes=n_heldout),
        train=ByteView(raw, *order),
        heldout=ByteView(raw, *heldout),
        source_train=ByteView(raw, *train),
        file=raw,
        n_documents=file.starts.size,
        read=source.read,
    )


def open_whole(source: str, progress: Progress | None = None) -> Corpus:
    """All bytes of a corpus in their own order: one block, so that no shuffle moves it, and nothing held out."""
    cache = cache_folder()
    opened = open_source(source, cache, progress)
    file = CorpusFile.open(opened, cache)
    raw, size = file.raw, file.size
    if not size:
        raise MdlError(f"corpus '{source}' is empty; there is nothing to code")
    info = CorpusInfo(
        source=source,
        modality=opened.modality,
        size_bytes=size,
        sha256=file.sha256,
        block_bytes=size,
        shuffle_seed=0,
        train_bytes=size,
        heldout_bytes=0,
    )
    none, whole = np.empty(0, np.int64), ByteView(raw, *file.pieces)
    return Corpus(
        info=info,
        spec=CorpusSpec(source=source, block_bytes=size, heldout_bytes=0),
        train=whole,
        heldout=ByteView(raw, none, none),
        source_train=whole,
        file=raw,
    )
