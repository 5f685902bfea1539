"""Adjusted rates against dataset size, and which model size has the least where (Delétang et al. 2024, Figure 2).

Two forms. Own subsets: at every D models that were trained on these D bytes. Prefixes: one model per size, trained on
the largest subset, codes growing prefixes of it; what it learned from the rest is in its parameters, which are paid for
in full at every prefix. Between measured sizes the bits per byte are linear in log D and the parameters' bits exact, as
in `analysis.critical.crossover`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.codes import one_model_many_sizes
from analysis.critical import crossing
from analysis.study import Study
from analysis.types import Floats

POINTS = ["n_params", "size", "data_bytes", "code_bits", "model_bits"]
LINES = ["n_params", "size", "data_bytes", "adjusted_rate"]
SPANS = ["n_params", "size", "from_bytes", "to_bytes", "from_rate"]
_STEPS = 400  # places between the least and the largest dataset size at which the sizes are compared


def own_points(study: Study, group: str) -> pd.DataFrame:
    """POINTS of models trained on each subset, averaged over seeds; code_bits with the tokenizer's."""
    rates = study.rates[study.rates["group"] == group]
    code = rates["code_bits"] + 8 * rates["tokenizer_bytes"]
    return _points(rates, rates["subset_bytes"], code, rates["bits_per_param"] * rates["n_params"])


def prefix_points(study: Study, group: str) -> pd.DataFrame:
    """POINTS of the models of the largest subset for every recorded prefix, averaged over seeds.

    No rows where a parameter's price is that of coded weights: only whole subsets were coded by the weights as they
    decode.
    """
    chosen = study.codes.under(study.cost)
    own = chosen[(chosen["group"] == group) & ~study.cost.is_coded]
    own = own[own["subset_bytes"] == own["subset_bytes"].max()]
    key = ["run_id", "snapshot"]
    segments = study.table.segments[study.table.segments["run_id"].isin(own["run_id"])]
    of_model = own[[*key, "n_params", "size", "tokenizer_bits", "file_bytes"]]
    curves = one_model_many_sizes(segments).merge(of_model, on=key)
    curves["code_bits"] += curves["tokenizer_bits"]
    mean = curves.groupby(["n_params", "raw_bytes"], as_index=False).agg(
        size=("size", "first"),
        code_bits=("code_bits", "mean"),
        n=("code_bits", "size"),
        file_bytes=("file_bytes", "first"),
    )
    mean = mean[mean["n"] == mean.groupby("n_params")["n"].transform("max")]  # prefixes that all seeds coded
    mean = mean[mean["raw_bytes"] <= own["subset_bytes"].max()]  # beyond it the bytes are unseen ones
    price = study.cost.price(mean.assign(subset_bytes=mean["raw_bytes"])) if len(mean) else 0.0
    return _points(mean, mean["raw_bytes"], mean["code_bits"], price * mean["n_params"])


def _points(rows: pd.DataFrame, data: Any, code: Any, model: Any) -> pd.DataFrame:
    found = rows[["n_params", "size"]].assign(data_bytes=data, code_bits=code, model_bits=model)
    return found.sort_values(["n_params", "data_bytes"]).reset_index(drop=True)[POINTS]


class Envelope(NamedTuple):
    """What a figure of POINTS shows."""

    measured: pd.DataFrame  # LINES at the measured dataset sizes alone
    lines: pd.DataFrame  # LINES between them, for every size where it was measured
    least: pd.DataFrame  # the least adjusted rate at every dataset size of the lines: data_bytes, adjusted_rate
    spans: pd.DataFrame  # SPANS


def envelope(points: pd.DataFrame) -> Envelope:
    """Adjusted rates against dataset size, and which size has the least where."""
    rate = (points["code_bits"] + points["model_bits"]) / (8 * points["data_bytes"])
    lines = rate_lines(points)
    least = lines.groupby("data_bytes", as_index=False)[["adjusted_rate"]].min()
    return Envelope(points.assign(adjusted_rate=rate)[LINES], lines, least, spans(points))


def rate_lines(points: pd.DataFrame) -> pd.DataFrame:
    """LINES through the points."""
    data, code, model = _between(points)
    sizes = points.drop_duplicates("n_params")
    rows = [
        pd.DataFrame({"n_params": n, "size": size, "data_bytes": data, "adjusted_rate": rate})
        for n, size, rate in zip(sizes["n_params"], sizes["size"], (code + model) / (8 * data), strict=True)
    ]
    return pd.concat(rows).dropna().reset_index(drop=True) if rows else pd.DataFrame(columns=LINES)


def spans(points: pd.DataFrame) -> pd.DataFrame:
    """SPANS: from which dataset size to which a model size has the least adjusted rate of all that were run.

    In order. from_bytes is NaN where it is least from the first dataset size on, to_bytes where it is to the last, both
    where nothing crosses: where its neighbor was not run. from_rate: the adjusted rate at from_bytes.
    """
    data, code, model = _between(points)
    if not data.size:
        return pd.DataFrame(columns=SPANS)
    sizes, total = points.drop_duplicates("n_params"), code + model
    best = np.where(np.isnan(total), np.inf, total).argmin(axis=0)
    changes = np.flatnonzero(np.diff(best))
    starts = [(np.nan, np.nan), *(_takeover(data, code, model, k, best) for k in changes.tolist())]
    ends = [*(at for at, _ in starts[1:]), np.nan]
    least = [best[0], *(best[k + 1] for k in changes)]
    rows = [
        (int(sizes["n_params"].iloc[i]), sizes["size"].iloc[i], start, end, rate)
        for i, (start, rate), end in zip(least, starts, ends, strict=True)
    ]
    return pd.DataFrame(rows, columns=SPANS)


def _between(points: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """Dataset sizes (m,), and code and parameter bits there (sizes, m), NaN beyond where a size was measured."""
    measured = np.unique(points["data_bytes"].to_numpy(np.float64))
    if not measured.size:
        return measured, np.empty((0, 0)), np.empty((0, 0))
    data = np.unique(np.concatenate([measured, np.geomspace(measured[0], measured[-1], _STEPS)[1:-1]]))
    found = [
        [_interpolated(own, name, data) for name in ("code_bits", "model_bits")]
        for _, own in points.groupby("n_params", sort=True)
    ]
    code, model = (np.array([pair[i] for pair in found]) for i in (0, 1))
    return data, code * data, model


def _interpolated(own: pd.DataFrame, name: str, data: Floats) -> Floats:
    """Bits per byte of code, or bits of parameters, linear in log D."""
    at = own["data_bytes"].to_numpy(np.float64)
    values = own[name].to_numpy(np.float64) / (at if name == "code_bits" else 1.0)
    return np.asarray(np.interp(np.log(data), np.log(at), values, left=np.nan, right=np.nan))


def _takeover(data: Floats, code: Floats, model: Floats, k: int, best: npt.NDArray[np.intp]) -> tuple[float, float]:
    """Where in (data[k], data[k + 1]] the next size takes over, and the rate there; NaN where one was not run."""
    two, old, new = data[k : k + 2], best[k], best[k + 1]
    saved, price = (of[:, k : k + 2] for of in (code, model))
    if not np.isfinite([saved[old], saved[new]]).all():
        return np.nan, np.nan
    at = float(crossing(two, (saved[old] - saved[new])[None], price[new] - price[old]).subset_bytes[0])
    bits = np.interp(np.log(at), np.log(two), saved[new] / two) * at + np.interp(np.log(at), np.log(two), price[new])
    return at, float(bits / (8 * at))
