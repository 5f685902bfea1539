"""N* = k·D^γ with what is known of γ, the theory's γ = 1/(1+α) beside it, and predictions for other dataset sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.critical.closed_form import common_exponent, fit_capacity, is_determined
from analysis.critical.estimates import Estimate
from analysis.critical.resampling import interval
from analysis.critical.size import PowerLaw, fit_power_law
from analysis.formatting import format_bytes, join
from analysis.types import Floats

_STREAM = 2022
_SAME = 0.01  # a lower probability of so unlike exponents, were they one, and they are called different
PREDICTED = ["group", "subset_bytes", "n_params", "low", "high", "extrapolated"]


class LawDraws(NamedTuple):
    """The law of every draw, (R,) each."""

    log_k: Floats
    gamma: Floats


def law(estimates: Sequence[Estimate]) -> tuple[PowerLaw, LawDraws | None]:
    """The law through one group's bracketed sizes; in a draw a size at an edge of the grid counts as that edge's.

    What the sizes scatter about the line beyond the noise of the replicates, by the shapes that were run or because
    there is no such law, is noise of the law too: every draw has it, as Student's with the fit's degrees of freedom.
    """
    data = np.array([float(str(e.row["subset_bytes"])) for e in estimates])
    found = fit_power_law(data, np.array([float(str(e.row["n_params"])) for e in estimates]))
    second = fit_power_law(data, np.array([float(str(e.row.get("n_closed_form", np.nan))) for e in estimates]))
    if second.n_points > 2:
        found = replace(found, gamma_closed=second.gamma, scatter_closed=second.scatter)
    used = [(d, e.joint) for d, e in zip(data, estimates, strict=True) if e.row["status"] == "bracketed"]
    drawn = [draws for _, draws in used if draws is not None]
    if found.gamma is None or len(drawn) < len(used):
        return found, None
    x, log_n = np.log([d for d, _ in used]), np.log(np.stack(drawn))
    gamma, log_k = np.polyfit(x, log_n + _misfit(found, log_n), 1)
    with np.errstate(over="ignore"):  # Student's tails of a law through three sizes
        (gamma_low, gamma_high), (k_low, k_high) = interval(gamma), interval(np.exp(log_k))
    with_interval = replace(found, gamma_low=gamma_low, gamma_high=gamma_high, k_low=k_low, k_high=k_high)
    return with_interval, LawDraws(log_k, gamma)


def _misfit(found: PowerLaw, log_n: Floats) -> Floats:
    """Scatter of the sizes about the law beyond that of the draws (n, R) of log N*; (n, R)."""
    n, n_draws = log_n.shape
    if not found.scatter or n < 3:
        return np.zeros_like(log_n)
    inner = np.diff(np.quantile(log_n, [0.16, 0.84], axis=1), axis=0) / 2  # a standard deviation, without the tails
    excess = np.sqrt(max(0.0, found.scatter**2 - float((inner**2).mean())))
    rng = np.random.default_rng([_STREAM, n])
    return np.asarray(excess * rng.standard_normal((n, n_draws)) / np.sqrt(rng.chisquare(n - 2, n_draws) / (n - 2)))


def theory(found: PowerLaw, draws: LawDraws | None, estimates: Sequence[Estimate]) -> dict[str, Any] | None:
    """γ against 1/(1+α): alpha, gamma_predicted, difference with intervals, agrees, message; None where no law is.

    α is one for all bracketed dataset sizes, fitted to the same own-subset code lengths near each best size, E and A
    free at each (`critical.closed_form`). `agrees`: whether 0 lies within the difference's interval, None without one.
    """
    if found.gamma is None:
        return None
    curves = [e.curve for e in estimates if e.curve]
    alpha = float(common_exponent(curves)[0]) if curves else np.nan
    if np.isnan(alpha):
        return None
    keys = ("alpha_low", "alpha_high", "predicted_low", "predicted_high", "difference_low", "difference_high", "agrees")
    predicted = 1 / (1 + alpha)
    result: dict[str, Any] = dict.fromkeys(keys)
    result |= {"alpha": alpha, "gamma_predicted": predicted, "difference": found.gamma - predicted}
    drawn = [e.joint_curve for e in estimates if e.joint_curve]
    if draws is None or not drawn:
        return result | {"message": "not tested: without an interval the difference has no measure"}
    if several := _exponents_differ(estimates):
        return dict.fromkeys(result) | {"message": several}
    alphas = common_exponent(drawn)
    known = ~np.isnan(alphas)
    if known.mean() < 0.975:
        unknown = f"{1 - known.mean():.0%} of the draws do not determine α"
        return dict.fromkeys(result) | {"message": f"The closed form's γ = 1/(1+α) is not tested: {unknown}."}
    ratio = 1 / (1 + alphas[known])
    for name, values in (("alpha", alphas[known]), ("predicted", ratio), ("difference", draws.gamma[known] - ratio)):
        result[f"{name}_low"], result[f"{name}_high"] = interval(values)
    agrees = result["difference_low"] <= 0 <= result["difference_high"]
    noise = "the noise of the replicates and of the sizes about the line"
    said = f"the difference is within {noise}" if agrees else f"the difference is more than {noise}"
    return result | {"agrees": bool(agrees), "message": said}


def _exponents_differ(estimates: Sequence[Estimate]) -> str:
    """Why one α for all dataset sizes is no description of them: Cochran's Q of theirs, or one that is no exponent."""
    from scipy.stats import chi2  # deferred: half a second

    own = {format_bytes(float(str(e.row["subset_bytes"]))): e for e in estimates if e.joint_curve}
    alphas = {d: fit_capacity(e.curve).alpha[0] for d, e in own.items() if e.curve}
    none = [d for d, alpha in alphas.items() if not is_determined(np.array([alpha]))[0]]
    known = {d: alpha for d, alpha in alphas.items() if d not in none}
    if len(known) < 2:
        return "The closed form's γ = 1/(1+α) is not tested: fewer than two dataset sizes determine α."
    draws = [fit_capacity(own[d].joint_curve).alpha for d in known]  # type: ignore[arg-type]
    sd = np.array([np.diff(np.quantile(each, [0.16, 0.84]))[0] / 2 for each in draws])
    values = np.array(list(known.values()))
    weights = 1 / np.maximum(sd, 1e-9) ** 2
    q = float((weights * (values - np.average(values, weights=weights)) ** 2).sum())
    p = float(chi2.sf(q, len(values) - 1))
    if p >= _SAME and not none:
        return ""
    goes = f"goes from {values.min():.2f} to {values.max():.2f}"
    text = f"The closed form's γ = 1/(1+α) is not tested: α of the dataset sizes by themselves {goes}"
    text += f", more than their noise (p = {p:.1g})" if p < _SAME else ""
    text += f", and at {join(none)} the sizes do not determine it" if none else ""
    return f"{text}, so that one exponent does not describe them."


def predictions(
    group: str, found: PowerLaw, draws: LawDraws | None, grid_bytes: Sequence[float], asked: Sequence[float]
) -> list[dict[str, object]]:
    """The law at the dataset sizes `asked`; `extrapolated`: outside those of the grid. None without a law."""
    if found.gamma is None:
        return []
    rows: list[dict[str, object]] = []
    for d in asked:
        low = high = np.nan
        if draws is not None:
            with np.errstate(over="ignore"):
                low, high = interval(np.exp(draws.log_k + draws.gamma * np.log(d)))
        outside = not min(grid_bytes) <= d <= max(grid_bytes)
        n = float(found.predict(d))
        rows.append(dict(zip(PREDICTED, (group, d, n, low, high, outside), strict=True)))
    return rows


def prediction_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Columns PREDICTED."""
    return pd.DataFrame(rows, columns=PREDICTED)
