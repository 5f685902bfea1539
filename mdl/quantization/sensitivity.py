"""What an error in each weight costs in code length: a quadratic form, in two factors a matrix.

For a product y = x·W the Fisher information of W is taken as A ⊗ diag(g), where A = E[x xᵀ] is the second moment of
the inputs and g = E[(∂nats/∂y)²] that of the gradient at each output (the factors of K-FAC, Martens & Grosse 2015, g
without its off-diagonal part). An error δ in W then costs about ½ Σ_j g_j δ_jᵀ A δ_j nats a byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mdl.models import Parts, TiedModel, embedded, rms_normalised
from mdl.units import VOCABULARY

Floats = npt.NDArray[np.float64]

_WINDOWS_A_CALL = 16


@dataclass(frozen=True)
class Sensitivity:
    """Of a matrix W (in, out): inputs' second moment A (in, in) and gradients' g (out,), float64, nats² a byte."""

    inputs: Floats
    gradients: Floats


class _Products(TorchFunctionMode):
    """Notes the inputs and outputs of every product with one of some weights."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._names = {weight.data_ptr(): name for name, weight in weights.items()}
        self.seen: list[tuple[str, Tensor, Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.bmm and args[1].data_ptr() in self._names:
            result.retain_grad()
            self.seen.append((self._names[args[1].data_ptr()], args[0].detach(), result))
        return result


def sensitivity(model: TiedModel, windows: npt.NDArray[np.uint8]) -> dict[str, Sensitivity]:
    """Of every matrix of a one-member model, from windows (n, T) of the bytes that it codes.

    `embedding` is taken as the matrix (C, 257) of all bytes' vectors and, last, the start vector: what the inputs
    meet and what the output head multiplies by are one weight, and their forms are added.
    """
    matrices = {name: weight for name, weight in model.named_parameters() if weight.ndim == 3}
    sums: dict[str, list[Floats]] = {}
    for first in range(0, len(windows), _WINDOWS_A_CALL):
        _add(sums, model, matrices, torch.tensor(windows[None, first : first + _WINDOWS_A_CALL]))
    means = {name: Sensitivity(*(total / windows.size for total in factors)) for name, factors in sums.items()}
    head, looked_up = means.pop("embedding"), means.pop("")
    return {"embedding": _joined(head, looked_up), **means}


def _add(sums: dict[str, list[Floats]], model: TiedModel, matrices: Mapping[str, Tensor], bytes_1BT: Tensor) -> None:
    bytes_1BT = bytes_1BT.to(model.device)
    inputs: list[Tensor] = []

    def watched(*args: Tensor) -> Tensor:
        x = embedded(*args)
        x.retain_grad()
        inputs.append(x)
        return x

    with _Products(matrices) as products:
        x = rms_normalised(model.residual(bytes_1BT, Parts(embed=watched)))
        logits = torch.bmm(x.flatten(1, 2), model.weight("embedding").mT)
    F.cross_entropy(logits[0], bytes_1BT.reshape(-1).long(), reduction="sum").backward()  # type: ignore[no-untyped-call]
    for name, given, output in products.seen:
        assert output.grad is not None  # noqa: S101 - retained above
        _add_factors(sums, name, given.reshape(-1, given.shape[-1]), output.grad.reshape(-1, output.shape[-1]).square())
    assert inputs[0].grad is not None  # noqa: S101
    _add_looked_up(sums, bytes_1BT[0], inputs[0].grad[0])
    model.zero_grad(set_to_none=True)


def _add_factors(sums: dict[str, list[Floats]], name: str, x: Tensor, squares: Tensor) -> None:
    _accumulate(sums, name, x.mT @ x, squares.sum(dim=0))


def _add_looked_up(sums: dict[str, list[Floats]], bytes_BT: Tensor, gradient_BTC: Tensor) -> None:
    """The embedding as what bytes are looked up in: each vector's error goes straight into the residual stream."""
    start = torch.full_like(bytes_BT[:, :1], VOCABULARY, dtype=torch.long)
    before = torch.cat([start, bytes_BT[:, :-1].long()], dim=1).reshape(-1)
    gradient = gradient_BTC.reshape(-1, gradient_BTC.shape[-1])
    share = gradient.square().mean(dim=1)
    by_byte = torch.zeros(VOCABULARY + 1, device=gradient.device).index_add_(0, before, share)
    _accumulate(sums, "", gradient.mT @ gradient, by_byte)


def _accumulate(sums: dict[str, list[Floats]], name: str, *factors: Tensor) -> None:
    arrays = [factor.double().cpu().numpy() for factor in factors]
    sums[name] = [a + b for a, b in zip(sums[name], arrays, strict=True)] if name in sums else arrays


def _joined(head: Sensitivity, looked_up: Sensitivity) -> Sensitivity:
    """One form A ⊗ diag(g) with the traces of the sum of both, each vector's and each direction's."""
    of_head = np.append(head.gradients, 0) * head.inputs.diagonal().mean()
    directions = head.inputs * (of_head.sum() / head.inputs.trace())
    directions = directions + looked_up.inputs * (looked_up.gradients.sum() / looked_up.inputs.trace())
    inputs = directions / directions.diagonal().mean()
    return Sensitivity(inputs, of_head + looked_up.gradients)
