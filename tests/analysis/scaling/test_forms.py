"""Forms of the law for repeated data: a known truth is recovered, chosen by held-out rows, or not offered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.scaling import Measurements, ScalingLaw, fit_report_of
from analysis.scaling.forms import _residuals, _slopes
from tests.analysis.scaling.rows import measurements
from tests.command import mdl

PLAIN = ScalingLaw(E=1.1, A=16.0, B=20.0, alpha=0.27, beta=0.35)
REPEATED = ScalingLaw(
    E=1.1, A=16.0, B=60.0, alpha=0.27, beta=0.35, form="repeated", more={"passes_star": 6.0, "sizes_star": 3.0}
)
OVERFITTING = ScalingLaw(E=1.1, A=16.0, B=15.0, alpha=0.27, beta=0.65, form="overfitting", more={"kappa": 0.4})


def table_of(law: ScalingLaw, noise: float = 0.003, *, most_epochs: float = 60.0) -> Measurements:
    """Ten sizes, seven dataset sizes, read 1 to `most_epochs` times."""
    rng = np.random.default_rng(1)
    N, D, k = (v.ravel() for v in np.meshgrid(np.geomspace(1e3, 1e6, 10), np.geomspace(1e5, 1e8, 7), np.arange(3)))
    epochs = most_epochs ** (k / 2)
    loss = law.predict(N, D, epochs) * np.exp(rng.normal(0, noise, N.size))
    return measurements(N, D, loss, varies="rows are resampled", flops=6 * N * D * epochs, epochs=epochs)


@pytest.mark.slow
@pytest.mark.parametrize("law", [PLAIN, REPEATED, OVERFITTING], ids=lambda law: law.form)
def test_the_form_of_the_truth_is_chosen_by_rows_held_out_and_its_parameters_are_recovered(law: ScalingLaw) -> None:
    made = fit_report_of(table_of(law), None)
    params = made.fit.params
    assert params is not None
    if law.form != "plain":  # a form that has the plain one in it may foretell as well by a hair
        assert params.form == law.form
    for name, value in law.parameters.items():
        assert params.parameters[name] == pytest.approx(value, rel=0.25), name
        low, high = made.uncertainty.ci95[name]
        assert low < params.parameters[name] < high


@pytest.mark.slow
def test_data_that_are_repeated_and_models_that_never_grow_too_large_have_the_repeated_form() -> None:
    """With no limit to R*_N every parameter is of use. It then runs to its bound, and the other parameters are told."""
    endless = replace(REPEATED, more={"passes_star": 6.0, "sizes_star": 1e9})
    made = fit_report_of(table_of(endless), None)
    assert made.fit.params is not None
    assert made.fit.params.form == "repeated"
    for name, value in endless.parameters.items():
        if name != "sizes_star":
            assert made.fit.params.parameters[name] == pytest.approx(value, rel=0.25), name
    assert made.uncertainty.ci95["sizes_star"][1] > 1000
    assert made.uncertainty.ci95["sizes_star"][0] > 10


def test_a_form_that_the_data_do_not_identify_is_not_offered() -> None:
    """Data read once say nothing of repeats; asked for by name, the fit says so instead of giving numbers."""
    once = table_of(PLAIN, most_epochs=1.0)
    made = fit_report_of(once, None, form="repeated")
    assert made.fit.params is None
    assert "no data were repeated" in made.fit.message
    tried = {one.form: one.identified for one in fit_report_of(once, None, form="auto").forms}
    assert tried["plain"]
    assert not tried["repeated"]
    with pytest.raises(AnalysisError, match="unknown form 'chinchilla'"):
        fit_report_of(once, None, form="chinchilla")


@pytest.mark.slow
def test_a_table_without_epochs_is_fitted_as_ever_and_the_repeated_form_asks_for_the_column(tmp_path: Path) -> None:
    """Default of a table that does not tell epochs: the plain form alone; the command line has column and form."""
    of = table_of(OVERFITTING)
    frame = pd.DataFrame({"N": of.n_params, "D": of.data, "loss": of.loss, "times": of.epochs})
    frame.to_csv(tmp_path / "t.csv", index=False)
    plain = mdl("fit", "t.csv", cwd=tmp_path)
    assert "loss = E + A·N^−α + B·D^−β\n" in plain.stdout
    assert "forms" not in plain.stdout
    asked = mdl("fit", "t.csv", "--form", "repeated", cwd=tmp_path)
    assert "name that column with --epochs" in asked.stdout
    best = mdl("fit", "t.csv", "--epochs", "times", "--delta", "auto", "--json", cwd=tmp_path)
    assert '"form": "overfitting"' in best.stdout, best.stdout + best.stderr
    assert '"formula": "E + A·N^−α + B·N^κ·D^−β"' in best.stdout or "kappa" in best.stdout


@pytest.mark.parametrize(("form", "more"), [("overfitting", [0.4]), ("repeated", [2.0, 1.5])])
def test_slopes_are_those_of_the_residuals_one_coordinate_after_another(form: str, more: list[float]) -> None:
    table = table_of(OVERFITTING)
    at, step = np.array([0.3, -0.9, 0.1, 0.27, 0.65, *more]), 1e-6
    sides = [[_residuals(at + side * step * e, form, table) for side in (1, -1)] for e in np.eye(at.size)]
    measured = np.column_stack([(above - below) / (2 * step) for above, below in sides])
    np.testing.assert_allclose(_slopes(at, form, table), measured, rtol=1e-5, atol=1e-7)
