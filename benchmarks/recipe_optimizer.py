"""Muon on the matrices of stacked models and AdamW on all else, each member as if it were alone.

Muon (Jordan et al. 2024): the momentum of a matrix's gradient, made orthogonal by five Newton-Schulz steps, is its
update. Every weight has a leading member axis M. Matrices of one shape, of all members, layers and roles, are made
orthogonal together, in batched products.

On the CPU a member's bits do not depend on its companions. So every operation here is one that IEEE 754 defines:
torch's fused AdamW rounds the last few numbers of a tensor otherwise than those before, and which those are depends on
how many members there are (seen at width 12); lerp and addcmul may.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Jordan's quintic: singular values that are not nearly 0 end between .68 and 1.14 after five steps.
_QUINTIC = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """Roughly the nearest semi-orthogonal matrices of (n, P, Q), P ≤ Q; in bf16 on CUDA, else in their own type.

    A matrix of zeros stays one. On the CPU a matrix's bits do not depend on the others: a batch of one would take
    another kernel, and is padded.
    """
    if len(matrices) == 1:
        return orthogonal(torch.cat([matrices, torch.zeros_like(matrices)]))[:1]
    a, b, c = _QUINTIC
    norm = matrices.flatten(1).square().sum(dim=1).sqrt()[:, None, None]
    X = matrices / (norm + 1e-7)
    X = X.bfloat16() if matrices.is_cuda else X
    for _ in range(NEWTON_SCHULZ_STEPS):
        A = torch.bmm(X, X.mT)
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X.to(matrices.dtype)


@dataclass(frozen=True)
class _Matrix:
    """A weight (M, P, parts · Q) and its group."""

    weight: Tensor
    group: dict[str, Any]

    @property
    def n_parts(self) -> int:
        return int(self.group["parts"])

    @property
    def tall(self) -> bool:
        """Has a part more rows than columns? Then its transpose is made orthogonal."""
        return self.weight.shape[1] * self.n_parts > self.weight.shape[2]

    def pieces(self, of: Tensor) -> Tensor:
        """(parts, M, P, Q) with P ≤ Q: views of what has the weight's form."""
        M, rows, columns = of.shape
        split = of.view(M, rows, self.n_parts, columns // self.n_parts).permute(2, 0, 1, 3)
        return split.mT if self.tall else split

    @property
    def gain(self) -> float:
        """√(columns/rows) where more values leave a part than enter it: an update moves each output alike."""
        return math.sqrt(max(1.0, self.weight.shape[2] / self.n_parts / self.weight.shape[1]))


class StackedMuon(torch.optim.Optimizer):
    """Muon for groups whose `parts` is 1 or more, AdamW for groups without `parts`.

    `parts`: how many matrices lie side by side in each weight (M, rows, columns): 3 for queries, keys and values. A
    group has its own `lr`, `weight_decay` (decoupled), and `momentum` or `betas`; schedulers see one optimizer.
    `lr_scale` (M,) is each member's factor on every rate.

    A weight needs a gradient at every step. With `capturable` (on CUDA) a step can be recorded in a CUDA graph once
    each group's `lr` is a tensor on the device.
    """

    def __init__(
        self, params: Iterable[dict[str, Any]], *, lr: float, lr_scale: Tensor | None = None, momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95), weight_decay: float = 0.0, capturable: bool = False,
    ) -> None:  # fmt: skip
        """ValueError for a weight of `parts` that are not matrices of equal size, or a rate that is not above 0."""
        if lr <= 0:
            raise ValueError(f"a learning rate is above 0, got {lr}")
        adamw = torch.optim.AdamW(
            [torch.zeros(1)], lr=lr, betas=betas, weight_decay=weight_decay, capturable=capturable
        )
        super().__init__(params, {**adamw.defaults, "parts": 0, "momentum": momentum, "fused": True})
        self._adamw = adamw  # takes the steps on CUDA, over this optimizer's own groups and state
        self._lr_scale = lr_scale
        self._scaled = lr_scale is not None and bool((lr_scale != 1).any())
        self._matrices()  # refuses what does not divide

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every member; what `closure` gave, if it was."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._step_rest()
        for group in self.param_groups:
            if group["parts"] and group["weight_decay"]:
                self._decay(group)
        by_size: dict[tuple[torch.Size, float], list[_Matrix]] = {}
        for matrix in self._matrices():
            size = matrix.pieces(matrix.weight).shape[2:], matrix.group["momentum"]
            by_size.setdefault(size, []).append(matrix)
        for (_, momentum), matrices in by_size.items():
            self._step_matrices(matrices, momentum)
        return loss

    def _matrices(self) -> list[_Matrix]:
        matrices = [_Matrix(w, group) for group in self.param_groups if group["parts"] for w in group["params"]]
        for m in matrices:
            if m.weight.ndim != 3 or m.weight.shape[2] % m.n_parts:
                raise ValueError(
                    f"a weight of {m.n_parts} part(s) is (members, rows, columns) with columns to divide; "
                    f"got {tuple(m.weight.shape)}"
                )
        return matrices

    def _step_matrices(self, matrices: list[_Matrix], momentum: float) -> None:
        """Muon's step of matrices of one size."""
        directions = self._directions([m.weight for m in matrices], momentum)
        pieces = torch.cat([m.pieces(d) for m, d in zip(matrices, directions, strict=True)])
        turned = orthogonal(pieces.flatten(0, 1)).view(pieces.shape)
        rates: dict[tuple[int, float], Any] = {}  # a product each would be a launch each
        first = 0
        for m in matrices:
            key = id(m.group), m.gain
            rate = rates[key] if key in rates else rates.setdefault(key, self._rate(m.group, 3) * m.gain)
            m.pieces(m.weight).sub_(turned[first : first + m.n_parts] * rate)
            first += m.n_parts

    def _decay(self, group: dict[str, Any]) -> None:
        """Shrink the matrices of a group."""
        kept = 1 - self._rate(group, 3) * group["weight_decay"]
        if self._lr_scale is None:
            torch._foreach_mul_(group["params"], kept)
        else:
            for weight in group["params"]:
                weight.mul_(kept)

    def _directions(self, weights: list[Tensor], momentum: float) -> list[Tensor]:
        """Nesterov's of every weight: its gradient and the running mean of those so far."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        means = [self.state[weight]["momentum_buffer"] for weight in weights]
        fresh = list(torch._foreach_mul(_gradients(weights), 1 - momentum))
        torch._foreach_mul_(means, momentum)
        torch._foreach_add_(means, fresh)
        torch._foreach_add_(fresh, torch._foreach_mul(means, momentum))
        return fresh

    def _rate(self, group: dict[str, Any], n_axes: int) -> Any:
        """A group's rate, or (M, 1, …) of that many axes each member's."""
        return group["lr"] if self._lr_scale is None else group["lr"] * self._lr_scale.view(-1, *[1] * (n_axes - 1))

    def _step_rest(self) -> None:
        """AdamW's step of everything that is no matrix."""
        groups = [group for group in self.param_groups if not group["parts"]]
        if not any(w.is_cuda for group in groups for w in group["params"]):
            for group in groups:
                for weight in group["params"]:
                    self._step_vector(weight, group)
            return
        self._adamw.param_groups, self._adamw.state = groups, self.state
        weights = [w for group in groups for w in group["params"]]
        before = [w.clone() for w in weights] if self._scaled else []
        self._adamw.step()
        for weight, old in zip(weights, before, strict=False):  # AdamW is linear in the rate
            assert self._lr_scale is not None
            weight.copy_(old + self._lr_scale.view(-1, *[1] * (weight.ndim - 1)) * (weight - old))

    def _step_vector(self, weight: Tensor, group: dict[str, Any]) -> None:
        """AdamW's step of one weight in plain operations, with the state that torch's AdamW keeps."""
        (gradient,), state, (beta1, beta2) = _gradients([weight]), self.state[weight], group["betas"]
        if not state:
            state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(weight)}
            state["exp_avg_sq"] = torch.zeros_like(weight)
        state["step"] += 1
        n_steps, rate = int(state["step"]), self._rate(group, weight.ndim)
        mean = state["exp_avg"].mul_(beta1).add_(gradient * (1 - beta1))
        square = state["exp_avg_sq"].mul_(beta2).add_(gradient * gradient * (1 - beta2))
        size = square.sqrt().div_((1 - beta2**n_steps) ** 0.5).add_(group["eps"])
        if group["weight_decay"]:
            weight.mul_(1 - rate * group["weight_decay"])
        weight.sub_(mean / size * (rate / (1 - beta1**n_steps)))


def _gradients(weights: list[Tensor]) -> list[Tensor]:
    gradients = [w.grad for w in weights if w.grad is not None]
    if len(gradients) < len(weights):
        raise ValueError(
            f"{len(weights) - len(gradients)} of {len(weights)} weights have no gradient; call backward() first"
        )
    return gradients
