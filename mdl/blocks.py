"""A block of bytes to a coded stream and back, with a model.

A block is some windows of the model's context length, coded each by itself but in one stream: first every window's
first byte, then every window's second byte, and so on (*time-major*), so that the decoder steps all windows in
lockstep. Blocks are independent: a decoder takes as many at a time as its memory holds.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from mdl import guard
from mdl.archive import Block, checked_crc
from mdl.coder import StreamDecoder, StreamEncoder
from mdl.exact import Stepper, check_agreement, cumulative_counts, grid_of, guided_grid, symbol_intervals
from mdl.guard import Guard
from mdl.model import StackedTransformer
from mdl.shapes import VOCABULARY

Bytes = npt.NDArray[np.uint8]

# The first windows of the first block are stepped through before anything is promised.
_PROBE_WINDOWS, _PROBE_BYTES = 2, 256


def windows_of(data: Bytes, context_bytes: int) -> Bytes:
    """Windows (B, T), the last one filled up with zeros: what follows a byte does not change its probability."""
    n_windows = -(-data.size // context_bytes)
    length = min(data.size, context_bytes)
    padded = np.zeros(n_windows * length, np.uint8)
    padded[: data.size] = data
    return padded.reshape(n_windows, length)


def probe(model: StackedTransformer, data: Bytes) -> None:
    """MdlError where the model computes too unsteadily on the first bytes of `data` for exact decoding."""
    windows = windows_of(data, model.shape.context_bytes)
    check_agreement(model, windows[:_PROBE_WINDOWS, :_PROBE_BYTES])


def encode_block(model: StackedTransformer, data: Bytes) -> Block:
    """Code `data` (n,) > 0 bytes with a one-member float64 model, in one parallel pass."""
    windows = windows_of(data, model.shape.context_bytes)
    left, width = np.empty(windows.shape, np.int64), np.empty(windows.shape, np.int64)
    index, up = [], []
    step = _windows_a_call(model, windows.shape[1])
    for first in range(0, len(windows), step):
        some = windows[first : first + step]
        n_here = min(data.size - first * windows.shape[1], some.size)
        intervals, near = _encode_windows(model, some, n_here)
        left[first : first + step], width[first : first + step] = (i.reshape(some.shape) for i in intervals)
        index.append(near.index + first * windows.shape[1] * VOCABULARY)
        up.append(near.up)
    encoder = StreamEncoder()
    order = time_major(data.size, windows.shape[1])
    encoder.write_intervals(left.reshape(-1)[order], width.reshape(-1)[order])
    packed = guard.pack(Guard(np.concatenate(index), np.concatenate(up)))
    return Block(data.size, encoder.finish(), packed, zlib.crc32(data.tobytes()))


def time_major(n_bytes: int, length: int) -> npt.NDArray[np.int64]:
    """Positions (n_bytes,) in the order in which they are coded, for windows of `length` bytes."""
    n_windows = -(-n_bytes // length)
    order = np.arange(n_windows * length).reshape(n_windows, length).T.reshape(-1)
    return order[order < n_bytes]


@torch.inference_mode()
def _encode_windows(
    model: StackedTransformer, windows: Bytes, n_bytes: int
) -> tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], Guard]:
    """Intervals of every byte of the windows, and the guard list of the first `n_bytes` of them."""
    symbols = torch.from_numpy(windows).to(model.cos.device)
    grid, up, near = grid_of(model(symbols[None])[0].reshape(-1, VOCABULARY))
    left, width = symbol_intervals(grid, symbols.reshape(-1).long())
    place = near[:n_bytes].reshape(-1).nonzero()[:, 0]
    listed = Guard(place.cpu().numpy(), up.reshape(-1)[place].cpu().numpy())
    return (left.cpu().numpy(), width.cpu().numpy()), listed


def _windows_a_call(model: StackedTransformer, length: int) -> int:
    """Windows that keep one call's logits near 4 MB on a CPU (its caches) and 1 GB on an accelerator."""
    limit_bytes = 2**22 if model.cos.device.type == "cpu" else 2**30
    return max(1, limit_bytes // (length * VOCABULARY * 8))


def decode_blocks(model: StackedTransformer, blocks: Sequence[Block]) -> list[bytes]:
    """The content of several blocks in lockstep; MdlError where a checksum is wrong.

    All but the last must be of one length, a multiple of the context.
    """
    T = model.shape.context_bytes
    length = min(T, max(block.n_bytes for block in blocks))
    n_windows = [-(-block.n_bytes // T) for block in blocks]
    lanes = [_Lane(block, length) for block in blocks]
    out = [np.zeros((n, length), np.uint8) for n in n_windows]
    stepper = Stepper(model, sum(n_windows), length)
    previous: Bytes | None = None
    for t in range(length):
        active = [lane.n_active(t) for lane in lanes]
        logits = stepper.step(previous, sum(active))
        tables = _tables(logits, [lane.guard_at(t) for lane in lanes], active)
        ends = np.cumsum(active)
        for lane, content, end, n in zip(lanes, out, ends, active, strict=True):
            if n:
                content[:n, t] = lane.decoder.read(tables[end - n : end])
        previous = np.concatenate([content[:n, t] for content, n in zip(out, active, strict=True)])
    return [
        checked_crc(block, content.reshape(-1)[: block.n_bytes].tobytes())
        for block, content in zip(blocks, out, strict=True)
    ]


@torch.inference_mode()
def _tables(logits: torch.Tensor, places: list[Guard], active: list[int]) -> npt.NDArray[np.int64]:
    """The coder's tables (n, V) under the guard lists of the blocks that are stepped together."""
    starts = np.cumsum([0, *active[:-1]]) * VOCABULARY
    index = torch.from_numpy(np.concatenate([p.index + s for p, s in zip(places, starts, strict=True)]))
    up = torch.from_numpy(np.concatenate([p.up for p in places]).astype(np.int64))
    index, up = index.to(logits.device), up.to(logits.device)
    cumulative = cumulative_counts(guided_grid(logits, index, up))
    counts = torch.diff(cumulative, prepend=torch.zeros_like(cumulative[:, :1])).int()  # half the bytes to move
    return counts.cpu().numpy().astype(np.int64)


class _Lane:
    """One block being decoded: its stream, and its guard list by time."""

    def __init__(self, block: Block, length: int) -> None:
        self.decoder = StreamDecoder(block.stream)
        self._n_full, self._rest = divmod(block.n_bytes, length)
        listed = guard.unpack(block.guard, block.n_bytes * VOCABULARY)
        position, byte = np.divmod(listed.index, VOCABULARY)
        window, t = np.divmod(position, length)
        order = np.argsort(t, kind="stable")
        self._t, self._up = t[order], listed.up[order]
        self._index = (window * VOCABULARY + byte)[order]

    def n_active(self, t: int) -> int:
        """Windows that have a byte at t: all, or all but a shorter last one."""
        return self._n_full + (t < self._rest)

    def guard_at(self, t: int) -> Guard:
        """The places of time t, as window · 256 + byte."""
        low, high = np.searchsorted(self._t, [t, t + 1])
        return Guard(self._index[low:high], self._up[low:high])
