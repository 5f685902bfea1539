"""One float64 minGRU over whole windows, as an encoder computes it, and a byte at a time, as a decoder does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from mdl.models.float64_layers import folded_weights, normalised
from mdl.models.mingru import StackedMinGru, decay_and_input
from mdl.models.stepwise_model import Stepped


@torch.inference_mode()
def parallel_logits(model: StackedMinGru, windows_BT: Tensor, n_last: int | None = None) -> Tensor:
    """Logits (B, T, V) of a one-member float64 model for uint8 windows on its device; of the last `n_last` alone."""
    logits: Tensor = model(windows_BT[None], n_last)[0]
    return logits


class MinGruStepper(Stepped):
    """A one-member minGRU: what it remembers is a state (n, C) a layer, however long the window."""

    def __init__(self, model: StackedMinGru, n_windows: int, length: int) -> None:
        """For `n_windows` windows in lockstep of at most `length` bytes each."""
        super().__init__(n_windows, length, model.device)
        self._depth = model.shape.depth
        self._weights = folded_weights(model, (("mixing_gain", "gates"), ("mlp_gain", "up")))
        self._tokens = torch.cat([self._weights["embedding"], self._weights["start"][None]])
        size = n_windows, model.shape.width
        self._states = [self._tokens.new_zeros(size) for _ in range(self._depth)]
        self._embedding = self._tokens.new_zeros(size)  # of the byte before
        self.restart()

    def _forget(self) -> None:
        for state in self._carried():
            state.zero_()

    def _carried(self) -> Sequence[Tensor]:
        return *self._states, self._embedding

    def _logits(self, length: int) -> Tensor:
        w, token = self._weights, self._tokens[self._previous]
        x = token + w["smear"] * self._embedding
        self._embedding.copy_(token)
        for k, state in enumerate(self._states):
            decay, given = decay_and_input(normalised(x) @ w[f"gates_{k}"], w[f"gate_bias_{k}"])
            state.copy_(decay * state + given)
            x = x + state @ w[f"out_{k}"]
            x = x + F.gelu(normalised(x) @ w[f"up_{k}"]) @ w[f"down_{k}"]
        return normalised(x) @ w["embedding"].T
