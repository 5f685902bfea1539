"""The scaling law of a sweep's own records: held-out loss on size and unique data, as `mdl fit` gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.records import Table
from analysis.scaling.fit_keys import FittedRow, OwnFit
from analysis.scaling.law import ScalingLaw
from analysis.scaling.law_forms import EXTRA, PARAMETERS, PLAIN
from analysis.scaling.measurements import Measurements, from_records

if TYPE_CHECKING:
    from analysis.scaling.fit_report import Report


def own_fit(table: Table) -> OwnFit | None:
    """The law of the group with most cells; None where no cell's held-out part was coded in full.

    A fit without confidence intervals is reported as failed: `success` is False, `message` says why, and neither
    parameters nor fitted losses nor held-out errors are given.
    """
    from analysis.scaling.fit_json import fit_content
    from analysis.scaling.fit_report import fit_report_of

    coded = table.cells[table.cells["heldout_bits"].notna() & (table.cells["heldout_bytes"] > 0)]
    if coded.empty:
        return None
    group = str(coded.drop_duplicates("run_id")["group"].value_counts().sort_index(kind="stable").idxmax())
    try:
        measured = from_records(table, group)
        made = _only_identified(fit_report_of(measured, None))
    except AnalysisError:
        return None
    return {
        **fit_content(made),
        "group": group,
        "unit": "held-out bits a byte",
        "residuals": _residuals(measured, made),
    }


def law_of(fit: Mapping[str, Any]) -> ScalingLaw:
    """The law of what `own_fit` gives."""
    plain = {name: fit[name] for name in PARAMETERS}
    form = fit.get("form") or PLAIN
    return ScalingLaw(**plain, form=form, more={name: fit[name] for name in EXTRA[form]})


def _only_identified(made: Report) -> Report:
    """Without numbers where resampled tables do not tell that there is one set of parameters, or cannot be made."""
    if made.fit.success and made.uncertainty.ci95:
        return made
    why = made.fit.message
    if made.fit.success:
        why = made.uncertainty.reason
        if not made.uncertainty.identified:
            why += ", because they keep fewer than three dataset sizes or an exponent ran to its bound"
        why += "; add dataset sizes and corpus seeds"
    none = replace(made.fit, params=None, objective=None, message=why)
    return replace(made, fit=none, held_out=())


def _residuals(measured: Measurements, made: Report) -> list[FittedRow]:
    """Every cell's loss beside the fitted one, NaN without a fit."""
    fitted = made.fit.predict_rows(measured) if made.fit.success else np.full(measured.loss.size, np.nan)
    return [
        {
            "n_params": float(measured.n_params[i]),
            "subset_bytes": float(measured.data[i]),
            "epochs": float(measured.times_read[i]),
            "loss": float(measured.loss[i]),
            "fitted": float(fitted[i]),
        }
        for i in range(measured.loss.size)
    ]
