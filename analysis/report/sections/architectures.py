"""Architectures beside one another: the critical size and the rate of each, and which pays from which size on."""

from __future__ import annotations

import itertools
import zlib
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.critical import crossing
from analysis.formatting import format_bytes, format_percent, format_range, format_size
from analysis.plots import new_axes, styled
from analysis.records import known_rows
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Grid, Text
from analysis.report.rows.comparisons import ArchitectureRow, OvertakingRow
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.answer_table import in_print, span
from analysis.study import Study
from analysis.types import Floats

COLUMNS = [
    "group",
    "subset_bytes",
    "architecture",
    "n_params",
    "low",
    "high",
    "least_size",
    "most_size",
    "status",
    "raw_rate",
    "adjusted_rate",
    "rate_low",
    "rate_high",
    "is_least",
]
_Z = 1.96  # 95 % of a normal distribution
_NEAR = 4.0  # sizes within this factor of the critical one tell its rate
_N_DRAWS = 2000


def architectures(study: Study) -> pd.DataFrame:
    """A row a (group without its architecture, D, architecture); none where there is one architecture.

    rate_low, rate_high  95 % of the adjusted rate, by how far shapes are off one smooth law (NaN: not known)
    is_least             whether no other architecture has a lower adjusted rate
    """
    told = study.table.runs[["group", "peer_group", "architecture"]].drop_duplicates()
    several = told.groupby("peer_group")["architecture"].transform("nunique") > 1
    both = study.critical.merge(told[several], on="group")
    error = _Z * _relative_error(study, both) * both["raw_rate"]
    least = both.groupby(["peer_group", "subset_bytes"])["adjusted_rate"].transform("min")
    rows = both.assign(
        group=both["peer_group"],
        rate_low=both["adjusted_rate"] - error,
        rate_high=both["adjusted_rate"] + error,
        is_least=both["adjusted_rate"] == least,
    )
    return rows.sort_values(["group", "subset_bytes", "architecture"]).reset_index(drop=True)[COLUMNS]


def _relative_error(study: Study, critical: pd.DataFrame) -> Floats:
    """Of the code at each critical size: what one shape is off, over the root of how many shapes stand near."""
    rates, errors = study.rates, []
    for row in known_rows(critical):
        own = rates[(rates["group"] == row["group"]) & (rates["subset_bytes"] == row["subset_bytes"])]
        at = row["n_params"] or row["grid_best"]
        n_near = int((np.abs(np.log(own["n_params"].to_numpy(np.float64) / float(at))) <= np.log(_NEAR)).sum())
        errors.append(np.nan if row["shape_sd"] is None else row["shape_sd"] / np.sqrt(max(1, n_near)))
    return np.array(errors)


def overtakings(rows: pd.DataFrame) -> list[OvertakingRow]:
    """A row a (group, pair of architectures): group, better, other, from_bytes, low, high.

    `better` has the lower adjusted rate at the largest dataset size, and from `from_bytes` on; None: at all measured.
    low, high: 95 % of that place; 0: below the sizes measured; None: above them, or not known.
    """
    found: list[OvertakingRow] = []
    for group, own in rows.groupby("group"):
        rates = own.pivot_table(index="subset_bytes", columns="architecture", values="adjusted_rate")
        errors = own.assign(sd=(own["rate_high"] - own["rate_low"]) / (2 * _Z))
        sds = errors.pivot_table(index="subset_bytes", columns="architecture", values="sd")
        for pair in itertools.combinations(sorted(rates.columns), 2):
            shared = rates[list(pair)].dropna()
            if len(shared):
                sd = sds.reindex(index=shared.index, columns=list(pair)).to_numpy(np.float64)
                found.append(_overtaking(str(group), shared, np.hypot(sd[:, 0], sd[:, 1])))
    return found


def _overtaking(group: str, rates: pd.DataFrame, sd: Floats) -> OvertakingRow:
    """Of two columns of adjusted rates by dataset size, whose difference is known to `sd`."""
    data, values = rates.index.to_numpy(np.float64), rates.to_numpy(np.float64)
    better = int(values[-1, 1] <= values[-1, 0])
    saved = 8 * data * (values[:, 1 - better] - values[:, better])
    point = crossing(data, saved[None], 0.0)
    low, high = np.inf, np.inf
    if np.isfinite(sd).all():
        generator = np.random.default_rng(zlib.crc32("/".join(map(str, rates.columns)).encode()))
        drawn = crossing(data, saved + 8 * data * sd * generator.standard_normal((_N_DRAWS, data.size)), 0.0)
        places = np.where(drawn.crossed, drawn.subset_bytes, np.where(drawn.above, np.inf, 0.0))
        low, high = np.quantile(places, [0.025, 0.975], method="closest_observation")
    return OvertakingRow(
        group=group,
        better=str(rates.columns[better]),
        other=str(rates.columns[1 - better]),
        from_bytes=float(point.subset_bytes[0]) if point.crossed[0] else None,
        low=float(low) if np.isfinite(low) else None,
        high=float(high) if np.isfinite(high) else None,
    )


def write(rows: list[ArchitectureRow], pairs: list[OvertakingRow]) -> list[Block]:
    """Who pays from where on, and a line an architecture and dataset size; nothing where there is one architecture."""
    if not rows:
        return []
    header = ("dataset", "architecture", "critical size", "95 % interval", "raw rate", "adjusted rate", "95 % interval")
    lines = [
        (
            format_bytes(row["subset_bytes"]),
            row["architecture"] + (" *" if row["is_least"] else ""),
            _size(row),
            in_print(span(row)),
            format_percent(row["raw_rate"]),
            format_percent(row["adjusted_rate"]),
            format_range(row["rate_low"], row["rate_high"], format_percent),
        )
        for row in rows
    ]
    several = len({row["group"] for row in rows}) > 1
    told = [(f"{pair['group']}: " if several else "") + _told(pair) for pair in pairs]
    text = (
        "Each architecture at its own critical size; * marks the least adjusted rate. A rate's interval is of how far "
        "single shapes are off one smooth law of their size; one that is not bracketed is the grid's best. "
    )
    return [
        Text(" ".join(told), "lead"),
        Text(text),
        Grid(header, tuple(lines), "llrrrrr", groups=tuple(r["group"] for r in rows)),
    ]


def _told(pair: OvertakingRow) -> str:
    where = "at every dataset size measured"
    if pair["from_bytes"] is not None:
        where = f"from {format_bytes(pair['from_bytes'])} on"
    if pair["high"] is None:
        return f"{pair['better']} has a lower adjusted rate than {pair['other']} {where}, but their intervals overlap."
    low, high = _end(pair["low"]), _end(pair["high"])
    known = f" (95 %: from {low if low == high else f'{low} to {high}'} on)"
    return f"{pair['better']} has a lower adjusted rate than {pair['other']} {where}{known}."


def _end(n_bytes: float | None) -> str:
    if n_bytes is None:
        return "above the sizes measured"
    return format_bytes(n_bytes) if n_bytes else "below the sizes measured"


def _size(row: ArchitectureRow) -> str:
    return format_size(row["n_params"], row["low"], row["high"]) if row["n_params"] else f"{row['status']} its grid"


def plot_architectures(rows: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The adjusted rate at each critical size against the dataset size, a curve an architecture; rows of one group."""
    axes = new_axes(ax)
    for (name, own), look in styled(rows, "architecture"):
        error = 100 * (own["rate_high"] - own["adjusted_rate"]).fillna(0.0)
        axes.errorbar(own["subset_bytes"], 100 * own["adjusted_rate"], yerr=error, label=str(name), capsize=2, **look)
    axes.set_xscale("log")
    axes.set_xlabel("dataset, bytes")
    axes.set_ylabel("adjusted rate, %")
    axes.legend()
    return axes


_CAPTION = "Adjusted rate of each architecture at its own critical size, with 95 % intervals."


def _figures(_: Study, measured: Measured) -> list[Figure]:
    """A group each, where there are at least two dataset sizes."""
    groups = [(group, own) for group, own in measured["architectures"].groupby("group")]
    drawn = [(group, own) for group, own in groups if own["subset_bytes"].nunique() > 1]
    return [
        Figure(
            name="architectures",
            plot=partial(plot_architectures, own),
            caption=(f"{group}: " if len(drawn) > 1 else "") + _CAPTION,
            index=i,
        )
        for i, (group, own) in enumerate(drawn)
    ]


def _measure(study: Study) -> dict[str, object]:
    rows = architectures(study)
    return {"architectures": rows, "overtakings": overtakings(rows)}


register_section(
    WideSection(
        name="architectures",
        title="Architectures",
        measure=_measure,
        write=lambda summary: write(summary["architectures"], summary["overtakings"]),
        draw=_figures,
        shows=("architectures",),
        tables=(CsvTable("architectures"),),
    ),
)
