"""A decoder's pass for models that know no step: the window so far is computed anew for every byte.

What such a model is given is filled up with zeros to a power of two, which changes no row before them. So a byte at t
costs up to 2·t of a parallel pass's, and a window of T some T times its encoding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mdl.models.stacked_model import StackedModel, last
from mdl.models.stepwise_model import Stepped
from mdl.units import VOCABULARY

_FEWEST = 8  # bytes of a prefix


@torch.inference_mode()
def parallel_logits(model: StackedModel, windows_BT: Tensor, n_last: int | None = None) -> Tensor:
    """Logits (B, T, V) of a one-member float64 model for uint8 windows on its device; of the last `n_last` alone."""
    logits: Tensor = model(windows_BT[None])[0, :, last(windows_BT, n_last)].double()
    return logits


class PrefixStepper(Stepped):
    """A one-member model of any architecture."""

    def __init__(self, model: StackedModel, n_windows: int, length: int) -> None:
        """For `n_windows` windows in lockstep of at most `length` bytes each."""
        super().__init__(n_windows, length, model.device, recorded=False)
        self._model = model
        self._bytes = torch.zeros(n_windows, length, dtype=torch.long, device=model.device)
        self.restart()

    def _forget(self) -> None:
        self._bytes.zero_()

    def prefill(self, known: npt.NDArray[np.uint8]) -> None:
        """The same at no cost."""
        self.restart()
        self._t = known.shape[1]
        self._bytes[:, : self._t] = torch.from_numpy(known).to(self._bytes)

    def _logits(self, length: int) -> Tensor:
        t = length - 1
        if t:
            self._bytes[:, t - 1] = self._previous.clamp_max(VOCABULARY - 1)
        n = min(self.length, max(_FEWEST, 1 << t.bit_length()))
        logits: Tensor = self._model(self._bytes[None, :, :n])[0, :, t].double()
        return logits
