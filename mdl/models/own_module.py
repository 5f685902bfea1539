"""A user's torch module of one shape: how it is built from a seed, what it learns, and what it costs.

Shape letters: B windows, T bytes of a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mdl.errors import MdlError, quoted
from mdl.models.distribution_rows import first_nats
from mdl.models.module_predictor import require_values, without_warnings
from mdl.models.shape import Shape
from mdl.optimizers import MatrixForm
from mdl.units import VOCABULARY, counted

_RETURNS = ("logits", "log_probabilities", "probabilities")
_COPIES = 6  # of the weights in training: gradient, two moments, best, a look


@lru_cache(maxsize=256)
def own_module(name: str, make: Callable[[Shape], nn.Module], shape: Shape) -> OwnModule:
    """What is known of one shape is found out once in a process."""
    return OwnModule(name, make, shape)


@dataclass(frozen=True)
class OwnModule:
    """One shape of an architecture that a user registered."""

    name: str
    make: Callable[[Shape], nn.Module]
    shape: Shape

    def build(self, seed: int) -> tuple[nn.Module, dict[str, Tensor]]:
        """A module in float32 on the CPU, and what it learns by name: parameters, then buffers that are kept.

        MdlError in one line where the user's code fails, or what it makes is no module that can be trained.
        """
        with torch.random.fork_rng(devices=[]), self.named("cannot be made of"):
            torch.manual_seed(seed)
            module: Any = self.make(self.shape)
            if not isinstance(module, nn.Module):
                raise MdlError(f"{self} makes a {type(module).__name__}; want a torch.nn.Module")
            require_values(module)
            module.float()
            learned: dict[str, Tensor] = dict(module.named_parameters())
            if not any(weight.requires_grad for weight in learned.values()):
                raise MdlError(f"{self} has no parameters to train")
            _require_said(self, module)
            places = {_place(weight) for weight in learned.values()}
            for kept, tensor in module.state_dict(keep_vars=True).items():
                if _place(tensor) not in places and not any(tensor is known for known in learned.values()):
                    learned[kept] = tensor
            _require_counted(self, learned)
        return module, learned

    def load(self, weights: Mapping[str, Tensor]) -> nn.Module:
        """A module with these weights."""
        module, learned = self.build(0)
        with torch.no_grad():
            for name, tensor in learned.items():
                tensor.copy_(weights[name])
        return module

    @cached_property
    def n_params_by_group(self) -> dict[str, int]:
        """Numbers of parameters and persistent buffers by the module's part, each storage once.

        `embedding` is such a group only where each byte value has a row in it.
        """
        module, _ = self.build(0)
        groups: dict[str, int] = {}
        seen = set()
        for name, tensor in module.state_dict(keep_vars=True).items():
            if tensor.numel() and _place(tensor) not in seen:
                seen.add(_place(tensor))
                group = name.partition(".")[0]
                if group == "embedding" and not _is_byte_table(getattr(module, group, None)):
                    group = "embeddings"
                n = tensor.untyped_storage().nbytes() // tensor.element_size()
                groups[group] = groups.get(group, 0) + n
        return groups

    @cached_property
    def matrices(self) -> dict[str, MatrixForm]:
        """The layers' matrices by name: all with rows and columns but tables of byte values or of tokens."""
        module, learned = self.build(0)
        owners = {f"{path}.{name}".lstrip("."): part for path, part in module.named_modules() for name in _own(part)}
        return {
            name: _form(owners[name], weight)
            for name, weight in learned.items()
            if weight.requires_grad and weight.ndim == 2
            if not isinstance(owners[name], nn.Embedding | nn.EmbeddingBag) and VOCABULARY not in weight.shape
        }

    @cached_property
    def flops_per_byte(self) -> float:
        """Of products and convolutions in a forward pass over one window; where there are none, two a number of N."""
        from torch.utils.flop_counter import FlopCounterMode

        module, learned = self.build(0)
        window, fixed = self._window(), {name: tensor.detach() for name, tensor in learned.items()}
        counter = FlopCounterMode(display=False)
        plain = torch.backends.mkldnn.flags(enabled=False)  # whose one operation for all of an LSTM is not counted
        with self._trying(), torch.no_grad(), plain, counter:
            torch.func.functional_call(module, fixed, (window,))
        return counter.get_total_flops() / window.numel() or 2.0 * sum(self.n_params_by_group.values())

    def training_bytes(self, n_windows: int) -> int:
        """Copies of the weights, and what a forward pass kept for the gradients of one window, times so many."""
        return 4 * _COPIES * sum(self.n_params_by_group.values()) + n_windows * self._kept_bytes

    @cached_property
    def _kept_bytes(self) -> int:
        """Of a window until its gradients are known, and as much again for these, and logits."""
        module, _ = self.build(0)
        window, kept = self._window(), dict[int, int]()

        def keep(tensor: Tensor) -> Tensor:
            kept[_place(tensor)] = tensor.untyped_storage().nbytes()
            return tensor

        with self._trying(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            rows = self.checked(module, window, module(window))
        weights = {_place(weight) for weight in module.parameters()}
        return 2 * sum(n for place, n in kept.items() if place not in weights) + 8 * rows.numel()

    @contextmanager
    def _trying(self) -> Iterator[None]:
        with without_warnings(), self.named("fails on"), torch.random.fork_rng(devices=[]):
            yield

    def _window(self) -> Tensor:
        return torch.zeros(1, self.shape.context_tokens, dtype=torch.long)

    def checked(self, module: nn.Module, windows: Tensor, rows: Any) -> Tensor:
        """What the module made of windows (B, T); MdlError where that is not (B, T, 256) floating-point numbers."""
        wanted = (*windows.shape, VOCABULARY)
        if not isinstance(rows, Tensor) or tuple(rows.shape) != wanted or not rows.is_floating_point():
            found = f"shape {tuple(rows.shape)} of {rows.dtype}" if isinstance(rows, Tensor) else type(rows).__name__
            raise MdlError(f"{self} returns {found} for windows {tuple(windows.shape)}; want floats {wanted}")
        return rows

    def aligned(self, module: nn.Module, rows: Tensor) -> Tensor:
        """Rows (…, T, 256) as logits in float32, or float64, row t of byte t."""
        logits = rows if rows.dtype == torch.float64 else rows.float()
        if getattr(module, "returns", "logits") == "probabilities":
            logits = logits.log()
        if predicts(module) == "this":
            return logits
        first = torch.from_numpy(first_nats(getattr(module, "first", None))).to(logits)
        return torch.cat([first.expand(*logits.shape[:-2], 1, -1), logits[..., :-1, :]], dim=-2)

    @contextmanager
    def named(self, what: str) -> Iterator[None]:
        """Whatever the user's code raises is one line that names it."""
        try:
            yield
        except MdlError:
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise MdlError(f"architecture '{self.name}' {what} {self.shape.label} ({reason})") from error

    def __str__(self) -> str:
        return f"architecture '{self.name}', {self.shape.label},"


def predicts(module: nn.Module) -> Literal["this", "next"]:
    """Which byte row t of a module is the distribution of."""
    return "next" if getattr(module, "predicts", "this") == "next" else "this"


def _require_said(own: OwnModule, module: nn.Module) -> None:
    """MdlError for attributes that say something unknown."""
    for name, known in (("predicts", ("this", "next")), ("returns", _RETURNS)):
        value = getattr(module, name, known[0])
        if value not in known:
            raise MdlError(f"{own} says {name} = {quoted(value)}; want {' or '.join(map(repr, known))}")
    first: Any = getattr(module, "first", None)
    if first is not None:
        first_nats(first)


def _require_counted(own: OwnModule, learned: Mapping[str, Tensor]) -> None:
    """MdlError where each would be learned by itself, and N would count less: a storage is counted once."""
    by_place: dict[int, list[str]] = {}
    for name, tensor in learned.items():
        if tensor.is_complex():
            raise MdlError(
                f"{own} keeps complex numbers ('{name}'); keep two real ones for each, such as "
                "nn.Parameter(torch.view_as_real(…)), and use torch.view_as_complex of them"
            )
        by_place.setdefault(_place(tensor), []).append(name)
    for names in by_place.values():
        storage = learned[names[0]].untyped_storage().nbytes() // learned[names[0]].element_size()
        if sum(learned[name].numel() for name in names) > storage:
            raise MdlError(
                f"{own} keeps {' and '.join(map(repr, names))} in one storage of {counted(storage, 'number')}; tie "
                "weights by giving both names the same nn.Parameter, and copy what is expanded (.clone())"
            )


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _own(part: nn.Module) -> list[str]:
    return [name for name, _ in part.named_parameters(recurse=False, remove_duplicate=False)]


def _is_byte_table(part: Any) -> bool:
    return isinstance(part, nn.Embedding) and part.num_embeddings == VOCABULARY


def _form(owner: nn.Module, weight: Tensor) -> MatrixForm:
    """As torch's own layers keep theirs, (out, in), several below one another; a user's own parameter is (in, out)."""
    if isinstance(owner, nn.RNNBase | nn.RNNCellBase):
        return MatrixForm(weight.shape[0] // owner.hidden_size, transposed=True)
    if isinstance(owner, nn.MultiheadAttention):
        return MatrixForm(3 if weight.shape[0] == 3 * owner.embed_dim else 1, transposed=True)
    return MatrixForm(transposed=isinstance(owner, nn.Linear | nn.Bilinear))
