"""Stacked models trained for the total: weights rounded in the forward pass, and what their code takes.

A row's step is learned, and so is the density of a matrix that `density_codec` codes it by. Gradients pass straight
through the rounding (Bengio et al. 2013), those of a step as in LSQ (Esser et al. 2020). What a weight costs is −ln of
its number's probability, so that the number of bits is the loss's choice. Shape letters: M members, R rows of all
matrices, N weights of all matrices.

On the CPU each member is computed by itself: a vector unit rounds the last few numbers of a tensor otherwise, and which
those are depends on the company.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mdl.models import Shape
from mdl.quantization.density_codec import (
    MOST_STEP,
    STEPS_AN_OCTAVE,
    DensityForm,
    most_number,
    step_sizes,
    tables_bytes,
)
from mdl.quantization.stacked_matrices import stacked_matrices, stacked_weights
from mdl.quantization.weight_codec import CodedModel, encode_density, matrix_shapes

_STEP_RATE, _DENSITY_RATE = 2.5e-2, 5e-2  # Adam's, in octaves and logits, times that of the weights over its peak
_BETAS, _EPSILON = (0.9, 0.99), 1e-12
_FIRST_STEP = 0.15  # of a row's root mean square, where there are numbers enough: some 4.5 bits
_FIRST_RANGE = 2.2  # root mean squares that a row's numbers reach, where there are few
_LEAST = 2.0**-24  # of a number's probability, as in the coder's tables
_KINDS = 3  # numbers that tell a matrix's density: log2 of both widths, the logit of the wide one's share


class Rounding(nn.Module):
    """What is learned of M members' rounding, and its optimizer; all in buffers (M, …)."""

    learned: Tensor
    data_bytes: Tensor
    mean: Tensor
    square: Tensor
    n_steps: Tensor
    living: Tensor
    sizes: Tensor
    rates: Tensor

    def __init__(self, shape: Shape, bits: int, data_bytes: Sequence[int]) -> None:
        """`bits`: of the largest number. `data_bytes` (M,): what each member's weights are to pay for."""
        super().__init__()
        self.shape, self.most = shape, most_number(bits)
        self._shapes = matrix_shapes(shape)
        M, n_rows = len(data_bytes), sum(n_out for _, n_out in self._shapes.values())
        n_learned = n_rows + _KINDS * len(self._shapes)
        for name in ("learned", "mean", "square"):
            self.register_buffer(name, torch.zeros(M, n_learned))
        self.register_buffer("n_steps", torch.zeros(()))
        self.register_buffer("living", torch.ones(M, n_rows))
        self.register_buffer("data_bytes", torch.tensor(data_bytes, dtype=torch.float32), persistent=False)
        self.register_buffer("sizes", torch.from_numpy(step_sizes().copy()), persistent=False)
        rates = torch.full((n_learned,), _DENSITY_RATE)
        rates[:n_rows] = _STEP_RATE
        self.register_buffer("rates", rates, persistent=False)
        self._leaf: Tensor | None = None

    @torch.no_grad()
    def begin(self, weights: Mapping[str, Tensor], present: Tensor) -> None:
        """From the weights (M, …) as they are; `present` (M, 256): does a byte value occur in the data?

        The vector of one that does not stays 0, and costs nothing.
        """
        M = len(present)
        of_embedding = torch.cat([present, torch.ones_like(present[:, :1])], dim=1).float()
        self.living.fill_(1)
        self.living[:, : of_embedding.shape[1]] = of_embedding
        for m in range(M):
            matrices = stacked_matrices(self.shape, _only(weights, m))
            first = max(_FIRST_STEP, _FIRST_RANGE / (self.most + 0.5))
            sizes = [matrix.square().mean(dim=1).sqrt().clamp(2.0**-30) for matrix in matrices.values()]
            steps = (torch.cat(sizes, dim=1) * first).log2()
            spreads = torch.stack([matrix.std() for matrix in matrices.values()]).clamp(2.0**-30)
            narrow = (spreads * (3**0.5 / math.pi)).log2()
            densities = torch.stack([narrow, narrow + 1.5, torch.full_like(narrow, -2.0)], dim=1)
            self.learned[m] = torch.cat([steps[0], densities.flatten()])

    def __call__(self, weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Weights (M, …) that stand in for `weights`, by name, and nats per byte of the data (M,) that they take."""
        leaf = self.learned.detach()
        if torch.is_grad_enabled():
            leaf = self._leaf = leaf.requires_grad_()
        if leaf.is_cuda or len(leaf) == 1:
            rounded, nats = self._rounded(weights, leaf, self.living)
        else:
            parts = [
                self._rounded(_only(weights, m), leaf[m : m + 1], self.living[m : m + 1]) for m in range(len(leaf))
            ]
            rounded = {name: torch.cat([part[0][name] for part in parts]) for name in parts[0][0]}
            nats = torch.cat([part[1] for part in parts])
        ones = {name: torch.ones_like(weight) for name, weight in weights.items() if name not in rounded}
        return rounded | ones, nats / self.data_bytes

    def _rounded(
        self, weights: Mapping[str, Tensor], learned: Tensor, living: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        matrices = stacked_matrices(self.shape, weights)
        size, alive, narrow, wide, share = self._spread(self._per_row(learned, living)).unbind(1)
        numbers = self._numbers(torch.cat([matrix.flatten(1) for matrix in matrices.values()], dim=1), size) * alive
        flat = torch.split(numbers * size, [n_in * n_out for n_in, n_out in self._shapes.values()], dim=1)
        found = {name: part.view(-1, *self._shapes[name]) for name, part in zip(self._shapes, flat, strict=True)}
        nats = (_nats(numbers.abs(), narrow, wide, share, self.most) * alive).sum(dim=1)
        return {name: weight.contiguous() for name, weight in stacked_weights(self.shape, found).items()}, nats

    def _numbers(self, flat: Tensor, size: Tensor) -> Tensor:
        """Weights over their steps, rounded and cut."""
        reals = (flat / size).clamp(-self.most, self.most)
        return reals + (reals.round() - reals).detach()

    def _per_row(self, learned: Tensor, living: Tensor) -> Tensor:
        """(M, 5, R): step, whether it lives, step over each logistic's width, the wide one's share.

        A step's value is that of the grid, its gradient that of its own logarithm.
        """
        n_rows = living.shape[1]
        log2_steps, densities = learned[:, :n_rows], learned[:, n_rows:].view(len(learned), -1, _KINDS)
        size = self.sizes[self._grid(log2_steps) + MOST_STEP]
        size = size * (1 + math.log(2) * (log2_steps - log2_steps.detach()))
        told = torch.stack([*(-densities[..., :2]).exp2().unbind(-1), densities[..., 2].sigmoid()], dim=1)
        narrow, wide, share = torch.cat(
            [told[:, :, i : i + 1].expand(-1, -1, n_out) for i, (_, n_out) in enumerate(self._shapes.values())],
            dim=2,
        ).unbind(1)
        return torch.stack([size, living, size * narrow, size * wide, share], dim=1)

    def _grid(self, log2_steps: Tensor) -> Tensor:
        """k of the steps 2^(k/4)."""
        return (log2_steps * STEPS_AN_OCTAVE).round().clamp(-MOST_STEP, MOST_STEP).long()

    def _spread(self, per_row: Tensor) -> Tensor:
        """(M, n, N) of (M, n, R): each weight gets what its row has."""
        parts, first = [], 0
        for n_in, n_out in self._shapes.values():
            part = per_row[:, :, None, first : first + n_out]
            parts.append(part.expand(-1, -1, n_in, -1).flatten(2))
            first += n_out
        return torch.cat(parts, dim=2)

    @torch.no_grad()
    def step(self, factor: Any, mean_of_ranks: Callable[[Tensor], Tensor]) -> None:
        """Adam's, by the gradient that came back; `factor` on the rates. In operations that IEEE 754 defines."""
        assert self._leaf is not None  # noqa: S101 - a forward pass came before
        assert self._leaf.grad is not None  # noqa: S101
        gradient, self._leaf = mean_of_ranks(self._leaf.grad), None
        beta1, beta2 = _BETAS
        self.n_steps += 1
        self.mean.mul_(beta1).add_(gradient * (1 - beta1))
        self.square.mul_(beta2).add_(gradient * gradient * (1 - beta2))
        size = (self.square / (1 - beta2**self.n_steps)).sqrt() + _EPSILON
        self.learned.sub_(self.mean / (1 - beta1**self.n_steps) / size * (self.rates * factor))

    @torch.no_grad()
    def coded(self, weights: Mapping[str, Tensor], member: int) -> tuple[CodedModel, float]:
        """One member's weights, rounded and coded, and the bits that its densities give, tables of steps counted."""
        one = _only(weights, member)
        learned, living = self.learned[member : member + 1], self.living[member : member + 1]
        size, alive = self._spread(self._per_row(learned, living)[:, :2]).unbind(1)
        flat = torch.cat([matrix.flatten(1) for matrix in stacked_matrices(self.shape, one).values()], dim=1)
        numbers = (self._numbers(flat, size) * alive).long().cpu().numpy()[0]
        n_rows = living.shape[1]
        steps, densities = self._grid(learned[0, :n_rows]).cpu().numpy(), learned[0, n_rows:].view(-1, _KINDS)
        forms, first, row = {}, 0, 0
        for (name, (n_in, n_out)), density in zip(self._shapes.items(), densities, strict=True):
            narrow, wide = (self._grid(density[:2])).tolist()
            forms[name] = DensityForm(
                numbers=numbers[first : first + n_in * n_out].reshape(n_in, n_out),
                steps=steps[row : row + n_out],
                narrow=narrow,
                wide=wide,
                wide_share=min(255, round(256 * float(density[2].sigmoid()))),
            )
            first, row = first + n_in * n_out, row + n_out
        nats = self._rounded(one, learned, living)[1]
        coded = encode_density(self.shape, forms)
        return coded, float(nats) / math.log(2) + 8 * tables_bytes(coded.content[2:], len(forms))


def _only(weights: Mapping[str, Tensor], member: int) -> dict[str, Tensor]:
    return {name: weight[member : member + 1] for name, weight in weights.items()}


def _nats(magnitudes: Tensor, narrow: Tensor, wide: Tensor, share: Tensor, most: int) -> Tensor:
    """−ln of the probability of numbers of these magnitudes; `narrow`, `wide`: a step over the logistics' widths."""

    def within(over_width: Tensor) -> Tensor:
        beyond = torch.where(magnitudes < most, torch.sigmoid((-0.5 - magnitudes) * over_width), 0.0)
        return torch.sigmoid((0.5 - magnitudes) * over_width) - beyond

    return -((1 - share) * within(narrow) + share * within(wide) + _LEAST).log()
