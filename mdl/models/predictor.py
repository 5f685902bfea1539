"""A model of anyone's: a function from windows of bytes to the distribution of every byte in them.

It may be written with PyTorch, JAX, NumPy or a C library; only arrays pass. Whether it keeps to its word, that it looks
back alone, `no_peeking` tries out.

Shape letters: B windows, T bytes of a window.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError, quoted
from mdl.units import VOCABULARY, whole_number

Bytes = npt.NDArray[np.int64]  # (B, T), 0 to 255
Nats = npt.NDArray[np.float64]  # (B, T, 256)
Predict = Callable[[Bytes], Any]
Predicts = Literal["this", "next"]
Returns = Literal["auto", "probabilities", "log_probabilities", "logits"]
Floats = npt.NDArray[np.float64]

_FINE_TOLERANCE = 1e-4  # of a row's sum, where rows come in float32 or finer
_EXACT = 1e-5  # as near as this to 1, rows are taken as they are; others are divided by their sums
_COARSE_TOLERANCE = 5e-2  # in 16 bits a logarithm of 5 is known to some 2 %
_MOSTLY = 0.9  # of the numbers are at least 0: then probabilities are meant; of logarithms next to none are
_SHORT = ("float16", "bfloat16")


@dataclass(frozen=True)
class Predictor:
    """A byte model as a function, with what has to be known of it.

    Parameters
    ----------
    predict
        From windows, a NumPy array (B, T) of int64, to rows (B, T, 256), an array of NumPy, PyTorch or JAX: row t is
        the distribution of byte t of the window given the bytes before it, so that row 0 sees nothing.
    n_params
        N, the number of parameters, at least 1.
    predicts
        "next" where row t is the distribution of byte t + 1 given the bytes up to t, as most language models have it:
        rows are then shifted by one, and the first byte of a window is coded by `first`.
    first
        That distribution: (256,) probabilities, all above 0; None: uniform, 8 bits.
    returns
        "probabilities", "log_probabilities" (natural) or "logits"; "auto" tells the first two by their sums.
    context_bytes
        The longest window that it takes; None: any.

    Raises
    ------
    MdlError
        For what is out of range, in one line.

    Examples
    --------
    >>> order_0 = mdl.Predictor(lambda windows: np.full((*windows.shape, 256), 1 / 256), n_params=1)
    >>> order_0.nats(np.array([[104, 105]])).shape
    (1, 2, 256)
    """

    predict: Predict
    _: KW_ONLY
    n_params: int
    predicts: Predicts = "this"
    first: npt.ArrayLike | None = None
    returns: Returns = "auto"
    context_bytes: int | None = None

    def __post_init__(self) -> None:
        """MdlError for what is out of range."""
        if not callable(self.predict):
            raise MdlError(f"predict is {quoted(self.predict)}; give a function of windows (B, T)")
        if isinstance(self.n_params, bool) or not isinstance(self.n_params, int | np.integer) or self.n_params < 1:
            raise MdlError(
                f"n_params is {quoted(self.n_params)}; give the number of parameters, a whole number from 1 on"
            )
        for name, value, known in (("predicts", self.predicts, Predicts), ("returns", self.returns, Returns)):
            if value not in known.__args__:  # type: ignore[attr-defined]
                raise MdlError(f"{name} is {quoted(value)}; want {' or '.join(map(repr, known.__args__))}")  # type: ignore[attr-defined]
        if self.context_bytes is not None:
            whole_number("context_bytes", self.context_bytes, least=2)
        if self.first is not None:
            if self.predicts == "this":
                raise MdlError("first is for predicts='next'; row 0 of a model that predicts this byte is its own")
            first_nats(self.first)

    def nats(self, windows: npt.ArrayLike, places: npt.NDArray[np.int64] | None = None) -> Nats:
        """What the model says of every byte of windows, given the bytes before it.

        Parameters
        ----------
        windows
            Bytes 0 to 255 as integers, (B, T).
        places
            Places of a window, (B, K), whose bytes alone are asked for, which is faster; None: all.

        Returns
        -------
        numpy.ndarray
            Natural log-probabilities, (B, T, 256) in float64, with `places` (B, K, 256): row t is the distribution of
            byte t, whose probabilities sum to 1 within 1e-5.

        Raises
        ------
        MdlError
            Where what `predict` returns is no distribution, naming window and row.

        Examples
        --------
        >>> order_0 = mdl.Predictor(lambda windows: np.full((*windows.shape, 256), 1 / 256), n_params=1)
        >>> float(order_0.nats([[104, 105]]).max().round(3))
        -5.545
        """
        given = np.array(windows, np.int64)  # a copy: it may write into what it is given
        of = None if places is None else np.maximum(places - (self.predicts == "next"), 0)
        rows, dtype = _answer(self.predict, given, of)
        try:
            found = _log_probabilities(rows, self.returns, _COARSE_TOLERANCE if dtype in _SHORT else _FINE_TOLERANCE)
        except MdlError:
            if places is not None:
                self.nats(windows)  # which names the row
            raise
        if self.predicts == "next":
            if places is None:
                found, places = np.roll(found, 1, 1), np.broadcast_to(np.arange(given.shape[1]), given.shape)
            found[places == 0] = first_nats(self.first)
        return found

    def dtype(self, windows: Bytes) -> str:
        """The type of number in which its rows come.

        Parameters
        ----------
        windows
            Bytes 0 to 255 as integers, (B, T).

        Returns
        -------
        str
            Such as "float32".

        Raises
        ------
        MdlError
            Where what `predict` returns is no array (B, T, 256).

        Examples
        --------
        >>> order_0 = mdl.Predictor(lambda windows: np.full((*windows.shape, 256), 1 / 256), n_params=1)
        >>> order_0.dtype(np.array([[104, 105]]))
        'float64'
        """
        return _answer(self.predict, windows.copy())[1]

    def bits(
        self, windows: Bytes, starts: npt.NDArray[np.int64] | None = None, context_bytes: int | None = None
    ) -> Floats:
        """What every byte of windows costs.

        Parameters
        ----------
        windows
            Bytes 0 to 255 as integers, (B, T).
        starts
            Where each window begins in the data, (B,): an error then names the byte's place there.
        context_bytes
            The model sees windows filled up with zeros to so many bytes, at least T: what follows changes nothing.

        Returns
        -------
        numpy.ndarray
            −log2 p in bits, (B, T), at least 0.

        Raises
        ------
        MdlError
            Where a byte has probability 0, or what `predict` returns is no distribution.

        Examples
        --------
        >>> order_0 = mdl.Predictor(lambda windows: np.full((*windows.shape, 256), 1 / 256), n_params=1)
        >>> order_0.bits(np.array([[104, 105]]))
        array([[8., 8.]])
        """
        n_missing = max(0, (context_bytes or 0) - windows.shape[1])
        rows = self.nats(np.pad(windows, ((0, 0), (0, n_missing))))[:, : windows.shape[1]]
        nats = np.take_along_axis(rows, windows[..., None], -1)[..., 0]
        if not np.isfinite(nats).all():
            b, t = np.argwhere(~np.isfinite(nats))[0].tolist()
            at = t + (int(starts[b]) if starts is not None else 0)
            raise MdlError(
                f"byte {at:,} (value {windows[b, t]}) has probability 0, so no code of it is finite; "
                "leave every byte some probability"
            )
        bits: Floats = -nats / np.log(2)
        return bits


def first_nats(first: npt.ArrayLike | None) -> Floats:
    """Natural log-probabilities (256,) of a window's first byte; None: uniform."""
    if first is None:
        return np.full(VOCABULARY, -np.log(VOCABULARY))
    try:
        p = np.asarray(first, np.float64)
    except (TypeError, ValueError):
        raise MdlError(f"first is {quoted(first)}; give 256 probabilities, or None for uniform ones") from None
    if p.shape != (VOCABULARY,) or not (p > 0).all() or not abs(p.sum() - 1) <= _FINE_TOLERANCE:
        raise MdlError(f"first has shape {p.shape} and sum {p.sum():.6g}; want 256 probabilities above 0 that sum to 1")
    return np.asarray(np.log(p / p.sum()), np.float64)


def _answer(predict: Predict, windows: Bytes, of: npt.NDArray[np.int64] | None = None) -> tuple[Floats, str]:
    """What it makes of windows, checked for its shape, and the dtype in which it came; of rows `of` (B, K) alone."""
    wanted = (*windows.shape, VOCABULARY)
    try:
        rows = predict(windows)
        shape = _shape(rows)
        if of is not None and shape == wanted:
            rows = (rows if _is_tensor(rows) else np.asarray(rows))[np.arange(len(of))[:, None], of]
        rows, dtype = _as_array(rows)
    except MdlError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise MdlError(f"predict fails on windows {windows.shape} of int64 ({reason})") from error
    if shape != wanted:
        vocabulary = len(shape) == 3 and shape[:2] == wanted[:2]
        what = f"rows of {shape[-1]} values, want {VOCABULARY}, one a byte" if vocabulary else ""
        raise MdlError(f"predict returns {what or f'shape {shape}, want {wanted}'} for windows {windows.shape}")
    return rows, dtype


def _is_tensor(rows: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(rows, torch.Tensor)


def _shape(rows: Any) -> tuple[int, ...]:
    if isinstance(rows, tuple | dict) or not hasattr(rows, "shape"):
        raise MdlError(f"predict returns a {type(rows).__name__}; want one array (B, T, {VOCABULARY})")
    return tuple(rows.shape)


def _as_array(rows: Any) -> tuple[Floats, str]:
    if _is_tensor(rows):
        dtype = str(rows.dtype).removeprefix("torch.")
        rows = rows.detach().double().cpu().numpy()
    else:
        rows = np.asarray(rows)
        dtype = str(rows.dtype)
    if "float" not in dtype:
        raise MdlError(f"predict returns numbers of type {dtype}; want floating-point ones")
    return rows.astype(np.float64, copy=False), dtype


def _log_probabilities(rows: Floats, returns: Returns, tolerance: float) -> Nats:
    """Rows of any of the three kinds as normalized log-probabilities; MdlError for what is no distribution."""
    unknown = np.logical_or.reduce(np.isnan(rows), axis=-1)
    if unknown.any():
        raise MdlError(f"{_place(unknown)} has NaN in it")
    if returns == "logits":
        _require_logits(rows, tolerance)
        if not np.isfinite(top := rows.max(-1, keepdims=True)).all():
            raise MdlError(f"{_place(~np.isfinite(top[..., 0]))} has no finite largest logit")
        return _normalized(rows - top)
    is_p = returns == "probabilities" or (returns == "auto" and float((rows >= 0).mean()) > _MOSTLY)
    with np.errstate(over="ignore", divide="ignore"):
        sums = (rows if is_p else np.exp(rows)).sum(-1)
        within: npt.NDArray[np.bool_] = np.abs(sums - 1) <= tolerance  # which NaN is not
        bad = np.logical_not(within & (rows >= 0).all(-1) if is_p else within)
        if bad.any():
            raise MdlError(_no_distribution(rows, sums, bad, is_p=is_p))
        off = np.where(np.abs(sums - 1) > _EXACT, np.log(sums), 0.0)
        return np.asarray((np.log(rows) if is_p else rows) - off[..., None], np.float64)


def _require_logits(rows: Floats, tolerance: float) -> None:
    """MdlError for what would pass for logits and code badly, and nobody would see why."""
    if (rows >= 0).all() and (np.abs(rows.sum(-1) - 1) <= tolerance).all():
        raise MdlError("predict returns probabilities, not logits; say returns='probabilities'")
    with np.errstate(over="ignore"):
        in_bits = (rows <= 0).all() and (np.abs(np.exp2(rows).sum(-1) - 1) <= tolerance).all()
    if in_bits:
        raise MdlError("predict returns logarithms to the base 2; multiply by ln 2")


def _normalized(rows: Floats) -> Nats:
    return np.asarray(rows - np.log(np.exp(rows).sum(-1, keepdims=True)), np.float64)


def _no_distribution(rows: Floats, sums: Floats, bad: npt.NDArray[np.bool_], *, is_p: bool) -> str:
    b, t = np.argwhere(bad)[0]
    own = rows[b, t]
    what = "probabilities sum" if is_p else "values, as natural log-probabilities, are probabilities that sum"
    if is_p and (own < 0).any():
        return f"{_place(bad)} has a negative probability, {own.min():.6g}"
    with np.errstate(over="ignore"):
        in_bits = not is_p and abs(np.exp2(own).sum() - 1) < _FINE_TOLERANCE
    way = "logarithms to the base 2? multiply by ln 2" if in_bits else "for logits say returns='logits'"
    return f"{_place(bad)}: its {what} to {sums[b, t]:.6g}, not to 1 ({way})"


def _place(bad: npt.NDArray[np.bool_]) -> str:
    b, t = np.argwhere(bad)[0].tolist()
    return f"row {t:,} of window {b:,} that predict returns"
