"""One float64 model over whole windows at once (teacher forcing): the encoder's pass.

Shape letters: B windows, T bytes, C width, H heads, V = 256 byte values.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from mdl.entropy import EPSILON
from mdl.errors import MdlError
from mdl.models.architecture import require_exact
from mdl.models.block_2 import before, mixed_values, normalized_heads, shifted_keys
from mdl.models.float64_stepwise import folded_weights, normalised
from mdl.models.stacked_model import StackedModel
from mdl.models.transformer import StackedTransformer

# On the data itself, parallel and stepwise logits must agree to this: a model of wild inner activations does not.
_TOLERANCE = EPSILON / 100
_QUERIES = 64  # at a time on CUDA, to their past alone


@torch.inference_mode()
def parallel_logits(model: StackedTransformer, windows_BT: Tensor) -> Tensor:
    """Logits (B, T, V) of a one-member float64 model for uint8 windows on its device.

    On the CPU the model as it is. On CUDA torch's own kernels for float64 are few and slow (its RMS norm takes six
    times what its parts take, its attention fills and masks the whole square), so the same in plain products there.
    """
    if not windows_BT.is_cuda:
        return model(windows_BT[None])[0]  # type: ignore[no-any-return]
    return _in_plain_products(model, windows_BT)


def _in_plain_products(model: StackedTransformer, windows_BT: Tensor) -> Tensor:
    w, (B, T) = folded_weights(model), windows_BT.shape
    x = torch.cat([w["start"].expand(B, 1, -1), w["embedding"][windows_BT[:, :-1].long()]], dim=1)
    if model.shape.block == 2:
        x = x + w["smear"] * before(x)
    first_value = None
    for layer in range(model.shape.depth):
        q, k, v = (normalised(x) @ w[f"qkv_{layer}"]).view(B, T, 3, model.shape.n_heads, -1).permute(2, 0, 3, 1, 4)
        if model.shape.block == 2:
            q, k = normalized_heads(q, shifted_keys(k, before(k)), w[f"query_gain_{layer}"][None])
            v = v if first_value is None else mixed_values(v, first_value, w[f"value_mix_{layer}"][None])
            first_value = v if first_value is None else first_value
        x = x + _mixed(q, k, v, model) @ w[f"out_{layer}"]
        x = x + F.gelu(normalised(x) @ w[f"up_{layer}"]) @ w[f"down_{layer}"]
    return normalised(x) @ w["embedding"].T


def _mixed(q: Tensor, k: Tensor, v: Tensor, model: StackedTransformer) -> Tensor:
    """Causal attention's output (B, T, C) before its last product; queries, keys and values (B, H, T, C/H)."""
    B, _, T, _ = q.shape
    scale = 1 / math.sqrt(q.shape[-1])
    cos, sin = model.cos[:T], model.sin[:T]
    q, k, v = _rotated(q, scale * cos, scale * sin), _rotated(k, cos, sin), v.contiguous()
    future = torch.ones(_QUERIES, _QUERIES, dtype=torch.bool, device=q.device).triu_(1)
    mixed = torch.empty(B, T, *q.shape[1::2], dtype=q.dtype, device=q.device)  # (B, T, H, C/H)
    for first in range(0, T, _QUERIES):
        end = min(first + _QUERIES, T)
        scores = q[:, :, first:end] @ k[:, :, :end].mT
        scores[..., first:].masked_fill_(future[: end - first, : end - first], -torch.inf)
        mixed[:, first:end] = (scores.softmax(-1) @ v[:, :, :end]).transpose(1, 2)
    return mixed.view(B, T, -1)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`mdl.models.transformer.rotated` without its temporaries."""
    a, b = x.chunk(2, dim=-1)
    turned = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    one, other = turned.chunk(2, dim=-1)
    torch.mul(a, cos, out=one).addcmul_(b, sin, value=-1)
    torch.mul(a, sin, out=other).addcmul_(b, cos)
    return turned


@torch.inference_mode()
def largest_difference(model: StackedModel, windows_BT: npt.NDArray[np.uint8]) -> float:
    """Largest |parallel − stepwise| logit over the windows (B, T) of a one-member float64 model."""
    B, T = windows_BT.shape
    exact = require_exact(model.shape, "archives")
    parallel = exact.parallel(model, torch.from_numpy(windows_BT).to(model.device))
    stepper, largest = exact.stepwise(model, B, T), 0.0
    for t in range(T):
        logits = stepper.logits(windows_BT[:, t - 1] if t else None)
        largest = max(largest, float((logits - parallel[:, t]).abs().amax()))
    return largest


def check_agreement(model: StackedModel, windows_BT: npt.NDArray[np.uint8]) -> None:
    """MdlError where on these windows the two ways of computing differ by more than a hundredth of EPSILON."""
    difference = largest_difference(model, windows_BT)
    if not difference <= _TOLERANCE:
        raise MdlError(
            f"this model's logits are not stable enough to be decoded elsewhere (two ways of computing them differ by "
            f"{difference:.1g}, at most {_TOLERANCE:.0g} is safe); use another model"
        )
