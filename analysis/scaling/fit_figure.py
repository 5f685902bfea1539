"""What a figure of a fit shows, as tables: measured and fitted losses, the law with its band, the held-out test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.formatting import format_bytes, format_count
from analysis.scaling.fit_report import Report
from analysis.scaling.measurements import Measurements
from analysis.types import Floats, Ints

_MOST_LINES = 7  # with more dataset sizes they are taken together, as many in each
_N_STEPS = 60
_BAND = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class FitTables:
    """Of one fit; `group` numbers dataset sizes, or ranges of them, from 0 upwards."""

    points: pd.DataFrame
    """A row per measurement: group, n_params, data, loss, fitted, residual (loss / fitted − 1)."""
    lines: pd.DataFrame
    """The law along N, a line per group: group, label, n_params, loss, low, high (95 % of the replicates; NaN: none).

    Of a range it is the law at the geometric mean of its sizes, and the label begins with ≈.
    """
    tests: pd.DataFrame
    """One row per split: name, n_held_out, error, last_value_error, nearest_error (fractions; NaN: none)."""


def fit_tables(measured: Measurements, made: Report, *, in_bytes: bool) -> FitTables:
    """Tables of a fit; `in_bytes`: D is bytes. AnalysisError where there is no law to show."""
    if made.fit.params is None:
        raise AnalysisError(f"there is no law to draw: {made.fit.message}")
    sizes, index = np.unique(measured.data, return_inverse=True)
    of_size = _groups(sizes.size)
    group = of_size[index]
    fitted = made.fit.predict_rows(measured)
    points = pd.DataFrame(
        {
            "group": group,
            "n_params": measured.n_params,
            "data": measured.data,
            "loss": measured.loss,
            "fitted": fitted,
            "epochs": measured.times_read,
        }
    )
    name = format_bytes if in_bytes else format_count
    return FitTables(
        points=points.assign(residual=points["loss"] / points["fitted"] - 1),
        lines=pd.concat(_lines(points, made, name), ignore_index=True),
        tests=_tests(made),
    )


def _groups(n_sizes: int) -> Ints:
    """The group of each dataset size, ascending."""
    if n_sizes <= _MOST_LINES:
        return np.arange(n_sizes)
    return np.arange(n_sizes) * _MOST_LINES // n_sizes


def _lines(points: pd.DataFrame, made: Report, name: Callable[[float], str]) -> Iterator[pd.DataFrame]:
    """Each over the model sizes of its own points."""
    for group, own in points.groupby("group"):
        sizes = own["data"].unique()
        data = float(np.exp(np.log(sizes).mean()))
        n_params = np.geomspace(own["n_params"].min(), own["n_params"].max(), _N_STEPS)
        low, high = _band(made.uncertainty.draws, n_params, data)
        yield pd.DataFrame(
            {
                "group": group,
                "label": f"≈ {name(data)}" if sizes.size > 1 else name(data),
                "n_params": n_params,
                "loss": made.fit.predict(n_params, data, own["epochs"].median()),
                "low": low,
                "high": high,
            }
        )


def _band(draws: Floats | None, n_params: Floats, data: float) -> tuple[Floats, Floats]:
    """Ends of the 95 % of laws that resampling gives, at each N."""
    if draws is None:
        none = np.full(n_params.size, np.nan)
        return none, none
    E, A, B, alpha, beta = draws.T[:, :, None]
    low, high = np.quantile(E + A * n_params**-alpha + B * data**-beta, _BAND, axis=0)
    return low, high


def _tests(made: Report) -> pd.DataFrame:
    columns = ["name", "n_held_out", "error", "last_value_error", "nearest_error"]
    rows = [[getattr(split, column) for column in columns] for split in made.held_out]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))
