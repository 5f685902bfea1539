"""What a cohort's members share, and what is each one's own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """What is a member's own."""

    seed: int
    subset_bytes: int  # with tokens, how many of them
    lr_scale: float = 1.0
    first: int = 0  # where its subset begins in what the cohort reads


@dataclass(frozen=True)
class Recipe:
    """What all members of a cohort share; units and ranges in `mdl.config.schema.TrainConfig`."""

    steps: int
    batch_windows: int
    learning_rate: float
    weight_decay: float
    clip_norm: float
    warmup_steps: int
    decay_start: float
    final_lr_fraction: float
    evaluate_every: int
    online: bool = False  # one pass, each window predicted before it is learned from (`mdl.data.online_order`)

    def lr_factor(self, step: int) -> float:
        """Learning rate at a step over its peak: linear warm-up, flat, linear decay."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        decay_steps = self.steps * (1 - self.decay_start)
        done = max(0.0, step - self.steps * self.decay_start) / decay_steps if decay_steps else 0.0
        return warm * (1 - (1 - self.final_lr_fraction) * min(1.0, done))
