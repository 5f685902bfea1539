"""A subset as tokens learned from it, and with them the held-out part; made once and kept in the cache.

No token crosses a cut: the dataset size, the boundaries of the segments and every full MB. So the code of what lies
between two cuts is a code of exactly these bytes. A cut costs a token or two.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdl.data.byte_pair_encoding import BytePairs, Ids, from_content, learn
from mdl.data.byte_view import ByteView
from mdl.data.corpus import Corpus
from mdl.errors import MdlError
from mdl.records import ladder
from mdl.storage import cache_folder, digest, new_file

_PIECE_BYTES = 10**6
_PIECES_A_CALL = 8  # the library's answers take hundreds of times their memory
_FORMAT = 1
_NOT_OF_THE_BYTES = {"source", "heldout_copied_bytes"}  # the hash says more than the first, the second is measured


@dataclass(frozen=True)
class Tokens:
    """The first bytes of a part as tokens. Cuts ascend, from 0 to the end: how many bytes, and how many tokens."""

    ids: Ids  # (n,)
    cut_bytes: npt.NDArray[np.int64]
    cut_tokens: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return self.ids.size

    def read(self, start: int, end: int) -> npt.NDArray[np.int32]:
        """The tokens [start, end), which need not end at a cut."""
        return self.ids[start:end].astype(np.int32)

    def gather(self, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int32]:
        """Rows (n, length) from the given tokens on."""
        return np.lib.stride_tricks.sliding_window_view(self.ids, length)[starts].astype(np.int32)

    def n_within(self, n_bytes: int) -> int:
        """How many tokens the first `n_bytes` are, which end at a cut."""
        k = int(np.searchsorted(self.cut_bytes, n_bytes))
        if k == self.cut_bytes.size or self.cut_bytes[k] != n_bytes:
            raise IndexError(f"{n_bytes} bytes do not end at a cut")
        return int(self.cut_tokens[k])


@dataclass(frozen=True)
class TokenisedSubset:
    """One subset's tokenizer, and what it makes of the training part as far as it is measured and of the held-out."""

    pairs: BytePairs
    train: Tokens
    heldout: Tokens


def tokenised(corpus: Corpus, subset_bytes: int, end_bytes: int, vocabulary: int) -> TokenisedSubset:
    """Byte pairs of [0, D), and [0, end_bytes ≥ D) and the held-out part coded with them; from the cache if there."""
    info = {k: v for k, v in asdict(corpus.info).items() if k not in _NOT_OF_THE_BYTES and v is not None}
    path = cache_folder() / "tokens" / f"{digest([_FORMAT, info, subset_bytes, end_bytes, vocabulary])}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, MdlError):
        return _load(path)
    pairs = learn((corpus.train.read(a, b).tobytes() for a, b in _pieces(cuts(subset_bytes))), vocabulary)
    train = encoded(pairs, corpus.train, cuts(end_bytes, subset_bytes))
    subset = TokenisedSubset(pairs, train, encoded(pairs, corpus.heldout, cuts(len(corpus.heldout))))
    corpus.check_unchanged()
    _save(subset, path)
    return subset


def cuts(end: int, *more: int) -> list[int]:
    """Where no token crosses, 0 and `end` among them."""
    return sorted({0, *range(0, end, _PIECE_BYTES), *ladder(end), *(b for b in more if b < end), end})


def _pieces(cut_bytes: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(cut_bytes))


def encoded(pairs: BytePairs, view: ByteView, cut_bytes: Sequence[int]) -> Tokens:
    """The bytes between cuts, each stretch by itself."""
    pieces, ids = _pieces(cut_bytes), []
    for i in range(0, len(pieces), _PIECES_A_CALL):
        ids += pairs.encode([view.read(a, b).tobytes() for a, b in pieces[i : i + _PIECES_A_CALL]])
    counts = np.cumsum([0, *(piece.size for piece in ids)])
    return Tokens(np.concatenate(ids), np.array(cut_bytes, np.int64), counts.astype(np.int64))


_FIELDS = ("ids", "cut_bytes", "cut_tokens")


def _save(subset: TokenisedSubset, path: Path) -> None:
    arrays = {"pairs": np.frombuffer(subset.pairs.content, np.uint8)}
    for name, part in (("train", subset.train), ("heldout", subset.heldout)):
        arrays |= {f"{name}_{field}": getattr(part, field) for field in _FIELDS}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    with new_file(path) as stream:
        stream.write(content.getbuffer())


def _load(path: Path) -> TokenisedSubset:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        train, heldout = (Tokens(*(arrays[f"{name}_{field}"] for field in _FIELDS)) for name in ("train", "heldout"))
        return TokenisedSubset(from_content(arrays["pairs"].tobytes()), train, heldout)
