"""Blocks whose model is mixed with contexts (`mdl.mixing`): one after the other, since each learns from all before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mdl.archives.block_codec import BlockDecoder, Bytes, Lanes, Placed, place_block
from mdl.archives.format import Block, checked_crc
from mdl.archives.guard_by_time import GuardByTime
from mdl.archives.header import stretch_bytes, windows_per_block
from mdl.entropy import Guard
from mdl.mixing import ContextMixer, Read, chances_of
from mdl.models import Shape, StackedModel, WindowCut
from mdl.units import VOCABULARY


def mixed_lanes(shape: Shape, stride_bytes: int = 0) -> tuple[Lanes, int]:
    """How an encoder cuts a content for such a model, and the bytes of a block. 0: windows side by side."""
    n_bytes = stretch_bytes(shape, mixed=True)
    cut = WindowCut(shape.context_tokens, stride_bytes or shape.context_tokens)
    return Lanes(cut, n_bytes), n_bytes * windows_per_block(shape, n_bytes, mixed=True)


def place_mixed(model: StackedModel, data: Bytes, lanes: Lanes) -> Placed:
    """The model's part of encoding: its chances (lanes, lane bytes, 8) of every bit."""
    return place_block(model, data, lanes, chances_of)


def write_mixed(placed: Placed, mixer: ContextMixer) -> Block:
    """The mixer's part of encoding, which the host does, block after block."""
    return placed.block(mixer.encode(placed.data, placed.numbers.astype(np.uint16)))


class MixedDecoder:
    """Decodes the blocks of one archive in their order; two halves of a block's lanes take turns."""

    def __init__(self, model: StackedModel, lanes: Lanes, mixer: ContextMixer) -> None:
        self._blocks, self._lane_bytes, self._mixer = BlockDecoder(model, lanes), lanes.n_bytes, mixer

    def decode(self, blocks: Sequence[Block]) -> list[bytes]:
        """The bytes of the next blocks; MdlError where a checksum is wrong."""
        return [self._decode(block) for block in blocks]

    def _decode(self, block: Block) -> bytes:
        n_bytes, length = block.n_bytes, min(self._lane_bytes, block.n_bytes)
        guard = GuardByTime(n_bytes, block.guard, length)
        read, middle = self._mixer.reader(block.stream, n_bytes=n_bytes, lane_bytes=length), -(-guard.n_rows // 2)
        ends = [(0, middle), (middle, guard.n_rows)]
        halves = [[_SomeLanes(first=a, end=b, guard=guard, reader=read)] for a, b in ends if a < b]
        rows = np.concatenate([out for half in self._blocks.step(halves, length) for out in half])
        return checked_crc(block, rows.reshape(-1)[:n_bytes].tobytes())


@dataclass(frozen=True, kw_only=True)
class _SomeLanes:
    """Lanes [first, end) of a block that is being decoded."""

    first: int
    end: int
    guard: GuardByTime  # of the block
    reader: Read

    @property
    def n_rows(self) -> int:
        return self.end - self.first

    def n_active(self, t: int) -> int:
        return min(max(self.guard.n_active(t) - self.first, 0), self.n_rows)

    def guard_at(self, t: int) -> Guard:
        listed = self.guard.guard_at(t)
        lane = listed.index // VOCABULARY
        ours = (self.first <= lane) & (lane < self.end)
        return Guard(listed.index[ours] - self.first * VOCABULARY, listed.up[ours])

    def read(self, t: int, tables: npt.NDArray[np.float64]) -> Bytes:
        return self.reader((self.first, self.end), t, tables)[: self.n_active(t)]
