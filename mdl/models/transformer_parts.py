"""What the Transformer is computed by on a GPU: fused kernels, else functions that are compiled."""

from __future__ import annotations

import torch

from mdl.models.architecture import forward_flops_per_byte
from mdl.models.kernels import fused_parts
from mdl.models.kernels.limits import MOST_WIDTH
from mdl.models.shape import Shape
from mdl.models.transformer import Parts

_COMPILE_FLOPS = 3e14  # of all members; compiling takes some 8 s, which is what this much takes eagerly


def training_parts(shape: Shape, products: torch.dtype | None) -> Parts:
    """Fused where products are in a type of 16 bits, and there are kernels of that shape; else compiled."""
    fused = fused_parts(shape, products, trained=True) if products else None
    return fused or Parts().compiled()


def measuring_parts(shape: Shape, n_bytes: int, *, half: bool) -> Parts | None:
    """What measures that much fastest on a GPU; None: the plain functions.

    Fused kernels start soon, others are compiled where that takes less time than it saves. The head stays in float32.
    """
    long = n_bytes * forward_flops_per_byte(shape) >= _COMPILE_FLOPS
    if half and (long or shape.width <= MOST_WIDTH):
        fused = fused_parts(shape, torch.float16, trained=False)
        if fused:
            return fused
    return Parts().compiled() if long else None
