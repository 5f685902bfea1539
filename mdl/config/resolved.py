"""A configuration with every choice made: what training, measuring and recording are given.

What was asked for may say `auto`, a size by name, or nothing (`mdl.config.RunConfig`); here every value is the one that
is used. A record holds both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mdl.data import CorpusSpec
from mdl.models import Shape, forward_flops_per_byte
from mdl.records import reach

_ROUNDED_RATE = 0.4  # of the plain one, as long as weights are rounded: benchmarks/recipe_log.md, section 15


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How all members of a cohort are trained; ranges in `mdl.config.parts.TrainConfig`."""

    version: int = 1
    """Of the block, the optimizer and the rates."""
    steps: int
    """Optimizer steps."""
    batch_windows: int
    """Windows of the context, per step and member."""
    optimizer: str = "adamw"
    """Its name in `mdl.optimizers.OPTIMIZERS`."""
    learning_rate: float
    """Peak rate, before a member's own factor; of Muon the matrices'."""
    weight_decay: float = 0.01
    """Decoupled, on matrices only."""
    clip_norm: float = 1.0
    """Each member's gradient norm is clipped to this."""
    warmup_steps: int = 50
    """Linear warm-up."""
    decay_start: float = 0.5
    """Fraction of the steps after which the rate falls, linearly."""
    final_lr_fraction: float = 0.05
    """Rate at the end, as a fraction of the peak."""
    weight_bits: int = 0
    """Trained for weights and data together, with numbers of at most so many bits; 0: for the data alone."""
    rounding_start: float = 1.0
    """Fraction of the steps after which weights are then rounded."""
    evaluate_every: int = 100
    """Steps between looks at the held-out sample."""
    online: bool = False
    """One pass, each window predicted before it is learned from (`mdl.data.online_order`)."""

    @property
    def branch_step(self) -> int:
        """So many first steps are those of a longer run too: the rate has not begun to fall. One at least is left.

        None of an online run: its order of the data goes by its length.
        """
        return 0 if self.online else min(self._step_at(self.decay_start), self.rounding_step)

    @property
    def rounding_step(self) -> int:
        """Steps are taken by rounded weights from this one on, the last at least; where none is, the end."""
        return self._step_at(self.rounding_start) if self.weight_bits else self.steps

    def _step_at(self, fraction: float) -> int:
        return min(math.ceil(self.steps * fraction), self.steps - 1)

    def lr_factor(self, step: int) -> float:
        """Learning rate at a step over its peak: linear warm-up, flat, linear decay.

        While weights are rounded it is lower, and falls to 0.
        """
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        decay_steps = self.steps * (1 - self.decay_start)
        done = max(0.0, step - self.steps * self.decay_start) / decay_steps if decay_steps else 0.0
        if self.weight_bits and step >= self.rounding_step:
            return _ROUNDED_RATE * warm * (1 - min(1.0, done))
        return warm * (1 - (1 - self.final_lr_fraction) * min(1.0, done))


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What is coded after training; ranges in `mdl.config.parts.MeasureConfig`."""

    reach_ratio: float
    """Code up to the ladder's boundary at or past this times D."""
    stream_bytes: int
    """Held-out bytes that are really entropy-coded; 0: none."""
    coded_weights: bool
    """The two-part code at every precision of the weights too?"""
    tune_steps: int
    """Steps on the subset that make up for rounding."""
    stride_bytes: int
    """The windows of a second code length begin every so many bytes; 0: side by side, and none is measured."""
    contexts: bool
    """The second code length is of the model mixed with contexts?"""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a result is come by or watched. None of it is part of a run's name."""

    n_devices: int
    """GPUs of a host that share every batch, where so many are visible."""
    devices_were_asked: bool
    """Did somebody name that number? Else it is an estimate of GPU memory, of no meaning on a CPU."""
    threads: int
    """CPU threads of one process."""
    memory_bytes: int
    """A cohort is split where its estimate exceeds this."""
    checkpoint_seconds: float
    """An unfinished cohort is saved this often."""
    logger: str
    """Where curves go: none, csv or wandb."""


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig:
    """One cell, nothing left open. Precision and compilation depend on the machine: `mdl.device.Machine` has them."""

    subset_bytes: int
    """D."""
    corpus: CorpusSpec
    shape: Shape
    recipe: Recipe
    seed: int
    """Of the initial weights and the data's order."""
    lr_scale: float
    """This member's factor on the learning rate."""
    heldout_sample_bytes: int
    """Size of the sample that chooses the best snapshot."""
    until: float = 0.0
    """A longer budget that is foretold to shorten the two-part code by a smaller share is left out."""
    price: float | Literal["coded"] = 2.0
    """Bytes a parameter in that code, or what its coded weights take."""
    measure: Measuring
    execution: Execution

    @property
    def bytes_seen(self) -> int:
        """Training bytes, repeats counted; of a model that reads tokens, so many tokens."""
        return self.recipe.steps * self.recipe.batch_windows * self.shape.context_tokens

    def measured_bytes(self, train_bytes: int, heldout_bytes: int, coded_bytes: Callable[[int], int]) -> int:
        """What measuring one snapshot codes of a corpus of such parts: data, and data under the coded weights.

        Of overlapping windows all that they hold counts. `coded_bytes` says what coding the weights codes of a subset.
        """
        data = reach(self.subset_bytes, train_bytes, self.measure.reach_ratio) + heldout_bytes
        coded = coded_bytes(self.subset_bytes) if self.measure.coded_weights else 0
        return data + coded + self.overlapping_bytes(self.subset_bytes + heldout_bytes)

    def overlapping_bytes(self, n_bytes: int) -> int:
        """What the overlapping windows of so many bytes hold; 0 where they are not measured."""
        stride = self.measure.stride_bytes or (self.shape.context_tokens if self.measure.contexts else 0)
        return n_bytes * self.shape.context_tokens // stride if stride else 0

    @property
    def training_flops(self) -> float:
        """Forward and backward (twice a forward) over every byte seen, head and attention included."""
        return 3.0 * forward_flops_per_byte(self.shape) * self.bytes_seen
