"""A fit as JSON, under the keys of `analysis.scaling.fit_keys`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

from analysis.scaling.fit_keys import FitContent, HeldOutTest, TriedForm
from analysis.scaling.fit_report import Report
from analysis.scaling.form_choice import FormFit
from analysis.scaling.holdout import HeldOut
from analysis.scaling.law import Fit
from analysis.scaling.law_forms import PARAMETERS


def fit_content(made: Report) -> FitContent:
    """All that is known of a fit."""
    fit = made.fit
    content: dict[str, Any] = {
        **parameters_of(fit),
        "objective": fit.objective,
        "delta": fit.delta,
        "n_points": fit.n_points,
        "success": fit.success,
        "message": fit.message,
        "dropped": [asdict(dropped) for dropped in fit.dropped],
        "notes": list(fit.notes),
        "form": fit.params.form if fit.params else None,
        "formula": fit.params.formula if fit.params else None,
        "forms": [_tried(one) for one in made.forms],
        "se": made.uncertainty.se,
        "ci95": {name: list(ends) for name, ends in made.uncertainty.ci95.items()},
        "interval": {
            "n_replicates": made.uncertainty.n_replicates,
            "varies": made.uncertainty.varies,
            "message": made.uncertainty.message,
        },
        "held_out": [_split(split) for split in made.held_out],
    }
    return cast(FitContent, content)


def parameters_of(fit: Fit) -> dict[str, float | None]:
    """E, A, B, alpha, beta and what the form has beside them; each None without a law."""
    return {**fit.params.parameters} if fit.params else dict.fromkeys(PARAMETERS)


def _tried(one: FormFit) -> TriedForm:
    return {
        "form": one.form,
        "identified": one.identified,
        "held_out_error": one.error,
        "objective": one.fit.objective,
        "message": one.message,
    }


def _split(split: HeldOut) -> HeldOutTest:
    content: dict[str, Any] = {name: value for name, value in vars(split).items() if name != "cut"}
    fit = split.fit
    content["fit"] = {**parameters_of(fit), "objective": fit.objective, "n_points": fit.n_points} if fit else None
    content["cut"] = asdict(split.cut) if split.cut else None
    return cast(HeldOutTest, content)
