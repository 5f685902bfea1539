"""The parts of a model made of the fused kernels, as `mdl.models.transformer.Parts` wants them.

A part that is too wide for its kernel is the plain one, compiled: the wider a model, the more of its time its products
take, at which a library's kernels are better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from triton.compiler.errors import CompilationError
from triton.runtime.errors import OutOfResources

from mdl.models import block_2
from mdl.models.kernels.activation import activated
from mdl.models.kernels.attention import attention
from mdl.models.kernels.attention_input import first_half
from mdl.models.kernels.attention_output_mlp import second_half
from mdl.models.kernels.block_2 import heads, smeared
from mdl.models.kernels.embedding import embedded
from mdl.models.kernels.limits import MOST_NARROW, MOST_VOCABULARY, MOST_WIDTH
from mdl.models.kernels.output_head import measured_nats, nats
from mdl.models.layer import after_attention, before_attention, hidden_units, plus_network
from mdl.models.shape import Shape
from mdl.models.transformer import Parts, compiled, compiled_for_any_windows


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """What the kernels do, one function each."""

    embed: Callable[..., Tensor]
    first: Callable[..., tuple[Tensor, ...]]
    attention: Callable[..., Tensor]
    second: Callable[..., Tensor]
    byte_nats: Callable[..., Tensor]
    smear: Callable[..., Tensor]
    first_2: Callable[..., tuple[Tensor, ...]]

    def parts(self) -> Parts:
        """Joined to the parts of a model."""
        return Parts(
            embed=self.embed, layer=self._layer, byte_nats=self.byte_nats, smear=self.smear, layer_2=self._layer_2
        )

    def _layer(
        self, x: Tensor, attention_gain: Tensor, qkv: Tensor, out: Tensor, mlp_gain: Tensor, up: Tensor, down: Tensor,
        cos: Tensor, sin: Tensor, n_heads: int,
    ) -> Tensor:  # fmt: skip
        x, q, k, v = self.first(x, attention_gain, qkv, cos, sin, n_heads)
        return self.second(x, self.attention(q, k, v, n_heads), out, mlp_gain, up, down)

    def _layer_2(
        self,
        x: Tensor,
        first_value: Tensor | None,
        own: Mapping[str, Tensor],
        *,
        cos: Tensor,
        sin: Tensor,
        n_heads: int,
    ) -> tuple[Tensor, Tensor]:
        x, q, k, v = self.first_2(x, first_value, own, cos=cos, sin=sin, n_heads=n_heads)
        mixed = self.attention(q, k, v, n_heads)
        return self.second(x, mixed, own["out"], own["mlp_gain"], own["up"], own["down"]), v


def pieces(shape: Shape, dtype: torch.dtype, *, trained: bool) -> Pieces:
    """Of a shape, products in `dtype`; with gradients or without.

    A layer's halves that have no kernels are compiled. Training calls them with one size for ever, measuring with as
    many windows as are left and by the members that still go on. Without kernels, embedding and head are compiled in
    training alone; in measuring the head is in float32.
    """
    own = _kernels(shape, dtype, trained=trained)
    compile_it = compiled if trained else compiled_for_any_windows
    if "embed" in own:
        plain = Parts(embed=own["embed"], byte_nats=own["byte_nats"])
    else:
        plain = Parts().compiled() if trained else Parts()

    def first_2(x: Tensor, first_value: Tensor | None, own: Mapping[str, Tensor], **given: Any) -> tuple[Tensor, ...]:
        return _first_2(x, first_value, {**own, "qkv": own["qkv"].to(dtype)}, **given)

    def piece(name: str, plainly: Callable[..., Any], block: int = shape.block) -> Callable[..., Any]:
        return own.get(name) or (compile_it(plainly) if block == shape.block else plainly)  # the other block's waits

    return Pieces(
        embed=plain.embed,
        first=piece("first", _wide_first, block=1),
        attention=attention,
        second=own.get("second") or (_wide_second(own["activated"]) if trained else compile_it(after_attention)),
        byte_nats=plain.byte_nats,
        smear=piece("smear", block_2.smeared, block=2),
        first_2=piece("heads", first_2, block=2),
    )


def _kernels(shape: Shape, dtype: torch.dtype, *, trained: bool) -> dict[str, Callable[..., Any]]:
    """The pieces that have kernels for the shape, by their names in `Pieces`; or `activated`, a part of the second."""

    def first(x: Tensor, gain: Tensor, qkv: Tensor, cos: Tensor, sin: Tensor, _: int) -> tuple[Tensor, ...]:
        return first_half(x, gain, qkv, cos, sin, dtype)

    def byte_nats(x: Tensor, embedding: Tensor, symbols: Tensor) -> Tensor:
        return nats(x, embedding, symbols, dtype)

    def heads_2(
        x: Tensor, first_value: Tensor | None, own: Mapping[str, Tensor], *, cos: Tensor, sin: Tensor, **_: int
    ) -> tuple[Tensor, ...]:
        unturned = torch.ones_like(cos), torch.zeros_like(sin)
        x, *parts = first_half(x, own["attention_gain"], own["qkv"], *unturned, dtype)
        q, k, v = parts
        return x, *heads((q, k, v), first_value, own["query_gain"], own.get("value_mix"), cos, sin)

    own: dict[str, Callable[..., Any]] = {"attention": attention}
    if shape.width <= MOST_WIDTH:
        own |= {"first": first} if shape.block == 1 else {"smear": smeared, "heads": heads_2}
    if shape.width <= (MOST_NARROW if trained else MOST_WIDTH):
        own["second"] = second_half
    elif trained:
        own["activated"] = activated
    if shape.width <= MOST_WIDTH and shape.vocabulary <= MOST_VOCABULARY:
        own |= {"embed": embedded, "byte_nats": byte_nats if trained else measured_nats}
    return own


def _wide_first(x: Tensor, gain: Tensor, qkv: Tensor, cos: Tensor, sin: Tensor, n_heads: int) -> tuple[Tensor, ...]:
    """What `first_half` gives, from the plain model's functions."""
    return x, *_heads_joined(before_attention(x, gain, qkv, cos, sin, n_heads), x)


def _wide_second(activated: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """`after_attention` in training. One graph would make GELU's result again on the way back, and write it there."""
    before, after = compiled(hidden_units), compiled(plus_network)

    def second(x: Tensor, mixed: Tensor, out: Tensor, gain: Tensor, up: Tensor, down: Tensor) -> Tensor:
        x, units = before(x, mixed, out, gain, up)
        return after(x, activated(units), down)

    return second


def _first_2(
    x: Tensor, first_value: Tensor | None, own: Mapping[str, Tensor], *, cos: Tensor, sin: Tensor, n_heads: int
) -> tuple[Tensor, ...]:
    """What `heads_2` of `_kernels` gives, from the plain model's functions."""
    (M, B, T, _), D = x.shape, x.shape[-1] // n_heads
    first_heads = first_value if first_value is None else first_value.view(M * B, T, n_heads, D).transpose(1, 2)
    return x, *_heads_joined(block_2.before_attention_2(x, first_heads, own, cos=cos, sin=sin, n_heads=n_heads), x)


def _heads_joined(parts: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, ...]:
    """Queries, keys and values (M·B, H, T, D) as the kernels have them, of the shape of `x` (M, B, T, C)."""
    return tuple(part.transpose(1, 2).reshape(x.shape).contiguous() for part in parts)


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
    layer_2 = {"attention_gain": gain, "qkv": given(1, C, 3 * C), "query_gain": gain, "value_mix": given(1, 1)}
    inputs: dict[str, tuple[Any, ...]] = {
        "embed": (given(1, V, C), given(1, C), symbols),
        "first": (x, gain, given(1, C, 3 * C), angles, angles, shape.n_heads),
        "attention": (low, low, low, shape.n_heads),
        "smear": (x, gain),
        "heads": (x, low, layer_2),
        "activated": (given(1, 1, T, 4 * C, of=dtype),),
        "second": (x, low, given(1, C, C), gain, given(1, C, 4 * C), given(1, 4 * C, C)),
        "byte_nats": (x, given(1, V, C), symbols),
    }
    own = _kernels(shape, dtype, trained=trained)

    def attempt(name: str) -> None:
        made = own[name](*inputs[name], **({"cos": angles, "sin": angles} if name == "heads" else {}))
        made = made if isinstance(made, tuple) else (made,)
        if trained:
            torch.autograd.backward(made, [torch.zeros_like(each) for each in made])

    try:
        with _threads(len(own)) as threads:
            list(threads.map(attempt, own))
    except (OutOfResources, CompilationError):
        return False
    return True
