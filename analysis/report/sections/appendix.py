"""What the answer rests on, in tables: all cells, failures, classical coders."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.codes import classical_rates
from analysis.formatting import format_bytes, format_known, format_percent
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Grid, Heading, Text, named_grid
from analysis.report.rows.codes import ClassicalRow, RateRow
from analysis.report.section import WideSection, register_section
from analysis.report.summary_keys import Summary
from analysis.study import Study


def write_measured(summary: Summary) -> list[Block]:
    """Every (dataset size, model size), averaged over seeds."""
    rows = summary["rates"]
    if not rows:
        return []
    header = ("dataset", "shape", "parameters", "runs", "code, bytes", "raw", "adjusted", "held out")
    cells = [_measured_row(row) for row in rows]
    return [Heading("All cells"), named_grid(header, cells, "llrrrrrr", [row["group"] for row in rows])]


def _measured_row(row: RateRow) -> tuple[str, ...]:
    return (
        format_bytes(row["subset_bytes"]),
        row["size"],
        f"{row['n_params']:,}",
        str(row["n_seeds"]),
        f"{row['code_bits'] / 8:,.0f}",
        format_percent(row["raw_rate"]),
        format_percent(row["adjusted_rate"]),
        _rate(row["heldout_rate"]),
    )


def _rate(rate: float | None) -> str:
    return format_known(rate, format_percent)


def write_failed(summary: Summary) -> list[Block]:
    """Cells without a result, and cells whose result does not cover their own subset."""
    blocks: list[Block] = []
    if summary["failed"]:
        rows = tuple((cell["run_id"], cell["reason"] or "no reason recorded") for cell in summary["failed"])
        blocks += [Heading("Failed cells"), Grid(("cell", "reason"), rows, "lw")]
    if summary["not_evaluated"]:
        cells = ", ".join(summary["not_evaluated"])
        blocks += [Heading("Cells left out"), Text(f"The own subset of these cells was not coded in full: {cells}.")]
    return blocks


def write_classical(summary: Summary) -> list[Block]:
    """Every classical coder on every dataset size."""
    rows = summary["classical"]
    if not rows:
        return []
    header = ("dataset", "coder", "settings", "shuffled", "original", "chunks", "in chunks", "header once")
    whole = (
        "Shuffled: the whole subset, in the order in which the models see it. Original: as many bytes from the "
        "beginning of the source, in their original order. These are other bytes than the models', and may be easier "
        "or harder to compress."
    )
    if not summary["n_cells"]:
        whole = "Whole: the first bytes of the source, in their original order."
    text = (
        f"{whole} In chunks: each chunk of a sample of these bytes is compressed by itself. Header once: the same, "
        "with the coder's header counted once (Delétang et al.)."
    )
    grid = named_grid(header, [_classical_row(row) for row in rows], "lllrrrrr", [row["corpus"] for row in rows])
    return [Heading("Classical coders"), Text(text), grid]


def _classical_row(row: ClassicalRow) -> tuple[str, ...]:
    return (
        format_bytes(row["subset_bytes"]),
        row["coder"],
        row["settings"],
        _rate(row["shuffled_rate"]),
        _rate(row["contiguous_rate"]),
        format_known(row["chunk_bytes"], lambda n_bytes: f"{n_bytes:.0f} B"),
        _rate(row["chunked_rate"]),
        _rate(row["chunked_rate_header_once"]),
    )


def classical(baselines: pd.DataFrame) -> list[ClassicalRow]:
    """Every coder at every D: whole in both orders, and in chunks at true size and with the header counted once.

    Chunks are of the order that models read: where that is shuffled, the source's own order is easier or harder.
    """
    rates, rows = classical_rates(baselines), []
    for (corpus, subset_bytes, coder), own in rates.groupby(["corpus", "subset_bytes", "coder"], sort=True):
        whole, chunked = own[own["chunk_bytes"].isna()], own[own["chunk_bytes"].notna()]
        as_read = chunked[chunked["order"] == "shuffled"]  # by models, where the corpus has such an order
        chunked = as_read if len(as_read) else chunked
        chunked = chunked[chunked["chunk_bytes"] == chunked["chunk_bytes"].max()]  # the longest of several contexts
        row: ClassicalRow = {
            "corpus": str(corpus),
            "subset_bytes": int(str(subset_bytes)),
            "coder": str(coder),
            "settings": (whole if len(whole) else own)["settings"].iloc[0],
            "shuffled_rate": whole.loc[whole["order"] == "shuffled", "rate"].mean(),
            "contiguous_rate": whole.loc[whole["order"] == "contiguous", "rate"].mean(),
            "chunk_bytes": chunked["chunk_bytes"].max(),
            "chunked_rate": chunked["rate"].mean(),
            "chunked_rate_header_once": chunked["rate_header_once"].mean(),
        }
        rows.append(row)
    return rows


def _measure_failed(study: Study) -> dict[str, Any]:
    coded = study.table.cells.groupby("run_id")["own_bits"].count()
    failed = study.table.failed[["run_id", "reason"]]
    return {"failed": failed, "not_evaluated": sorted(coded[coded == 0].index)}


register_section(
    WideSection(
        name="classical",
        measure=lambda study: {"classical": classical(study.table.baselines)},
        write=write_classical,
        tables=(CsvTable("classical"),),
    ),
)
register_section(WideSection(name="measured", write=write_measured))
register_section(
    WideSection(name="failed", measure=_measure_failed, write=write_failed, tables=(CsvTable("failed"),)),
)
