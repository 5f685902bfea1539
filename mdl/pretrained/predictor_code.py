"""The code length of bytes under a model of a user's own, in stretches between the boundaries of the ladder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError
from mdl.models import Predictor, require_no_peeking, trial_windows
from mdl.pretrained.code_length import Stretch
from mdl.pretrained.model import Windows, cut_of
from mdl.pretrained.token_code import window_batches
from mdl.records import ladder
from mdl.storage import Progress
from mdl.units import format_bytes

Floats = npt.NDArray[np.float64]

if TYPE_CHECKING:
    from mdl.data import Readable
    from mdl.pretrained.own_models import OwnModel

_ROWS_A_CALL, _MOST_ROWS = 1 << 15, 1 << 18  # of 256 numbers each
_ROW_BYTES = 6 * 256 * 8  # what comes of a model, its logarithms, and what is compared with them


def byte_windows(model: OwnModel, context: int | None, stride: int | None, batch: int | None = None) -> Windows:
    """What was asked for, or the model's own context (at most 2,048 bytes) without overlap; MdlError if it cannot.

    No call has more rows than some 3 GB hold: fewer windows than asked for are in one, and a longer one is refused.
    """
    limit = model.predictor.context_bytes
    said = ("a context", "a stride")
    context, stride = cut_of(context, stride, limit, said=said, unit="bytes", spec=model.spec)
    if context > _MOST_ROWS:
        raise MdlError(
            f"{model.spec}: a context of {context:,} bytes takes some {format_bytes(context * _ROW_BYTES)} of memory "
            f"for the rows of one window, 256 numbers each; give {said[0]} of at most {_MOST_ROWS:,}"
        )
    return Windows(context, stride, min(batch or max(1, _ROWS_A_CALL // context), _MOST_ROWS // context))


def check_model(model: OwnModel, windows: Windows, view: Readable | None = None, n_bytes: int = 0) -> None:
    """MdlError where its rows are no distributions, or see what they may not: on windows of the first `n_bytes` that

    are to be measured, and on any bytes.
    """
    n_windows = -(-n_bytes // windows.stride_tokens)
    with _named(model):
        sample = trial_windows(view, n_bytes, windows.context_tokens, n_windows)
        require_no_peeking(model.predictor, sample, windows.batch or 1)


def code_bytes(
    model: OwnModel, view: Readable, n_bytes: int, windows: Windows, progress: Progress | None = None
) -> list[Stretch]:
    """The code of the first `n_bytes`, as `code_in_stretches`: a byte is a token, and nothing is escaped."""
    edges = np.array([0, *ladder(n_bytes), n_bytes])
    sums = np.zeros(len(edges) - 1)
    with _named(model):
        for spans in window_batches(n_bytes, windows, windows.batch or 1):
            own = _new_bits(model.predictor, view, windows.context_tokens, spans)
            start = spans[0][1]
            places = np.searchsorted(edges, np.arange(start, start + own.size), side="right") - 1
            sums += np.bincount(places, own, minlength=len(sums))
            if progress:
                progress(model.name, start + own.size, n_bytes)
    pairs = zip(itertools.pairwise(edges.tolist()), sums.tolist(), strict=True)
    return [
        Stretch(start=start, end=end, n_tokens=end - start, token_bits=bits, escape_bits=0, escaped_bytes=0)
        for (start, end), bits in pairs
    ]


def _new_bits(model: Predictor, view: Readable, context_bytes: int, spans: Sequence[tuple[int, int, int]]) -> Floats:
    """Of the new bytes of some windows (start, first new byte, end), one after another.

    A window shorter than the context is filled up with zeros, so that a model meets one length alone.
    """
    rows = np.stack([view.read(start, end) for start, _, end in spans]).astype(np.int64)
    starts = np.array([start for start, _, _ in spans])
    bits = model.bits(rows, starts, context_bytes)
    return np.concatenate([own[new - start :] for (start, new, _), own in zip(spans, bits, strict=True)])


def own_window_sums(model: OwnModel, chunks: npt.NDArray[np.uint8]) -> Iterator[Floats]:
    """Bits (t,) by position of windows (n, t) ≤ T, summed over as many as go through the model at a time."""
    windows = byte_windows(model, None, None)
    with _named(model):
        for first in range(0, len(chunks), windows.batch or 1):
            some = chunks[first : first + (windows.batch or 1)].astype(np.int64)
            yield model.predictor.bits(some, None, windows.context_tokens).sum(0)


@contextmanager
def _named(model: OwnModel) -> Iterator[None]:
    """Whatever is wrong with a model is told with its name."""
    try:
        yield
    except MdlError as error:
        raise MdlError(f"{model.spec}: {error}") from error.__cause__
