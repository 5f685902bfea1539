"""Sweep folders with a known truth, written by the same code that writes real ones."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from mdl.records import (
    BaselineRecord,
    CellRecord,
    CorpusInfo,
    CurvePoint,
    ModelInfo,
    PositionBin,
    Provenance,
    RunPaths,
    Segment,
    Snapshot,
    TrainingInfo,
    write_record,
)

SIZES = {
    "4x1": 1228, "8x1": 2840, "16x1": 7216, "16x2": 10320, "32x2": 32928, "64x2": 115008, "64x4": 213568,
    "128x4": 820352, "256x4": 3213568,
}  # fmt: skip
HELDOUT_BYTES = 50_000
CodeBits = Callable[[int, int, int], float]  # (N, D, seed) -> bits of the own subset


def power_law(n_params: int, subset_bytes: int, seed: int = 0, alpha: float = 0.4) -> float:
    """Noise-free n·L(N, D) in bits: E = 1.5, A = 60, B = 20, beta = 0.3."""
    return float(subset_bytes) * float(1.5 + 60 * n_params**-alpha + 20 * subset_bytes**-0.3)


def closed_form(subset_bytes: int, bits_per_param: float, alpha: float = 0.4) -> float:
    """N* = (alpha·A·n/c)^(1/(1+alpha)) of the same law."""
    return float((alpha * 60 * subset_bytes / bits_per_param) ** (1 / (1 + alpha)))


def corpus(source: str = "file:/data/book.txt", shuffle_seed: int = 0) -> CorpusInfo:
    """A corpus of 100 MB that nobody opens."""
    return CorpusInfo(source, "text", 10**8, "ab" * 32, 4096, shuffle_seed, 10**8 - HELDOUT_BYTES, HELDOUT_BYTES)


def cell(
    size: str, subset_bytes: int, bits: float | None, *, seed: int = 0, n_params: int | None = None,
    of: CorpusInfo | None = None, heldout_rate: float = 0.4, segments: Sequence[Segment] | None = None,
    context_bytes: int = 256, reason: str = "the loss is not finite from step 7 on",
) -> CellRecord:  # fmt: skip
    """One record; `bits` None: failed. The own subset is two segments, the next block one."""
    N, of = n_params or SIZES[size], of or corpus()
    run_id = f"{size}-{subset_bytes}-s{seed}-c{of.shuffle_seed}-t{context_bytes}-{zlib.crc32(of.source.encode()) % 997}"
    heldout_bits = 8 * heldout_rate * of.heldout_bytes
    own = () if bits is None else (
        Segment("train", 0, 1000, bits * 1000 / subset_bytes),
        Segment("train", 1000, subset_bytes, bits * (1 - 1000 / subset_bytes)),
        Segment("train", subset_bytes, 3 * subset_bytes, 2.2 * bits),
        Segment("heldout", 0, of.heldout_bytes, heldout_bits),
    )  # fmt: skip
    positions = tuple(
        PositionBin(2**k - 1, 2 ** (k + 1) - 1, 100, 100 * (2 + 3 / (k + 1) + 20 * N**-0.4)) for k in range(8)
    )
    snapshot = Snapshot("final", 900, "final.safetensors", "0" * 64, tuple(segments or own), positions, None)
    best = Snapshot("best", 800, "best.safetensors", "1" * 64, tuple(segments or own), positions, None)
    provenance = Provenance(
        f"2026-01-02T03:04:{seed:02d}+00:00", "mdl sweep s.yaml", "0123456789abcdef", "host", "a CPU", 1, "float32",
        {"python": "3.11", "torch": "2.13"}, 12.5, 3.5, 2,
    )  # fmt: skip
    return CellRecord(
        run_id, "synthetic", "failed" if bits is None else "ok", reason if bits is None else None, subset_bytes,
        {"train.seed": seed}, f"cohort-{size}", of, ModelInfo(size, 8, 1, 1, context_bytes, N, {"all": N}),
        TrainingInfo(seed, 900, 900 * 1024, 1e9, 1e-2, None, (CurvePoint(100, 16384, 4e4),)),
        () if bits is None else (best, snapshot), provenance,
    )  # fmt: skip


def baseline(
    coder: str, subset_bytes: int, rate: float, *, order: str = "shuffled", chunk_bytes: int | None = None,
    header_bytes: int = 20, of: CorpusInfo | None = None,
) -> BaselineRecord:  # fmt: skip
    """A classical coder's record with a given true-size rate."""
    n_chunks = 1 if chunk_bytes is None else subset_bytes // chunk_bytes
    return BaselineRecord(
        coder, "-9", of or corpus(), subset_bytes, "shuffled" if order == "shuffled" else "contiguous", chunk_bytes,
        subset_bytes, n_chunks, round(rate * subset_bytes), header_bytes, 0.5, f"{coder} 1.0",
    )  # fmt: skip


def write_sweep(
    root: Path, records: Sequence[CellRecord | BaselineRecord], *, name: str = "synthetic",
    more_run_ids: Sequence[str] = (),
) -> Path:  # fmt: skip
    """A run folder; `more_run_ids`: cells that the manifest names and that have no record."""
    paths = RunPaths(root)
    root.mkdir(parents=True, exist_ok=True)
    run_ids = []
    for i, record in enumerate(records):
        if isinstance(record, CellRecord):
            run_ids.append(record.run_id)
            write_record(record, paths.record(record.run_id))
        else:
            write_record(record, paths.baselines / f"{i}.json")
    manifest = {
        "name": name, "command": "mdl sweep synthetic.yaml", "created": "2026-01-01T00:00:00+00:00",
        "n_cells": len(run_ids) + len(more_run_ids), "run_ids": [*run_ids, *more_run_ids],
    }  # fmt: skip
    paths.manifest.write_text(json.dumps(manifest))
    return root


def grid(
    sizes: Sequence[str], subsets: Sequence[int], bits: CodeBits = power_law, *, seeds: Sequence[int] = (0,)
) -> list[CellRecord]:
    """A cell for every (size, subset, seed)."""
    return [cell(s, d, bits(SIZES[s], d, seed), seed=seed) for s in sizes for d in subsets for seed in seeds]
