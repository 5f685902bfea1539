"""The held-out part is set aside, and the blocks of the rest are shuffled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mdl.data.byte_view import Offsets
from mdl.data.spec import CorpusSpec
from mdl.errors import MdlError

Pieces = tuple[Offsets, Offsets]  # where each begins in the file, and its length
_HELDOUT_SHARE = 20  # one twentieth of the corpus is held out,
_HELDOUT_MOST = 10**6  # but not more than 1 MB
_HELDOUT_KEY = (0, 1)  # of the random choice of documents; no shuffle has it


def check_units(spec: CorpusSpec, unit: int, size: int) -> None:
    """MdlError where a block would cut a patch, or where there is not one to train on and another to hold out."""
    if spec.block_bytes % unit:
        raise MdlError(
            f"block_bytes {spec.block_bytes:,} would cut the {unit}-byte units of corpus '{spec.source}'; take a "
            f"multiple of {unit}, such as {2 * unit}"
        )
    if unit > 1 and size < 2 * unit:
        raise MdlError(
            f"corpus '{spec.source}' has one {unit}-byte unit; it takes 1 to train on and 1 to hold out; give more"
        )


def n_heldout_bytes(spec: CorpusSpec, size: int, unit: int) -> int:
    """How many to hold out: as asked, else 5 % but at least a block, at most 1 MB and at most half of the corpus."""
    if size < 2:
        length = "1 byte" if size == 1 else f"{size} bytes"
        raise MdlError(
            f"corpus '{spec.source}' has {length}; it takes 1 to train on and 1 to hold out; give a larger one"
        )
    if spec.heldout_bytes is None:
        return min(max(size // _HELDOUT_SHARE, spec.block_bytes), _HELDOUT_MOST, size // 2)
    if not 1 <= spec.heldout_bytes <= size - unit:
        raise MdlError(
            f"heldout_bytes must leave a byte to train on: got {spec.heldout_bytes:,} of the {size:,} bytes of corpus "
            f"'{spec.source}'; take 1 to {size - unit:,}"
        )
    return spec.heldout_bytes


def set_aside(starts: Offsets, size: int, n_heldout: int) -> tuple[Pieces, Pieces]:
    """Training and held-out pieces in the order of the source: whole documents held out, else the tail.

    `starts`: where documents begin in `size` bytes; some may be empty.
    """
    lengths = np.diff(starts, append=size)
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    chosen = _whole_documents(lengths, n_heldout)
    if not chosen.any():
        cut = size - n_heldout
        return (np.array([0]), np.array([cut])), (np.array([cut]), np.array([n_heldout]))
    return joined(starts[~chosen], lengths[~chosen]), joined(starts[chosen], lengths[chosen])


def joined(starts: Offsets, lengths: Offsets) -> Pieces:
    """Neighbours made one piece, so that a corpus of a million short documents is not a million pieces."""
    first = np.flatnonzero(np.concatenate([[True], starts[1:] != starts[:-1] + lengths[:-1]]))
    return starts[first], np.add.reduceat(lengths, first)


def _permutation(n: int, key: tuple[int, int]) -> Offsets:
    """A random order of n things, for ever the same: NumPy keeps the generator's raw words, but not `permutation`."""
    return np.argsort(np.random.Philox(key=np.array(key, np.uint64)).random_raw(n), kind="stable")


def _whole_documents(lengths: Offsets, wanted: int) -> npt.NDArray[np.bool_]:
    """A random choice of documents that together have about `wanted` bytes, and never more than twice that.

    It does not depend on the shuffle seed, so that every shuffle of a corpus is measured on the same bytes.
    """
    chosen = np.zeros(lengths.size, np.bool_)
    total = 0
    for document in _permutation(lengths.size, _HELDOUT_KEY):
        if total >= wanted:
            break
        if total + lengths[document] <= 2 * wanted:
            chosen[document] = True
            total += int(lengths[document])
    # Too little to speak for the rest (one huge document, say): then a tail is the better sample.
    return chosen if 2 * total >= wanted and total < lengths.sum() else np.zeros_like(chosen)


def shuffled(train: Pieces, heldout: Pieces, spec: CorpusSpec) -> Pieces:
    """Whole blocks of the training part permuted, the partial last one left last. Blocks run on across documents."""
    size = int(train[1].sum())
    n_blocks = size // spec.block_bytes
    begin = np.append(_permutation(n_blocks, (spec.shuffle_seed, 0)), n_blocks) * spec.block_bytes
    end = np.minimum(begin + spec.block_bytes, size)
    if not spec.leak_fraction:
        return ranges_of(train, begin, end)
    leaked, held = _leaked_blocks(n_blocks, int(heldout[1].sum()), spec)
    begin[leaked] = size + held * spec.block_bytes  # the held-out part lies behind the training part
    end[leaked] = begin[leaked] + spec.block_bytes
    return ranges_of((np.concatenate([train[0], heldout[0]]), np.concatenate([train[1], heldout[1]])), begin, end)


def _leaked_blocks(n_blocks: int, heldout_bytes: int, spec: CorpusSpec) -> tuple[Offsets, Offsets]:
    """Which of the shuffled blocks are replaced, and by which of the held-out part's."""
    if not 0 <= spec.leak_fraction <= 1:
        raise MdlError(f"leak_fraction is a share of the blocks, 0 to 1, got {spec.leak_fraction:g}")
    n_held = heldout_bytes // spec.block_bytes
    if not n_held:
        raise MdlError(
            f"leak_fraction needs a held-out part of at least a block ({spec.block_bytes:,} bytes); corpus "
            f"'{spec.source}' holds out {heldout_bytes:,}: give corpus.heldout_bytes or a smaller corpus.block_bytes"
        )
    so_far = np.floor(np.arange(n_blocks + 1) * spec.leak_fraction).astype(np.int64)
    leaked = np.flatnonzero(np.diff(so_far))
    return leaked, np.arange(leaked.size) % n_held


def ranges_of(pieces: Pieces, begin: Offsets, end: Offsets) -> Pieces:
    """Ranges [begin, end) of the joined pieces, cut where they cross from one piece to the next."""
    if pieces[0].size == 1:  # most often, and then the longest: of 10 GB there are 2.4 million blocks
        return pieces[0] + begin, end - begin
    piece_ends = np.cumsum(pieces[1])
    piece_begins = piece_ends - pieces[1]
    first = np.searchsorted(piece_ends, begin, side="right")
    last = np.searchsorted(piece_begins, end, side="left")  # one past the last piece that the range touches
    block, piece = _each(first, np.maximum(first, last))
    low = np.maximum(begin[block], piece_begins[piece])
    high = np.minimum(end[block], piece_ends[piece])
    return pieces[0][piece] + low - piece_begins[piece], high - low


def _each(first: Offsets, last: Offsets) -> tuple[Offsets, Offsets]:
    """(i, j) for every i and every first[i] ≤ j < last[i]."""
    count = last - first
    i = np.repeat(np.arange(count.size), count)
    return i, np.arange(i.size) - np.repeat(np.cumsum(count) - count - first, count)
