"""Which form of the law a table is fitted with: the one that foretells held-out rows best, of those it identifies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.scaling.bootstrap import Uncertainty, bootstrap, bootstrap_form
from analysis.scaling.forms import FORMS, fit_form
from analysis.scaling.holdout import HeldOut, held_out_tests
from analysis.scaling.law import Fit, locate
from analysis.scaling.law_forms import PLAIN
from analysis.scaling.measurements import Measurements

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class FormFit:
    """A form fitted to a table, with all that has to be said beside it."""

    form: str
    fit: Fit
    uncertainty: Uncertainty
    held_out: tuple[HeldOut, ...]

    @property
    def error(self) -> float | None:
        """Mean over the splits of the error on the rows held out; None where a split has none."""
        errors = [split.error for split in self.held_out if split.n_held_out and split.n_kept]
        known = [error for error in errors if error is not None]
        return float(np.mean(known)) if known and len(known) == len(errors) else None

    @property
    def message(self) -> str:
        """How its interval was made; why there is no interval, or no law."""
        return self.uncertainty.message if self.fit.success else self.fit.message

    @property
    def identified(self) -> bool:
        """Whether the data, and the tables resampled from them, determine its parameters."""
        return self.fit.success and self.uncertainty.identified


def fit_forms(
    measured: Measurements, delta: float | None, holdouts: Sequence[str], form: str
) -> tuple[FormFit, tuple[FormFit, ...]]:
    """The form that is taken, and all that were tried; `form`: one of FORMS, or AUTO."""
    tried = tuple(_fitted(measured, delta, holdouts, one) for one in (FORMS if form == AUTO else (form,)))
    offered = [one for one in tried if one.identified and one.error is not None]
    if not offered:
        return tried[0], tried
    return min(offered, key=lambda one: one.error or 0.0), tried


def _fitted(measured: Measurements, delta: float | None, holdouts: Sequence[str], form: str) -> FormFit:
    if form == PLAIN:
        at = locate(measured, delta)
        fit, uncertainty = at.fit, bootstrap(measured, at)
    else:
        fit = fit_form(measured, delta, form)
        uncertainty = bootstrap_form(measured, fit)
    tested = form == PLAIN or uncertainty.identified
    held_out = held_out_tests(measured, delta, holdouts, form) if tested else ()
    return FormFit(form=form, fit=fit, uncertainty=uncertainty, held_out=held_out)
