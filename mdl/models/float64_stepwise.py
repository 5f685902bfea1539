"""One float64 model a byte at a time, many windows in lockstep: the decoder's pass.

Shape letters: n windows, t bytes decoded so far, C width, H heads, V = 256 byte values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from mdl.models.block_2 import mixed_values, normalized_heads, shifted_keys
from mdl.models.float64_layers import folded_weights, normalised, plain_residual
from mdl.models.layer import rotated
from mdl.models.shape import Shape
from mdl.models.stepwise_model import Stepped
from mdl.models.transformer import StackedTransformer
from mdl.units import VOCABULARY

_PREFILL_BYTES = {"cpu": 2**25, "cuda": 2**31}  # of memory, for as many windows at a time as take no more


class Stepper(Stepped):
    """A one-member Transformer."""

    def __init__(self, model: StackedTransformer, n_windows: int, length: int) -> None:
        """For `n_windows` windows in lockstep of at most `length` bytes each."""
        device = model.device
        super().__init__(n_windows, length, device)
        self._shape, self._weights = model.shape, folded_weights(model)
        self._tokens = torch.cat([self._weights["embedding"], self._weights["start"][None]])
        self._cos, self._sin = model.cos, model.sin
        self._plain = self._cuda
        self._keys, self._values = self._cache(device), self._cache(device)
        self._before = _Before(model.shape, self._weights, n_windows) if model.shape.block == 2 else None
        self._to_come = torch.arange(length, device=device)
        self.restart()

    def _cache(self, device: torch.device) -> list[Tensor]:
        """For every layer (n, H, T, C/H); on CUDA the keys' last two axes are swapped, which it reads faster."""
        size = (self.n_windows, self._shape.n_heads, self.length, self._shape.width // self._shape.n_heads)
        # Zeros: what is to come is multiplied by 0, which must not be a NaN of uninitialised memory.
        return [torch.zeros(size, dtype=torch.float64, device=device) for _ in range(self._shape.depth)]

    def _forget(self) -> None:
        if self._before:
            self._before.forget()

    def _carried(self) -> Sequence[Tensor]:
        return self._before.carried if self._before else ()

    @torch.inference_mode()
    def prefill(self, known: npt.NDArray[np.uint8]) -> None:
        """As `Stepped` says, in parallel passes."""
        n_bytes = known.shape[1]
        per_row = 128 * n_bytes * self._shape.width  # some 16 arrays in float64
        step = max(1, _PREFILL_BYTES[self._at.device.type] // per_row)
        for first in range(0, self.n_windows, step):
            rows = slice(first, first + step)
            part = torch.from_numpy(np.ascontiguousarray(known[rows])).to(self._at.device)
            plain_residual(self._shape, self._weights, (self._cos, self._sin), part, partial(self._take_over, rows))
            if self._before:
                last = part[:, -2].long() if n_bytes > 1 else torch.full_like(part[:, 0], VOCABULARY, dtype=torch.long)
                self._before.take_embedding(rows, self._tokens[last])
        self._t = n_bytes

    def _take_over(self, rows: slice, layer: int, keys: Tensor, values: Tensor, last_key: Tensor) -> None:
        n_bytes, cache = keys.shape[2], self._keys[layer]
        if self._plain:
            cache.view(*cache.shape[:2], cache.shape[3], cache.shape[2])[rows, ..., :n_bytes] = keys.mT
        else:
            cache[rows, :, :n_bytes] = keys
        self._values[layer][rows, :, :n_bytes] = values
        if self._before:
            self._before.take_key(rows, layer, last_key)

    def _logits(self, length: int) -> Tensor:
        w, position = self._weights, self._at
        turn = self._cos[position], self._sin[position]
        future = self._to_come[:length] > position
        x = self._tokens[self._previous]
        if self._before:
            x = self._before.smeared(x)
        for layer in range(self._shape.depth):
            x = x + self._attention(x, layer, length, turn, future)
            x = x + F.gelu(normalised(x) @ w[f"up_{layer}"]) @ w[f"down_{layer}"]
        return normalised(x) @ w["embedding"].T

    def _attention(self, x: Tensor, layer: int, length: int, turn: tuple[Tensor, Tensor], future: Tensor) -> Tensor:
        """Attends to what has been decoded: the first `length` bytes but for `future`."""
        w, (n, C) = self._weights, x.shape
        qkv = (normalised(x) @ w[f"qkv_{layer}"]).view(n, 3, self._shape.n_heads, 1, -1)
        if self._before:
            qkv = self._before.taken_up(qkv, layer)
        (q, k), v = rotated(qkv[:, :2], *turn).unbind(1), qkv[:, 2]  # each (n, H, 1, C/H)
        keys, values = self._keys[layer], self._values[layer]
        values.index_copy_(2, self._at, v)
        if self._plain:  # on CUDA float64 attention has no kernel of its own and copies the cache
            keys = keys.view(*keys.shape[:2], keys.shape[3], keys.shape[2])
            keys.index_copy_(3, self._at, k.mT)
            scores = q / math.sqrt(q.shape[-1]) @ keys[..., :length]
            mixed = scores.masked_fill_(future, -torch.inf).softmax(-1) @ values[:, :, :length]
        else:
            keys.index_copy_(2, self._at, k)
            mixed = F.scaled_dot_product_attention(q, keys[:, :, :length], values[:, :, :length])
        return mixed.reshape(n, C) @ w[f"out_{layer}"]


class _Before:
    """What the block of version 2 remembers of the byte before, and of this byte's first layer."""

    def __init__(self, shape: Shape, weights: dict[str, Tensor], n_windows: int) -> None:
        self._weights, of = weights, {"dtype": torch.float64, "device": weights["embedding"].device}
        self._embedding = torch.zeros(n_windows, shape.width, **of)  # type: ignore[call-overload]
        heads = n_windows, shape.n_heads, 1, shape.width // shape.n_heads
        self._keys = torch.zeros(shape.depth, *heads, **of)  # type: ignore[call-overload]
        self._first_value = torch.zeros(heads, **of)  # type: ignore[call-overload]

    @property
    def carried(self) -> tuple[Tensor, ...]:
        """What the next byte needs of this one."""
        return self._embedding, self._keys

    def forget(self) -> None:
        """Nothing stands before a window."""
        for tensor in self.carried:
            tensor.zero_()

    def take_embedding(self, rows: slice, x: Tensor) -> None:
        """Some windows' last embeddings."""
        self._embedding[rows] = x

    def take_key(self, rows: slice, layer: int, key: Tensor) -> None:
        """Some windows' last keys of a layer."""
        self._keys[layer][rows] = key

    def smeared(self, x: Tensor) -> Tensor:
        """The embeddings (n, C) with those before."""
        smeared: Tensor = x + self._weights["smear"] * self._embedding
        self._embedding.copy_(x)
        return smeared

    def taken_up(self, qkv: Tensor, layer: int) -> Tensor:
        """Queries, keys and values (n, 3, H, 1, C/H) as the block has them before they are turned."""
        q, key, v = qkv.unbind(1)
        k = shifted_keys(key, self._keys[layer])
        self._keys[layer].copy_(key)
        q, k = normalized_heads(q, k, self._weights[f"query_gain_{layer}"][None])
        if layer:
            v = mixed_values(v, self._first_value, self._weights[f"value_mix_{layer}"][None])
        else:
            self._first_value.copy_(v)
        return torch.stack([q, k, v], dim=1)
