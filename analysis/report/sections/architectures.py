"""Architectures beside one another: the critical size and the rate of each, and which pays from which size on."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.critical import crossing
from analysis.formatting import (
    UNKNOWN,
    format_bytes,
    format_end,
    format_percent,
    format_range,
    format_size,
    join,
)
from analysis.plots import log_scales, new_axes, styled
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
_N_DRAWS = 20_000


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
    low, high: 95 % of that place; 0: below the sizes measured; high None: above them; both None: not known.
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
    better = int(values[-1, 1] < values[-1, 0])
    saved = 8 * data * (values[:, 1 - better] - values[:, better])
    point = crossing(data, saved[None], 0.0)
    low, high = np.inf, np.inf
    if np.isfinite(sd).all():
        generator = np.random.default_rng(0)
        drawn = crossing(data, saved + 8 * data * sd * generator.standard_normal((_N_DRAWS, data.size)), 0.0)
        places = np.where(drawn.crossed, drawn.subset_bytes, np.where(drawn.above, np.inf, 0.0))
        low, high = np.quantile(places, [0.025, 0.975], method="closest_observation")
    return OvertakingRow(
        group=group,
        better=str(rates.columns[better]),
        other=str(rates.columns[1 - better]),
        is_equal=not saved.any(),
        least_bytes=float(data[0]),
        most_bytes=float(data[-1]),
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
    groups = tuple(dict.fromkeys(row["group"] for row in rows))
    told = [(f"{g}: " if len(groups) > 1 else "") + text for g in groups for text in _sentences(g, rows, pairs)]
    known = [pair for pair in pairs if not _is_short([p for p in pairs if p["group"] == pair["group"]])]
    text = (
        "Each architecture at its own critical size; * marks the least adjusted rate. A rate's interval is of how far "
        "single shapes are off one smooth law of their size; one that is not bracketed is the grid's best. "
    )
    return [
        Text(" ".join(told), "lead"),
        *([_pairs(known)] if known else []),
        Text(text),
        Grid(header, tuple(lines), "llrrrrr", groups=tuple(r["group"] for r in rows)),
    ]


def _is_short(pairs: list[OvertakingRow]) -> bool:
    """Have they room in a paragraph? Pairs of three architectures do."""
    return len(pairs) <= 3


def _sentences(group: str, rows: list[ArchitectureRow], pairs: list[OvertakingRow]) -> list[str]:
    """Which is best where, if there are more than two, and a sentence for each pair of a few."""
    own = [row for row in rows if row["group"] == group]
    of_group = [pair for pair in pairs if pair["group"] == group]
    best = [_best(own)] if len({row["architecture"] for row in own}) > 2 else []
    return best + ([_told(pair) for pair in of_group] if _is_short(of_group) else [])


def _best(rows: list[ArchitectureRow]) -> str:
    """Which has the least adjusted rate at which dataset sizes."""
    at: dict[int, list[str]] = {}
    for row in rows:
        names = at.setdefault(row["subset_bytes"], [])
        if row["is_least"]:
            names.append(row["architecture"])
    sizes: dict[str, list[str]] = {}
    for n_bytes, names in at.items():
        sizes.setdefault(join(names), []).append(format_bytes(n_bytes))
    if len(sizes) == 1:
        names = next(iter(at.values()))
        return f"{join(names)} {_has(names)} the least adjusted rate at every dataset size measured."
    told = "; ".join(f"that of {who} at {join(where)}" for who, where in sizes.items())
    return f"The least adjusted rate is {told}."


def _has(names: list[str]) -> str:
    return "have" if len(names) > 1 else "has"


def _told(pair: OvertakingRow) -> str:
    one, other = pair["better"], pair["other"]
    if pair["least_bytes"] == pair["most_bytes"]:
        where = begins = f"at {format_bytes(pair['most_bytes'])}, the only dataset size of both"
    else:
        where, first = "at every dataset size measured", pair["from_bytes"] or pair["least_bytes"]
        begins = ("" if pair["from_bytes"] else f"{where}, ") + f"from {format_bytes(first)} on"
    if pair["is_equal"]:
        return f"{join(sorted([one, other]))} have the same adjusted rate {where}."
    known = "no interval: too few model sizes" if pair["low"] is None else f"95 %: {_begins(pair)}"
    return f"{one} has a lower adjusted rate than {other} {begins} ({known})."


def _begins(pair: OvertakingRow) -> str:
    """The 95 % interval of where it begins; ≤ and ≥ where the sizes measured end."""
    if pair["low"] is None:
        return UNKNOWN
    most = pair["most_bytes"]
    both = (
        max(pair["low"], pair["least_bytes"]),
        most if pair["high"] is None else max(pair["high"], pair["least_bytes"]),
    )
    ends = dict.fromkeys(format_end(value, pair["least_bytes"], most, format_bytes) for value in both)
    return " to ".join(ends)


def _pairs(pairs: list[OvertakingRow]) -> Grid:
    rows = []
    for pair in pairs:
        begins = format_bytes(pair["from_bytes"]) if pair["from_bytes"] else "all sizes"
        if pair["least_bytes"] == pair["most_bytes"]:
            begins = f"{format_bytes(pair['most_bytes'])} alone"
        begins = "the same" if pair["is_equal"] else begins
        rows.append((pair["better"], pair["other"], begins, UNKNOWN if pair["is_equal"] else _begins(pair)))
    header = ("lower adjusted rate", "than", "from", "95 % interval")
    return Grid(header, tuple(rows), "llrr", groups=tuple(pair["group"] for pair in pairs))


def _size(row: ArchitectureRow) -> str:
    if row["n_params"]:
        return format_size(row["n_params"], row["low"], row["high"])
    return f"{row['status']} its grid" if row["status"] in ("below", "above") else row["status"]


def plot_architectures(rows: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The adjusted rate at each critical size against the dataset size, a curve an architecture; rows of one group."""
    axes = new_axes(ax)
    for (name, own), look in styled(rows, "architecture"):
        error = 100 * (own["rate_high"] - own["adjusted_rate"]).fillna(0.0)
        axes.errorbar(own["subset_bytes"], 100 * own["adjusted_rate"], yerr=error, label=str(name), capsize=2, **look)
    log_scales(axes, format_bytes, None)
    axes.set_xlabel("dataset size D, bytes")
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
