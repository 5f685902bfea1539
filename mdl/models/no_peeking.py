"""Does a model look back alone? Tried out before anything is measured: what peeks codes nothing that can be decoded.

A byte of a window is changed, and then all from it on. That is done at the edges, at some places drawn, and at a run of
neighbors, since a model of patches may be wrong at one place of each. Row t, the distribution of byte t, may change
with the bytes before t, and with nothing else: not with byte t, not with later ones, not with other windows of the
batch.

Shape letters: B windows, T bytes of a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError
from mdl.models.predictor import Bytes, Nats, Predictor

_FLOOR = -60.0  # nats: what is less likely is not compared
_TOLERANCE = 1e-4  # nats: convolutions by FFT move what they must not by less
_SHORT_TOLERANCE = 0.1  # of rows that come in 16 bits
_MOST_NOISE = 1e-2  # nats between two answers to one question
_N_WINDOWS, _N_DRAWN = 3, 6
_FEWEST_NEIGHBORS, _NEIGHBOR_ROWS = 16, 1 << 13  # all places of a window of up to 90 bytes


@dataclass(frozen=True)
class Trial:
    """Byte `t` of window `b` was changed (with all after it?), and the rows that moved: (B, T)."""

    b: int
    t: int
    moved: npt.NDArray[np.bool_]

    @property
    def first(self) -> int | None:
        """The first row of that window that moved; None: none did."""
        rows = np.flatnonzero(self.moved[self.b])
        return int(rows[0]) if rows.size else None


def require_no_peeking(model: Predictor, beginning: npt.NDArray[np.uint8], context_bytes: int, batch: int) -> None:
    """MdlError naming the position where a row changes with what it may not see.

    `beginning`: of the data, (n,) bytes; it is tried in windows of the context, `batch` ≥ 1 of them at the most.
    """
    windows = trial_windows(beginning, context_bytes, batch)
    base = _rows(model, windows)
    noise = _difference(_rows(model, windows), base)
    if noise.max() > _MOST_NOISE:
        b, t = np.argwhere(noise > _MOST_NOISE)[0].tolist()
        raise MdlError(
            f"row {t:,} of window {b:,} is another one when the same windows are asked for again; a model must answer "
            "the same each time: switch dropout off (model.eval()) and carry no state from call to call"
        )
    is_short = model.dtype(windows) in ("float16", "bfloat16")
    tolerance = max(_SHORT_TOLERANCE if is_short else _TOLERANCE, 4 * float(noise.max()))
    generator, single = np.random.default_rng(0), []
    for i, t in enumerate(_positions(context_bytes, generator)):
        b = i % len(windows)
        one = Trial(b, t, _moved(model, _changed(windows, b, slice(t, t + 1), generator), base, tolerance))
        _require(model, one, alone=True)
        after = Trial(b, t, _moved(model, _changed(windows, b, slice(t, None), generator), base, tolerance))
        _require(model, after, alone=False)
        single.append(one)
    for trial in _neighbors(model, windows, base, tolerance, generator):
        _require(model, trial, alone=False)
    _require_aligned(model, single)


def trial_windows(beginning: npt.NDArray[np.uint8], context_bytes: int, batch: int) -> Bytes:
    """The data's own first windows, and one of any bytes; what is missing of the data too (B, T)."""
    n = max(1, min(_N_WINDOWS, batch))
    windows = np.random.default_rng(1).integers(0, 256, (n, context_bytes))
    own = beginning[: max(1, n - 1) * context_bytes].astype(np.int64)
    windows.reshape(-1)[: own.size] = own
    return windows


def _positions(T: int, generator: np.random.Generator) -> list[int]:
    """The middle first, where a wrong alignment shows; then the edges, then some drawn ones."""
    drawn = generator.integers(0, T, _N_DRAWN).tolist()
    return list(dict.fromkeys(t for t in (T // 2, 0, 1, 2, T - 2, T - 1, *drawn) if 0 <= t < T))


def _neighbors(
    model: Predictor, windows: Bytes, base: Nats, tolerance: float, generator: np.random.Generator
) -> Iterator[Trial]:
    """Trials at a run of places: each window of a call is changed from another one on, and only its own rows count."""
    B, T = windows.shape
    n = min(T, max(_FEWEST_NEIGHBORS, _NEIGHBOR_ROWS // T))
    first = int(generator.integers(0, T - n + 1))
    for start in range(first, first + n, B):
        places, changed = range(start, min(start + B, first + n)), windows
        for b, t in enumerate(places):
            changed = _changed(changed, b, slice(t, None), generator)
        moved = _moved(model, changed, base, tolerance)
        for b, t in enumerate(places):
            own = np.zeros_like(moved)
            own[b] = moved[b]
            yield Trial(b, t, own)


def _changed(windows: Bytes, b: int, span: slice, generator: np.random.Generator) -> Bytes:
    """Windows (B, T) with every byte of a span of window b changed for another one."""
    changed = windows.copy()
    own = changed[b, span]
    changed[b, span] = (own + generator.integers(1, 256, own.size)) % 256
    return changed


def _moved(model: Predictor, changed: Bytes, base: Nats, tolerance: float) -> npt.NDArray[np.bool_]:
    """Which rows (B, T) of the changed windows are others than before."""
    return _difference(_rows(model, changed), base) > tolerance


def _rows(model: Predictor, windows: Bytes) -> Nats:
    return np.maximum(model.nats(windows), _FLOOR)


def _difference(rows: Nats, base: Nats) -> npt.NDArray[np.float64]:
    return np.asarray(np.abs(rows - base).max(-1))


def _require(model: Predictor, trial: Trial, *, alone: bool) -> None:
    others = np.argwhere(np.delete(trial.moved, trial.b, 0))
    if others.size:
        raise MdlError(
            f"a window's rows change with byte {trial.t:,} of another window of the batch; windows must be coded each "
            "by itself (batch statistics? model.eval())"
        )
    row = trial.first
    if row is None or row > trial.t:
        return
    changed = f"byte {trial.t:,}" if alone else f"the bytes from {trial.t:,} on"
    if row == trial.t and alone and model.predicts == "this":
        raise MdlError(
            f"row {row:,} changes with byte {row:,} of its window, which it is the distribution of; for a model whose "
            "row t predicts byte t + 1 say predicts='next', else it sees what it predicts"
        )
    shifted = f" (row {row - 1:,} of what it returns)" if model.predicts == "next" and row else ""
    raise MdlError(
        f"the distribution of byte {row:,}{shifted} changes with {changed}; it may depend on the bytes before "
        f"{row:,} alone: a code that sees ahead cannot be decoded"
    )


def _require_aligned(model: Predictor, trials: list[Trial]) -> None:
    """A model said to predict the next byte that never uses the last one was shifted twice."""
    moved = [(trial.t, trial.first) for trial in trials if trial.first is not None]
    if model.predicts == "next" and moved and all(row > t + 1 for t, row in moved if row is not None):
        t = moved[0][0]
        raise MdlError(
            f"row {t:,} of what it returns does not change with byte {t:,}, as that of a model which predicts the next "
            "byte does; if row t is the distribution of byte t, leave predicts='next' out"
        )
