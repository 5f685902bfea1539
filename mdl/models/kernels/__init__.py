"""A model's parts as fused kernels (Triton): what a layer computes between its products never reaches memory.

Models this small are bound by memory on an accelerator, not by arithmetic: a plain layer reads and writes its
activations some forty times a step.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import torch

from mdl.models.kernels.limits import MOST_HEAD

if TYPE_CHECKING:
    from mdl.models.shape import Shape
    from mdl.models.transformer import Parts


def fused_parts(shape: Shape, dtype: torch.dtype, *, trained: bool) -> Parts | None:
    """The parts for the CUDA device, products in `dtype`, with gradients if `trained`.

    None where there are no kernels for the shape, no Triton, or too little memory on the chip.
    """
    if shape.width // shape.n_heads > MOST_HEAD or importlib.util.find_spec("triton") is None:
        return None
    from mdl.models.kernels.assembly import pieces, work

    return pieces(shape, dtype, trained=trained).parts() if work(shape, dtype, "cuda", trained=trained) else None
