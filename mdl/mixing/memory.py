"""What the mixer keeps, in whole numbers, the same in encoder and decoder after every byte; and its stream.

A block is coded time by time, and at each time lane by lane: byte 0 of every lane, byte 1 of every lane, and so on. Of
a byte the eight bits are coded from the highest on, each by a chance p of a one, of 2^16, by an arithmetic coder of 32
bits: of the range [low, high] the lower part, up to low + (high − low) · p / 2^16 rounded down, is a one. Whenever both
ends begin with the same byte, it is written; a block ends with the four bytes of low, and zeros to a multiple of four.

The chance is mixed (`kernels.py` is its definition, `tables.py` has its tables) from what the model says, the share of
the upper half among the symbols that a bit chooses between, each with one more than its count in the coder's table;
from five contexts, the last 4 and 6 bytes and the letters of the word so far, and the last 3 bytes and the word once
more for each lane by itself; from the byte before, and from none; and from the longest match, of six bytes or more,
with what was coded before. Contexts look back no further than their lane's first byte. Nothing is known at the
beginning of the first block; every block hands on what it learned.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mdl.mixing.tables import LIMIT, first_chances, next_history, reciprocals, squash, stretch

N_CONTEXTS = 5  # the last 4 and 6 bytes, the word; the last 3 bytes and the word, counted for each lane by itself
N_INPUTS = (
    2 * N_CONTEXTS + 6
)  # of each a counter and a history; orders 0 and 1, two of the match, a constant, the model
NODES = 16  # of a bucket: its check, and the 15 counters of four bits
STEPS = 33  # of a refining table, over the log-odds
HALF = 1 << 15  # a chance of a half

_MATCH_LENGTHS = 64
_FIRST_CONTEXT_WEIGHT, _FIRST_MODEL_WEIGHT = 65536 * 3 // 20, 40000  # of 2^16
_MOST_PAST_BITS = 26  # a match is looked for in so much

Array = npt.NDArray[Any]


class Memory(NamedTuple):
    """All that has been learned. Chances are those of a one, of 2^16 where nothing else is said."""

    buckets: Array  # (N_CONTEXTS, 2^bits · 16) uint32: check (17 bits) and uses (from bit 20), counters
    histories: Array  # (N_CONTEXTS, 256) int32: the chance after each history
    order_0: Array  # (256,) int32, of 2^22: after a beginning of a byte
    order_1: Array  # (65536,) int32, of 2^22: after a byte and a beginning
    matches: Array  # (128,) int32: after an expected bit, by the length of the match
    places: Array  # (2^(bits + 2),) int32: where what stood behind six bytes is, one more
    own_places: Array  # the same for each lane by itself
    by_match: Array  # (16, N_INPUTS) int32: mixing weights, of 2^16
    by_beginning: Array  # (256, N_INPUTS)
    by_byte_before: Array  # (2048, N_INPUTS)
    last: Array  # (256, 3): weights of the three mixtures
    refined_0: Array  # (256, 33) int32: chances by log-odds
    refined_1: Array  # (65536, 33)
    past: Array  # (2^k,) uint8: what was coded, a ring


class Constants(NamedTuple):
    """The tables that never change."""

    squash: Array
    stretch: Array
    next_history: Array
    reciprocals: Array


def constants() -> Constants:
    """See `mdl.mixing.tables`."""
    return Constants(squash(), stretch(), next_history(), reciprocals())


def memory_bytes(bits: int) -> int:
    """What `new_memory` takes, nearly."""
    return (4 * NODES * N_CONTEXTS + 36 << bits) + (9 << 20)


def new_memory(bits: int) -> Memory:
    """Nothing learned yet."""
    weights = np.full(N_INPUTS, _FIRST_CONTEXT_WEIGHT, np.int32)
    weights[2 * N_CONTEXTS :] = 0
    weights[-1] = _FIRST_MODEL_WEIGHT
    expected = 65536 // (np.arange(_MATCH_LENGTHS) + 4)
    refined = squash()[[min(max((j - 16) * 192, -LIMIT), LIMIT) + LIMIT + 1 for j in range(STEPS)]]
    return Memory(
        buckets=np.zeros((N_CONTEXTS, NODES << bits), np.uint32),
        histories=np.tile(first_chances(), (N_CONTEXTS, 1)),
        order_0=np.full(256, HALF << 6, np.int32),
        order_1=np.full(1 << 16, HALF << 6, np.int32),
        matches=np.stack([expected, 65536 - expected], 1).reshape(-1).astype(np.int32),
        places=np.zeros(4 << bits, np.int32),
        own_places=np.zeros(4 << bits, np.int32),
        by_match=np.tile(weights, (16, 1)),
        by_beginning=np.tile(weights, (256, 1)),
        by_byte_before=np.tile(weights, (2048, 1)),
        last=np.full((256, 3), 65536 // 3, np.int32),
        refined_0=np.tile(refined, (256, 1)),
        refined_1=np.tile(refined, (1 << 16, 1)),
        past=np.zeros(1 << min(bits + 2, _MOST_PAST_BITS), np.uint8),
    )


class Block(NamedTuple):
    """A block that is being coded: its lanes' state."""

    symbols: Array  # (n, lane_bytes) uint8: what is coded, or what was decoded so far
    matched: Array  # (n,) int64: where in the past the next byte is expected, a place of the ring
    lengths: Array  # (n,) int64 of the match; 0: none
    words: Array  # (n,) int64: hash of the word so far; 0: none
    coder: Array  # (4,) int64: low and high end of the coder's range, what is read of the stream, its place
    stream: Array  # (k,) uint8


class Byte(NamedTuple):
    """Scratch for a byte."""

    hashes: Array  # (N_CONTEXTS,) int64
    slots: Array  # (2, N_CONTEXTS) int64: each context's bucket, and its counter for the next bit
    inputs: Array  # (N_INPUTS,) int32
    mixed: Array  # (8,) int64: the three mixtures' log-odds and the last's, their chances


def new_byte() -> Byte:
    """Empty."""
    n = N_CONTEXTS
    return Byte(np.zeros(n, np.int64), np.zeros((2, n), np.int64), np.zeros(N_INPUTS, np.int32), np.zeros(8, np.int64))
