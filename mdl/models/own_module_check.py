"""Does a member of a user's own architecture look back alone? Tried out before training and before measuring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mdl.errors import MdlError
from mdl.models.architecture import architecture_of
from mdl.models.distribution_rows import Bytes, Floats, Predict
from mdl.models.module_predictor import module_predict
from mdl.models.no_peeking import Sample, require_no_peeking
from mdl.models.own_module import OwnModule, predicts
from mdl.models.predictor import Predictor
from mdl.models.shape import Shape
from mdl.units import VOCABULARY

_FEWEST_WINDOWS, _BYTES_A_CALL = 3, 1 << 13
_SUM_TOLERANCE = 1e-3
_MOST_BITS = 100.0
_DRAWN = 0.1  # weights that are all 0 hide what they would pass on


def check_member(shape: Shape, weights: Mapping[str, Tensor], windows: Sample, *, trains: bool = False) -> None:
    """MdlError naming the position where a user's module of these weights sees what it may not, on windows (n, T).

    In eval mode, which is measured, and where it `trains` in train mode too. There statistics of the batch (BatchNorm)
    stay those of eval mode, since a batch is what they are of; random numbers are the same at each call. What comes
    along is not tried.
    """
    build = architecture_of(shape).own_module
    if build is None:
        return
    own: OwnModule = build(shape)
    module = own.load(weights)
    _awake(module)
    _require_logits(own, module)
    for train in (False, True) if trains else (False,):
        predict = _in_training(module) if train else module_predict(module)
        try:
            require_no_peeking(_predictor(module, predict), windows, _windows_a_call(shape))
        except MdlError as error:
            mode = " in train mode" * train
            raise MdlError(f"architecture '{own.name}', {shape.label}{mode}: {error}") from error.__cause__


def member_bits(shape: Shape, weights: Mapping[str, Tensor], windows: Sample) -> Floats:
    """Bits (n, T) of the bytes of windows (n, T) by a user's module of these weights, in eval mode on the CPU."""
    build = architecture_of(shape).own_module
    assert build is not None  # noqa: S101 - what comes along is not asked for
    module = build(shape).load(weights)
    model, given = _predictor(module, module_predict(module)), windows.astype(np.int64)
    n = _windows_a_call(shape)
    rows = [model.nats(some) for some in np.split(given, range(n, len(given), n))]
    bits = np.take_along_axis(np.concatenate(rows), given[..., None], -1)[..., 0] / -np.log(2)
    return np.asarray(np.minimum(bits, _MOST_BITS), np.float64)  # which a byte without probability takes too


def _windows_a_call(shape: Shape) -> int:
    return max(_FEWEST_WINDOWS, _BYTES_A_CALL // shape.context_tokens)


def _predictor(module: nn.Module, predict: Predict) -> Predictor:
    """As the module says what it returns."""
    said: dict[str, Any] = {"predicts": predicts(module), "returns": getattr(module, "returns", "logits")}
    if predicts(module) == "next":
        said["first"] = getattr(module, "first", None)
    return Predictor(predict, n_params=1, **said)


def _require_logits(own: OwnModule, module: nn.Module) -> None:
    """MdlError for probabilities that are not said to be: as logits they would code badly, and nobody would see why."""
    if getattr(module, "returns", None) is not None:
        return
    window = torch.arange(own.shape.context_tokens)[None] % VOCABULARY
    with torch.no_grad(), own.named("fails on"):
        rows = own.checked(module, window, module.eval()(window))
    if bool((rows >= 0).all()) and bool(((rows.sum(-1) - 1).abs() < _SUM_TOLERANCE).all()):
        raise MdlError(
            f"{own} returns probabilities; return logits or log-probabilities, or give it an attribute "
            "returns = 'probabilities'"
        )


def _awake(module: nn.Module) -> None:
    """Parameters that are all 0, as some begin, are given small random values."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            if not weight.any():
                weight.copy_(_DRAWN * torch.randn(weight.shape, generator=generator))


def _in_training(module: nn.Module) -> Any:
    """In train mode from the same state and the same random numbers at each call; the module stays as it was."""
    state = {name: buffer.clone() for name, buffer in module.named_buffers()}

    def predict(windows: Bytes) -> Tensor:
        module.train()
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()
        try:
            with torch.enable_grad(), torch.random.fork_rng(devices=[]):  # as in training: a module may ask
                torch.manual_seed(0)
                rows: Tensor = module(torch.from_numpy(windows))
        finally:
            module.eval()
            for name, buffer in module.named_buffers():
                buffer.copy_(state[name])
        return rows

    return predict
