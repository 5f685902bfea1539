"""How far cells of one size lie apart."""

from __future__ import annotations

from analysis.formatting import format_bytes
from analysis.report.elements import Block, Grid, Heading, Text
from analysis.report.section import WideSection, register_section
from analysis.types import Json


def _error(error: float | None) -> str:
    return "–" if error is None else f"{100 * error:.2f} %"


def write(summary: Json) -> list[Block]:
    """How far cells of one size lie apart: a table of model sizes by dataset sizes."""
    rows = [row for row in summary["seeds"] if row["relative_sd"] is not None]
    if not rows:
        return []
    blocks: list[Block] = [
        Heading("Spread between seeds"),
        Text(
            "Standard deviation of the own subset's code length between cells of one model size and dataset size, "
            f"relative to the code length. {_VARIES.get(summary['intervals']['kind'], '')} –: run once."
        ),
    ]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    for group in groups:
        own = [row for row in rows if row["group"] == group]
        begin = f"{group}: " if len(groups) > 1 else ""
        pooled, training = _error(own[0]["pooled_relative_sd"]), own[0]["pooled_training_sd"]
        if training not in (None, own[0]["pooled_relative_sd"]):
            pooled += f"; between training seeds of one corpus seed: {_error(training)}"
        blocks += [_spread_table(own), Text(f"{begin}Pooled over all sizes: {pooled}.", "small")]
    return blocks


_VARIES = {
    "both": "Corpus seeds and training seeds together.",
    "corpus seeds": "Between corpus seeds.",
    "seeds": "Between training seeds.",
}


def _spread_table(rows: list[Json]) -> Grid:
    sizes = sorted({(row["n_params"], row["size"]) for row in rows})
    data = sorted({row["subset_bytes"] for row in rows})
    at = {(row["n_params"], row["subset_bytes"]): row for row in rows}
    cells = tuple(
        (size, f"{n:,}", *(_error(at[n, d]["relative_sd"]) if (n, d) in at else "–" for d in data)) for n, size in sizes
    )
    return Grid(("shape", "parameters", *map(format_bytes, data)), cells, "lr" + "r" * len(data))


register_section(WideSection(name="seeds", measure=lambda study: {"seeds": study.seeds}, write=write))
