"""What leaked evaluation text does to the rates: models trained on subsets of which a share was replaced by it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter

from analysis.formatting import format_bytes, format_percent, join
from analysis.plots import OF_OURS, draw, name_curves, new_axes, size_curves
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Text, named_grid
from analysis.report.rows.comparisons import ContaminationRow
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.figure_groups import figure_groups
from analysis.study import Study

COLUMNS = list(ContaminationRow.__annotations__)


def contamination(study: Study) -> pd.DataFrame:
    """A row per (corpus without its leak, D, N, leak fraction), averaged over seeds; none where nothing was leaked.

    evaluation_bytes  the held-out part, from which blocks were leaked, one after another and over again
    leaked_bytes      leak fraction · D: more than evaluation_bytes means that blocks were seen several times in a pass
    raw_rate          of the held-out part by the final snapshot, parameters not counted
    adjusted_rate     the same with the parameters, both over evaluation_bytes: what sending the evaluation text takes
    two_part_rate     of the subset that was trained on, leaked blocks included, with the parameters; of `study.rates`
    """
    cells = study.table.cells
    leaky = set(cells.loc[cells["leak_fraction"] > 0, "clean_group"])
    own = cells[(cells["snapshot"] == "final") & cells["clean_group"].isin(leaky) & cells["heldout_bits"].notna()]
    own = own[own["heldout_bytes"] > 0]
    key = ["clean_group", "group", "subset_bytes", "n_params", "size", "leak_fraction", "heldout_bytes"]
    means = own.groupby(key, as_index=False).agg(bits=("heldout_bits", "mean"), n_seeds=("heldout_bits", "size"))
    priced = study.rates[["group", "subset_bytes", "n_params", "bits_per_param", "adjusted_rate"]]
    both = means.merge(
        priced.rename(columns={"adjusted_rate": "two_part_rate"}), on=["group", "subset_bytes", "n_params"]
    )
    text_bits = 8.0 * both["heldout_bytes"]
    rates = both.assign(
        group=both["clean_group"],
        evaluation_bytes=both["heldout_bytes"],
        leaked_bytes=(both["leak_fraction"] * both["subset_bytes"]).round().astype(int),
        raw_rate=both["bits"] / text_bits,
        adjusted_rate=(both["bits"] + both["bits_per_param"] * both["n_params"]) / text_bits,
    )
    return rates.sort_values(["group", "subset_bytes", "n_params", "leak_fraction"]).reset_index(drop=True)[COLUMNS]


def write(rows: list[ContaminationRow]) -> list[Block]:
    """Rates by leak fraction."""
    if not rows:
        return []
    cells = [
        (
            format_bytes(r["subset_bytes"]),
            r["size"],
            format_percent(r["leak_fraction"]),
            format_bytes(r["leaked_bytes"]),
            format_percent(r["raw_rate"]),
            format_percent(r["adjusted_rate"]),
            format_percent(r["two_part_rate"]),
        )
        for r in rows
    ]
    sizes = join(sorted({format_bytes(row["evaluation_bytes"]) for row in rows}))
    text = (
        f"A share of every subset was replaced by blocks of the evaluation text, which is {sizes} long. The dataset "
        "size stays the same. Raw: rate of the evaluation text by the final model, parameters not counted. Adjusted: "
        "the same with the parameters, over the size of the evaluation text. Two-part: rate of the subset that was "
        f"trained on, leaked blocks included, with the parameters. {_fooled(rows)}"
    )
    header = ("dataset", "shape", "leaked", "leaked text", "raw", "adjusted", "two-part")
    return [Text(text), named_grid(header, cells, "llrrrrr", [row["group"] for row in rows])]


def _fooled(rows: list[ContaminationRow]) -> str:
    """As measured, from the least to the largest leak of each model."""
    models: dict[tuple[Any, ...], list[ContaminationRow]] = {}
    for row in rows:
        models.setdefault((row["group"], row["subset_bytes"], row["n_params"]), []).append(row)
    ends = [(own[0], own[-1]) for own in models.values() if len(own) > 1]
    if not ends:
        return ""
    fell = {
        "raw": sum(last["raw_rate"] < first["raw_rate"] for first, last in ends),
        "adjusted": sum(last["adjusted_rate"] < first["adjusted_rate"] for first, last in ends),
        "two-part": sum(last["two_part_rate"] < first["two_part_rate"] for first, last in ends),
    }
    said = join(f"the {name} rate falls for {n} of {len(ends)} models" for name, n in fell.items())
    best = [min(end[i]["adjusted_rate"] for end in ends) for i in (0, 1)]
    return (
        f"From the smallest leak to the largest, {said}. The minimum of the adjusted rate goes from "
        f"{format_percent(best[0])} to {format_percent(best[1])}."
    )


_TITLES = {
    "raw_rate": "evaluation text, raw, %",
    "adjusted_rate": "evaluation text, adjusted, %",
    "two_part_rate": "own subset, two-part, %",
}


def plot_leak(leaks: pd.DataFrame, column: str, ax: Axes | None = None) -> Axes:
    """One rate against the leak fraction, one curve per size; `leaks` of one dataset size, as from `contamination`."""
    axes = new_axes(ax)
    percent = leaks.assign(leak=100 * leaks["leak_fraction"], rate=100 * leaks[column])
    lines = size_curves(percent, "leak", "rate")
    draw(axes, lines)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000) if low <= t <= high]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if len(ticks) < 2 else ""))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("leaked share of the subset, %")
    axes.set_title(_TITLES[column], fontsize=9.5)
    name_curves(axes, lines)
    return axes


def plot_contamination(leaks: pd.DataFrame) -> Axes:
    """Raw, adjusted and two-part rates side by side; the first of the three axes is returned."""
    import matplotlib.pyplot as plt

    panels = plt.subplots(1, 3, figsize=(7.2, 2.9), gridspec_kw={"wspace": 0.55}, subplot_kw={"label": OF_OURS})[1]
    for column, axes in zip(_TITLES, panels, strict=True):
        plot_leak(leaks, column, axes)
    return panels[0]  # type: ignore[no-any-return]


_CAPTION = (
    "Rates against the share of the largest subset that was replaced by evaluation text, one curve per model size. The "
    "first two panels show the rate of that text, the third the rate of the subset itself."
)


def _figures(study: Study, measured: Measured) -> list[Figure]:
    """A group each, of the largest subset, where leaks differ."""
    figures = []
    for shown in figure_groups(study):
        leaks: pd.DataFrame = measured["contamination"]
        own = leaks[leaks["group"] == shown.group]
        largest = own[own["subset_bytes"] == own["subset_bytes"].max()]
        if largest["leak_fraction"].nunique() > 1:
            figures.append(shown.figure("contamination", partial(plot_contamination, largest), _CAPTION))
    return figures


register_section(
    WideSection(
        name="contamination",
        title="Leaked evaluation text",
        measure=lambda study: {"contamination": contamination(study)},
        write=lambda summary: write(summary["contamination"]),
        draw=_figures,
        shows=("contamination",),
        tables=(CsvTable("contamination"),),
    ),
)
