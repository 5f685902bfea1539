"""What the answer rests on, in tables: all cells, failures, classical coders."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.codes import classical_rates
from analysis.formatting import format_bytes, format_percent
from analysis.report.elements import Block, Grid, Heading, Text, named_grid
from analysis.report.section import WideSection, register_section
from analysis.study import Study
from analysis.types import Json


def write_measured(summary: Json) -> list[Block]:
    """Every (dataset size, model size), averaged over seeds."""
    if not summary["rates"]:
        return []
    header = ("dataset", "shape", "parameters", "seeds", "code, bytes", "raw", "adjusted", "held out")
    rows = [_measured_row(row) for row in summary["rates"]]
    return [
        Heading("All cells"),
        named_grid(header, rows, "llrrrrrr", _names(summary["rates"], "group")),
    ]


def _measured_row(row: Json) -> tuple[str, ...]:
    return (
        format_bytes(row["subset_bytes"]),
        row["size"],
        f"{row['n_params']:,}",
        str(row["n_seeds"]),
        f"{row['code_bits'] / 8:,.0f}",
        *(_rate(row[name]) for name in ("raw_rate", "adjusted_rate", "heldout_rate")),
    )


def _names(rows: list[Json], key: str) -> list[str]:
    return [row[key] for row in rows]


def _rate(rate: float | None) -> str:
    return "–" if rate is None else format_percent(rate)


def write_failed(summary: Json) -> list[Block]:
    """Cells without a result, and cells whose result does not cover their own subset."""
    blocks: list[Block] = []
    if summary["failed"]:
        rows = tuple((cell["run_id"], cell["reason"] or "no reason recorded") for cell in summary["failed"])
        blocks += [Heading("Failed cells"), Grid(("cell", "reason"), rows, "lw")]
    if summary["not_evaluated"]:
        cells = ", ".join(summary["not_evaluated"])
        blocks += [Heading("Cells left out"), Text(f"Their own subset was not coded in full: {cells}.")]
    return blocks


def write_classical(summary: Json) -> list[Block]:
    """Every classical coder on every dataset size."""
    if not summary["classical"]:
        return []
    header = ("dataset", "coder", "settings", "shuffled", "original", "chunks", "in chunks", "header once")
    rows = [_classical_row(row) for row in summary["classical"]]
    whole = (
        "Whole: the subset as the models see it (shuffled), and as many bytes from the beginning of the source in "
        "their original order: other bytes than the models', which may be easier or harder."
    )
    if not summary["n_cells"]:
        whole = "Whole: the first bytes of the source in its original order."
    text = f"{whole} In chunks, on a sample of the first: true size, and the header counted once (Delétang et al.)."
    grid = named_grid(header, rows, "lllrrrrr", _names(summary["classical"], "corpus"))
    return [Heading("Classical coders"), Text(text), grid]


def _classical_row(row: Json) -> tuple[str, ...]:
    return (
        format_bytes(row["subset_bytes"]),
        row["coder"],
        row["settings"],
        _rate(row["shuffled_rate"]),
        _rate(row["contiguous_rate"]),
        "–" if row["chunk_bytes"] is None else f"{row['chunk_bytes']:.0f} B",
        _rate(row["chunked_rate"]),
        _rate(row["chunked_rate_header_once"]),
    )


def classical(baselines: pd.DataFrame) -> list[Json]:
    """Every coder at every D: whole in both orders, and in chunks at true size and with the header counted once.

    Chunks are of the order that models read: where that is shuffled, the source's own order is easier or harder.
    """
    rates, rows = classical_rates(baselines), []
    for (corpus, subset_bytes, coder), own in rates.groupby(["corpus", "subset_bytes", "coder"], sort=True):
        whole, chunked = own[own["chunk_bytes"].isna()], own[own["chunk_bytes"].notna()]
        as_read = chunked[chunked["order"] == "shuffled"]  # by models, where the corpus has such an order
        chunked = as_read if len(as_read) else chunked
        chunked = chunked[chunked["chunk_bytes"] == chunked["chunk_bytes"].max()]  # the longest of several contexts
        rows.append(
            {
                "corpus": corpus,
                "subset_bytes": subset_bytes,
                "coder": coder,
                "settings": (whole if len(whole) else own)["settings"].iloc[0],
                "shuffled_rate": whole.loc[whole["order"] == "shuffled", "rate"].mean(),
                "contiguous_rate": whole.loc[whole["order"] == "contiguous", "rate"].mean(),
                "chunk_bytes": chunked["chunk_bytes"].max(),
                "chunked_rate": chunked["rate"].mean(),
                "chunked_rate_header_once": chunked["rate_header_once"].mean(),
            }
        )
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
    ),
)
register_section(WideSection(name="measured", write=write_measured))
register_section(WideSection(name="failed", measure=_measure_failed, write=write_failed))
