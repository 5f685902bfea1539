"""N* = k·D^γ with what is known of γ, and the theory's γ = 1/(1+a) beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypedDict, cast

import numpy as np

from analysis.critical.estimates import Estimate
from analysis.critical.resampling import interval, student
from analysis.critical.size import PowerLaw, fit_power_law
from analysis.formatting import true_minus
from analysis.types import Floats

_STREAM = 2022
LEAST_FOR_LAW = 3  # dataset sizes: any two have a line through them
_LEAST_FREEDOM = 3  # degrees of freedom of the scatter about the law; a drift's expected scatter counts as the rest
# Of γ, a standard deviation: it was about −.04 on text, .05 on C source, .1 on speech, .2 on photographs.
_CHANGE_A_DECADE = 0.06
_BARELY = 0.02  # of the width of an interval: so near to 0 its end depends on the draws
_FOUND_BY_80_PERCENT = 1.96 + 0.84  # standard errors: a difference so great is found four times of five


class LawDraws(NamedTuple):
    """The law of every draw, (R,) each."""

    log_k: Floats
    gamma: Floats
    drifting: Floats  # γ where the exponent of the code length drifts, as in draws of α, which a drift moves along
    center: float  # log D about which the curves bend
    curves: Floats  # (3, R): log N* = a + b·u + c·u² of u = log D − center, whose exponent changes with D

    def sizes(self, dataset_bytes: float) -> Floats:
        """N* (R,) at D bytes by the curves, for an exponent that is not the same far beyond the grid."""
        u = np.log(dataset_bytes) - self.center
        with np.errstate(over="ignore"):  # Student's tails of a law through three sizes
            return np.asarray(np.exp(self.curves[0] + self.curves[1] * u + self.curves[2] * u**2))


def law(estimates: Sequence[Estimate]) -> tuple[PowerLaw, LawDraws | None]:
    """The law through one group's bracketed sizes; in a draw all of them move as the shapes that they share do.

    What the sizes scatter about the line beyond that, because there is no such law, is noise of the law too: every draw
    has it, as Student's with the fit's degrees of freedom. An exponent of the code length that drifts bends the line,
    so it is in that scatter, and the draws are those without it: with both, it would count twice. Three or four sizes
    tell little of it: what a drift is expected to scatter counts as the sizes that are missing to five. Through two
    points there are no draws.
    """
    data = np.array([float(str(e.row["subset_bytes"])) for e in estimates])
    found = fit_power_law(data, np.array([float(str(e.row["n_params"])) for e in estimates]))
    second = fit_power_law(data, np.array([float(str(e.row["n_local"])) for e in estimates]))
    if second.n_points > 2:
        found = replace(found, gamma_local=second.gamma, scatter_local=second.scatter)
    used = [e for e in estimates if e.row["status"] == "bracketed"]
    drawn, drifting = _log_of_all([e.without_drift for e in used]), _log_of_all([e.draws for e in used])
    if found.gamma is None or found.n_points < LEAST_FOR_LAW or drawn is None or drifting is None:
        return found, None
    x = np.log([float(str(e.row["subset_bytes"])) for e in used])
    scatter, drifting_scatter = _scatter(x, drawn), _scatter(x, drifting)
    points = _points(found, x.size, drawn, scatter, max(0.0, drifting_scatter - scatter))
    gamma, log_k = np.polyfit(x, points, 1)
    with np.errstate(over="ignore"):  # Student's tails of a law through three sizes
        (gamma_low, gamma_high), (k_low, k_high) = interval(gamma), interval(np.exp(log_k))
    with_interval = replace(found, gamma_low=gamma_low, gamma_high=gamma_high, k_low=k_low, k_high=k_high)
    drifting_gamma = np.polyfit(x, _points(found, x.size, drifting, drifting_scatter), 1)[0]
    draws = LawDraws(
        log_k=log_k, gamma=gamma, drifting=drifting_gamma, center=float(x.mean()), curves=_curves(x - x.mean(), points)
    )
    return with_interval, draws


def _log_of_all(draws: Sequence[Floats | None]) -> Floats | None:
    """(n, R); None where one has none."""
    known = [of for of in draws if of is not None]
    return np.log(np.stack(known)) if known and len(known) == len(draws) else None


def _points(found: PowerLaw, n: int, log_n: Floats, scatter: float, of_drift: float | None = None) -> Floats:
    """Draws (n, R) of log N* with what the n sizes scatter about the law beyond them.

    `scatter`: that of the draws, as a variance. `of_drift`: the variance that a drift would add; None: they have it.
    """
    n_draws = log_n.shape[1]
    excess = max(0.0, (found.scatter or 0.0) ** 2 - scatter)
    before = 0 if of_drift is None else max(0, _LEAST_FREEDOM - (n - 2))
    freedom = n - 2 + before
    variance = ((n - 2) * excess + before * (of_drift or 0.0)) / freedom
    rng = np.random.default_rng([_STREAM, n])
    return np.asarray(log_n + student(rng, np.sqrt(variance), (n, n_draws), freedom))


def _curves(u: Floats, points: Floats) -> Floats:
    """Parabolas (3, R) through draws (n, R) at u = log D − center, by least squares with a bend expected near 0.

    Each draw expects one of its own, spread as the bends of the studies: no exponent stays quite the same from one
    decade of data to the next.
    """
    variance = max(_scatter(u, points), 1e-8)
    rng = np.random.default_rng([_STREAM, u.size, 2])
    bend = _CHANGE_A_DECADE / (2 * np.log(10))  # of u², where the exponent changes by so much over log 10
    before = bend * rng.standard_normal(points.shape[1])
    design = np.column_stack([np.ones(u.size), u, u**2]) / np.sqrt(variance)
    asked = design.T @ points / np.sqrt(variance)
    asked[2] += before / bend**2
    return np.asarray(np.linalg.solve(design.T @ design + np.diag([0.0, 0.0, bend**-2]), asked))


def _scatter(x: Floats, log_n: Floats) -> float:
    """Variance about their own line of what draws (n, R) are off their mean, in the middle of the draws."""
    design = np.column_stack([np.ones(x.size), x])
    rest = log_n - log_n.mean(axis=1, keepdims=True)
    rest = rest - design @ np.linalg.lstsq(design, rest, rcond=None)[0]
    return float(np.median((rest**2).sum(axis=0))) / (x.size - 2)


class Theory(TypedDict):
    """γ against the closed form's 1/(1+a); intervals are of 95 %, None without draws of the law."""

    alpha: float  # α, the exponent of the code length in N
    alpha_low: float | None
    alpha_high: float | None
    gamma_predicted: float  # 1/(1+a)
    predicted_low: float | None
    predicted_high: float | None
    difference: float  # γ − 1/(1+a)
    difference_low: float | None
    difference_high: float | None
    detectable: float | None  # a difference as great as this would be found in four of five such studies
    agrees: bool | None  # whether 0 lies within the difference's interval
    message: str  # the verdict in words


def theory(found: PowerLaw, draws: LawDraws | None, estimates: Sequence[Estimate]) -> Theory | None:
    """The test of γ = 1/(1+a); None without a law or without α.

    α is that of all shapes at the largest dataset size (`estimates.Exponent`), with their scatter in its error.
    `agrees`: whether 0 lies within the difference's interval, None without one. `detectable`: how great a difference
    would be found in four of five such studies.
    """
    exponent = next((e.exponent for e in estimates if e.exponent), None)
    if found.gamma is None or exponent is None or exponent.alpha <= 0:
        return None
    ends = [f"{name}_{end}" for name in ("alpha", "predicted", "difference") for end in ("low", "high")]
    predicted = 1 / (1 + exponent.alpha)
    result: dict[str, Any] = dict.fromkeys([*ends, "detectable", "agrees"])
    result |= {"alpha": exponent.alpha, "gamma_predicted": predicted, "difference": found.gamma - predicted}
    if draws is None:
        return cast(Theory, result | {"message": "this is not tested, because γ has no interval here"})
    alphas = np.maximum(exponent.draws, -0.5)
    difference = draws.drifting - 1 / (1 + alphas)
    for name, values in (("alpha", alphas), ("predicted", 1 / (1 + alphas)), ("difference", difference)):
        result[f"{name}_low"], result[f"{name}_high"] = interval(values)
    agrees = bool(result["difference_low"] <= 0 <= result["difference_high"])
    sd = (result["difference_high"] - result["difference_low"]) / (2 * 1.96)
    result |= {"detectable": _FOUND_BY_80_PERCENT * sd, "agrees": agrees}
    said = f"the difference, {_with_interval(result)}, {_verdict(result)}"
    power = f"a study like this one detects a difference of {result['detectable']:.2f} in four of five cases"
    return cast(Theory, result | {"message": f"{said}; {power}"})


def _verdict(tested: dict[str, Any]) -> str:
    """An interval that only just leaves out 0 decides nothing: one theory is tested in many a study."""
    low, high = tested["difference_low"], tested["difference_high"]
    if tested["agrees"]:
        return "is within the noise that its interval covers"
    if min(abs(low), abs(high)) < _BARELY * (high - low):
        return "barely leaves out 0, which decides nothing"
    return "is larger than the noise that its interval covers"


def _with_interval(tested: dict[str, Any]) -> str:
    """Its own interval: those of the two exponents may overlap all the same."""
    values = [tested[f"difference{end}"] for end in ("", "_low", "_high")]
    digits = 2 if all(abs(value) >= 0.005 for value in values) else 3
    middle, low, high = (true_minus(f"{value:.{digits}f}") for value in values)
    return f"{middle} (95 %: {low} to {high})"
