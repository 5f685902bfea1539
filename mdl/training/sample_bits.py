"""What a sample of windows takes under stacked models: by it training is watched and the best snapshot chosen."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from mdl.models import StackedModel, window_bits


def sum_sample_bits(model: StackedModel, windows: npt.NDArray[Any], parts: Any = None) -> Tensor:
    """Bits (M,) in float64 of the sample's windows (n, T) or (M, n, T), a few windows a call."""
    n_windows, T = windows.shape[-2:]
    limit_bytes = 2**24 if model.device.type == "cpu" else 2**27  # of logits; an accelerator waits for small calls
    rows = max(1, limit_bytes // (model.n_members * T * model.shape.vocabulary * 4))
    batches = (windows[..., i : i + rows, :] for i in range(0, n_windows, rows))
    sums = [window_bits(model, batch, parts).double().sum(dim=(1, 2)) for batch in batches]
    return torch.stack(sums).sum(dim=0)
