"""The test of a law that counts: fitted without the largest runs, how far is it off on them?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError
from analysis.scaling.forms import fit_form
from analysis.scaling.law import Fit
from analysis.scaling.law_forms import PLAIN
from analysis.scaling.measurements import Measurements
from analysis.types import Bools, Floats

_CONDITION = re.compile(r"\s*(N|D|C|loss)\s*(>=|<=|>|<)\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*", re.IGNORECASE)
_USUAL_SHARE = 0.1  # of the rows, those of most compute, are held out where no cut is given


@dataclass(frozen=True)
class HeldOut:
    """One split. Errors are means over the rows held out of |predicted / measured − 1|, None where there is none.

    `last_value_error` predicts the loss of the kept row of most compute, `nearest_error` that of the kept row nearest
    in (log N, log D); of equally near ones the one of most compute.
    """

    held_out: str  # the condition
    n_kept: int
    n_held_out: int
    error: float | None
    largest_error: float | None
    last_value_error: float | None
    nearest_error: float | None
    fit: Fit | None  # of the kept rows
    message: str


def held_out_tests(
    measured: Measurements, delta: float | None, conditions: Sequence[str] = (), form: str = PLAIN
) -> tuple[HeldOut, ...]:
    """Without the largest N, without the largest D, and below each cut such as "C>1e21" (default: a tenth of the rows).

    `delta` as in `fit_scaling_law`. AnalysisError for a condition that cannot be read.
    """
    cuts = list(conditions) or [_usual_cut(measured.flops)]
    largest = {
        "largest N": measured.n_params == measured.n_params.max(),
        "largest D": measured.data == measured.data.max(),
    }
    splits = largest | {cut.replace(" ", ""): _chosen(measured, cut) for cut in cuts}
    return tuple(_test(measured, name, out, (delta, form)) for name, out in splits.items())


def _usual_cut(flops: Floats) -> str:
    """A tenth of the rows, or where the largest compute is shared by more of them, those."""
    below = flops[flops < flops.max() * (1 - 1e-5)]  # wider than the rounding of what is printed
    return f"C>{min(np.quantile(flops, 1 - _USUAL_SHARE), below.max(initial=0)):.6g}"


def _chosen(measured: Measurements, condition: str) -> Bools:
    match = _CONDITION.fullmatch(condition)
    try:
        bound = float(match[3]) if match else np.nan
    except ValueError:
        match = None
    if match is None:
        raise AnalysisError(f"'{condition}' is no condition; write one such as 'C>1e21' with N, D, C or loss")
    columns = {"n": measured.n_params, "d": measured.data, "c": measured.flops, "loss": measured.loss}
    values = columns[match[1].lower()]
    return {">": values > bound, ">=": values >= bound, "<": values < bound, "<=": values <= bound}[match[2]]


def _test(measured: Measurements, name: str, out: Bools, how: tuple[float | None, str]) -> HeldOut:
    n_out, n_kept = int(out.sum()), int((~out).sum())
    if not n_out or not n_kept:
        message = f"no row is held out by {name}" if not n_out else f"{name} holds out every row"
        return HeldOut(name, n_kept, n_out, None, None, None, None, None, message)
    kept, tested = measured.where(~out), measured.where(out)
    last = float(kept.loss[kept.flops.argmax()])
    baselines = _mean(_errors(last, tested)), _mean(_errors(nearest(kept, tested), tested))
    fit = fit_form(kept, *how)
    if not fit.success:
        return HeldOut(name, n_kept, n_out, None, None, *baselines, fit, fit.message)
    errors = _errors(fit.predict_rows(tested), tested)
    return HeldOut(name, n_kept, n_out, _mean(errors), float(errors.max()), *baselines, fit, fit.message)


def _errors(predicted: Floats | float, tested: Measurements) -> Floats:
    return np.abs(predicted / tested.loss - 1)


def _mean(errors: Floats) -> float:
    return float(errors.mean())


def nearest(kept: Measurements, tested: Measurements) -> Floats:
    """Loss of the nearest kept row in (log N, log D) for each tested row, shape (n,)."""
    from scipy.spatial import cKDTree

    order = np.argsort(-kept.flops, kind="stable")
    places, first = np.unique(_place(kept)[order], axis=0, return_index=True)  # of equal ones the most compute
    near = min(4, len(first))
    distance, index = (np.reshape(v, (-1, near)) for v in cKDTree(places).query(_place(tested), k=near))
    tied = distance <= distance[:, :1] * (1 + 1e-9) + 1e-12
    rank = np.where(tied, first[index], len(order)).min(axis=1)
    return np.asarray(kept.loss[order][rank])


def _place(measured: Measurements) -> Floats:
    return np.log(np.column_stack([measured.n_params, measured.data]))
