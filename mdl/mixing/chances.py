"""What a model's tables say of each bit of a byte."""

from __future__ import annotations

import torch
from torch import Tensor

from mdl.entropy import cumulative_counts
from mdl.units import VOCABULARY

BITS = 8


def chances_of(grid: Tensor, symbols: Tensor) -> Tensor:
    """Of grid logits (n, 256), the chance of a one at each bit of the symbols (n,), given the bits before: (n, 8).

    Of 2^16, from 1 to 65,535, in int32: what a symbol has of the coder's table is one more than its count.
    """
    steps = torch.arange(1, VOCABULARY + 1, device=grid.device)
    ends = torch.nn.functional.pad(cumulative_counts(grid) + steps, (1, 0))  # (n, 257)
    widths = 1 << torch.arange(BITS - 1, -1, -1, device=grid.device)  # of each bit's halves
    low = symbols[:, None] // (2 * widths) * (2 * widths)
    left, middle, right = (ends.gather(-1, low + k * widths) for k in range(3))
    return ((right - middle << 16) // (right - left)).clamp_(1, 65535).int()
