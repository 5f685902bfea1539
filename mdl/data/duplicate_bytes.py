"""Bytes that stand more than once in a corpus, wherever they stand.

A part is cut into *chunks*: where documents begin, and where the 8 bytes before say so (the top bits of a product of
them), so that a copy is cut as its original is, at whatever offset it stands. Two places are copies where whole chunks
are equal, byte by byte. A chunk has about 300 bytes and at least 64, unless it is a whole document that has fewer. So
of a copied stretch all is found but what lies before its first cut and after its last.

Pictures and sound are compared by whole documents: a shift of theirs is no copy.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mdl.data.byte_view import Bytes, Offsets
from mdl.data.protocols import Readable

LEAST_BYTES = 64  # of a chunk that is not a whole document: less is found twice in any text
_LONG_BYTES = 4096  # what has no cut of its own for twice as long is cut after so many
_BLOCK_BYTES = 1 << 20
_EXACT_BYTES = 1 << 26  # of a larger held-out part the hashes of chunks are kept, in place of the chunks
_WINDOW_BYTES = 8
_HASH_BYTES = 8
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_LEAST_CUT = np.uint64(0xFF << 56)  # one product in 256 is as large

Chunk = bytes  # itself, or its hash
Tell = Callable[[int], None]


@dataclass(frozen=True)
class Part:
    """Bytes, and where documents begin in them: ascending offsets, the first of them 0."""

    view: Readable
    starts: Offsets
    unit_bytes: int = 1  # more: compared by whole documents

    @property
    def ends(self) -> Offsets:
        """Where they end."""
        return np.append(self.starts[1:], len(self.view))


@dataclass(frozen=True)
class Chunks:
    """Some chunks, one after another, of the bytes from `start` on."""

    start: int
    ends: Offsets
    names: list[Chunk]  # equal for equal chunks, and for no others

    @property
    def lengths(self) -> Offsets:
        """Bytes each."""
        return np.diff(self.ends, prepend=self.start)


def copied_bytes(heldout: Part, train: Part, tell: Tell = lambda _: None) -> int:
    """How many bytes of the held-out part lie in chunks that also stand in the training part.

    `tell` hears how far in the training part it is, in bytes.
    """
    exact = len(heldout.view) <= _EXACT_BYTES
    n_bytes: Counter[Chunk] = Counter()
    for some in chunks(heldout, bytes if exact else _hashed):
        for name, length in zip(some.names, some.lengths.tolist(), strict=True):
            n_bytes[name] += length
    unseen = set(n_bytes)
    for some in chunks(train, bytes if exact else _hashed):
        unseen.difference_update(some.names)
        if not unseen:
            break
        tell(some.start)
    return sum(n_bytes.values()) - sum(n_bytes[name] for name in unseen)


def first_copies(whole: Part, tell: Tell = lambda _: None) -> tuple[Offsets, Offsets]:
    """Where the chunks begin that stand nowhere before, and their lengths; memory: some 70 bytes per chunk."""
    keys, starts, lengths = [], [], []
    for some in chunks(whole, _hashed):
        keys.append(np.frombuffer(b"".join(some.names), np.uint64))
        lengths.append(some.lengths)
        starts.append(some.ends - some.lengths)
        tell(some.start)
    first = np.unique(np.concatenate(keys), return_index=True)[1]
    first.sort()
    return np.concatenate(starts)[first], np.concatenate(lengths)[first]


def chunks(part: Part, name: Callable[[bytes], Chunk] = bytes, block_bytes: int = _BLOCK_BYTES) -> Iterator[Chunks]:
    """All chunks of a part, as many at a time as lie in a block of at least 16 KB, which changes none of them."""
    if part.unit_bytes > 1:
        yield from _documents(part)
        return
    at, n_bytes, ends = 0, len(part.view), part.ends
    while at < n_bytes:
        block = part.view.read(at, min(at + block_bytes, n_bytes))
        own = slice(np.searchsorted(ends, at, "right"), np.searchsorted(part.starts, at + block.size))
        cuts = _chunk_ends(block, part.starts[own] - at, ends[own] - at)
        content = block.tobytes()
        pieces = [content[a:b] for a, b in pairwise([0, *cuts.tolist()])]
        yield Chunks(at, at + cuts, pieces if name is bytes else [name(piece) for piece in pieces])
        at += int(cuts[-1])


def _chunk_ends(block: Bytes, starts: Offsets, ends: Offsets) -> Offsets:
    """Where the chunks that end in a block end, the first of them beginning with it; of its documents, from its start.

    Every end is the same whatever follows the block, and whatever stands before the document.
    """
    cuts = _content_cuts(block)
    of = np.searchsorted(ends, cuts)  # the document of the byte before a cut
    cuts = cuts[(cuts - starts[of] >= LEAST_BYTES) & (ends[of] - cuts >= LEAST_BYTES)]
    kept, last = [], 0
    for cut in cuts.tolist():
        if cut - last >= LEAST_BYTES:
            kept.append(cut)
            last = cut
    bounds = np.concatenate([np.array(kept, np.int64), ends[ends < block.size], [block.size]])
    bounds.sort()
    bounds = _with_cuts_of_long(bounds)
    return bounds if ends[-1] == block.size else bounds[:-1]


def _content_cuts(block: Bytes) -> Offsets:
    """Where the 8 bytes before give a large product, ascending."""
    words = np.empty(block.size // _WINDOW_BYTES, "<u8")
    found = []
    for shift in range(_WINDOW_BYTES):
        n = max(0, block.size - shift) // _WINDOW_BYTES
        own = words[:n]
        own.view(np.uint8)[:] = block[shift : shift + n * _WINDOW_BYTES]  # in place: words at odd places are slow
        np.multiply(own, _MULTIPLIER, out=own)
        found.append(np.flatnonzero(own >= _LEAST_CUT) * _WINDOW_BYTES + (shift + _WINDOW_BYTES))
    cuts = np.concatenate(found)
    cuts.sort()
    return cuts


def _with_cuts_of_long(bounds: Offsets) -> Offsets:
    """The same, and within what is long a cut every so many bytes as long as so many follow."""
    gaps = np.diff(bounds, prepend=0)
    long = np.flatnonzero(gaps >= 2 * _LONG_BYTES)
    if not long.size:
        return bounds
    more = [np.arange(bounds[i] - gaps[i] + _LONG_BYTES, bounds[i] - _LONG_BYTES + 1, _LONG_BYTES) for i in long]
    return np.sort(np.concatenate([bounds, *more]))


def _documents(part: Part) -> Iterator[Chunks]:
    """A document a chunk."""
    for start, end in zip(part.starts.tolist(), part.ends.tolist(), strict=True):
        sha = hashlib.blake2b(digest_size=_HASH_BYTES)
        for at in range(start, end, _BLOCK_BYTES):
            sha.update(part.view.read(at, min(at + _BLOCK_BYTES, end)).tobytes())
        yield Chunks(start, np.array([end]), [sha.digest()])


def _hashed(chunk: bytes) -> Chunk:
    """Of 30 million different chunks (10 GB) two have the same one time in 40,000."""
    return hashlib.blake2b(chunk, digest_size=_HASH_BYTES).digest()
