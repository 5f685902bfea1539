"""The test of a law that counts: fitted without the largest runs, how far is it off on them?"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

import numpy as np

from analysis.errors import AnalysisError
from analysis.formatting import format_number
from analysis.scaling.fit_keys import Column, Operator
from analysis.scaling.forms import fit_form
from analysis.scaling.law import Fit
from analysis.scaling.law_forms import PLAIN
from analysis.scaling.measurements import Measurements
from analysis.types import Bools, Floats

_CONDITION = re.compile(r"\s*(N|D|C|loss)\s*(>=|<=|>|<)\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*", re.IGNORECASE)
_OPERATORS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_USUAL_SHARE = 0.1  # of the rows, those of most compute, are held out where no cut is given


@dataclass(frozen=True)
class Cut:
    """A condition such as C > 1e21 on one column of the rows."""

    column: Column
    operator: Operator
    bound: float

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {format_number(self.bound)}"

    def chosen(self, measured: Measurements) -> Bools:
        """The rows that it holds for, shape (n,)."""
        columns = {"N": measured.n_params, "D": measured.data, "C": measured.flops, "loss": measured.loss}
        return np.asarray(_OPERATORS[self.operator](columns[self.column], self.bound))


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """One split. Errors are means over the rows held out of |predicted / measured − 1|, None where there is none.

    `last_value_error` predicts the loss of the kept row of most compute, `nearest_error` that of the kept row nearest
    in (log N, log D); of equally near ones the one of most compute.
    """

    held_out: str  # the condition, as it was written
    n_kept: int
    n_held_out: int
    error: float | None = None
    largest_error: float | None = None
    last_value_error: float | None = None
    nearest_error: float | None = None
    fit: Fit | None = None  # of the kept rows
    message: str
    cut: Cut | None = None  # None: the largest N or D

    @property
    def name(self) -> str:
        """The condition as a figure shows it: C > 7.93e14."""
        return str(self.cut) if self.cut else self.held_out


def held_out_tests(
    measured: Measurements, delta: float | None, conditions: Sequence[str] = (), form: str = PLAIN
) -> tuple[HeldOut, ...]:
    """Without the largest N, without the largest D, and below each cut such as "C>1e21" (default: a tenth of the rows).

    `delta` as in `fit_scaling_law`. AnalysisError for a condition that cannot be read.
    """
    largest = {
        "largest N": measured.n_params == measured.n_params.max(),
        "largest D": measured.data == measured.data.max(),
    }
    cuts = {condition.replace(" ", ""): parse_cut(condition) for condition in conditions}
    if not cuts:
        usual = _usual_cut(measured.flops)
        cuts = {f"{usual.column}{usual.operator}{usual.bound:.6g}": usual}
    splits = largest | {name: cut.chosen(measured) for name, cut in cuts.items()}
    tests = [_test(measured, name, out, (delta, form)) for name, out in splits.items()]
    return tuple(replace(test, cut=cuts.get(test.held_out)) for test in tests)


def _usual_cut(flops: Floats) -> Cut:
    """A tenth of the rows, or where the largest compute is shared by more of them, those."""
    below = flops[flops < flops.max() * (1 - 1e-5)]  # wider than the rounding of what is printed
    return Cut("C", ">", float(f"{min(np.quantile(flops, 1 - _USUAL_SHARE), below.max(initial=0)):.6g}"))


def parse_cut(condition: str) -> Cut:
    """A cut as people write it, such as "C>1e21"; AnalysisError for anything else."""
    match = _CONDITION.fullmatch(condition)
    try:
        bound = float(match[3]) if match else None
    except ValueError:
        bound = None
    if match is None or bound is None:
        raise AnalysisError(f"'{condition}' is not a condition; write one such as 'C>1e21' with N, D, C or loss")
    column = next(name for name in get_args(Column) if name.lower() == match[1].lower())
    return Cut(column, cast(Operator, match[2]), bound)


def _test(measured: Measurements, name: str, out: Bools, how: tuple[float | None, str]) -> HeldOut:
    n_out, n_kept = int(out.sum()), int((~out).sum())
    if not n_out or not n_kept:
        message = f"no row is held out by {name}" if not n_out else f"{name} holds out every row"
        return HeldOut(held_out=name, n_kept=n_kept, n_held_out=n_out, message=message)
    kept, tested = measured.where(~out), measured.where(out)
    last = float(kept.loss[kept.flops.argmax()])
    fit = fit_form(kept, *how)
    errors = _errors(fit.predict_rows(tested), tested) if fit.success else None
    return HeldOut(
        held_out=name,
        n_kept=n_kept,
        n_held_out=n_out,
        error=None if errors is None else _mean(errors),
        largest_error=None if errors is None else float(errors.max()),
        last_value_error=_mean(_errors(last, tested)),
        nearest_error=_mean(_errors(nearest(kept, tested), tested)),
        fit=fit,
        message=fit.message,
    )


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
