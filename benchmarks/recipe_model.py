"""A stacked block with switches, for `benchmarks.recipe_probe`: every change to the block is a member's own.

A change is a parameter that starts at what leaves the block as it was, and stays there for members without the change
(`live`), or a number a member that chooses between two forms. So a stack holds all changes at once, beside the plain
block, and one compilation serves them all. Shape letters as in `mdl.models.transformer`; D = C/H.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from benchmarks.recipe_tables import TABLES, ByteTables
from mdl.models import Shape
from mdl.models.kernels.limits import MOST_NARROW
from mdl.models.layer import rms_normalised, rotated
from mdl.models.tied_model import byte_nats, embedded
from mdl.models.transformer import Parts, StackedTransformer

Switches = Mapping[str, float]

LAYER_WEIGHTS = ("attention_gain", "qkv", "out", "mlp_gain", "up", "down")
MATRICES = ("qkv", "out", "up", "down")
# Parameters that a switch adds: their shape a layer (or a model), from the width C, and where "off" is.
_OF_LAYERS: dict[str, tuple[Callable[[int], tuple[int, ...]], float]] = {
    "attention_shift": (lambda C: (C,), 0.0),  # h[t] + a·h[t-1] before queries, keys and values
    "mlp_shift": (lambda C: (C,), 0.0),  # the same before the network
    "key_shift": (lambda C: (C,), 0.0),  # k[t] + s·(k[t-1] − k[t])
    "query_gain": (lambda C: (C,), 1.0),
    "value_residual": (lambda _: (1,), 0.0),  # v + s·(the first layer's v − v)
    "input_residual": (lambda _: (1,), 0.0),  # x + s·x₀ after a layer
}
_OF_MODELS: dict[str, tuple[Callable[[int], tuple[int, ...]], float]] = {
    "smear": (lambda C: (3, C), 0.0),  # x₀[t] + Σ s_k·x₀[t-k], k = 1 … 3
    "final_gain": (lambda C: (C,), 1.0),
    "output_bias": (lambda _: (256,), 0.0),
    "untied": (lambda C: (256, C), 0.0),  # what the head's table has over the embedding's
}
# Switches that are a number, and what it is when off.
_NUMBERS = {"qk_norm": 0.0, "relu2": 0.0, "softcap": 0.0, "embed_norm": 0.0, "zero_init": 0.0, "no_gains": 0.0,
            "rope_base": 0.0, "rope_half": 0.0}  # fmt: skip
KNOWN = {*_OF_LAYERS, *_OF_MODELS, *_NUMBERS, *TABLES}


class SwitchedModel:
    """M models of one shape, each with its own switches; `loops` passes through the layers."""

    def __init__(self, shape: Shape, seeds: Sequence[int], switches: Sequence[Switches], device: str, loops: int = 1):
        unknown = {name for own in switches for name in own} - KNOWN
        if unknown:
            raise ValueError(f"no such switches: {sorted(unknown)}; there are {sorted(KNOWN)}")
        self.shape, self.loops, self.device, self.switches = shape, loops, device, tuple(switches)
        self.used = {name for own in switches for name in own}
        self.everywhere = {name for name in self.used if all(name in own for own in switches)}
        base = StackedTransformer(shape, seeds)
        self.initial = {name: weight.detach().clone() for name, weight in base.named_parameters()}
        self.live = {name: torch.ones(len(seeds)) for name in self.initial}
        self._add_parameters()
        self.tables = ByteTables(self.switches, self.initial["embedding"])
        self.initial |= self.tables.initial
        self.live |= self.tables.live
        self._set_initial()
        self.numbers = {name: torch.tensor([own.get(name, 0.0) for own in switches]).to(device) for name in _NUMBERS}
        self.cos, self.sin = self._angles(base)
        self.weights: dict[str, Tensor] = {}
        self.second_half: Callable[..., Tensor] | None = None  # the project's kernel, where nothing in it changes
        self._prologue, self._before, self._after, self._head = prologue, before, after, head

    @property
    def plain(self) -> bool:
        """Has no member a change to what the block computes? Then the project's kernels do."""
        return not self.used - {"zero_init", "no_gains", "rope_base", "rope_half"}

    def n_params(self, m: int) -> int:
        """Parameters of member m that are learned or needed."""
        return int(
            sum(self.live[n][m].sum() * (w[m].numel() / self.live[n][m].numel()) for n, w in self.initial.items())
        )

    def _add_parameters(self) -> None:
        M, C, depth = len(self.switches), self.shape.width, self.shape.depth
        for name, (size, off) in (_OF_LAYERS | _OF_MODELS).items():
            if name not in self.used:
                continue
            for key in [f"{name}_{k}" for k in range(depth)] if name in _OF_LAYERS else [name]:
                self.initial[key] = torch.full((M, *size(C)), off)
                self.live[key] = torch.tensor([float(name in own) for own in self.switches])

    def _set_initial(self) -> None:
        """What a member's own switches start from, and which of the added parameters it learns."""
        if "smear" in self.used:
            taps = torch.tensor([own.get("smear", 0) for own in self.switches])
            self.live["smear"] = (torch.arange(3) < taps[:, None]).float()[:, :, None]
        for m, own in enumerate(self.switches):
            for k in range(self.shape.depth):
                self._set_layer(m, k, own)

    def _set_layer(self, m: int, k: int, own: Switches) -> None:
        if "zero_init" in own:
            self.initial[f"out_{k}"][m] = 0
            self.initial[f"down_{k}"][m] = 0
        if "no_gains" in own:
            self.live[f"attention_gain_{k}"][m] = self.live[f"mlp_gain_{k}"][m] = 0
        for name in ("query_gain", "value_residual", "attention_shift", "mlp_shift"):
            if name in own:
                self.initial[f"{name}_{k}"][m] = own[name]
        if (
            "key_shift" in own
        ):  # 1: half of each head's pairs, those that turn slowly, fixed; below 0 learned from there
            C, D = self.shape.width, self.shape.width // self.shape.n_heads
            low = (torch.arange(C) % (D // 2)) >= D // 4
            self.initial[f"key_shift_{k}"][m] = low.float() * abs(own["key_shift"])
            self.live[f"key_shift_{k}"][m] = float(own["key_shift"] < 0)
        # The first layer's first pass has no earlier value; passed again it mixes as the others do.
        if k == 0 and self.loops == 1 and "value_residual" in own:
            self.initial["value_residual_0"][m] = self.live["value_residual_0"][m] = 0

    def _angles(self, base: StackedTransformer) -> tuple[Tensor, Tensor]:
        """cos and sin (M, T, D/2), or (T, D/2) where all members have the usual ones."""
        if not self.used & {"rope_base", "rope_half"}:
            return base.cos.to(self.device), base.sin.to(self.device)
        half = self.shape.width // self.shape.n_heads // 2
        rows = []
        for own in self.switches:
            n = half // 2 if "rope_half" in own else half
            frequency = own.get("rope_base", 10_000.0) ** (-torch.arange(n, dtype=torch.float64) / n)
            frequency = torch.cat([frequency, frequency.new_zeros(half - n)])
            rows.append(torch.arange(self.shape.context_tokens, dtype=torch.float64)[:, None] * frequency)
        angle = torch.stack(rows).to(self.device)
        return angle.cos().float(), angle.sin().float()

    def compile(self) -> None:
        """Each piece by itself; on CUDA."""
        if self.shape.width <= MOST_NARROW and not self.used & {"mlp_shift", "relu2", "input_residual"}:
            from mdl.models.kernels.attention_output_mlp import second_half

            self.second_half = second_half
        make = lambda piece: torch.compile(piece, dynamic=False)  # noqa: E731
        self._prologue, self._before, self._after, self._head = map(make, (prologue, before, after, head))

    def uncompiled(self) -> None:
        """The plain functions again: measuring is short."""
        self._prologue, self._before, self._after, self._head = prologue, before, after, head

    def _mode(self, name: str) -> str:
        return "all" if name in self.everywhere else "some" if name in self.used else "none"

    def nats(
        self, bytes_MBT: Tensor, dtype: torch.dtype, attention: Callable[..., Tensor], parts: Parts | None
    ) -> Tensor:
        """−ln p (M, B, T) in float32; products in `dtype`. `parts`: the project's kernels where they are."""
        w, H = self.weights, self.shape.n_heads
        modes = {name: self._mode(name) for name in KNOWN}
        own_table = self.tables.made(w)
        x = (parts.embed if parts else embedded)(own_table, w["start"], bytes_MBT)
        if self.used & {"smear", "embed_norm"}:
            x = self._prologue(x, w.get("smear"), self.numbers, modes)
        x0, first_value = x, None
        for k in [*range(self.shape.depth)] * self.loops:
            own = {n: w[f"{n}_{k}"] for n in [*LAYER_WEIGHTS, *_OF_LAYERS] if f"{n}_{k}" in w}
            if parts and self.plain and self.cos.ndim == 2:
                x = parts.layer(x, *[own[n] for n in LAYER_WEIGHTS], self.cos, self.sin, H)
                continue
            q, key, value = self._before(x, first_value, own, self.numbers, self.cos, self.sin, modes, H, dtype)
            if "value_residual" in self.used and first_value is None:
                first_value = value
            mixed = attention(q, key, value, H)
            if parts and self.second_half:
                x = self.second_half(x, mixed, *(own[n] for n in ("out", "mlp_gain", "up", "down")))
            else:
                x = self._after(x, mixed, x0, own, self.numbers, modes, dtype)
        if self.used & {"softcap", "output_bias"}:
            table = own_table + w["untied"] if "untied" in w else own_table
            return self._head(x, table, bytes_MBT, w, self.numbers, modes, dtype)
        table = own_table + w["untied"] if "untied" in w else own_table
        table = table * w["final_gain"][:, None, :] if "final_gain" in w else table
        return (parts.byte_nats if parts else byte_nats)(x, table, bytes_MBT)


def chosen(mode: str, number: Tensor, on: Tensor, off: Tensor) -> Tensor:
    """`on` for members whose number is not 0; all axes after the first are broadcast."""
    if mode == "all":
        return on
    return torch.where(number.view(-1, *[1] * (on.ndim - 1)) != 0, on, off)


def shifted(x: Tensor, n: int = 1) -> Tensor:
    """x (M, B, T, C) of n bytes before; zeros before the window."""
    return F.pad(x, (0, 0, n, 0))[:, :, : x.shape[2]]


def linear(x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """x·W for every member, in `dtype`."""
    M, B, T, C = x.shape
    return torch.bmm(x.reshape(M, B * T, C).to(dtype), weight.to(dtype)).view(M, B, T, -1)


def prologue(x: Tensor, taps: Tensor | None, numbers: dict[str, Tensor], modes: dict[str, str]) -> Tensor:
    """What becomes of the embeddings (M, B, T, C) before the first layer."""
    if modes["embed_norm"] != "none":
        x = chosen(modes["embed_norm"], numbers["embed_norm"], rms_normalised(x), x)
    if taps is not None:
        before_ = x
        for k in range(3):
            x = x + taps[:, k, None, None, :] * shifted(before_, k + 1)
    return x


def before(
    x: Tensor, first_value: Tensor | None, own: dict[str, Tensor], numbers: dict[str, Tensor], cos: Tensor, sin: Tensor,
    modes: dict[str, str], n_heads: int, dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Queries, keys and values (M, B, T, C) in `dtype`."""
    M, B, T, C = x.shape
    h = rms_normalised(x) * own["attention_gain"][:, None, None, :]
    if "attention_shift" in own:
        h = h + own["attention_shift"][:, None, None, :] * shifted(h)
    q, k, v = (part.float() for part in linear(h, own["qkv"], dtype).chunk(3, dim=-1))
    if "key_shift" in own:
        k = k + own["key_shift"][:, None, None, :] * (shifted(k) - k)
    q, k = q.reshape(M, B, T, n_heads, -1), k.reshape(M, B, T, n_heads, -1)
    if modes["qk_norm"] != "none":
        mode, number = modes["qk_norm"], numbers["qk_norm"]
        q, k = chosen(mode, number, rms_normalised(q), q), chosen(mode, number, rms_normalised(k), k)
    if "query_gain" in own:
        q = q * own["query_gain"].view(M, 1, 1, n_heads, -1)
    if cos.ndim == 3:
        cos, sin = cos[:, None, :, None, :], sin[:, None, :, None, :]
    else:
        cos, sin = cos[:, None, :], sin[:, None, :]
    q, k = rotated(q, cos, sin).reshape(M, B, T, C), rotated(k, cos, sin).reshape(M, B, T, C)
    if "value_residual" in own and first_value is not None:
        v = v + own["value_residual"][:, None, None, :] * (first_value.float() - v)
    return q.to(dtype).contiguous(), k.to(dtype).contiguous(), v.to(dtype).contiguous()


def after(
    x: Tensor, mixed: Tensor, x0: Tensor, own: dict[str, Tensor], numbers: dict[str, Tensor], modes: dict[str, str],
    dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """The residual stream after attention's output `mixed` and the network."""
    x = x + linear(mixed, own["out"], dtype)
    h = rms_normalised(x) * own["mlp_gain"][:, None, None, :]
    if "mlp_shift" in own:
        h = h + own["mlp_shift"][:, None, None, :] * shifted(h)
    u = linear(h, own["up"], dtype)
    if modes["relu2"] == "none":
        active = F.gelu(u)
    elif modes["relu2"] == "all":
        active = F.relu(u).square()
    else:
        active = chosen("some", numbers["relu2"], F.relu(u).square(), F.gelu(u))
    x = x + linear(active, own["down"], dtype)
    if "input_residual" in own:
        x = x + own["input_residual"][:, None, None, :] * x0
    return x


def head(
    x: Tensor, table: Tensor, bytes_MBT: Tensor, w: dict[str, Tensor], numbers: dict[str, Tensor],
    modes: dict[str, str], dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """−ln p (M, B, T) in float32 of the bytes."""
    h = rms_normalised(x)
    if "final_gain" in w:
        h = h * w["final_gain"][:, None, None, :]
    logits = linear(h, table.mT, dtype).float()
    if "output_bias" in w:
        logits = logits + w["output_bias"][:, None, None, :]
    if modes["softcap"] != "none":
        cap = numbers["softcap"].view(-1, 1, 1, 1)
        cap = torch.where(cap == 0, 1e4, cap)
        logits = cap * torch.tanh(logits / cap)
    M, B, T, V = logits.shape
    return F.cross_entropy(logits.view(-1, V), bytes_MBT.reshape(-1).long(), reduction="none").view(M, B, T)


def sdpa(q: Tensor, k: Tensor, v: Tensor, n_heads: int) -> Tensor:
    """Causal attention by torch, on (M, B, T, C)."""
    M, B, T, C = q.shape
    q, k, v = (part.reshape(M * B, T, n_heads, -1).transpose(1, 2) for part in (q, k, v))
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return mixed.transpose(1, 2).reshape(M, B, T, C)
