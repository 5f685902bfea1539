"""What figures draw beside measurements: lines of laws and fits, as tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.types import Json

_N_STEPS = 60


def theory_line(theory: Json | None, critical: pd.DataFrame) -> pd.DataFrame | None:
    """N* ∝ D^(1/(1+α)) through the middle (in logarithms) of the bracketed sizes: subset_bytes, n_params, label.

    `theory` as in the summary's laws; its slope is what is tested, its height is not. None where nothing is predicted.
    """
    found = critical[critical["n_params"].notna()]
    if not theory or theory.get("gamma_predicted") is None or len(found) < 2:
        return None
    gamma = theory["gamma_predicted"]
    subset_bytes = np.geomspace(found["subset_bytes"].min(), found["subset_bytes"].max(), _N_STEPS)
    log_d, log_n = np.log(found["subset_bytes"].astype(float)), np.log(found["n_params"])
    n_params = np.exp(log_n.mean() + gamma * (np.log(subset_bytes) - log_d.mean()))
    label = rf"theory, $\gamma = 1/(1+\alpha)$ = {gamma:.2f}"
    return pd.DataFrame({"subset_bytes": subset_bytes, "n_params": n_params, "label": label})


def fit_points(fit: Json) -> pd.DataFrame:
    """The fitted cells: n_params, subset_bytes, loss, fitted, residual = loss / fitted − 1."""
    points = pd.DataFrame(fit["residuals"])
    return points.assign(residual=points["loss"] / points["fitted"] - 1)


def fit_lines(fit: Json) -> pd.DataFrame:
    """E + A·N^−α + B·D^−β over the sizes that were fitted, a line a dataset size: n_params, subset_bytes, loss."""
    points = pd.DataFrame(fit["residuals"])
    n_params = np.geomspace(points["n_params"].min(), points["n_params"].max(), _N_STEPS)
    size = fit["A"] * n_params ** -fit["alpha"]
    return pd.concat(
        pd.DataFrame({"n_params": n_params, "subset_bytes": d, "loss": fit["E"] + size + fit["B"] * d ** -fit["beta"]})
        for d in sorted(set(points["subset_bytes"]))
    )
