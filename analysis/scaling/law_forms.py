"""What each form of the law says of the loss, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.types import Floats

PLAIN, REPEATED, OVERFITTING = "plain", "repeated", "overfitting"
FORMULAS = {
    PLAIN: "E + A·N^−α + B·D^−β",
    REPEATED: "E + A·N′^−α + B·D′^−β",
    OVERFITTING: "E + A·N^−α + B·N^κ·D^−β",
}
PARAMETERS = ("E", "A", "B", "alpha", "beta")
EXTRA = {PLAIN: (), REPEATED: ("passes_star", "sizes_star"), OVERFITTING: ("kappa",)}
SYMBOLS = {"alpha": "α", "beta": "β", "kappa": "κ", "passes_star": "R*_D", "sizes_star": "R*_N"}


def worth(unique: Floats, more: Floats, star: float) -> Floats:
    """U + U·R*·(1 − e^(−R/R*)): what R repeats beyond the first count for."""
    return np.asarray(unique * (1 + star * -np.expm1(-np.maximum(more, 0.0) / star)))


def effective(
    plain: tuple[float, float, float, float], more: Mapping[str, float], n_params: Floats, data: Floats, epochs: Floats
) -> tuple[Floats, Floats]:
    """N′ and D′ of Muennighoff et al. 2023. `plain`: A, B, α, β, by which N_opt of so many unique data follows."""
    A, B, alpha, beta = plain
    seen = worth(data, epochs - 1, more["passes_star"])
    log_g = np.log(alpha * A / (beta * B)) / (alpha + beta)
    with np.errstate(over="ignore"):
        enough = np.exp(np.clip(log_g + beta / alpha * (np.log(data) + log_g), -700, 700))  # N_opt
    usable = np.minimum(n_params, enough)
    return worth(usable, n_params / usable - 1, more["sizes_star"]), seen
