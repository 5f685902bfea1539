"""What of a corpus file is used, all of it or what stands there for the first time, and what is known of its copies.

Both take a pass over the file, so what is found is noted in the cache, under the file's hash.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdl.data.byte_view import ByteView, Offsets
from mdl.data.copies import Part, copied_bytes, first_copies
from mdl.data.sources.base import Source
from mdl.data.split import Pieces, joined, ranges_of
from mdl.storage import FileBytes, Progress, note, noted

_MOMENT_SECONDS = 2.0
_FORMAT = 1  # of what is noted: another where chunks are cut otherwise


@dataclass(frozen=True, kw_only=True)
class WholeFile:
    """A source's file, opened and hashed."""

    source: Source
    raw: FileBytes
    sha256: str
    cache: Path

    @staticmethod
    def open(source: Source, cache: Path) -> WholeFile:
        """MdlError for a file that cannot be read."""
        raw = FileBytes(source.path)
        return WholeFile(source=source, raw=raw, sha256=raw.sha256(cache), cache=cache)

    def all(self) -> Pieces:
        """All of the file, as one piece."""
        return np.array([0]), np.array([self.raw.size])

    def first_copies(self, progress: Progress | None) -> Pieces:
        """What of the file stands there for the first time, in its order."""

        if not self.raw.size:
            return self.all()

        def find() -> list[list[int]]:
            starts, lengths = first_copies(self._part(self.all(), self.source.starts), self._tell(progress))
            return [offsets.tolist() for offsets in joined(starts, lengths)]

        starts, lengths = self._noted("first copies", find)
        return np.array(starts, np.int64), np.array(lengths, np.int64)

    def copied_bytes(
        self, kept: Pieces, starts: Offsets, parts: tuple[Pieces, Pieces], progress: Progress | None
    ) -> int:
        """How many of the held-out bytes also stand in the training part, of the join of `kept` cut into these `parts`.

        `starts`: where documents begin in the join.
        """

        def find() -> int:
            train, heldout = (self._part(pieces, starts, kept) for pieces in parts)
            return copied_bytes(heldout, train, self._tell(progress))

        return int(self._noted(f"copied {_digest(*kept, starts, *parts[1])}", find))

    def on_file(self, pieces: Pieces, kept: Pieces) -> Pieces:
        """Where pieces of the join of `kept` lie in the file."""
        return ranges_of(kept, pieces[0], pieces[0] + pieces[1])

    def _part(self, pieces: Pieces, starts: Offsets, kept: Pieces | None = None) -> Part:
        view = ByteView(self.raw, *(self.on_file(pieces, kept) if kept else pieces))
        return Part(view, starts_within(pieces, starts), self.source.unit_bytes)

    def _noted(self, what: str, find: Callable[[], Any]) -> Any:
        key = f"{_FORMAT}|{self.sha256}|{_digest(self.source.starts)}|{self.source.unit_bytes}|{what}"
        value = noted(self.cache, "copies", key)
        if value is None:
            value = find()
            if not self.raw.other_than(self.sha256):
                note(self.cache, "copies", key, value)
        return value

    def _tell(self, progress: Progress | None) -> Callable[[int], None]:
        """Tells of what takes more than a moment."""
        started = time.monotonic()

        def tell(done: int) -> None:
            if progress and time.monotonic() - started > _MOMENT_SECONDS:
                progress("looking for copies", done, self.raw.size)

        return tell


def starts_within(pieces: Pieces, starts: Offsets) -> Offsets:
    """Where documents begin in the join of some pieces; those that have nothing there begin nowhere."""
    ends = np.cumsum(pieces[1])
    piece = np.searchsorted(pieces[0], starts, side="right") - 1
    before = np.where(piece < 0, 0, ends[piece] - pieces[1][piece])
    positions = np.unique(before + np.clip(starts - pieces[0][piece], 0, pieces[1][piece]))
    within: Offsets = positions[positions < ends[-1]]
    return within


def _digest(*arrays: Offsets) -> str:
    return hashlib.sha256(b"|".join(np.ascontiguousarray(array, "<i8").tobytes() for array in arrays)).hexdigest()[:16]
