"""−log2 p of every token under a pretrained model, window by window, while the tokens are still coming.

What a device computes is fetched one call later, so that it never waits for this process.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError
from mdl.pretrained.model import Pretrained, Windows, running

if TYPE_CHECKING:
    from torch import Tensor

    from mdl.pretrained.kept_bits import KeptBits

_CALL_TOKENS = {"cpu": 0, "cuda": 2**14}  # that keep a device busy, and more where their logits are small:
_CALL_LOGITS_BYTES = {"cpu": 2**22, "cuda": 2**32}  # a CPU's caches hold them
_HEAD_LOGITS_BYTES = {"cpu": 2**28, "cuda": 2**30}  # that are in memory at a time, in float32

Ids = npt.NDArray[np.int32]
Bits = npt.NDArray[np.float64]
Span = tuple[int, int, int]  # of a window: its start, its first new token, its end
Progress = Callable[[int], None]  # called with the number of tokens just coded


def token_bits(
    model: Pretrained,
    ids: Ids | Iterable[Ids],
    windows: Windows,
    progress: Progress | None = None,
    kept: KeptBits | None = None,
) -> Bits:
    """−log2 p (n,) of every token, which may come in pieces; MdlError where one is not finite.

    What is `kept` of an earlier call with the same tokens is not coded again.
    """
    coder = _Coder(model, windows, progress, kept)
    for piece in [ids] if isinstance(ids, np.ndarray) else ids:
        coder.add(piece)
    return coder.end()


def window_batches(n: int, windows: Windows, batch: int) -> Iterator[Sequence[Span]]:
    """Windows of equal length, `batch` at a time; the last, shorter one alone."""
    n_full = _n_full(n, windows)
    for i in range(0, n_full, batch):
        yield _spans(windows, i, min(i + batch, n_full))
    if rest := _rest(n, windows):
        yield rest


def _rest(n: int, windows: Windows) -> list[Span]:
    """The shorter window of what is left behind the whole ones; none where nothing is."""
    n_full = _n_full(n, windows)
    done = _n_covered(n_full, windows)
    return [(n_full * windows.stride_tokens, done, n)] if done < n else []


def _n_covered(n_full: int, windows: Windows) -> int:
    """How many tokens so many whole windows code."""
    return windows.context_tokens + (n_full - 1) * windows.stride_tokens if n_full else 0


def _n_full(n: int, windows: Windows) -> int:
    """How many windows of the whole context n tokens hold."""
    T, S = windows.context_tokens, windows.stride_tokens
    return (n - T) // S + 1 if n >= T else 0


def _spans(windows: Windows, first: int, end: int) -> list[Span]:
    T, S = windows.context_tokens, windows.stride_tokens
    return [(k * S, k * S + T - S if k else 0, k * S + T) for k in range(first, end)]


class _Coder:
    """Codes a batch of windows as soon as their tokens are there."""

    def __init__(self, model: Pretrained, windows: Windows, progress: Progress | None, kept: KeptBits | None) -> None:
        self._model, self._windows, self._progress, self._kept = model, windows, progress, kept
        self._batch = windows.batch or _batch(model, windows)
        self._ids, self._bits = array("i"), array("d", kept.bits if kept else b"")
        self._n_windows = _n_full(len(self._bits), windows)  # that are coded, or being coded
        del self._bits[_n_covered(self._n_windows, windows) :]
        self._n_told = 0
        self._pending: tuple[Sequence[Span], Tensor] | None = None

    def add(self, ids: Ids) -> None:
        """More tokens."""
        self._ids.frombytes(ids.astype(np.int32).tobytes())
        self._tell()
        while _n_full(len(self._ids), self._windows) >= self._n_windows + self._batch:
            self._run(_spans(self._windows, self._n_windows, self._n_windows + self._batch))

    def end(self) -> Bits:
        """There are no more: the bits of all."""
        n = len(self._ids)
        self._run(_spans(self._windows, self._n_windows, _n_full(n, self._windows)))
        self._run(_rest(n, self._windows))
        self._fetch()
        return np.array(self._bits[:n])

    def _run(self, spans: Sequence[Span]) -> None:
        if not spans:
            return
        rows = np.stack([np.array(self._ids[start:end], np.int64) for start, _, end in spans])
        bits = _window_bits(self._model, rows)
        self._fetch()
        self._pending = spans, bits
        self._n_windows += len(spans)

    def _fetch(self) -> None:
        """The bits of the batch before, which the device has by now, or soon."""
        if self._pending is None:
            return
        (spans, computed), self._pending = self._pending, None
        with running(self._model.checkpoint):
            rows = computed.cpu().numpy()
        new = np.concatenate([row[first - start :] for (start, first, _), row in zip(spans, rows, strict=True)])
        if not np.isfinite(new).all():
            position = len(self._bits) + int(np.flatnonzero(~np.isfinite(new))[0])
            raise MdlError(
                f"{self._model.checkpoint.spec} gives token {position:,} no finite code length; try --dtype float32"
            )
        self._bits.frombytes(new.tobytes())
        if self._kept:
            self._kept.add(new)
        self._tell()

    def _tell(self) -> None:
        n_coded = min(len(self._bits), len(self._ids))
        if self._progress and n_coded > self._n_told:
            self._progress(n_coded - self._n_told)
            self._n_told = n_coded


def _batch(model: Pretrained, windows: Windows) -> int:
    """Windows a call: enough tokens to keep the device busy, and more where that many logits are small."""
    device, T = _kind(model), windows.context_tokens
    return max(1, _CALL_TOKENS[device] // T, _CALL_LOGITS_BYTES[device] // (T * model.n_vocabulary * 4))


def _kind(model: Pretrained) -> str:
    device = str(model.model.device.type)
    return device if device in _CALL_TOKENS else "cpu"


def _window_bits(model: Pretrained, rows: npt.NDArray[np.int64]) -> Tensor:
    """Bits (B, T) in float64 of windows (B, T), each token given those before it in its row: on the device, soon."""
    import torch

    device = model.model.device
    targets = torch.from_numpy(rows)
    if device.type == "cuda":
        targets = targets.pin_memory()  # so that the copy need not wait for what the device still does
    targets = targets.to(device, non_blocking=True)
    before = targets[:, :-1]
    if model.start is not None:
        before = torch.cat([torch.full_like(targets[:, :1], model.start), before], 1)
    bits = torch.full(targets.shape, math.log2(model.n_vocabulary), dtype=torch.float64, device=device)
    if before.shape[1]:
        first = rows.shape[1] - before.shape[1]
        with running(model.checkpoint), torch.inference_mode():
            bits[:, first:] = _nats(model, before, targets[:, first:]) / math.log(2)
    return bits


def _nats(model: Pretrained, before: Tensor, targets: Tensor) -> Tensor:
    """−ln p (B, T) in float64 by a log-softmax in float32 of all V logits, a piece of them in memory at a time.

    Where the model's output layer stands by itself, so are the logits as the model gives them.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812 - its usual name

    if model.head is None:
        states, logits_of = model.model(before, use_cache=False).logits, torch.nn.Identity()
    else:
        states, logits_of = model.head.states(before), model.head.layer
    n_rows = max(1, _HEAD_LOGITS_BYTES[_kind(model)] // (model.n_vocabulary * 4))
    flat = targets.to(states.device).flatten()
    pieces = zip(torch.split(states.flatten(0, 1), n_rows), torch.split(flat, n_rows), strict=True)
    nats = [F.cross_entropy(logits_of(rows).float(), ids, reduction="none") for rows, ids in pieces]
    return torch.cat(nats).view(targets.shape).double().to(targets.device)
