"""A model's logits, in float64, rounded to integers so that every machine gets the same ones.

The parallel pass (teacher forcing) and the step-by-step pass (with a cache of keys and values) of one model differ by
some 1e-13 in the logits, and so do thread counts, batch sizes, devices and library versions. Rounded to the coder's
grid they agree unless a logit lies within that distance of a rounding boundary. The encoder lists every logit within
`EPSILON` of one, with the side it took; there the decoder takes the side it is told (the *guard band*).

Shape letters: B windows, t bytes decoded so far, C width, H heads, V = 256 byte values.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from mdl.coder import GRID, TOTAL, exponential_table
from mdl.errors import MdlError
from mdl.model import RMS_EPS, StackedTransformer

# Logits this near to a rounding boundary are written down: thousands of times the measured difference.
EPSILON = 1e-9
# The difference grows with the logits; trained models stay below 100. Above this the bound is not trusted.
MAX_LOGIT = 1000.0
# On the data itself, parallel and stepwise logits must agree to this: a model of wild inner activations does not.
_TOLERANCE = EPSILON / 100


def grid_of(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of float64 logits: nearest grid points (…, V) int64, whether that is up, and whether a boundary is near (bool).

    MdlError where a logit is not finite or so large that EPSILON is no bound.
    """
    largest = float(logits.abs().amax()) if logits.numel() else 0.0
    if not largest <= MAX_LOGIT:
        raise MdlError(
            f"the model's largest logit is {largest:g}; exact decoding is promised up to {MAX_LOGIT:g}; "
            "use another model"
        )
    scaled = logits / GRID  # exact: a power of two
    below = scaled.floor()
    from_boundary = scaled - below - 0.5
    up = from_boundary >= 0
    return below.long() + up, up, from_boundary.abs() <= EPSILON / GRID


def guided_grid(logits: Tensor, index: Tensor, up: Tensor) -> Tensor:
    """The encoder's grid points (n, V) from the decoder's logits, with the listed sides at the flat places `index`."""
    scaled = torch.nan_to_num(logits / GRID).clamp(-(2.0**40), 2.0**40)
    nearest = (scaled + 0.5).floor().long()
    nearest.view(-1)[index] = scaled.view(-1)[index].floor().long() + up
    return nearest


def _cumulative_weights(grid: Tensor) -> Tensor:
    """Running sums (…, V) int64 of the exponential table's weights."""
    table = torch.from_numpy(exponential_table()).to(grid.device)
    below = (grid.amax(-1, keepdim=True) - grid).clamp_(max=len(table) - 1)
    return table[below].cumsum(-1)


def cumulative_counts(grid: Tensor) -> Tensor:
    """Cumulative counts (…, V) int64 of integer grid logits, the last TOTAL: `coder.counts` on any device."""
    cumulative = _cumulative_weights(grid)
    return cumulative * TOTAL // cumulative[..., -1:]


def symbol_intervals(grid: Tensor, symbols: Tensor) -> tuple[Tensor, Tensor]:
    """Where the coder's table puts each symbol (n,), from grid logits (n, V): left and width of 2^24."""
    cumulative = _cumulative_weights(grid)
    right = cumulative.gather(-1, symbols[:, None])[:, 0]
    left = cumulative.gather(-1, (symbols - 1).clamp(min=0)[:, None])[:, 0] * (symbols > 0)
    left, right = (sums * TOTAL // cumulative[:, -1] for sums in (left, right))
    return left + symbols, right - left + 1


def _attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of one query (n, H, 1, C/H) to all keys and values (n, H, t, C/H)."""
    if not q.is_cuda:
        return F.scaled_dot_product_attention(q, keys, values)
    # In float64 that has no kernel of its own on CUDA and copies the cache; plain products take half the time.
    mixed: Tensor = (q @ keys.mT / math.sqrt(q.shape[-1])).softmax(-1) @ values
    return mixed


class Stepper:
    """The same one-member float64 model, one byte of each window at a time."""

    def __init__(self, model: StackedTransformer, n_windows: int, length: int) -> None:
        """For `n_windows` windows in lockstep of at most `length` bytes each."""
        self._shape = model.shape
        self._weights = {name: parameter.detach()[0] for name, parameter in model.named_parameters()}
        self._cos, self._sin = model.cos, model.sin
        self._device = model.cos.device
        size = (n_windows, self._shape.n_heads, length, self._shape.width // self._shape.n_heads)
        layers = range(self._shape.depth)
        self._keys = [torch.empty(size, dtype=torch.float64, device=self._device) for _ in layers]
        self._values = [torch.empty(size, dtype=torch.float64, device=self._device) for _ in layers]
        self._t = 0
        self._n = n_windows

    @torch.inference_mode()
    def step(self, previous: npt.NDArray[np.uint8] | None, n_windows: int) -> Tensor:
        """Logits (n_windows, V) of the next byte of the first windows, given their byte before (None at the start)."""
        w = self._weights
        if previous is None:
            x = w["start"].expand(n_windows, -1)
        else:
            x = w["embedding"][torch.from_numpy(previous[:n_windows].astype(np.int64)).to(self._device)]
        for layer in range(self._shape.depth):
            x = x + self._attention(x, layer)
            up = self._norm(x, w[f"mlp_gain_{layer}"]) @ w[f"up_{layer}"]
            x = x + F.gelu(up) @ w[f"down_{layer}"]
        self._t += 1
        return F.rms_norm(x, x.shape[-1:], eps=RMS_EPS) @ w["embedding"].T

    def _norm(self, x: Tensor, gain: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], eps=RMS_EPS) * gain

    def _attention(self, x: Tensor, layer: int) -> Tensor:
        """Attends to what has been decoded, and no further."""
        w, t = self._weights, self._t
        n, C = x.shape
        qkv = self._norm(x, w[f"attention_gain_{layer}"]) @ w[f"qkv_{layer}"]
        q, k, v = qkv.view(n, 3, self._shape.n_heads, -1).unbind(1)  # each (n, H, C/H)
        keys, values = self._keys[layer][:n, :, : t + 1], self._values[layer][:n, :, : t + 1]
        keys[:, :, t], values[:, :, t] = self._rotate(k), v
        mixed = _attend(self._rotate(q)[:, :, None], keys, values)
        return mixed.reshape(n, C) @ w[f"out_{layer}"]

    def _rotate(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        cos, sin = self._cos[self._t], self._sin[self._t]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


@torch.inference_mode()
def largest_difference(model: StackedTransformer, windows_BT: npt.NDArray[np.uint8]) -> float:
    """Largest |parallel − stepwise| logit over the windows (B, T) of a one-member float64 model."""
    B, T = windows_BT.shape
    parallel = model(torch.from_numpy(windows_BT).to(model.cos.device)[None])[0]
    stepper, largest = Stepper(model, B, T), 0.0
    for t in range(T):
        logits = stepper.step(windows_BT[:, t - 1] if t else None, B)
        largest = max(largest, float((logits - parallel[:, t]).abs().amax()))
    return largest


def check_agreement(model: StackedTransformer, windows_BT: npt.NDArray[np.uint8]) -> None:
    """MdlError where on these windows the two ways of computing differ by more than a hundredth of EPSILON."""
    difference = largest_difference(model, windows_BT)
    if not difference <= _TOLERANCE:
        raise MdlError(
            f"this model's logits are not stable enough to be decoded elsewhere (two ways of computing them differ by "
            f"{difference:.1g}, at most {_TOLERANCE:.0g} is safe); use another model"
        )
