"""How far cells of one size lie apart."""

from __future__ import annotations

from analysis.formatting import format_bytes, format_known
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Grid, Heading, Text
from analysis.report.rows.codes import SeedsRow
from analysis.report.section import WideSection, register_section
from analysis.report.summary_keys import Summary


def _error(error: float | None) -> str:
    return format_known(error, lambda known: f"{100 * known:.2f} %" if known >= 0.00005 else "< 0.01 %")


def write(summary: Summary) -> list[Block]:
    """How far cells of one size lie apart: a table of model sizes by dataset sizes."""
    rows = [row for row in summary["seeds"] if row["relative_sd"] is not None]
    if not rows:
        return []
    blocks: list[Block] = [
        Heading("Spread between repeated runs"),
        Text(
            "Standard deviation of the own subset's code length between cells of one model size and dataset size, "
            f"relative to the code length. {_VARIES.get(summary['intervals']['kind'], '')} –: run once."
        ),
    ]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    for group in groups:
        own = [row for row in rows if row["group"] == group]
        begin = f"{group}: " if len(groups) > 1 else ""
        pooled, training = own[0]["pooled_relative_sd"], own[0]["pooled_training_sd"]
        text = f"{begin}Pooled over all sizes: {_error(pooled)}"
        if training not in (None, pooled):
            text += f"; between training seeds of one corpus seed: {_error(training)}"
        blocks += [_spread_table(own), Text(f"{text}.", "small")]
    return blocks


_VARIES = {
    "both": "Corpus seeds and training seeds vary together.",
    "corpus seeds": "The corpus seed varies.",
    "seeds": "The training seed varies.",
}


def _spread_table(rows: list[SeedsRow]) -> Grid:
    sizes = sorted({(row["n_params"], row["size"]) for row in rows})
    data = sorted({row["subset_bytes"] for row in rows})
    errors = {(row["n_params"], row["subset_bytes"]): row["relative_sd"] for row in rows}
    cells = tuple((size, f"{n:,}", *(_error(errors.get((n, d))) for d in data)) for n, size in sizes)
    return Grid(("shape", "parameters", *map(format_bytes, data)), cells, "lr" + "r" * len(data))


register_section(
    WideSection(
        name="seeds",
        measure=lambda study: {"seeds": study.seeds},
        write=write,
        tables=(CsvTable("seeds"),),
    ),
)
