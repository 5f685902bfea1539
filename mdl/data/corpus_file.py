"""The file of a corpus: what of it is used, all or what stands there for the first time, and how much is copies.

Either question takes a pass over the file, so its answer is noted in the cache, under the file's hash.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mdl.data.byte_view import ByteView, Offsets
from mdl.data.duplicate_bytes import Part, copied_bytes, first_copies
from mdl.data.sources.base import Source
from mdl.data.split import Pieces, joined, ranges_of
from mdl.storage import FileBytes, Progress, note, noted

_MOMENT_SECONDS = 2.0
_FORMAT = 1  # of what is noted: another where chunks are cut otherwise


@dataclass(frozen=True, kw_only=True)
class CorpusFile:
    """A source's file, opened and hashed, and the pieces of it that are the corpus, one after another."""

    source: Source
    raw: FileBytes
    sha256: str
    cache: Path
    pieces: Pieces
    starts: Offsets  # where documents begin in the join of the pieces

    @staticmethod
    def open(source: Source, cache: Path) -> CorpusFile:
        """All of the file; MdlError where it cannot be read."""
        raw = FileBytes(source.path)
        pieces = np.array([0]), np.array([raw.size])
        starts = starts_within(pieces, source.starts)
        return CorpusFile(source=source, raw=raw, sha256=raw.sha256(cache), cache=cache, pieces=pieces, starts=starts)

    @property
    def size(self) -> int:
        """Bytes of the pieces."""
        return int(self.pieces[1].sum())

    def deduplicated(self, progress: Progress | None) -> CorpusFile:
        """What stands in it for the first time, in its order."""
        if not self.size:
            return self

        def find() -> list[list[int]]:
            return [each.tolist() for each in joined(*first_copies(self._part(self.pieces), _tell(self, progress)))]

        starts, lengths = (np.array(each, np.int64) for each in self._noted("first copies", list, find))
        return replace(self, pieces=(starts, lengths), starts=starts_within((starts, lengths), self.source.starts))

    def copied_bytes(self, train: Pieces, heldout: Pieces, progress: Progress | None) -> int:
        """How many of the held-out bytes also stand in the training part, pieces of the join both."""

        def find() -> int:
            return copied_bytes(self._part(heldout), self._part(train), _tell(self, progress))

        return int(self._noted(f"copied {_digest(*self.pieces, *heldout)}", int, find))

    def on_file(self, part: Pieces) -> Pieces:
        """Where pieces of the join lie in the file."""
        return ranges_of(self.pieces, part[0], part[0] + part[1])

    def _part(self, part: Pieces) -> Part:
        return Part(ByteView(self.raw, *self.on_file(part)), starts_within(part, self.starts), self.source.unit_bytes)

    def _noted(self, what: str, kind: type, find: Callable[[], Any]) -> Any:
        key = f"{_FORMAT}|{self.sha256}|{_digest(self.source.starts)}|{self.source.unit_bytes}|{what}"
        known = noted(self.cache, "copies", key)
        if not isinstance(known, kind):
            known = find()
            if not self.raw.other_than(self.sha256):
                note(self.cache, "copies", key, known)
        return known


def starts_within(pieces: Pieces, starts: Offsets) -> Offsets:
    """Where documents that begin at `starts` begin in the join of some pieces; what has nothing there is left out."""
    ends = np.cumsum(pieces[1])
    of = np.searchsorted(pieces[0], starts, side="right") - 1
    before = np.where(of < 0, 0, ends[of] - pieces[1][of])
    found = np.unique(before + np.clip(starts - pieces[0][of], 0, pieces[1][of]))
    within: Offsets = found[found < ends[-1]]
    return within


def _tell(file: CorpusFile, progress: Progress | None) -> Callable[[int], None]:
    """Tells of what takes more than a moment."""
    started = time.monotonic()

    def tell(done: int) -> None:
        if progress and time.monotonic() - started > _MOMENT_SECONDS:
            progress(f"looking for copies in {file.source.path.name}", done, file.size)

    return tell


def _digest(*arrays: Offsets) -> str:
    return hashlib.sha256(b"|".join(np.ascontiguousarray(each, "<i8").tobytes() for each in arrays)).hexdigest()[:16]
