"""GELU between two products of a library's, one kernel each way: its result is kept, not made again on the way back."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdl.models.kernels.common import gelu, normal

_BLOCK = 2048  # numbers a program


@triton.jit
def _places(n, BLOCK: tl.constexpr):
    """This program's, and which of them there are."""
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return places, places < n


@triton.jit
def _gelu_forward(x, out, n, BLOCK: tl.constexpr):
    places, there = _places(n, BLOCK)
    value = tl.load(x + places, mask=there, other=0.0).to(tl.float32)
    tl.store(out + places, gelu(value).to(out.dtype.element_ty), mask=there)


@triton.jit
def _gelu_backward(x, dout, dx, n, BLOCK: tl.constexpr):
    places, there = _places(n, BLOCK)
    value = tl.load(x + places, mask=there, other=0.0).to(tl.float32)
    change = tl.load(dout + places, mask=there, other=0.0).to(tl.float32)
    share, density = normal(value)
    tl.store(dx + places, (change * (share + value * density)).to(dx.dtype.element_ty), mask=there)


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        _gelu_forward[(triton.cdiv(x.numel(), _BLOCK),)](x, out, x.numel(), _BLOCK, num_warps=8)
        ctx.save_for_backward(x)
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> Tensor:
        (x,), dout = ctx.saved_tensors, dout.contiguous()
        dx = torch.empty_like(x)
        _gelu_backward[(triton.cdiv(x.numel(), _BLOCK),)](x, dout, dx, x.numel(), _BLOCK, num_warps=8)
        return dx


def activated(x: Tensor) -> Tensor:
    """GELU of all numbers of a contiguous tensor, in its own precision, within 6e-7 before that is rounded to."""
    return _Gelu.apply(x.contiguous())
