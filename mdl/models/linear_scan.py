"""The linear recurrence h_t = a_t · h_{t−1} + b_t along the axis before the last, all t in parallel.

It is an associative scan (Hillis & Steele 1986) in real space: after the k-th of log2 T rounds every place holds what
2^k places give. With 0 ≤ a ≤ 1 nothing grows, so that no logarithms are needed. Its gradient is the same recurrence
from the end, so that only a and h are kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        h = _scanned(a, b)
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        a, h = ctx.saved_tensors
        to_come = torch.cat([a[..., 1:, :], torch.zeros_like(a[..., :1, :])], dim=-2)
        of_h = _scanned(to_come.flip(-2), gradient.flip(-2)).flip(-2)
        before = torch.cat([torch.zeros_like(h[..., :1, :]), h[..., :-1, :]], dim=-2)
        return of_h * before, of_h


def linear_scan(a: Tensor, b: Tensor) -> Tensor:
    """h (…, T, C) of decays a in 0 … 1 and inputs b, both (…, T, C); h before the first is 0."""
    h: Tensor = _Scan.apply(a, b)  # type: ignore[no-untyped-call]
    return h


def _scanned(a: Tensor, b: Tensor) -> Tensor:
    T, step = b.shape[-2], 1
    while step < T:
        b = torch.cat([b[..., :step, :], b[..., step:, :] + a[..., step:, :] * b[..., :-step, :]], dim=-2)
        if 2 * step < T:
            a = torch.cat([a[..., :step, :], a[..., step:, :] * a[..., :-step, :]], dim=-2)
        step *= 2
    return b
