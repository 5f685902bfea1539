"""Pretrained models in float64 throughout, read window by window: what their files rest on.

transformers computes some parts in float32 whatever the weights are: norms, rotary angles, softmax, routers. A rounding
to float32 turns a difference of 1e-16 into one of 1e-7 now and then, which no probe is sure to meet. So while a model
is loaded and run here, whoever asks torch for a coarser type gets float64. Rotary frequencies are then made in float64
too, and agree between machines to 1e-16.

Shape letters: B windows, s tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mdl.errors import MdlError
from mdl.pretrained.model import Pretrained, cache_name, load_pretrained, running

if TYPE_CHECKING:
    from mdl.pretrained.checkpoint import Checkpoint

Rows = npt.NDArray[np.int64]

_COARSE = (torch.float32, torch.float16, torch.bfloat16)
_CASTS = (Tensor.float, Tensor.half, Tensor.bfloat16)
_BY_DEFAULT = (torch.tensor, torch.full)  # make float32 of a number where no type is asked for
_LARGEST_FLOAT32 = torch.finfo(torch.float32).max
_NOT_EXACT = "cannot be run in float64 {reason}; it can be measured only"
_AS_STORED = (Tensor.view, torch.frombuffer, torch.asarray)  # there a type says what bytes in memory mean


class InFloat64(TorchFunctionMode):
    """Within it, torch makes float64 where float32, float16 or bfloat16 is asked for."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One call of torch, with its types made fine."""
        kwargs = kwargs or {}
        if func in _AS_STORED:
            return func(*args, **kwargs)
        func = Tensor.double if func in _CASTS else func
        value = args[-1] if args and func in _BY_DEFAULT else None
        if isinstance(value, float) and _LARGEST_FLOAT32 < abs(value) < float("inf"):
            kwargs = {"dtype": torch.float64} | kwargs  # which float32, made unasked, could not hold
        return func(*map(_fine, args), **{name: _fine(value) for name, value in kwargs.items()})


def _fine(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in _COARSE else value


def load_exact(checkpoint: Checkpoint, device: torch.device | str = "cpu") -> Pretrained:
    """The model in float64; MdlError where it is no causal model, or keeps tables in a coarser type."""
    with running(checkpoint, _NOT_EXACT), InFloat64():
        model = load_pretrained(checkpoint, "float64", device, experts_implementation="eager")  # others have no float64
    for name, table in (*model.model.named_parameters(), *model.model.named_buffers()):
        if table.dtype in _COARSE:
            raise MdlError(f"{checkpoint.spec} keeps {name} in {table.dtype}, not in float64; it can be measured only")
    return model


class Reader:
    """A model that reads B windows in lockstep and tells the logits of what comes next.

    The windows go through the model `at_once` at a time, each group with its own keys and values.
    """

    def __init__(self, model: Pretrained, n_windows: int, at_once: int | None = None) -> None:
        self._model, self._n_windows = model, n_windows
        # A step of RWKV in transformers mixes the windows of a batch; it is what keeps a list called `state`.
        at_once = 1 if cache_name(model.model) == "state" else at_once or n_windows
        self._groups = [slice(i, i + at_once) for i in range(0, n_windows, at_once)]
        self._caches: list[Any] = [None] * len(self._groups)

    def first(self) -> Tensor:
        """Logits (B, 1, V) before any token: all equal where the model has no beginning-of-text token."""
        if self._model.start is None:
            shape = (self._n_windows, 1, self._model.n_vocabulary)
            return torch.zeros(shape, dtype=torch.float64, device=self._model.model.device)
        return self.feed(np.full((self._n_windows, 1), self._model.start, np.int64))

    def feed(self, ids: Rows) -> Tensor:
        """Logits (B, s, V) after each of the next tokens (B, s)."""
        tokens = torch.from_numpy(ids).to(self._model.model.device)
        return torch.cat([self._feed(i, tokens[rows]) for i, rows in enumerate(self._groups)])

    def _feed(self, group: int, tokens: Tensor) -> Tensor:
        name = cache_name(self._model.model)
        output = _run(self._model, tokens, use_cache=True, **({name: self._caches[group]} if name else {}))
        self._caches[group] = getattr(output, name or "", None)
        if self._caches[group] is None:
            spec = self._model.checkpoint.spec
            raise MdlError(f"{spec} returns no cache to keep between tokens; it can be measured only (mdl evaluate)")
        logits: Tensor = output.logits
        if logits.shape[:2] != tokens.shape:
            spec, got = self._model.checkpoint.spec, tuple(logits.shape[:2])
            raise MdlError(f"{spec} answers {tuple(tokens.shape)} tokens with logits of {got}; it can be measured only")
        return logits


def _run(model: Pretrained, tokens: Tensor, **settings: Any) -> Any:
    """What a model makes of tokens (B, s); MdlError where that is not in float64."""
    with running(model.checkpoint, _NOT_EXACT), torch.inference_mode(), InFloat64():
        output = model.model(tokens, **settings)
    if output.logits.dtype != torch.float64:
        dtype = output.logits.dtype
        raise MdlError(f"{model.checkpoint.spec} gives its logits in {dtype}; it can be measured only (mdl evaluate)")
    return output


def read_whole(model: Pretrained, windows: Rows) -> Tensor:
    """Logits (B, T, V) of windows (B, T) in one call, with nothing kept."""
    tokens = torch.from_numpy(windows[:, :-1]).to(model.model.device)
    if model.start is not None:
        tokens = torch.cat([tokens.new_full((len(windows), 1), model.start), tokens], 1)
        found: Tensor = _run(model, tokens, use_cache=False).logits
        return found
    first = Reader(model, len(windows)).first()
    return torch.cat([first, _run(model, tokens, use_cache=False).logits], 1) if tokens.shape[1] else first


def read_through(model: Pretrained, windows: Rows, tokens_a_call: int) -> Iterator[tuple[slice, Tensor]]:
    """Logits (B, s, V) of windows (B, T) that are known, so many tokens a call, and which of the T they predict."""
    T = windows.shape[1]
    reader = Reader(model, len(windows))
    yield slice(0, 1), reader.first()
    for t in range(1, T, tokens_a_call):
        end = min(t + tokens_a_call, T)
        yield slice(t, end), reader.feed(windows[:, t - 1 : end - 1])
