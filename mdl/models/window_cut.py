"""How bytes are cut into windows of the context, side by side or overlapping.

Side by side, each window counts all of its bytes. With a stride S below the context T a window begins every S bytes:
the first one counts all of its bytes, every other one its last S, and what stands before these is context. Where a byte
is counted does not depend on where the data end, so the code of a prefix is a part of the code of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mdl.data import Readable


@dataclass(frozen=True)
class WindowCut:
    """Windows of `context` bytes (T), one every `stride` bytes (S), of 1 to T; S = T: side by side."""

    context: int
    stride: int

    def n_counted(self, first: int) -> int:
        """Bytes that a window counts whose first counted one is at `first`, an edge."""
        return self.stride if first else self.context

    def start(self, first: int) -> int:
        """Where the window begins whose first counted byte is at `first`, an edge."""
        return first + self.n_counted(first) - self.context

    def edge(self, end: int) -> int:
        """Where the last window begins to count that begins to at or before `end`."""
        return self.context + (end - self.context) // self.stride * self.stride if end >= self.context else 0

    def next_edges(self, first: int, n_windows: int) -> int:
        """Where `n_windows` windows from the edge `first` on have counted to; one alone at the beginning of many."""
        if first or self.stride == self.context:
            return first + n_windows * self.stride
        return self.context

    def read(self, view: Readable, first: int, last: int) -> npt.NDArray[Any]:
        """The windows (n, T) that count [first, last) of a view, from an edge on.

        Filled up with zeros behind: what follows a byte does not change its probability.
        """
        n_counted = self.n_counted(first)
        data = view.read(self.start(first), last)
        padded = np.zeros((-(-(last - first) // n_counted) - 1) * n_counted + self.context, data.dtype)
        padded[: data.size] = data
        return np.lib.stride_tricks.sliding_window_view(padded, self.context)[::n_counted].copy()

    def begins(self, t: int) -> bool:
        """Whether a window other than the first one begins to count at `t`."""
        return t >= self.context and (t - self.context) % self.stride == 0

    def spans(self, end: int) -> Iterator[tuple[int, int, int]]:
        """Every window of `end` bytes: where it begins, where it begins to count, and where it ends."""
        first, last = 0, min(self.context, end)
        while first < end:
            yield self.start(first), first, last
            first, last = last, min(last + self.stride, end)

    def counts(self, end: int) -> npt.NDArray[np.int64]:
        """How many of the first `end` bytes are counted at each place (T,) of their window."""
        n_rest, S = max(0, end - self.context), self.stride
        found = (np.arange(self.context) < end).astype(np.int64)
        found[self.context - S :] += n_rest // S + (np.arange(S) < n_rest % S)
        return found
