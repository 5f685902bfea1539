"""What training tells whoever started it, and what it asks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

PhaseProgress = Callable[[str, float, float], None]  # phase, done, total
PHASES = ("training", "measuring")  # that have a length; any other is a stage on the way to a first step, such as:
OPENING, COMPILING, PREPARING = "opening the corpus", "compiling", "preparing the first step"
Check = Callable[[], None]  # raises where this process may write no more
OnLoss = Callable[[str], None]  # told the one line before this process ends


def tell_loss(why: str) -> None:
    """On the standard error."""
    print(why, file=sys.stderr, flush=True)


def tell_nobody(phase: str, done: float, total: float) -> None:
    """Where nobody watches."""


@dataclass(frozen=True)
class Watch:
    """All three; by default nobody watches, and everything may be written."""

    progress: PhaseProgress = tell_nobody
    check: Check = lambda: None
    on_loss: OnLoss = tell_loss
