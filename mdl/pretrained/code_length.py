"""The code length of any bytes under a pretrained model, in stretches between the boundaries of the ladder."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mdl.pretrained import byte_fallback
from mdl.records import ladder
from mdl.storage import Progress

if TYPE_CHECKING:
    from mdl.data import Readable
    from mdl.pretrained.model import Pretrained, Windows


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
    model: Pretrained, view: Readable, n_bytes: int, windows: Windows, progress: Progress | None = None
) -> list[Stretch]:
    """The code of the first `n_bytes`, in stretches between the boundaries of the ladder."""
    from mdl.pretrained.model import token_bits

    ids, rows = array("i"), []
    for start, end in itertools.pairwise([0, *ladder(n_bytes), n_bytes]):
        runs = [run for piece in pieces(view, start, end) for run in model.tokenizer.runs(piece)]
        first = len(ids)
        for run in runs:
            ids.extend(run.ids)
        rows.append((start, end, first, len(ids), sum(r.escape_bits for r in runs), sum(len(r.raw) for r in runs)))
    n_done = 0

    def tell(n_new: int) -> None:
        nonlocal n_done
        n_done += n_new
        if progress:
            progress(model.checkpoint.name, n_bytes * n_done // len(ids), n_bytes)

    bits = token_bits(model, np.frombuffer(ids, np.int32) if ids else np.empty(0, np.int32), windows, tell)
    return [
        Stretch(
            start=start,
            end=end,
            n_tokens=b - a,
            token_bits=float(bits[a:b].sum()),
            escape_bits=escape_bits,
            escaped_bytes=escaped,
        )
        for start, end, a, b, escape_bits, escaped in rows
    ]


def pieces(view: Readable, start: int, end: int) -> Iterator[bytes]:
    """Bytes [start, end) in pieces that end with a line, or at least with a character, but for the last."""
    while start < end:
        chunk = view.read(start, min(start + byte_fallback.PIECE_BYTES, end)).tobytes()
        piece = chunk if start + len(chunk) == end else chunk[: byte_fallback.cut(chunk)]
        yield piece
        start += len(piece)
