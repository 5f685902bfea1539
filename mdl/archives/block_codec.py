"""A block of bytes to a coded stream and back, with a model.

A block is some windows of the model's context length, coded each by itself but in one stream: first every window's
first byte, then every window's second byte, and so on (*time-major*), so that the decoder steps all windows in
lockstep. Blocks are independent: a decoder takes as many at a time as its memory holds.

Where windows overlap, a longer *stretch* stands for such a window. Whenever its next window begins to count, what of it
is known already is taken in at once by the decoder (`Stepped.prefill`), and its new bytes go step by step.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mdl.archives.format import Block, checked_crc
from mdl.archives.guard_by_time import GuardByTime
from mdl.entropy import Guard, StreamDecoder, StreamEncoder, grid_of, guard_list, symbol_intervals
from mdl.models import StackedModel, Stepped, WindowCut, check_agreement, require_exact
from mdl.units import VOCABULARY

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[Any]  # whole ones
Said = Callable[[Tensor, Tensor], Tensor]  # what a coder must know, k numbers (n, k), of grid logits and symbols (n,)

# The first windows of the first block are stepped through before anything is promised.
_PROBE_WINDOWS, _PROBE_BYTES = 2, 256


@dataclass(frozen=True)
class Lanes:
    """How a block is cut: into lanes, coded each by itself and stepped together, and these into windows."""

    cut: WindowCut
    n_bytes: int  # of a lane: of a window, or where windows overlap of a stretch

    @staticmethod
    def side_by_side(model: StackedModel) -> Lanes:
        """Each window a lane."""
        T = model.shape.context_tokens
        return Lanes(WindowCut(T, T), T)

    @property
    def overlap(self) -> int:
        """Bytes of a window that are known before it begins to count."""
        return self.cut.context - self.cut.stride


def windows_of(data: Bytes, n_bytes: int) -> Bytes:
    """Windows, or lanes, (B, T) the last one filled up with zeros: what follows a byte changes no probability of it."""
    n_windows = -(-data.size // n_bytes)
    length = min(data.size, n_bytes)
    padded = np.zeros(n_windows * length, np.uint8)
    padded[: data.size] = data
    return padded.reshape(n_windows, length)


def probe(model: StackedModel, data: Bytes, lanes: Lanes | None = None) -> None:
    """MdlError where the model computes too unsteadily on the first bytes of `data` for exact decoding."""
    T, lanes = model.shape.context_tokens, lanes or Lanes.side_by_side(model)
    windows = windows_of(data, T)
    check_agreement(model, windows[:_PROBE_WINDOWS, :_PROBE_BYTES])
    if lanes.overlap and data.size > T:
        later = windows_of(data[lanes.cut.start(T) :][:T], T)
        check_agreement(model, later[:, : lanes.overlap + _PROBE_BYTES], lanes.overlap)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A block's bytes placed in the coder's tables: window by window, what its stream is made of."""

    data: Bytes  # (n,)
    numbers: Numbers  # (windows, T, k), such as left and width of 2^24; past the last byte meaningless
    listed: Guard

    def block(self, stream: bytes) -> Block:
        """With its stream."""
        n_bytes, crc32 = self.data.size, zlib.crc32(self.data.tobytes())
        return Block(n_bytes=n_bytes, stream=stream, guard=guard_list.pack(self.listed), crc32=crc32)


def intervals(grid: Tensor, symbols: Tensor) -> Tensor:
    """Left and width (n, 2) of the symbols' places in the coder's tables."""
    return torch.stack(symbol_intervals(grid, symbols), -1)


def place_block(model: StackedModel, data: Bytes, lanes: Lanes | None = None, said: Said = intervals) -> Placed:
    """The model's part of encoding, which an accelerator does: the windows that begin together in all lanes at once."""
    lanes = lanes or Lanes.side_by_side(model)
    rows = windows_of(data, lanes.n_bytes)
    length, numbers = rows.shape[1], None
    index, up = [], []
    for some, start, first, last in window_calls(model, rows.shape, lanes.cut):
        part, near = _place_windows(model, rows[some, start:last], last - first, said)
        if numbers is None:
            numbers = np.empty((*rows.shape, part.shape[-1]), part.dtype)
        numbers[some, first:last] = part
        lane, within = np.divmod(near.index, (last - first) * VOCABULARY)
        place = ((some.start + lane) * length + first) * VOCABULARY + within
        inside = place < data.size * VOCABULARY  # not in what fills up the last lane
        index.append(place[inside])
        up.append(near.up[inside])
    places, side = np.concatenate(index), np.concatenate(up)
    order = np.argsort(places, kind="stable")
    return Placed(data=data, numbers=np.asarray(numbers), listed=Guard(places[order], side[order]))


def write_block(placed: Placed) -> Block:
    """The coder's part of encoding, which the host does."""
    encoder = StreamEncoder()
    order = time_major(placed.data.size, placed.numbers.shape[1])
    left, width = (placed.numbers[..., k].reshape(-1)[order] for k in range(2))
    encoder.write_intervals(left, width)
    return placed.block(encoder.finish())


def time_major(n_bytes: int, length: int) -> npt.NDArray[np.int64]:
    """Positions (n_bytes,) in the order in which they are coded, for windows of `length` bytes."""
    n_windows = -(-n_bytes // length)
    order = np.arange(n_windows * length).reshape(n_windows, length).T.reshape(-1)
    return order[order < n_bytes]


@torch.inference_mode()
def _place_windows(model: StackedModel, windows: Bytes, n_last: int, said: Said) -> tuple[Numbers, Guard]:
    """What is said (windows, n_last, k) of the last bytes of the windows, and the guard list of these."""
    symbols = torch.from_numpy(np.ascontiguousarray(windows)).to(model.device)
    counted = symbols[:, symbols.shape[1] - n_last :]
    logits = require_exact(model.shape, "archives").parallel(model, symbols, n_last)
    grid, place, up = grid_of(logits.reshape(-1, VOCABULARY))
    numbers: Numbers = said(grid, counted.reshape(-1).long()).cpu().numpy()
    return numbers.reshape(*counted.shape, -1), Guard(place.cpu().numpy(), up.cpu().numpy())


def window_calls(model: StackedModel, shape: tuple[int, ...], cut: WindowCut) -> Iterator[tuple[slice, int, int, int]]:
    """What the model takes at once of lanes of this shape (n, length): rows, and where they begin, count and end.

    The windows that begin together in all lanes, as many as are good for the device.
    """
    n_rows, length = shape
    for start, first, last in cut.spans(length):
        step = _windows_a_call(model, last - start)
        for row in range(0, n_rows, step):
            yield slice(row, row + step), start, first, last


def _windows_a_call(model: StackedModel, length: int) -> int:
    """Windows that keep one call's logits near 4 MB on a CPU (its caches) and 1 GB on an accelerator."""
    limit_bytes = 2**22 if model.device.type == "cpu" else 2**30
    return max(1, limit_bytes // (length * VOCABULARY * 8))


class BlockDecoder:
    """Decodes blocks of one model, several in lockstep.

    Two halves take turns: while the host reads one half's bytes from their streams, an accelerator computes the tables
    of the other.
    """

    def __init__(self, model: StackedModel, lanes: Lanes | None = None) -> None:
        self._model, self._lanes = model, lanes or Lanes.side_by_side(model)
        self._steppers: dict[int, Stepped] = {}  # of each half: what they recorded serves the next blocks

    def decode(self, blocks: Sequence[Block]) -> list[bytes]:
        """The bytes of each block; MdlError where a checksum is wrong.

        All but the last must be of one length, a multiple of a lane's.
        """
        coded = iter(self._decode_coded([block for block in blocks if not block.is_stored]))
        return [block.stored_content() if block.is_stored else next(coded) for block in blocks]

    def _decode_coded(self, blocks: Sequence[Block]) -> list[bytes]:
        if not blocks:
            return []
        length = min(self._lanes.n_bytes, max(block.n_bytes for block in blocks))
        lanes = [CodedLanes(block.n_bytes, block.stream, block.guard, length) for block in blocks]
        middle = -(-len(blocks) // 2)
        rows = [row for half in self.step([lanes[:middle], lanes[middle:]], length) for row in half]
        return [
            checked_crc(block, out.reshape(-1)[: block.n_bytes].tobytes())
            for block, out in zip(blocks, rows, strict=True)
        ]

    def step(self, halves: Sequence[Sequence[Stepping]], length: int) -> list[list[Bytes]]:
        """The bytes (rows, length) of all that step, half by half."""
        teams = [
            _Team(half, length, self._stepper(i, half, length), self._lanes) for i, half in enumerate(halves) if half
        ]
        for t in range(length + 1):
            for team in teams:
                if t:
                    team.read(t - 1)
                if t < length:
                    team.launch(t)
        return [team.rows() for team in teams]

    def _stepper(self, half: int, stepping: Sequence[Stepping], length: int) -> Stepped:
        n_windows = sum(each.n_rows for each in stepping)
        window = min(length, self._model.shape.context_tokens)
        old = self._steppers.pop(half, None)
        if old is None or (old.n_windows, old.length) != (n_windows, window):
            old = None  # its memory goes first
            old = require_exact(self._model.shape, "archives").stepwise(self._model, n_windows, window)
        old.restart()
        self._steppers[half] = old
        return old


class Stepping(Protocol):
    """Rows of bytes that are decoded in lockstep: a block's lanes, or some of them."""

    @property
    def n_rows(self) -> int:
        """Rows in all."""

    def n_active(self, t: int) -> int:
        """Rows that have a byte at t: all, or all but a shorter last one."""

    def guard_at(self, t: int) -> Guard:
        """The guard list's places of time t, as row · 256 + byte."""

    def read(self, t: int, tables: npt.NDArray[np.float64]) -> Bytes:
        """The bytes of the active rows, given the coder's counts (rows, 256)."""


class _Team:
    """What steps together: launch the tables of time t, then read the bytes of time t."""

    def __init__(self, stepping: Sequence[Stepping], length: int, stepper: Stepped, cut_as: Lanes) -> None:
        self._stepping, self._cut, self._overlap = stepping, cut_as.cut, cut_as.overlap
        ends = np.cumsum([0, *(each.n_rows for each in stepping)])
        self._rows = [slice(*pair) for pair in itertools.pairwise(ends.tolist())]
        self._out = np.zeros((ends[-1], length), np.uint8)
        self._stepper = stepper

    def launch(self, t: int) -> None:
        """Begin the tables of time t, after the bytes of all times before."""
        if any(each.n_active(t) for each in self._stepping):  # else a shorter last block, done before the others
            n_known = min(t, self._overlap) if self._cut.begins(t) else t  # of the window that counts
            if self._cut.begins(t):
                if n_known:
                    self._stepper.prefill(self._out[:, t - n_known : t])
                else:
                    self._stepper.restart()
            self._stepper.launch(self._out[:, t - 1] if n_known else None, self._places(t))

    def _places(self, t: int) -> Guard:
        """The guard lists of time t of all, as row · 256 + byte of the logits."""
        listed = [each.guard_at(t) for each in self._stepping]
        index = [places.index + rows.start * VOCABULARY for places, rows in zip(listed, self._rows, strict=True)]
        return Guard(np.concatenate(index), np.concatenate([places.up for places in listed]))

    def read(self, t: int) -> None:
        """Wait for the tables of time t and read its bytes."""
        for each, rows in zip(self._stepping, self._rows, strict=True):
            if n := each.n_active(t):
                self._out[rows.start : rows.start + n, t] = each.read(t, self._stepper.tables()[rows])

    def rows(self) -> list[Bytes]:
        """The bytes of each."""
        return [self._out[rows] for rows in self._rows]


class CodedLanes(GuardByTime):
    """A block of n symbols of V being decoded: its stream, and its guard list by time."""

    def __init__(self, n: int, stream: bytes, packed: bytes, length: int, n_values: int = VOCABULARY) -> None:
        super().__init__(n, packed, length, n_values)
        self.decoder = StreamDecoder(stream)

    def read(self, t: int, tables: npt.NDArray[np.float64]) -> Bytes:
        """The bytes of the active windows, given the coder's counts (windows, 256)."""
        return self.decoder.read(tables[: self.n_active(t)])
