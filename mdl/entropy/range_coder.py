"""From logits to bits and back, on integers only, so that the same logits give the same stream on every machine.

A logit is rounded to a grid of step `GRID`; from there on all arithmetic is integer or table look-up (the exponential
table is made in decimal arithmetic, never by a machine's libm), and constriction's range coder does the rest.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError
from mdl.units import VOCABULARY

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

GRID = 2.0**-6

# constriction adds one to each of 256 counts and works with 24 bits: counts of this sum are taken as they are.
TOTAL = 2**24 - VOCABULARY
_TABLE_BITS = 30


@cache
def exponential_table(step: float = GRID) -> Ints:
    """floor(2^30 · exp(−j · step)) for j = 0, 1, … down to 0, exactly."""
    values: list[int] = []
    j = 0
    while not values or values[-1] > 0:
        values.append(int((1 << _TABLE_BITS) * (-j * Decimal(step)).exp()))
        j += 1
    return np.array(values, dtype=np.int64)


def to_grid(logits: Floats) -> Ints:
    """The nearest grid point of every logit, in steps of GRID; MdlError where a logit is not finite or is over 2^40."""
    if not np.all(np.abs(logits) < 2.0**40):
        raise MdlError("the model's logits are not finite; it cannot code anything (a failed training run?)")
    nearest: Ints = np.rint(logits / GRID).astype(np.int64)
    return nearest


def counts(grid_logits: Ints) -> Ints:
    """Counts (…, 256) ≥ 0 that sum to TOTAL, from integer grid logits (…, 256); each byte has count + 1 of 2^24."""
    table = exponential_table()
    below = grid_logits.max(axis=-1, keepdims=True) - grid_logits
    weights = table[np.minimum(below, len(table) - 1)]
    cumulative = np.cumsum(weights, axis=-1)
    quantiles = cumulative * TOTAL // cumulative[..., -1:]  # below 2^38 · 2^24 = 2^62
    counts: Ints = np.diff(quantiles, axis=-1, prepend=0)
    return counts


def code_bits(byte_counts: Ints, symbols: npt.NDArray[np.uint8]) -> float:
    """Ideal bits of `symbols` (n,) under the tables (n, 256) that the stream uses."""
    chosen = np.take_along_axis(byte_counts, symbols[:, None].astype(np.int64), axis=-1)[:, 0]
    return float(np.sum(24 - np.log2(chosen + 1.0)))


class StreamEncoder:
    """One range-coded stream, written a batch of symbols at a time."""

    def __init__(self) -> None:
        import constriction  # deferred: training and evaluation do not need it

        self._family = constriction.stream.model.Categorical(perfect=False)
        self._encoder = constriction.stream.queue.RangeEncoder()

    def write(self, byte_counts: Ints, symbols: npt.NDArray[np.uint8]) -> None:
        """Append `symbols` (n,) under their tables (n, 256)."""
        self._encoder.encode(symbols.astype(np.int32), self._family, byte_counts.astype(np.float64))

    def write_intervals(self, left: Ints, width: Ints) -> None:
        """The same stream as `write`, from where each table puts its symbol: [left, left + width) of 2^24, (n,) each.

        A table of three symbols stands for the one of 256: what is below, the symbol, what is above. A symbol at
        either end of the range has nothing on that side, and two on the other.
        """
        above = (1 << 24) - left - width
        first, last = left == 0, above == 0
        both = first & last
        if np.any(width < 1) or np.any(left < 0) or np.any(above < 0) or np.any(both):
            raise MdlError("a coded interval must be a proper part of [0, 2^24)")
        inner = ~(first | last)
        half = np.where(first, above, left) // 2
        sizes = [
            np.where(inner, left, np.where(first, width, half)),
            np.where(inner, width, np.where(first, half, left - half)),
            np.where(inner, above, np.where(first, above - half, width)),
        ]
        symbols = np.where(inner, 1, np.where(first, 0, 2)).astype(np.int32)
        self._encoder.encode(symbols, self._family, (np.stack(sizes, axis=-1) - 1).astype(np.float64))

    def finish(self) -> bytes:
        """The whole stream, 32-bit words in little-endian order."""
        words: npt.NDArray[np.uint32] = self._encoder.get_compressed()
        return words.astype("<u4").tobytes()


class StreamDecoder:
    """Reads what StreamEncoder wrote, given the same tables in the same order."""

    def __init__(self, stream: bytes) -> None:
        import constriction

        if len(stream) % 4:
            raise MdlError(f"a coded stream is made of 4-byte words, got {len(stream)} bytes; it is cut short")
        self._family = constriction.stream.model.Categorical(perfect=False)
        self._decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(stream, "<u4").astype(np.uint32))

    def read(self, byte_counts: Ints | npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        """The next n bytes, one a table (n, 256) of whole numbers."""
        return self.read_symbols(byte_counts).astype(np.uint8)

    def read_symbols(self, counts: Ints | npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """The next n symbols, one a table (n, V) of whole numbers that sum to 2^24 − V."""
        try:
            symbols = self._decoder.decode(self._family, counts.astype(np.float64, copy=False))
        except AssertionError:
            raise MdlError("the coded stream is damaged, or the model is not the one that wrote it") from None
        return np.asarray(symbols, np.int32)
