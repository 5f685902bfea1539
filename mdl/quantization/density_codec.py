"""Whole numbers coded by a density of the weights that they stand for: the code of weights trained for their total.

A matrix (in, out) is numbers times a step for each row, a column here; a step is 2^(k/4). All weights of a matrix have
one density, a mixture of two logistic ones around 0, so that a number n of a row of step s has the probability
of [(n − ½)s, (n + ½)s), and the largest number that of all beyond. A row of zeros is said to be one, and costs nothing
else. Nothing adapts: what a number costs does not depend on the others, so that training can weigh it.

Coded form of numbers of p bits, the largest 2^(p − 1) − 1, little-endian:

    size  what
    7·n   of every matrix: a step's middle (int16), the narrow and the wide logistic's width (int16 each), all three in
          quarters of an octave; the wide one's share, in 256ths (uint8)
    8     lengths of what comes next, and after that (uint32 each)
    ...   zlib: a bit for every row of all matrices, 1: it is one of zeros; high bit first
    ...   `integer_codec`: of every matrix a line of its other rows' steps, less their middle
    ...   numbers of all other rows, matrix by matrix, row by row (`range_coder`)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

import numpy as np
import numpy.typing as npt

from mdl.entropy import StreamDecoder, StreamEncoder, integer_codec
from mdl.errors import MdlError

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

STEPS_AN_OCTAVE = 4
MOST_STEP = 160  # steps are within 2^±40
LEAST_BITS, MOST_BITS = 2, 8

# 2^(j/4) in float32.
_OCTAVE = (1.0, 1.1892070770263672, 1.4142135381698608, 1.6817928552627563)
_MATRIX = struct.Struct("<hhhB")
_LENGTHS = struct.Struct("<II")
_TAIL_BITS = 30
_DAMAGED = "the coded weights are damaged"
_SYMBOLS_A_CALL = 1 << 15
_FAR = 40  # widths; less than one part in 2^30 lies beyond


@dataclass(frozen=True, kw_only=True)
class DensityForm:
    """A matrix W (in, out) as `numbers` (in, out) · 2^(`steps` (out,) / 4), and the density of W."""

    numbers: Ints
    steps: Ints
    narrow: int
    """Width of the narrow logistic, quarters of an octave."""
    wide: int
    wide_share: int
    """Of the mixture, in 256ths."""

    def dequantised(self) -> Floats:
        """W in float32, every weight rounded once."""
        weights: Floats = self.numbers.astype(np.float32) * step_sizes()[self.steps + MOST_STEP]
        return weights


@cache
def step_sizes() -> Floats:
    """2^(k/4) for k of −MOST_STEP to MOST_STEP, the same float32 everywhere."""
    k = np.arange(-MOST_STEP, MOST_STEP + 1)
    return np.ldexp(np.array(_OCTAVE, np.float32)[k % STEPS_AN_OCTAVE], k // STEPS_AN_OCTAVE).astype(np.float32)


def most_number(bits: int) -> int:
    """The largest number of so many bits; the least is its negative."""
    return (1 << bits - 1) - 1


def bits_of(matrices: Sequence[Ints]) -> int:
    """The fewest that hold every number; MdlError where 8 do not."""
    largest = max(int(np.abs(numbers).max()) for numbers in matrices)
    bits = max(LEAST_BITS, largest.bit_length() + 1)
    if bits > MOST_BITS:
        raise MdlError(f"weights trained for their total have numbers of {MOST_BITS} bits at most, got {largest}")
    return bits


def encode(forms: Sequence[DensityForm]) -> bytes:
    """The coded form; MdlError for numbers or steps that it does not have."""
    bits = bits_of([form.numbers for form in forms])
    if any(np.abs(form.steps).max() > MOST_STEP for form in forms):
        raise MdlError("a step of trained weights is out of range")
    zeros, lines, heads, encoder = [], [], [], StreamEncoder()
    for form in forms:
        dead = np.equal(np.abs(form.numbers).sum(axis=0), 0)
        living = form.steps[~dead]
        middle = int(np.sort(living)[living.size // 2]) if living.size else 0
        zeros.append(dead)
        lines += [living[None] - middle] if living.size else []
        heads.append(_MATRIX.pack(middle, form.narrow, form.wide, form.wide_share))
        for step, rows in _by_step(form.steps, ~dead):
            left, width = _intervals(_counts(form, step, bits))
            symbols = form.numbers[:, rows].T.reshape(-1) + most_number(bits)
            encoder.write_intervals(left[symbols], width[symbols])
    told = [zlib.compress(np.packbits(np.concatenate(zeros)).tobytes(), 9), integer_codec.encode(lines)]
    lengths = _LENGTHS.pack(len(told[0]), len(told[1]))
    return b"".join([*heads, lengths, *told, encoder.finish()])


def tables_bytes(content: bytes, n_matrices: int) -> int:
    """How much of a coded form is not numbers."""
    start = _MATRIX.size * n_matrices
    return int(start + _LENGTHS.size + sum(_LENGTHS.unpack_from(content, start)))


def decode(bits: int, content: bytes, shapes: Mapping[str, tuple[int, int]]) -> dict[str, Floats]:
    """The matrices (in, out) of these shapes by name, numbers of so many bits; MdlError for what `encode` makes not."""
    end = _MATRIX.size * len(shapes) + _LENGTHS.size
    if len(content) < end or (end := tables_bytes(content, len(shapes))) > len(content):
        raise MdlError(_DAMAGED)
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise MdlError(_DAMAGED)
    decoder, found = StreamDecoder(content[end:]), {}
    for (name, (n_in, _)), (form, living) in zip(shapes.items(), _tables(content[:end], shapes), strict=True):
        for step, rows in _by_step(form.steps, living):
            numbers = _read(decoder, _counts(form, step, bits), n_in * rows.size) - most_number(bits)
            form.numbers[:, rows] = numbers.reshape(-1, n_in).T
        found[name] = form.dequantised()
    return found


def _tables(content: bytes, shapes: Mapping[str, tuple[int, int]]) -> list[tuple[DensityForm, npt.NDArray[np.bool_]]]:
    """Of every matrix all but its numbers, which are 0, and which rows have any."""
    start, widths = _MATRIX.size * len(shapes), [n_out for _, n_out in shapes.values()]
    n_zeros, _ = _LENGTHS.unpack_from(content, start)
    zeros_at = start + _LENGTHS.size
    zeros = _bits(content[zeros_at : zeros_at + n_zeros], sum(widths))
    living = [np.equal(own, 0) for own in np.split(zeros, np.cumsum(widths)[:-1])]
    sizes = [(1, int(own.sum())) for own in living if own.any()]
    lines = iter(integer_codec.decode(content[zeros_at + n_zeros :], sizes))
    found = []
    for i, size in enumerate(shapes.values()):
        middle, narrow, wide, share = _MATRIX.unpack_from(content, _MATRIX.size * i)
        steps = np.zeros(size[1], np.int64)
        if living[i].any():
            steps[living[i]] = next(lines)[0] + middle
        if max(abs(narrow), abs(wide), np.abs(steps).max()) > MOST_STEP:
            raise MdlError(_DAMAGED)
        numbers = np.zeros(size, np.int64)
        form = DensityForm(numbers=numbers, steps=steps, narrow=narrow, wide=wide, wide_share=share)
        found.append((form, living[i]))
    return found


def _bits(form: bytes, n: int) -> npt.NDArray[np.uint8]:
    """So many bits; MdlError where these are not what was packed."""
    n_bytes, unpacker = -(-n // 8), zlib.decompressobj()
    try:
        packed = unpacker.decompress(form, n_bytes + 1)
    except zlib.error:
        packed = b""
    if len(packed) != n_bytes:
        raise MdlError(_DAMAGED)
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=n)


def _by_step(steps: Ints, living: npt.NDArray[np.bool_]) -> list[tuple[int, Ints]]:
    """Every step, ascending, and the living rows that have it."""
    return [(int(step), np.flatnonzero(living & (steps == step))) for step in np.unique(steps[living])]


def _read(decoder: StreamDecoder, table: Ints, n: int) -> Ints:
    sizes = [min(_SYMBOLS_A_CALL, n - first) for first in range(0, n, _SYMBOLS_A_CALL)]
    parts = [decoder.read_symbols(np.tile(table, (size, 1))) for size in sizes]
    return np.concatenate(parts).astype(np.int64)


def _counts(form: DensityForm, step: int, bits: int) -> Ints:
    """Of a row of that step, a count for every number from the least on; with one more each they make 2^24."""
    narrow, wide = _tails(step - form.narrow), _tails(step - form.wide)
    tails = ((256 - form.wide_share) * narrow + form.wide_share * wide)[1 : most_number(bits) + 1]
    above = np.append(tails[:-1] - tails[1:], tails[-1:])  # of 1, 2, … the largest
    weights = np.concatenate([above[::-1], [(256 << _TAIL_BITS) - 2 * tails[0]], above])
    cumulative = np.cumsum(weights)
    quantiles = cumulative * ((1 << 24) - weights.size) // cumulative[-1]
    counts: Ints = np.diff(quantiles, prepend=0)
    return counts


@cache
def _tails(finer: int) -> Ints:
    """2^30 times a logistic's probability of n − ½ and more, n = 0 … 128, rounded down, in decimal arithmetic.

    Of width 1, where numbers are 2^(`finer` / 4) apart.
    """
    apart = (Decimal(finer) / STEPS_AN_OCTAVE * Decimal(2).ln()).exp()
    sizes = [(2 * n - 1) * apart / 2 for n in range(most_number(MOST_BITS) + 2)]
    tails = [0 if x > _FAR else int((1 << _TAIL_BITS) / (1 + x.exp())) for x in sizes]
    return np.array(tails, np.int64)


def _intervals(counts: Ints) -> tuple[Ints, Ints]:
    """Where each symbol's interval of 2^24 begins, and its width."""
    width = counts + 1
    return np.cumsum(width) - width, width
