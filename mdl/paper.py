"""Table 1 of Delétang et al., "Language Modeling Is Compression", ICLR 2024, to print beside our own measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DataSet = Literal["enwik9", "ImageNet", "LibriSpeech", "random"]
CHUNK_BYTES = 2048
# What is the same data in kind; the last is for noise alone.
DATA_SETS: dict[str, DataSet] = {"text": "enwik9", "image": "ImageNet", "audio": "LibriSpeech", "random": "random"}


@dataclass(frozen=True)
class Row:
    """Rates of 1 GB of each data set, fractions; a chunked classical coder's header counts once.

    `adjusted` counts a model's parameters at 2 bytes each; for a classical coder it is `raw`.
    """

    compressor: str
    chunk_bytes: int | None  # None: whole
    raw: dict[DataSet, float]
    adjusted: dict[DataSet, float]


def _row(compressor: str, chunk_bytes: int | None, raw: str, adjusted: str = "") -> Row:
    return Row(compressor, chunk_bytes, _rates(raw), _rates(adjusted or raw))


def _rates(percents: str) -> dict[DataSet, float]:
    return {name: float(p) / 100 for name, p in zip(DATA_SETS.values(), percents.split(), strict=True)}


# Classical ones under our registry's names: their LZMA2 is our xz.
TABLE_1 = (
    _row("gzip", None, "32.3 70.7 36.4 100.0"),
    _row("xz", None, "23.0 57.9 29.9 100.0"),
    _row("png", None, "42.9 58.5 32.2 100.0"),
    _row("flac", None, "89.5 61.9 30.9 107.8"),
    _row("gzip", CHUNK_BYTES, "48.1 68.6 38.5 100.1"),
    _row("xz", CHUNK_BYTES, "50.0 62.4 38.2 100.0"),
    _row("png", CHUNK_BYTES, "80.6 61.7 37.6 103.2"),
    _row("flac", CHUNK_BYTES, "88.9 60.9 30.3 107.2"),
    _row("Transformer 200K", CHUNK_BYTES, "30.9 194.0 146.6 195.5", "30.9 194.0 146.6 195.5"),
    _row("Transformer 800K", CHUNK_BYTES, "21.7 185.1 131.1 200.1", "21.9 185.3 131.3 200.3"),
    _row("Transformer 3.2M", CHUNK_BYTES, "17.0 215.8 228.2 224.0", "17.7 216.5 228.9 224.7"),
    _row("Llama 2 7B", CHUNK_BYTES, "8.9 53.4 23.1 103.2", "1408.9 1453.4 1423.1 1503.2"),
    _row("Chinchilla 1B", CHUNK_BYTES, "11.3 62.2 24.9 108.8", "211.3 262.2 224.9 308.8"),
    _row("Chinchilla 7B", CHUNK_BYTES, "10.2 54.7 23.6 101.6", "1410.2 1454.7 1423.6 1501.6"),
    _row("Chinchilla 70B", CHUNK_BYTES, "8.3 48.0 21.0 100.8", "14008.3 14048.0 14021.0 14100.8"),
)
CLASSICAL = ("gzip", "xz", "png", "flac")


def row(compressor: str, chunk_bytes: int | None) -> Row | None:
    """The table's row of that coder, whole or in its chunks, where it has one."""
    return next((r for r in TABLE_1 if (r.compressor, r.chunk_bytes) == (compressor, chunk_bytes)), None)
