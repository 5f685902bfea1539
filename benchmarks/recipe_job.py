"""What `benchmarks.recipe_probe` is asked for: a shape, how long, and what each member of its stack is trained by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Member:
    """What a member is trained by; rates are those of the flat phase."""

    name: str
    seed: int = 0
    subset_bytes: int = 80_000_000
    muon: bool = True  # on matrices; else AdamW, at the rest's rate
    matrix_rate: float = 0.02  # of Muon
    rest_scale: float = 2.0  # on the table's rate, of AdamW
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0  # on matrices
    warmup_steps: int = 200
    decay_start: float = 0.5
    final_lr_fraction: float = 0.05
    average_steps: float = 0.0  # of the weights that are measured: an exponential mean over about so many steps
    switches: dict[str, float] = field(default_factory=dict)

    def factors(self, steps: int) -> Any:
        """The rate over its peak, (steps,)."""
        step = np.arange(steps)
        warm = np.minimum(1.0, (step + 1) / max(1, self.warmup_steps))
        done = np.clip((step - steps * self.decay_start) / max(1e-9, steps * (1 - self.decay_start)), 0, 1)
        return warm * (1 - (1 - self.final_lr_fraction) * done)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One stack."""

    name: str
    size: str
    steps: int
    members: tuple[Member, ...]
    batch_windows: int = 32
    context_bytes: int = 1024
    loops: int = 1
    split_qkv: bool = True
    newton_schulz_steps: int = 5
    fused: bool = True
