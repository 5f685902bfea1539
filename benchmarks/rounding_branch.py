"""What `benchmarks.rounding_probe` trains: a trunk without rounding, and branches that go on from it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdl.config.resolved import Recipe
from mdl.data import WindowOrder
from mdl.models import Shape, architecture_of, make_models, measuring_parts, parse_size, stack
from mdl.training.cuda_graph import RecordedStep
from mdl.training.members import Member
from mdl.training.optimizer import recipe_optimizer
from mdl.training.rounded_weights import Rounded
from mdl.training.sample_bits import sum_sample_bits

N_WINDOWS, BATCH_WINDOWS = 2048, 32


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How a branch is trained for the total, otherwise than usual."""

    bits: int = 8
    rate: float = 1.0  # factor on the rate of steps and densities
    finer: float = 1.0  # factor on the first steps
    weights_rate: float = 1.0  # factor on the recipe's for the weights, while they are rounded
    final_lr_fraction: float = 0.05


VARIANTS = {
    "usual": Variant(),
    "warm": Variant(weights_rate=2.5),
    "cool": Variant(weights_rate=0.5),
    "slow": Variant(rate=0.3),
    "fast": Variant(rate=3.0),
    "fine": Variant(finer=0.6),
    "cold": Variant(final_lr_fraction=0.0),
    "cold-slow": Variant(final_lr_fraction=0.0, rate=0.3),
    "3": Variant(bits=3),
    "4": Variant(bits=4),
}


class Job:
    """One shape on some dataset sizes."""

    def __init__(self, size: str, subsets: Sequence[int], steps: int, corpus: Any, context_bytes: int) -> None:
        width, depth, heads = parse_size(size)
        self.size, self.subsets, self.view = size, subsets, corpus.train
        self.shape = Shape(width, depth, heads, context_tokens=context_bytes, block=2)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.steps = steps
        self.members = [Member(seed=0, subset_length=n) for n in subsets]
        self.corpus = torch.from_numpy(np.array(self.view.read(0, max(subsets)))).to(self.device)
        self.in_window = torch.arange(context_bytes, device=self.device)
        self.orders = [WindowOrder(0, n, context_bytes, BATCH_WINDOWS) for n in subsets]
        fast = architecture_of(self.shape).fast_parts
        self.parts = fast.training(self.shape, torch.bfloat16) if fast and self.device == "cuda" else None
        starts = [
            np.linspace(0, n - context_bytes, min(N_WINDOWS, n // context_bytes)).astype(np.int64) for n in subsets
        ]
        self.sample = [self.view.gather(own, context_bytes) for own in starts]

    def recipe(self, variant: Variant | None) -> Recipe:
        """The second, with usual rates."""
        from mdl.optimizers import OPTIMIZERS

        return Recipe(
            version=2,
            steps=self.steps,
            batch_windows=BATCH_WINDOWS,
            optimizer="muon",
            learning_rate=OPTIMIZERS["muon"].learning_rate(self.shape.width, self.shape.depth, 2),
            weight_decay=0.1,
            decay_start=0.7,
            warmup_steps=min(200, self.steps // 10),
            final_lr_fraction=variant.final_lr_fraction if variant else 0.05,
            weight_bits=variant.bits if variant else 0,
            rounding_start=0.7,
        )

    def sampled_bits(self, m: int, weights: Sequence[dict[str, Tensor]]) -> list[float]:
        """Of the whole subset of member m under each of some weights, as the sample tells."""
        model = stack(self.shape, weights).to(self.device)
        found = sum_sample_bits(model, self.sample[m], measuring_parts(model, self.sample[m].size))
        return [bits * self.subsets[m] / self.sample[m].size for bits in found.tolist()]


class Branch:
    """A stack in training: from its first step, or from where another one is."""

    def __init__(self, job: Job, variant: Variant | None, trunk: Branch | None = None) -> None:
        self.job, self.recipe, self.variant = job, job.recipe(variant), variant
        self.model = make_models(job.shape, [0] * len(job.members)).to(job.device)
        self.optimizer = recipe_optimizer(self.model, self.recipe, capturable=job.device == "cuda")
        self.rounded = Rounded(self.model, job.members, self.recipe).to(job.device)
        self.step_number, self.seconds = 0, 0.0
        if trunk:
            self.model.load_state_dict(trunk.model.state_dict())
            self.optimizer.load_state_dict(copy.deepcopy(trunk.optimizer.state_dict()))
            self.step_number = trunk.step_number
        usual = recipe_optimizer(self.model, self.recipe)
        self.base = [float(group["lr"]) for group in usual.param_groups]
        for group, rate in zip(self.optimizer.param_groups, self.base, strict=True):
            group["initial_lr"], group["lr"] = rate, torch.tensor(rate).to(job.device)
        self.rounded.read(job.view)

    def train(self, until: int) -> Branch:
        """To a step; itself."""
        step: Callable[[Tensor], None] = RecordedStep(self._step) if self.job.device == "cuda" else self._step
        weights_rate, begun = self.variant.weights_rate if self.variant else 1.0, time.perf_counter()
        for number in range(self.step_number, until):
            if self.rounded.begin_step(number):
                self._begin()
            for group, rate in zip(self.optimizer.param_groups, self.base, strict=True):
                group["lr"].fill_(rate * self.recipe.lr_factor(number) * weights_rate)
            starts = np.stack([order.starts(number) for order in self.job.orders])
            step(torch.from_numpy(starts).to(self.job.device))
        self.step_number = until
        if self.job.device == "cuda":
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - begun
        return self

    def _begin(self) -> None:
        """What a variant changes."""
        rounding, variant = self.rounded.rounding, self.variant
        assert rounding is not None
        assert variant is not None
        n_rows = rounding.living.shape[1]
        rounding.rates.mul_(variant.rate / variant.weights_rate)  # which the optimizer's rate holds too
        rounding.learned[:, :n_rows] += math.log2(variant.finer)

    def _step(self, starts: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        windows = self.job.corpus[starts[:, :, None] + self.job.in_window]
        with self.rounded.weights() as price, torch.autocast("cuda", torch.bfloat16, self.job.device == "cuda"):
            nats = self.model.nats(windows, self.job.parts)
        torch.autograd.backward((nats.flatten(1).mean(dim=1) + price).sum())
        self._clip()
        self.rounded.step(self.optimizer.param_groups[0])
        self.optimizer.step()

    def _clip(self) -> None:
        gradients = [w.grad for w in self.model.parameters() if w.grad is not None]
        squares = torch.stack([g.flatten(1).square().sum(dim=1) for g in gradients]).sum(dim=0)
        scale = (self.recipe.clip_norm / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))
