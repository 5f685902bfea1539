"""One float64 model over whole windows at once (teacher forcing): the encoder's pass.

Shape letters: B windows, T bytes, C width, H heads, V = 256 byte values.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mdl.entropy import EPSILON
from mdl.errors import MdlError
from mdl.models.architecture import require_exact
from mdl.models.float64_layers import folded_weights, normalised, plain_residual
from mdl.models.stacked_model import StackedModel
from mdl.models.transformer import StackedTransformer

# On the data itself, parallel and stepwise logits must agree to this: a model of wild inner activations does not.
_TOLERANCE = EPSILON / 100


@torch.inference_mode()
def parallel_logits(model: StackedTransformer, windows_BT: Tensor, n_last: int | None = None) -> Tensor:
    """Logits (B, T, V) of a one-member float64 model for uint8 windows on its device; of the last `n_last` bytes alone.

    On the CPU the model as it is. On CUDA torch's own kernels for float64 are few and slow (its RMS norm takes six
    times what its parts take, its attention fills and masks the whole square), so the same in plain products there.
    """
    if not windows_BT.is_cuda:
        return model(windows_BT[None], n_last)[0]  # type: ignore[no-any-return]
    return _in_plain_products(model, windows_BT, n_last)


def _in_plain_products(model: StackedTransformer, windows_BT: Tensor, n_last: int | None = None) -> Tensor:
    w = folded_weights(model)
    x = plain_residual(model.shape, w, (model.cos, model.sin), windows_BT)
    return normalised(x if n_last is None else x[:, -n_last:]) @ w["embedding"].T


@torch.inference_mode()
def largest_difference(model: StackedModel, windows_BT: npt.NDArray[np.uint8], n_prefilled: int = 0) -> float:
    """Largest |parallel − stepwise| logit over the windows (B, T) of a one-member float64 model.

    Of the bytes behind the first `n_prefilled`, which the stepwise pass takes in at once.
    """
    B, T = windows_BT.shape
    exact = require_exact(model.shape, "archives")
    parallel = exact.parallel(model, torch.from_numpy(windows_BT).to(model.device), None)
    stepper, largest = exact.stepwise(model, B, T), 0.0
    if n_prefilled:
        stepper.prefill(windows_BT[:, :n_prefilled])
    for t in range(n_prefilled, T):
        logits = stepper.logits(windows_BT[:, t - 1] if t else None)
        largest = max(largest, float((logits - parallel[:, t]).abs().amax()))
    return largest


def check_agreement(model: StackedModel, windows_BT: npt.NDArray[np.uint8], n_prefilled: int = 0) -> None:
    """MdlError where on these windows the two ways of computing differ by more than a hundredth of EPSILON."""
    difference = largest_difference(model, windows_BT, n_prefilled)
    if not difference <= _TOLERANCE:
        raise MdlError(
            f"this model's logits are not stable enough to be decoded elsewhere (two ways of computing them differ by "
            f"{difference:.1g}, at most {_TOLERANCE:.0g} is safe); use another model"
        )
