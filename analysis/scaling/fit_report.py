"""A fit of a table: the law, its uncertainty and its held-out test, and what `mdl fit` prints of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.records import load
from analysis.scaling.bootstrap import Uncertainty
from analysis.scaling.form_choice import AUTO, FormFit, fit_forms
from analysis.scaling.holdout import HeldOut
from analysis.scaling.law import PUBLISHED_DELTA, Fit
from analysis.scaling.law_forms import PLAIN, SYMBOLS
from analysis.scaling.measurements import Measurements, from_records, read_csv


@dataclass(frozen=True, kw_only=True)
class Report:
    """A fit with all that has to be said beside it."""

    fit: Fit
    uncertainty: Uncertainty
    held_out: tuple[HeldOut, ...]
    forms: tuple[FormFit, ...] = ()
    """All that were tried; what is above is of the one that was taken."""


def read_measurements(
    path: Path, columns: dict[str, str], clusters: str = "", group: str | None = None
) -> tuple[Measurements, float | None]:
    """A table or a sweep folder, and the δ that suits it: None (from its residuals) for a sweep.

    `columns` names those of a table: n, d, loss, c, epochs. AnalysisError for what is neither.
    """
    if path.is_dir():
        return from_records(load(path), group), None
    if not path.is_file():
        raise AnalysisError(f"nothing at {path}; name a CSV with columns N, D, loss, or a run folder such as runs/grid")
    names = tuple(name.strip() for name in clusters.split(",") if name.strip())
    return read_csv(path, **columns, clusters=names), PUBLISHED_DELTA


def parse_delta(text: str | None, usual: float | None) -> float | None:
    """A number; `auto` for 1.345 robust residual scales (None); nothing for what is usual; AnalysisError otherwise."""
    if text is None or text == "auto":
        return usual if text is None else None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise AnalysisError(f"--delta is '{text}'; want a number above 0, such as 1e-3, or auto")
    return value


def fit_report_of(
    measured: Measurements, delta: float | None, holdouts: Sequence[str] = (), form: str | None = None
) -> Report:
    """Fit, interval and held-out test of one table.

    `form`: one of `forms.FORMS`, or auto: of those that the table identifies the one that foretells held-out rows best.
    None: auto where it is told how often data were read, else plain. AnalysisError for another name.
    """
    usual = PLAIN if measured.epochs is None else AUTO
    taken, tried = fit_forms(measured, delta, holdouts, form or usual)
    return Report(fit=taken.fit, uncertainty=taken.uncertainty, held_out=taken.held_out, forms=tried)


def fit_to_text(made: Report) -> str:
    """Lines for a terminal."""
    fit, lines = made.fit, []
    if fit.params:
        lines.append(f"loss = {fit.params.formula}" + (f" (form '{fit.params.form}')" if len(made.forms) > 1 else ""))
        lines += [_parameter(name, value, made.uncertainty) for name, value in fit.params.parameters.items()]
    else:
        lines.append(f"no law: {fit.message}")
    points = f"{fit.n_points} points, δ = {fit.delta:.4g}"
    if fit.success:
        lines.append(f"{points}, objective {fit.objective:.6g}; {fit.message}")
        lines.append(f"intervals: {made.uncertainty.message}; {made.uncertainty.varies}")
    lines += [f"dropped {d.n_rows}: {d.reason} ({d.where})" for d in fit.dropped]
    lines += [f"note: {note}" for note in fit.notes]
    return "\n".join([*lines, *map(_tested, made.held_out), *_forms(made)])


def _forms(made: Report) -> list[str]:
    """What each form is off on rows held out, where several were tried."""
    if len(made.forms) < 2:
        return []
    return ["forms, mean error on rows held out:", *(f"  {one.form}: {_of_form(one)}" for one in made.forms)]


def _of_form(one: FormFit) -> str:
    if not one.identified:
        return f"not offered, {one.message}"
    return "not tested" if one.error is None else _percent(one.error)


def _parameter(name: str, value: float, uncertainty: Uncertainty) -> str:
    symbol = SYMBOLS.get(name, name)
    if name not in uncertainty.se:
        return f"  {symbol} = {value:.6g}"
    low, high = uncertainty.ci95[name]
    return f"  {symbol} = {value:.6g}  ± {uncertainty.se[name]:.2g}  95 %: {low:.4g} … {high:.4g}"


def _tested(split: HeldOut) -> str:
    begin = f"held out {split.held_out} ({split.n_held_out} of {split.n_held_out + split.n_kept} rows): "
    if split.last_value_error is None or split.nearest_error is None:
        return begin + split.message
    law = f"no law, {split.message}" if split.error is None else f"law off by {_percent(split.error)}"
    return f"{begin}{law}; last value {_percent(split.last_value_error)}, nearest {_percent(split.nearest_error)}"


def _percent(error: float) -> str:
    return f"{100 * error:.2f} %"
