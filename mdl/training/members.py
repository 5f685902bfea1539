"""What is each member's own in a cohort; what they share is the recipe (`mdl.config.Recipe`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the models that train together."""

    seed: int
    """Of its initial weights and its data's order."""
    subset_length: int
    """Bytes of its subset; tokens where the cohort reads tokens."""
    lr_scale: float = 1.0
    """Its factor on the recipe's learning rate."""
    first: int = 0
    """Where its subset begins in what the cohort reads."""
