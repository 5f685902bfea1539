"""The parts of a model made of the fused kernels, as `mdl.models.transformer.Parts` wants them.

A part that is too wide for its kernel is the plain one, compiled: the wider a model, the more of its time its products
take, at which a library's kernels are better.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from triton.compiler.errors import CompilationError
from triton.runtime.errors import OutOfResources

from mdl.models.kernels.attention import attention
from mdl.models.kernels.attention_input import first_half
from mdl.models.kernels.attention_output_mlp import second_half
from mdl.models.kernels.embedding import embedded
from mdl.models.kernels.limits import MOST_NARROW, MOST_VOCABULARY, MOST_WIDTH
from mdl.models.kernels.output_head import nats
from mdl.models.shape import Shape
from mdl.models.transformer import Parts, after_attention, before_attention, compiled


@dataclass(frozen=True)
class Pieces:
    """What the kernels do, one function each."""

    embed: Callable[..., Tensor]
    first: Callable[..., tuple[Tensor, ...]]
    attention: Callable[..., Tensor]
    second: Callable[..., Tensor]
    byte_nats: Callable[..., Tensor]

    def parts(self) -> Parts:
        """Joined to the parts of a model."""
        return Parts(self.embed, self._layer, self.byte_nats)

    def _layer(
        self, x: Tensor, attention_gain: Tensor, qkv: Tensor, out: Tensor, mlp_gain: Tensor, up: Tensor, down: Tensor,
        cos: Tensor, sin: Tensor, n_heads: int,
    ) -> Tensor:  # fmt: skip
        x, q, k, v = self.first(x, attention_gain, qkv, cos, sin, n_heads)
        return self.second(x, self.attention(q, k, v, n_heads), out, mlp_gain, up, down)


def pieces(shape: Shape, dtype: torch.dtype, *, trained: bool) -> Pieces:
    """Of a shape, products in `dtype`; with gradients or without."""
    own = _kernels(shape, dtype, trained=trained)
    first = own.get("first") or compiled(_wide_first)
    second = own.get("second") or compiled(after_attention)
    if "embed" in own:
        return Pieces(own["embed"], first, attention, second, own["byte_nats"])
    plain = Parts().compiled()
    return Pieces(plain.embed, first, attention, second, plain.byte_nats)


def _kernels(shape: Shape, dtype: torch.dtype, *, trained: bool) -> dict[str, Callable[..., Any]]:
    """The pieces that have kernels for the shape, by their names in `Pieces`."""

    def first(x: Tensor, gain: Tensor, qkv: Tensor, cos: Tensor, sin: Tensor, _: int) -> tuple[Tensor, ...]:
        return first_half(x, gain, qkv, cos, sin, dtype)

    def byte_nats(x: Tensor, embedding: Tensor, symbols: Tensor) -> Tensor:
        return nats(x, embedding, symbols, dtype)

    own: dict[str, Callable[..., Any]] = {"attention": attention}
    if shape.width <= MOST_WIDTH:
        own["first"] = first
    if shape.width <= (MOST_NARROW if trained else MOST_WIDTH):
        own["second"] = second_half
    if shape.width <= MOST_WIDTH and shape.vocabulary <= MOST_VOCABULARY:
        own |= {"embed": embedded, "byte_nats": byte_nats}
    return own


def _wide_first(x: Tensor, gain: Tensor, qkv: Tensor, cos: Tensor, sin: Tensor, n_heads: int) -> tuple[Tensor, ...]:
    """What `first_half` gives, from the plain model's functions."""
    M, B, T, C = x.shape
    parts = before_attention(x, gain, qkv, cos, sin, n_heads)
    return x, *(part.transpose(1, 2).reshape(M, B, T, C).contiguous() for part in parts)


def _threads(n: int) -> ThreadPoolExecutor:
    """On this thread's GPU: a thread begins on the first, and would launch there what lies on another."""
    if not torch.cuda.is_available():
        return ThreadPoolExecutor(n)
    return ThreadPoolExecutor(n, initializer=torch.cuda.set_device, initargs=(torch.cuda.current_device(),))


@cache
def work(shape: Shape, dtype: torch.dtype, device: str, *, trained: bool) -> bool:
    """Does a device hold what the kernels want of it? Compiles them, side by side, by trying each on one window.

    Asked once a process and shape: every look at a held-out sample would ask again.
    """
    C, T, V = shape.width, shape.context_tokens, shape.vocabulary

    def given(*sizes: int, of: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(*sizes, dtype=of, device=device, requires_grad=trained)

    symbols = torch.zeros(1, 1, T, dtype=torch.uint8 if V == 256 else torch.int32, device=device)
    x, low, gain = given(1, 1, T, C), given(1, 1, T, C, of=dtype), given(1, C)
    angles = torch.zeros(T, C // shape.n_heads // 2, device=device)
    inputs: dict[str, tuple[Any, ...]] = {
        "embed": (given(1, V, C), given(1, C), symbols),
        "first": (x, gain, given(1, C, 3 * C), angles, angles, shape.n_heads),
        "attention": (low, low, low, shape.n_heads),
        "second": (x, low, given(1, C, C), gain, given(1, C, 4 * C), given(1, 4 * C, C)),
        "byte_nats": (x, given(1, V, C), symbols),
    }
    own = _kernels(shape, dtype, trained=trained)

    def attempt(name: str) -> None:
        made = own[name](*inputs[name])
        made = made if isinstance(made, tuple) else (made,)
        if trained:
            torch.autograd.backward(made, [torch.zeros_like(each) for each in made])

    try:
        with _threads(len(own)) as threads:
            list(threads.map(attempt, own))
    except (OutOfResources, CompilationError):
        return False
    return True
