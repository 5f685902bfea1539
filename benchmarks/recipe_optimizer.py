"""The optimizer of `benchmarks.recipe_probe`: AdamW and Muon side by side, every setting a member's own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.recipe_job import Job, Member
from benchmarks.recipe_model import MATRICES, SwitchedModel

_ALIGNMENT = 64  # of a parameter's place in the vector, in floats: kernels load 16 bytes at once


def _is_matrix(name: str) -> bool:
    return name.rsplit("_", 1)[0] in MATRICES


class FlatOptimizer:
    """AdamW and Muon over all members' weights in one vector, with every setting a member's own.

    A probe's: it does the arithmetic of both for every matrix and takes the member's. Weights are views of the vector,
    parameter after parameter, matrices first.
    """

    def __init__(self, model: SwitchedModel, job: Job, table_rate: float) -> None:
        self.model, self.job, on, M = model, job, model.device, len(job.members)
        names = sorted(model.initial, key=lambda n: not _is_matrix(n))  # stable: matrices first
        weights = [model.initial[n] for n in names]
        rooms = [w.numel() + -w.numel() % _ALIGNMENT for w in weights]
        self.n_matrix = sum(room for n, room in zip(names, rooms, strict=True) if _is_matrix(n))
        flat = torch.zeros(sum(rooms), device=on)
        live, owner = torch.zeros(sum(rooms)), torch.zeros(sum(rooms), dtype=torch.long)
        self.weights, self.gradient = flat, torch.zeros_like(flat)
        self.views, self.gradients, self.places = {}, {}, {}
        for name, weight, place in zip(names, weights, itertools.accumulate(rooms, initial=0), strict=False):
            end = place + weight.numel()
            flat[place:end] = weight.flatten().to(on)
            view = torch.nn.Parameter(flat[place:end].view(weight.shape))
            view.grad = self.gradient[place:end].view(weight.shape)
            self.views[name], self.gradients[name], self.places[name] = view, view.grad, place
            own = model.live[name]
            live[place:end] = own.view(*own.shape, *[1] * (weight.ndim - own.ndim)).expand(weight.shape).flatten()
            owner[place:end] = torch.arange(M).repeat_interleave(weight.numel() // M)
        model.weights = dict(self.views)
        self.live, self.owner = live.to(on), owner.to(on)
        self.mean, self.square = torch.zeros_like(flat), torch.zeros_like(flat)
        self.momentum_buffer = torch.zeros(self.n_matrix, device=on)
        self.average = flat.clone()
        self.step_index = torch.zeros((), dtype=torch.long, device=on)

        def setting(of: Callable[[Member], float]) -> Tensor:
            return torch.tensor([of(m) for m in job.members], dtype=torch.float32, device=on)

        self.matrix_rate, self.rest_rate = (
            setting(lambda m: m.matrix_rate),
            setting(lambda m: m.rest_scale * table_rate),
        )
        self.beta1, self.beta2 = setting(lambda m: m.betas[0]), setting(lambda m: m.betas[1])
        self.momentum, self.decay = setting(lambda m: m.momentum), setting(lambda m: m.weight_decay)
        self.is_muon = setting(lambda m: float(m.muon)) > 0
        self.keep = setting(lambda m: 1 - 1 / max(1.0, m.average_steps))
        factors = np.stack([m.factors(job.steps) for m in job.members], axis=1)
        self.factors = torch.tensor(factors, dtype=torch.float32, device=on)

    @torch.no_grad()
    def step(self) -> None:
        """Clip each member's gradient, then move the weights."""
        self._clip()
        n, owner, g = self.n_matrix, self.owner, self.gradient
        t = (self.step_index + 1).float()
        factor = self.factors.index_select(0, self.step_index.view(1))[0]
        beta1, beta2 = self.beta1[owner], self.beta2[owner]
        self.mean.lerp_(g, 1 - beta1)
        self.square.mul_(beta2).addcmul_(g * (1 - beta2), g)
        ones1, ones2 = (1 - self.beta1**t)[owner], (1 - self.beta2**t)[owner]
        change = (factor * self.rest_rate)[owner] * (self.mean / ones1) / ((self.square / ones2).sqrt() + 1e-8)
        of_matrix, matrices = owner[:n], self.weights[:n]
        rate, momentum = (factor * self.matrix_rate)[of_matrix], self.momentum[of_matrix]
        self.momentum_buffer.lerp_(g[:n], 1 - momentum)
        turned = self._orthogonal(g[:n].lerp(self.momentum_buffer, momentum))
        change[:n] = torch.where(self.is_muon[of_matrix], rate * turned, change[:n])
        shrink = torch.where(self.is_muon, factor * self.matrix_rate, factor * self.rest_rate) * self.decay
        change[:n] += shrink[of_matrix] * matrices
        self.weights -= change
        if any(m.average_steps for m in self.job.members):
            self.average.lerp_(self.weights, 1 - self.keep[owner])
        self.step_index += 1

    def _clip(self) -> None:
        self.gradient *= self.live
        squares = torch.zeros(len(self.job.members), device=self.gradient.device)
        for gradient in self.gradients.values():
            squares += gradient.flatten(1).square().sum(dim=1)
        self.gradient *= (1.0 / (squares.sqrt() + 1e-6)).clamp(max=1.0)[self.owner]

    def _orthogonal(self, flat: Tensor) -> Tensor:
        """Every matrix of a flat vector made orthogonal, those of one shape together."""
        C, out = self.model.shape.width, torch.zeros_like(flat)
        groups: dict[int, list[tuple[Tensor, Tensor, str]]] = {}
        for name, place in self.places.items():
            if not _is_matrix(name):
                break
            kind, shape = name.rsplit("_", 1)[0], self.views[name].shape
            source, target = (each[place : place + shape.numel()].view(shape) for each in (flat, out))
            if kind == "qkv" and self.job.split_qkv:
                pieces = [(source[..., i * C : (i + 1) * C], target[..., i * C : (i + 1) * C]) for i in range(3)]
            elif kind == "down":
                pieces = [(source.mT, target.mT)]
            else:
                pieces = [(source, target)]
            groups.setdefault(pieces[0][0].shape[-1], []).extend((a, b, kind) for a, b in pieces)
        low = torch.bfloat16 if flat.is_cuda else torch.float32
        for members in groups.values():
            made = newton_schulz(torch.cat([a for a, _, _ in members]), low, self.job.newton_schulz_steps)
            for (_, target, kind), each in zip(members, made.chunk(len(members)), strict=True):
                out_over_in = {"qkv": 1 if self.job.split_qkv else 3, "out": 1, "up": 4, "down": 1}[kind]
                target.copy_(each * math.sqrt(out_over_in))
        return out


def newton_schulz(X: Tensor, dtype: torch.dtype, steps: int) -> Tensor:
    """The nearest semi-orthogonal matrices of X (n, P, Q), P ≤ Q, roughly: singular values between .7 and 1.2."""
    a, b, c = 3.4445, -4.7750, 2.0315
    X = (X / (X.flatten(1).norm(dim=1)[:, None, None] + 1e-7)).to(dtype)
    for _ in range(steps):
        A = torch.bmm(X, X.mT)
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X.float()
