"""The code length of any bytes under a pretrained model, in stretches between the boundaries of the ladder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mdl.pretrained import byte_fallback
from mdl.records import ladder
from mdl.storage import Progress, ahead

if TYPE_CHECKING:
    from mdl.data import Readable
    from mdl.pretrained.model import Pretrained, Windows

_PIECES_AHEAD = 64  # of 64 KB


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The code of the bytes [start, end)."""

    start: int
    end: int
    n_tokens: int
    token_bits: float
    escape_bits: int
    escaped_bytes: int


def code_in_stretches(
    model: Pretrained,
    view: Readable,
    n_bytes: int,
    windows: Windows,
    progress: Progress | None = None,
    keep: Path | None = None,
) -> list[Stretch]:
    """The code of the first `n_bytes`, in stretches between the boundaries of the ladder.

    `keep`: a folder for what is coded; where it is there, a call with the same arguments goes on from it.
    """
    from mdl.pretrained.kept_bits import kept_bits
    from mdl.pretrained.token_code import token_bits

    ends = [*ladder(n_bytes), n_bytes]
    tally = _Tally(ends)
    n_coded, n_told = 0, 0

    def tell(n_new: int) -> None:
        nonlocal n_coded, n_told
        n_coded += n_new
        if progress:
            n_told = max(n_told, tally.n_bytes * n_coded // tally.n_tokens)
            progress(model.checkpoint.name, n_told, n_bytes)

    # Tokenizing takes about as long as a model on an accelerator does: neither waits for the other.
    with kept_bits(keep) as kept, ahead(_tokenized(model.tokenizer, view, ends), _PIECES_AHEAD) as tokenized:
        bits = token_bits(model, (tally.add(*of_piece) for of_piece in tokenized), windows, tell, kept)
    return tally.stretches(bits)


def _tokenized(
    tokenizer: byte_fallback.Tokenizer, view: Readable, ends: Sequence[int]
) -> Iterator[tuple[int, int, list[byte_fallback.Run]]]:
    """Of each piece: which stretch it is of, its bytes, and its runs."""
    for i, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        for piece in pieces(view, start, end):
            yield i, len(piece), tokenizer.runs(piece)


class _Tally:
    """What the stretches hold, as pieces of them come."""

    def __init__(self, ends: Sequence[int]) -> None:
        self._ends = ends
        self._tokens, self._escape_bits, self._escaped = ([0] * len(ends) for _ in range(3))
        self.n_bytes, self.n_tokens = 0, 0

    def add(self, i: int, n_bytes: int, runs: Sequence[byte_fallback.Run]) -> npt.NDArray[np.int32]:
        """A piece of stretch i: its tokens."""
        ids = np.fromiter(itertools.chain.from_iterable(run.ids for run in runs), np.int32)
        self._tokens[i] += ids.size
        self._escape_bits[i] += sum(run.escape_bits for run in runs)
        self._escaped[i] += sum(len(run.raw) for run in runs)
        self.n_bytes += n_bytes
        self.n_tokens += ids.size
        return ids

    def stretches(self, bits: npt.NDArray[np.float64]) -> list[Stretch]:
        """All of them, with the bits (n,) of their tokens."""
        edges = [0, *itertools.accumulate(self._tokens)]
        return [
            Stretch(
                start=start,
                end=end,
                n_tokens=n_tokens,
                token_bits=float(bits[edges[i] : edges[i + 1]].sum()),
                escape_bits=escape_bits,
                escaped_bytes=escaped,
            )
            for i, ((start, end), n_tokens, escape_bits, escaped) in enumerate(
                zip(itertools.pairwise([0, *self._ends]), self._tokens, self._escape_bits, self._escaped, strict=True)
            )
        ]


def pieces(view: Readable, start: int, end: int) -> Iterator[bytes]:
    """Bytes [start, end) in pieces that end with a line, or at least with a character, but for the last."""
    while start < end:
        chunk = view.read(start, min(start + byte_fallback.PIECE_BYTES, end)).tobytes()
        piece = chunk if start + len(chunk) == end else chunk[: byte_fallback.cut(chunk)]
        yield piece
        start += len(piece)
