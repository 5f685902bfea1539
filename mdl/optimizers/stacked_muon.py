"""Muon on the matrices of stacked models and AdamW on all else, each member as if it were alone.

Muon (Jordan et al. 2024): the momentum of a matrix's gradient, made orthogonal by five Newton-Schulz steps, is its
update. Every weight has a leading member axis M. Matrices of one size, of all members, layers and roles, are made
orthogonal together, in batched products.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mdl.optimizers.stacked_adamw import StackedAdamW, gradients_of

# Jordan's quintic: singular values that are not nearly 0 end between .68 and 1.14 after five steps.
QUINTIC = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """Roughly the nearest semi-orthogonal matrices of (n, P, Q), P ≤ Q; in bf16 on CUDA, else in their own type.

    A matrix of zeros stays one. On the CPU a matrix's bits do not depend on the others: a batch of one would take
    another kernel, and is padded.
    """
    if len(matrices) == 1:
        return orthogonal(torch.cat([matrices, torch.zeros_like(matrices)]))[:1]
    a, b, c = QUINTIC
    norm = matrices.flatten(1).square().sum(dim=1).sqrt()[:, None, None]
    X = matrices / (norm + 1e-7)
    X = X.bfloat16() if matrices.is_cuda else X
    for _ in range(NEWTON_SCHULZ_STEPS):
        A = torch.bmm(X, X.mT)
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X.to(matrices.dtype)


@dataclass(frozen=True)
class _Matrix:
    """A weight (M, P, parts · Q), or (M, parts · Q, P) where its group is `transposed`."""

    weight: Tensor
    group: dict[str, Any]

    @property
    def n_parts(self) -> int:
        return int(self.group["parts"])

    @property
    def size(self) -> tuple[int, int]:
        """How many values enter the weight, and how many leave one of its parts."""
        rows, columns = self._upright(self.weight).shape[1:]
        return rows, columns // self.n_parts

    def _upright(self, of: Tensor) -> Tensor:
        return of.mT if self.group.get("transposed") else of  # an older checkpoint's groups do not say

    def pieces(self, of: Tensor) -> Tensor:
        """(parts, M, P, Q) with P ≤ Q: views of what has the weight's form."""
        rows, columns = self.size
        split = self._upright(of).view(-1, rows, self.n_parts, columns).permute(2, 0, 1, 3)
        return split.mT if rows > columns else split

    @property
    def gain(self) -> float:
        """√(columns/rows) where more values leave a part than enter it: an update moves each output alike."""
        rows, columns = self.size
        return math.sqrt(max(1.0, columns / rows))


class StackedMuon(StackedAdamW):
    """Muon for groups whose `parts` is 1 or more, AdamW for groups without `parts`.

    `parts`: how many matrices lie side by side in each weight (M, rows, columns): 3 for queries, keys and values.
    `transposed`: weights are (M, columns, rows), the parts one below the other, as torch.nn.Linear keeps them.
    Such a group has its own `momentum`. Schedulers see one optimizer; all else is as in `StackedAdamW`.
    """

    def __init__(self, params: Iterable[dict[str, Any]], *, momentum: float = 0.95, **settings: Any) -> None:
        """ValueError for a weight of `parts` that are not matrices of equal size, or a rate that is not above 0."""
        super().__init__(params, parts=0, transposed=False, momentum=momentum, **settings)
        self._matrices()  # refuses what does not divide

    def _step_groups(self) -> None:
        self._step_adamw([group for group in self.param_groups if not group["parts"]])
        for group in self.param_groups:
            if group["parts"] and group["weight_decay"]:
                self._decay(group)
        by_size: dict[tuple[torch.Size, float], list[_Matrix]] = {}
        for matrix in self._matrices():
            size = matrix.pieces(matrix.weight).shape[2:], matrix.group["momentum"]
            by_size.setdefault(size, []).append(matrix)
        for (_, momentum), matrices in by_size.items():
            self._step_matrices(matrices, momentum)

    def _matrices(self) -> list[_Matrix]:
        matrices = [_Matrix(w, group) for group in self.param_groups if group["parts"] for w in group["params"]]
        for m in matrices:
            if m.weight.ndim != 3 or m.weight.shape[1 if m.group["transposed"] else 2] % m.n_parts:
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
            if key not in rates:
                rates[key] = self._rate(m.weight, m.group) * m.gain
            m.pieces(m.weight).sub_(turned[first : first + m.n_parts] * rates[key])
            first += m.n_parts

    def _decay(self, group: dict[str, Any]) -> None:
        """Shrink the matrices of a group, all in one launch where members have one rate."""
        weights = group["params"]
        kept = 1 - self._rate(weights[0], group) * group["weight_decay"]
        if isinstance(kept, Tensor) and kept.ndim:
            for weight in weights:
                weight.mul_(kept)
        else:
            torch._foreach_mul_(weights, kept)

    def _directions(self, weights: list[Tensor], momentum: float) -> list[Tensor]:
        """Nesterov's of every weight: its gradient and the running mean of those so far."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        means = [self.state[weight]["momentum_buffer"] for weight in weights]
        fresh = list(torch._foreach_mul(gradients_of(weights), 1 - momentum))
        torch._foreach_mul_(means, momentum)
        torch._foreach_add_(means, fresh)
        torch._foreach_add_(fresh, torch._foreach_mul(means, momentum))
        return fresh
