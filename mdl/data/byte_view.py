"""Bytes of a file in an order of pieces, read only where they are asked for."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from mdl.storage import FileBytes

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

_AT_ONCE = 1 << 24  # bytes read together


class ByteView:
    """Bytes of a file in an order of pieces. Nothing is read before it is asked for."""

    def __init__(self, raw: Bytes | FileBytes, piece_starts: Offsets, piece_bytes: Offsets) -> None:
        """Piece i of the view is `raw[piece_starts[i] : piece_starts[i] + piece_bytes[i]]`."""
        self._raw = raw
        self._starts = np.zeros(piece_bytes.size + 1, np.int64)  # in the view, and its end
        np.cumsum(piece_bytes, out=self._starts[1:])
        # From an offset in the view to the offset in the file, for every piece.
        self._shift = piece_starts - self._starts[:-1]

    @classmethod
    def whole(cls, raw: Bytes) -> Self:
        """All of it, as it lies."""
        return cls(raw, np.zeros(1, np.int64), np.array([raw.size]))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, start: int, end: int) -> Bytes:
        """Bytes [start, end), (end − start,)."""
        self._check(start, end)
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, end, side="left"))
        if last - first == 1:
            shift = int(self._shift[first])
            return self._raw[start + shift : end + shift]
        pieces = range(first, last)
        low = [max(start, int(self._starts[i])) + int(self._shift[i]) for i in pieces]
        high = [min(end, int(self._starts[i + 1])) + int(self._shift[i]) for i in pieces]
        return np.concatenate([np.empty(0, np.uint8), *(self._raw[a:b] for a, b in zip(low, high, strict=True))])

    def gather(self, starts: Offsets, length: int) -> Bytes:
        """Rows (n, length) from the given offsets; a row may cross pieces."""
        rows = np.empty((starts.size, length), np.uint8)
        for row, start in zip(rows, starts.tolist(), strict=True):
            row[:] = self.read(start, start + length)
        return rows

    def _check(self, start: int, end: int) -> None:
        if not 0 <= start <= end <= len(self):
            raise IndexError(f"bytes [{start}, {end}) of a view of {len(self)} bytes")


def count_values(view: ByteView, end: int) -> int:
    """How many of the 256 byte values occur in bytes [0, end)."""
    seen = np.zeros(256, bool)
    for start in range(0, end, _AT_ONCE):
        seen[view.read(start, min(start + _AT_ONCE, end))] = True
        if seen.all():
            break
    return int(seen.sum())
