"""Where and how a cohort runs: recorded, since it can move the last bits of a result."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Machine:
    """Where and how a cohort runs."""

    accelerator: str  # "cpu" or "cuda"
    precision: str  # "float32" or "bf16"
    compiled: bool


def resolve_machine(precision: str, compile_choice: str | bool) -> Machine:
    """What `auto` means here: bf16 autocast and torch.compile on a GPU, plain float32 on a CPU."""
    on_gpu = torch.cuda.is_available()
    chosen = ("bf16" if on_gpu else "float32") if precision == "auto" else precision
    return Machine("cuda" if on_gpu else "cpu", chosen, on_gpu if compile_choice == "auto" else bool(compile_choice))
