"""Does a model look back alone? Tried out before anything is measured: what peeks codes nothing that can be decoded.

A byte of a window is changed, and then all from it on: row t, the distribution of byte t, may change with the bytes
before t, and with nothing else; not with byte t, not with later ones, not with other windows of the batch. That is done
at the edges and at some places drawn, where every row is looked at. Then it is done from place to place: whatever a
model is, what row t sees of the bytes from t on shows in a window that is changed from there on alone, so that T places
take T windows. Each place is another one, and the windows are of all the data: a model that peeks at the share p of
what is measured passes n places by the chance (1 − p)ⁿ, and never where all T are tried and it peeks by the place.

Shape letters: B windows, T bytes of a window, K places tried of one window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mdl.data import Readable
from mdl.errors import MdlError
from mdl.models.distribution_rows import Bytes, Nats
from mdl.models.predictor import Predictor

_FLOOR = -60.0  # nats: what is less likely is not compared
_TOLERANCE = 1e-4  # nats: convolutions by FFT move what they must not by less
_SHORT_TOLERANCE = 0.1  # of rows that come in 16 bits
_MOST_NOISE = 1e-2  # nats between two answers to one question
_N_WINDOWS, _N_DRAWN = 3, 6
_PLACES_A_WINDOW = 8  # K: each window is also asked for as it is, once
_ALWAYS_BYTES = 1 << 20  # all places of a window of up to 1,024 bytes, however few windows are measured
_OTHER_WINDOWS = "a window's rows change {what}; windows must be coded each by itself (batch statistics? model.eval())"

Sample = npt.NDArray[np.uint8]  # (n, T)


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


def trial_windows(view: Readable | None, n_bytes: int, context_bytes: int, n_windows: int) -> Sample:
    """Windows (n, T) of all of the first `n_bytes` of a view, on which as many places are tried as `n_windows` are

    computed anyhow, T at the most and 2^20 / T at the least. What is missing of the data is any bytes.
    """
    T = context_bytes
    n = -(-min(T, max(n_windows, _ALWAYS_BYTES // T, _PLACES_A_WINDOW)) // _PLACES_A_WINDOW)
    windows = np.random.default_rng(1).integers(0, 256, (n, T), np.uint8)
    for window, k in zip(windows, np.linspace(0, max(0, n_bytes // T - 1), n).astype(int).tolist(), strict=True):
        if view is not None:
            own = view.read(k * T, min((k + 1) * T, n_bytes))
            window[: own.size] = own
    return windows


def require_no_peeking(model: Predictor, sample: Sample, batch: int) -> None:
    """MdlError naming the position where a row changes with what it may not see.

    `sample` as `trial_windows` gives it; a call takes `batch` ≥ 1 windows of it at the most.
    """
    windows = _first_windows(sample, batch)
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
    for i, t in enumerate(_positions(sample.shape[1], generator)):
        b = i % len(windows)
        one = Trial(b, t, _moved(model, _changed(windows, b, slice(t, t + 1), generator), base, tolerance))
        _require(model, one, alone=True)
        after = Trial(b, t, _moved(model, _changed(windows, b, slice(t, None), generator), base, tolerance))
        _require(model, after, alone=False)
        single.append(one)
    _require_aligned(model, single)
    _require_alone(model, np.resize(sample, (batch, sample.shape[1])).astype(np.int64), tolerance)
    _require_from_place_to_place(model, sample, batch, tolerance)


def _first_windows(sample: Sample, batch: int) -> Bytes:
    """The first windows, and one of any bytes (B, T)."""
    n = max(1, min(_N_WINDOWS, batch))
    windows = np.random.default_rng(1).integers(0, 256, (n, sample.shape[1]))
    own = sample[: max(1, n - 1)]
    windows[: len(own)] = own
    return windows


def _require_alone(model: Predictor, windows: Bytes, tolerance: float) -> None:
    """Every second window of a call is another one: no row of the windows between may move."""
    base, others = _rows(model, windows), np.random.default_rng(3).integers(0, 256, windows.shape)
    for kept in (slice(0, None, 2), slice(1, None, 2)):
        changed = others.copy()
        changed[kept] = windows[kept]
        if _moved(model, changed, base, tolerance)[kept].any():
            raise MdlError(_OTHER_WINDOWS.format(what="with other windows of the batch"))


def _require_from_place_to_place(model: Predictor, sample: Sample, batch: int, tolerance: float) -> None:
    """Every window is changed from each of its K places on, many in a call; no row of those up to there may move."""
    generator, T = np.random.default_rng(2), sample.shape[1]
    n = max(len(sample), batch)  # a call is to be as large as those that measure
    K = min(T, -(-_PLACES_A_WINDOW * len(sample) // n))
    of, all_places = np.resize(np.arange(len(sample)), n), np.resize(generator.permutation(T), (n, K))
    for first in range(0, n, batch):
        windows, places = sample[of[first : first + batch]].astype(np.int64), all_places[first : first + batch]
        base = _rows(model, windows, places)
        for starts in places.T:
            changed = windows
            for b, t in enumerate(starts.tolist()):
                changed = _changed(changed, b, slice(t, None), generator)
            moved = (_difference(_rows(model, changed, places), base) > tolerance) & (places <= starts[:, None])
            if moved.any():
                b = int(np.argwhere(moved)[0, 0])
                _tell(model, windows, changed, Trial(b, int(starts[b]), moved), tolerance)


def _tell(model: Predictor, windows: Bytes, changed: Bytes, trial: Trial, tolerance: float) -> None:
    """MdlError for what was found: is it the window's own later bytes that move a row, or other windows?"""
    alone = windows.copy()
    alone[trial.b] = changed[trial.b]
    base = _rows(model, windows)
    _require(model, Trial(trial.b, trial.t, _moved(model, alone, base, tolerance)), alone=False)
    raise MdlError(_OTHER_WINDOWS.format(what="with other windows of the batch"))


def _positions(T: int, generator: np.random.Generator) -> list[int]:
    """The middle first, where a wrong alignment shows; then the edges, then some drawn ones."""
    drawn = generator.integers(0, T, _N_DRAWN).tolist()
    return list(dict.fromkeys(t for t in (T // 2, 0, 1, 2, T - 2, T - 1, *drawn) if 0 <= t < T))


def _changed(windows: Bytes, b: int, span: slice, generator: np.random.Generator) -> Bytes:
    """Windows (B, T) with every byte of a span of window b changed for another one."""
    changed = windows.copy()
    own = changed[b, span]
    changed[b, span] = (own + generator.integers(1, 256, own.size)) % 256
    return changed


def _moved(model: Predictor, changed: Bytes, base: Nats, tolerance: float) -> npt.NDArray[np.bool_]:
    """Which rows (B, T) of the changed windows are others than before."""
    return _difference(_rows(model, changed), base) > tolerance


def _rows(model: Predictor, windows: Bytes, places: npt.NDArray[np.int64] | None = None) -> Nats:
    """Of every byte (B, T, 256), or of those at places (B, K) alone (B, K, 256)."""
    return np.maximum(model.nats(windows, places), _FLOOR)


def _difference(rows: Nats, base: Nats) -> npt.NDArray[np.float64]:
    return np.asarray(np.abs(rows - base).max(-1))


def _require(model: Predictor, trial: Trial, *, alone: bool) -> None:
    others = np.argwhere(np.delete(trial.moved, trial.b, 0))
    if others.size:
        raise MdlError(_OTHER_WINDOWS.format(what=f"with byte {trial.t:,} of another window of the batch"))
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
