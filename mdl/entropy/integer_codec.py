"""Matrices of whole numbers as bits: an adaptive code for quantised weights, on integers only.

A matrix (lines, units) is coded line by line, all units of a line at once. How large a number is likely to be is
estimated, for every unit, from its numbers in the lines before; the estimate, in quarters of an octave, chooses a
table, which begins as a rounded bell curve of that width and learns from what it codes. Numbers far wider than the
tables are cut: their low bits, which are as good as random, go raw into a list of their own, and so do the few numbers
that are out of all proportion.

Coded form, little-endian: the stream's length (4 bytes) and the number of listed numbers (4); the stream
(`range_coder`); the listed numbers, 4 bytes each; the low bits, high bit first, the last byte filled up with zeros.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from decimal import Decimal
from functools import cache

import numpy as np
import numpy.typing as npt

from mdl.entropy.range_coder import TOTAL, StreamDecoder, StreamEncoder
from mdl.errors import MdlError
from mdl.units import VOCABULARY

Ints = npt.NDArray[np.int64]

MOST = 2**31 - 1  # of a number's magnitude
_MIDDLE, _ESCAPE = 127, 255  # symbol of 0; symbol of a number that stands in the list
_STEPS = 4  # classes an octave
_N_CLASSES = 33  # mean magnitudes of 1/16 to 16
_UNIT = 256  # estimates are in steps of 1/256
_START = 4 * _UNIT  # estimate before anything is known
_OWN_WEIGHT = 2  # how many numbers the common estimate counts for beside a unit's own
_TAIL = 32
_PRIOR_COUNTS = 1000  # how many numbers a table's first curve counts for


@cache
def _bounds() -> Ints:
    """Upper ends of the classes' estimates, in steps of 1/_UNIT: quarters of an octave from 1/16, rounded down."""
    ends = [int(_UNIT * Decimal(2) ** (Decimal(2 * c + 1) / (2 * _STEPS) - 4)) for c in range(_N_CLASSES - 1)]
    return np.array(ends, np.int64)


@cache
def _curves() -> Ints:
    """First counts (classes, 256): a bell curve of each class's mean magnitude, its tail never empty."""
    rows = np.ones((_N_CLASSES, VOCABULARY), np.int64)
    for c in range(_N_CLASSES):
        width = max(Decimal(2) ** (Decimal(c) / _STEPS - 4) * Decimal("1.25"), Decimal("0.3"))
        half = [_height(Decimal(x) / width) for x in range(_MIDDLE + 1)]
        row = np.array(half[:0:-1] + half, np.int64)
        rows[c, : row.size] += row * (_PRIOR_COUNTS << 12) // row.sum()
    return rows


def _height(x: Decimal) -> int:
    """Of a bell curve with one part in _TAIL of a wider, exponential one."""
    return int(2**24 * ((-x * x / 2).exp() + (-x).exp() / _TAIL))


class _Model:
    """What encoder and decoder both know before a line: which table and how many raw low bits each unit takes."""

    def __init__(self) -> None:
        self._counts = _curves().copy()
        self._common = _START

    def begin(self, n_units: int) -> None:
        """Begin a matrix: nothing is known of its units yet."""
        self._sums, self._n_lines = np.zeros(n_units, np.int64), 0

    def contexts(self) -> tuple[Ints, Ints]:
        """(class, shift) of every unit."""
        estimate = (self._sums * _UNIT + self._common * _OWN_WEIGHT) // (self._n_lines + _OWN_WEIGHT)
        shift = np.zeros_like(estimate)
        while np.any(large := estimate > 16 * _UNIT):
            estimate, shift = np.where(large, estimate >> 1, estimate), np.where(large, shift + 1, shift)
        return np.searchsorted(_bounds(), estimate, side="left").astype(np.int64), shift

    def tables(self, classes: Ints) -> npt.NDArray[np.float64]:
        """Counts (units, 256) for the decoder, whole numbers."""
        quantiles, row = self._quantiles(classes)
        tables: npt.NDArray[np.float64] = np.diff(quantiles, axis=-1, prepend=0).astype(np.float64)
        return tables[row]

    def intervals(self, classes: Ints, symbols: Ints) -> tuple[Ints, Ints]:
        """Where the same tables put each unit's symbol, (left, width) of 2^24: all that the encoder has to know."""
        quantiles, row = self._quantiles(classes)
        below = np.where(symbols > 0, quantiles[row, symbols - 1], 0)
        return below + symbols, quantiles[row, symbols] - below + 1  # the coder adds one to every count

    def _quantiles(self, classes: Ints) -> tuple[Ints, Ints]:
        """Cumulative counts of TOTAL of the classes in use, and which of these rows is each unit's."""
        used = np.flatnonzero(np.bincount(classes, minlength=_N_CLASSES))
        cumulative = np.cumsum(self._counts[used], axis=-1)
        return cumulative * TOTAL // cumulative[:, -1:], np.searchsorted(used, classes)

    def learn(self, numbers: Ints, classes: Ints, symbols: Ints) -> None:
        """The line has been coded."""
        np.add.at(self._counts, (classes, symbols), 1 << 12)
        magnitudes = np.minimum(np.abs(numbers), 2**24)
        self._sums += magnitudes
        self._n_lines += 1
        total = int(self._sums.sum()) * _UNIT
        self._common = total // (self._n_lines * numbers.size)


def encode(matrices: Sequence[Ints]) -> bytes:
    """Matrices (lines, units) of whole numbers of at most MOST, one after the other, as bytes."""
    model, encoder = _Model(), StreamEncoder()
    low: list[npt.NDArray[np.uint8]] = []
    listed: list[int] = []
    for matrix in matrices:
        if matrix.size and int(np.abs(matrix).max()) > MOST:
            raise MdlError(f"a quantised weight is over {MOST:,}; its row's scale is too fine")
        model.begin(matrix.shape[1])
        for line in matrix.astype(np.int64):
            classes, shift = model.contexts()
            symbols = (line >> shift) + _MIDDLE
            far = (symbols < 0) | (symbols >= _ESCAPE)
            symbols[far] = _ESCAPE
            encoder.write_intervals(*model.intervals(classes, symbols))
            listed += line[far].tolist()
            low.append(_low_bits(line[~far], shift[~far]))
            model.learn(line, classes, symbols)
    stream, raw = encoder.finish(), np.packbits(np.concatenate([np.empty(0, np.uint8), *low])).tobytes()
    return struct.pack("<II", len(stream), len(listed)) + stream + np.array(listed, "<i4").tobytes() + raw


def _low_bits(numbers: Ints, shift: Ints) -> npt.NDArray[np.uint8]:
    """The `shift` low bits of every number, high bit first."""
    which, place = _bit_places(shift)
    return (numbers[which] >> place & 1).astype(np.uint8)


def _bit_places(shift: Ints) -> tuple[Ints, Ints]:
    which = np.repeat(np.arange(shift.size), shift)
    place = np.repeat(np.cumsum(shift), shift) - 1 - np.arange(which.size)
    return which, place


def decode(coded: bytes, shapes: Sequence[tuple[int, int]]) -> list[Ints]:
    """The matrices of these shapes; MdlError where `coded` is not what `encode` made of such."""
    damaged = MdlError("the coded weights are damaged")
    if len(coded) < 8:
        raise damaged
    n_stream, n_listed = struct.unpack_from("<II", coded)
    raw_at = 8 + n_stream + 4 * n_listed
    if raw_at > len(coded):
        raise damaged
    model, decoder = _Model(), StreamDecoder(coded[8 : 8 + n_stream])
    listed = np.frombuffer(coded[8 + n_stream : raw_at], "<i4").astype(np.int64)
    raw = np.unpackbits(np.frombuffer(coded, np.uint8, offset=raw_at))
    matrices, n_bits_read, n_used = [], 0, 0
    for n_lines, n_units in shapes:
        matrix = np.empty((n_lines, n_units), np.int64)
        model.begin(n_units)
        for line in matrix:
            classes, shift = model.contexts()
            symbols = decoder.read(model.tables(classes)).astype(np.int64)
            far = symbols == _ESCAPE
            n_bits, n_far = int(shift[~far].sum()), int(far.sum())
            if n_bits_read + n_bits > raw.size or n_used + n_far > listed.size:
                raise damaged
            line[~far] = (symbols[~far] - _MIDDLE) << shift[~far]
            line[~far] += _from_low_bits(raw[n_bits_read : n_bits_read + n_bits], shift[~far])
            line[far] = listed[n_used : n_used + n_far]
            n_bits_read, n_used = n_bits_read + n_bits, n_used + n_far
            model.learn(line, classes, symbols)
        matrices.append(matrix)
    if n_used != listed.size or not 0 <= raw.size - n_bits_read < 8:
        raise damaged
    return matrices


def _from_low_bits(bits: npt.NDArray[np.uint8], shift: Ints) -> Ints:
    which, place = _bit_places(shift)
    numbers: Ints = np.zeros(shift.size, np.int64)
    np.add.at(numbers, which, bits.astype(np.int64) << place)
    return numbers
