"""Table 1 of Delétang et al., "Language Modeling Is Compression", ICLR 2024, to print beside our own measurements."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources
from typing import Literal

DataSet = Literal["enwik9", "ImageNet", "LibriSpeech", "random"]
CHUNK_BYTES = 2048
# What is the same data in kind; the last is for noise alone.
PAPER_DATA_SETS: dict[str, DataSet] = {
    "text": "enwik9",
    "image": "ImageNet",
    "audio": "LibriSpeech",
    "random": "random",
}


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """Rates of 1 GB of each data set, fractions; a chunked classical coder's header counts once.

    `adjusted` counts a model's parameters at 2 bytes each; for a classical coder it is `raw`.
    """

    compressor: str
    chunk_bytes: int | None  # None: whole
    raw: dict[DataSet, float]
    adjusted: dict[DataSet, float]


def _read() -> tuple[PaperRow, ...]:
    """The rows of the data file."""
    text = resources.files("analysis.report.paper").joinpath("table1.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        PaperRow(
            compressor=row["compressor"],
            chunk_bytes=int(row["chunk_bytes"] or 0) or None,
            raw=_rates(row, "raw"),
            adjusted=_rates(row, "adjusted"),
        )
        for row in rows
    )


def _rates(row: dict[str, str], kind: str) -> dict[DataSet, float]:
    return {name: float(row[f"{name}_{kind}"]) / 100 for name in PAPER_DATA_SETS.values()}


TABLE_1 = _read()
PAPER_CODERS = ("gzip", "xz", "png", "flac")


def paper_row(compressor: str, chunk_bytes: int | None) -> PaperRow | None:
    """The table's row of that coder, whole or in its chunks, where it has one."""
    return next((r for r in TABLE_1 if (r.compressor, r.chunk_bytes) == (compressor, chunk_bytes)), None)
