"""Adjusted rate against dataset size, a curve a model size: which size pays where (Delétang et al. 2024, Figure 2).

Two forms. Own subsets: at every D models that were trained on these D bytes. Prefixes: one model a size, trained on the
largest subset, coding growing prefixes of it; what it learned from the rest is in its parameters, which are paid for in
full at every prefix. Between measured sizes the bits a byte are linear in log D and the parameters' bits exact, as in
`analysis.critical.crossover`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from analysis.codes import one_model_many_sizes
from analysis.critical import crossing
from analysis.formatting import format_bytes, format_count, join
from analysis.plots import Curve, log_scales, name_below, name_curves, new_axes, styled
from analysis.report.elements import Block, Text, named_grid
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.shown import groups_shown
from analysis.study import Study, shortest_codes
from analysis.types import Floats, Json

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
    chosen = shortest_codes(study.table, study.cost)
    own = chosen[(chosen["group"] == group) & ~study.cost.is_coded]
    own = own[own["subset_bytes"] == own["subset_bytes"].max()]
    key = ["run_id", "snapshot"]
    segments = study.table.segments[study.table.segments["run_id"].isin(own["run_id"])]
    curves = one_model_many_sizes(segments).merge(own[[*key, "n_params", "size", "tokenizer_bits"]], on=key)
    curves["code_bits"] += curves["tokenizer_bits"]
    mean = curves.groupby(["n_params", "raw_bytes"], as_index=False).agg(
        size=("size", "first"), code_bits=("code_bits", "mean"), n=("code_bits", "size")
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
    where nothing crosses: where its neighbour was not run. from_rate: the adjusted rate at from_bytes.
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
    """Bits a byte of code, or bits of parameters, linear in log D."""
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


def write(summary: Json) -> list[Block]:
    """From how many bytes on each model size beats the next smaller one, and where it beats all."""
    rows = summary["crossings"]
    if not any(row["subset_bytes"] is not None for row in rows):
        return []
    cells = [
        (f"{row['n_large']:,}", f"{row['n_small']:,}", _beats(row), _open_interval(row),
         *(_shortest(row, form, summary["least"]) for form in ("own subset", "prefix")))
        for row in rows
    ]  # fmt: skip
    header = ("parameters", "next smaller", "shorter from", "95 % interval", "least of all", "least of all, prefixes")
    text = (
        "From how many bytes on a model size codes shorter than the next smaller one, parameters counted, and where it "
        "is the shortest of all that were run. Prefixes: models of the largest subset alone, each coding the first "
        "bytes of it. –: nowhere. Straight lines between the dataset sizes that were run, in bits a byte over log D. "
        "An interval without one of its ends is open there: some replicates do not cross in the grid."
    )
    return [Text(text), named_grid(header, cells, "rrrrrr", [row["group"] for row in rows])]


def _beats(row: Json) -> str:
    if row["subset_bytes"] is not None:
        return format_bytes(row["subset_bytes"])
    return str(row["message"]).removeprefix("not crossed in the grid: ")


def _open_interval(row: Json) -> str:
    """The interval, open where an end lies beyond the grid; none where both do."""
    return "–" if row["low"] is row["high"] is None else _stretch(row["low"], row["high"])


def _shortest(row: Json, form: str, least: list[Json]) -> str:
    """Where the larger size of a crossing has the least adjusted rate of all."""
    own = [r for r in least if (r["group"], r["form"], r["n_params"]) == (row["group"], form, row["n_large"])]
    return join(_stretch(found["from_bytes"], found["to_bytes"]) for found in own) or "–"


def _stretch(start: float | None, end: float | None) -> str:
    if start is None or end is None:
        known = start or end
        return "throughout" if known is None else f"{'up to' if start is None else 'from'} {format_bytes(known)}"
    return f"{format_bytes(start)} to {format_bytes(end)}"


CEILING = 1.2  # of raw size: above it no model compresses, and curves of large models go far beyond
_FOOT: dict[str, Any] = {"color": "0.85", "linewidth": 7, "solid_capstyle": "round", "zorder": 1}
_TAKEOVER: dict[str, Any] = {
    "linestyle": "none", "marker": "o", "markersize": 7, "markerfacecolor": "white", "markeredgecolor": "black",
    "zorder": 5,
}  # fmt: skip


def plot_envelope(found: Envelope, ax: Axes | None = None) -> Axes:
    """Adjusted rate against dataset size, both logarithmic, a curve a model size; grey below: the least of all.

    Circles: where the next size takes over, named at the foot by its parameters and the dataset size.
    Curves leave through the top at 120 %.
    """
    axes, curves = new_axes(ax), []
    axes.plot(found.least["data_bytes"], found.least["adjusted_rate"], **_FOOT)
    for (n_params, own), style in styled(found.lines, "n_params"):
        marks = found.measured[found.measured["n_params"] == n_params]
        axes.plot(own["data_bytes"], own["adjusted_rate"], color=style["color"], linestyle=style["linestyle"],
                  linewidth=1.3)  # fmt: skip
        axes.plot(marks["data_bytes"], marks["adjusted_rate"], linestyle="none", color=style["color"],
                  marker=style["marker"], markersize=3.5, markeredgewidth=0)  # fmt: skip
        curves.append(Curve(own["data_bytes"].tolist(), own["adjusted_rate"].tolist(), format_count(n_params), style))
    _limits(axes, found.least, found.lines)
    name_curves(axes, [curve for curve in curves if min(curve.y) <= axes.get_ylim()[1]])
    _takeovers(axes, found.spans)
    axes.set_xlabel("dataset size D, bytes")
    axes.set_ylabel("adjusted rate: (code + parameters) / raw, %")
    return axes


def _limits(axes: Axes, least: pd.DataFrame, lines: pd.DataFrame) -> None:
    """From where the least rate is below the ceiling; room at the foot for two lines of names."""
    low, high = least["adjusted_rate"].min(), min(CEILING, 1.1 * lines["adjusted_rate"].max())
    high = max(high, 1.1 * low)
    shown = least.loc[least["adjusted_rate"] <= high, "data_bytes"]
    axes.set_xscale("log")
    axes.set_xlim(shown.min() / 1.12, least["data_bytes"].max() * 1.12)
    axes.set_yscale("log")
    axes.set_ylim(low / (high / low) ** 0.28, high)
    log_scales(axes, format_bytes, lambda rate: f"{100 * rate:g}")


def _takeovers(axes: Axes, spans: pd.DataFrame) -> None:
    found = spans[spans["from_bytes"].notna() & (spans["from_rate"] <= axes.get_ylim()[1])]
    axes.plot(found["from_bytes"], found["from_rate"], **_TAKEOVER)
    pairs = zip(found["n_params"], found["from_bytes"], strict=True)
    names = [f"{format_count(n)}\n{format_bytes(d)}" for n, d in pairs]
    name_below(axes, found["from_bytes"].tolist(), found["from_rate"].tolist(), names)


_FORMS = {"by_dataset": ("own subset", own_points), "by_prefix": ("prefix", prefix_points)}
_CAPTIONS = {
    "by_dataset": "Adjusted rate against dataset size, a curve a model size, named by its parameters, at every dataset "
    "size by models trained on it (compare Delétang et al., Figure 2). Grey: the least of all sizes. Circles: from "
    "there on the size named below has the least adjusted rate of those that were run.",
    "by_prefix": "The same in the form of Delétang et al.: one model a size, trained on the largest subset, codes "
    "growing prefixes of it and is paid for in full at each. Its training drew on all of the largest subset, not the "
    "prefix alone.",
}


def _measure(study: Study) -> dict[str, Any]:
    """`least`: SPANS of every group in both forms, with group and form (own subset or prefix)."""
    envelopes = {
        (group, name): envelope(points(study, group)) for group in study.laws for name, (_, points) in _FORMS.items()
    }
    columns = ["group", "form", *SPANS]
    found = [own.spans.assign(group=group, form=_FORMS[name][0]) for (group, name), own in envelopes.items()]
    least = pd.concat(found)[columns] if found else pd.DataFrame(columns=columns)
    return {"crossings": study.crossings, "least": least, "_envelopes": envelopes}


def _figures(study: Study, measured: Measured) -> list[Figure]:
    """Of models trained on every subset, and of those of the largest alone; only where a size gives way to another."""
    figures = []
    for shown in groups_shown(study, with_rates=True):
        for name, caption in _CAPTIONS.items():
            found = measured["_envelopes"][shown.group, name]
            if len(found.spans) > 1:
                figures.append(shown.figure(name, partial(plot_envelope, found), caption))
    return figures


register_section(
    WideSection(
        name="crossovers",
        title="From which dataset size on a size pays",
        measure=_measure,
        write=write,
        draw=_figures,
        shows=("by_dataset", "by_prefix"),
    ),
)
