"""What a function of anyone's returns for windows of bytes, as distributions: checked for shape, sums and kind.

Shape letters: B windows, T bytes of a window, K rows of a window that are asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError, quoted
from mdl.units import VOCABULARY

Bytes = npt.NDArray[np.int64]  # (B, T), 0 to 255
Nats = npt.NDArray[np.float64]  # (B, T, 256)
Floats = npt.NDArray[np.float64]
Predict = Callable[[Bytes], Any]
Returns = Literal["auto", "probabilities", "log_probabilities", "logits"]

_FINE_TOLERANCE = 1e-4  # of a row's sum, where rows come in float32 or finer
_EXACT = 1e-5  # as near as this to 1, rows are taken as they are; others are divided by their sums
_COARSE_TOLERANCE = 5e-2  # in 16 bits a logarithm of 5 is known to some 2 %
_MOSTLY = 0.9  # of the numbers are at least 0: then probabilities are meant; of logarithms next to none are
_SHORT = ("float16", "bfloat16")


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


def answer(predict: Predict, windows: Bytes, of: npt.NDArray[np.int64] | None = None) -> tuple[Floats, str]:
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


def log_probabilities(rows: Floats, dtype: str, returns: Returns) -> Nats:
    """Rows of any of the three kinds as normalized log-probabilities; MdlError for what is no distribution."""
    tolerance = _COARSE_TOLERANCE if dtype in _SHORT else _FINE_TOLERANCE
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
