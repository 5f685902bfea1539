"""Sweep folders with a known truth, written by the same code that writes real ones."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
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
    "4x1": 1228,
    "8x1": 2840,
    "16x1": 7216,
    "16x2": 10320,
    "32x2": 32928,
    "64x2": 115008,
    "64x4": 213568,
    "128x4": 820352,
    "256x4": 3213568,
}
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
    return CorpusInfo(
        source=source,
        modality="text",
        size_bytes=10**8,
        sha256="ab" * 32,
        block_bytes=4096,
        shuffle_seed=shuffle_seed,
        train_bytes=10**8 - HELDOUT_BYTES,
        heldout_bytes=HELDOUT_BYTES,
    )


def cell(
    size: str,
    subset_bytes: int,
    bits: float | None,
    *,
    seed: int = 0,
    n_params: int | None = None,
    of: CorpusInfo | None = None,
    heldout_rate: float = 0.4,
    segments: Sequence[Segment] | None = None,
    context_bytes: int = 256,
    reason: str = "the loss is not finite from step 7 on",
) -> CellRecord:
    """One record; `bits` None: failed. The own subset is two segments, the next block one."""
    N, of = n_params or SIZES[size], of or corpus()
    run_id = f"{size}-{subset_bytes}-s{seed}-c{of.shuffle_seed}-t{context_bytes}-{zlib.crc32(of.source.encode()) % 997}"
    heldout_bits = 8 * heldout_rate * of.heldout_bytes
    own: list[Segment] = []
    if bits is not None:
        own = [
            Segment(part="train", start_bytes=0, end_bytes=1000, code_bits=bits * 1000 / subset_bytes),
            Segment(part="train", start_bytes=1000, end_bytes=subset_bytes, code_bits=bits * (1 - 1000 / subset_bytes)),
            Segment(part="train", start_bytes=subset_bytes, end_bytes=3 * subset_bytes, code_bits=2.2 * bits),
            Segment(part="heldout", start_bytes=0, end_bytes=of.heldout_bytes, code_bits=heldout_bits),
        ]
    positions = tuple(
        PositionBin(start=2**k - 1, end=2 ** (k + 1) - 1, n_bytes=100, code_bits=100 * (2 + 3 / (k + 1) + 20 * N**-0.4))
        for k in range(8)
    )
    snapshot = Snapshot(
        name="final",
        step=900,
        weights_file="final.safetensors",
        weights_sha256="0" * 64,
        segments=tuple(segments or own),
        positions=positions,
        stream=None,
    )
    best = replace(snapshot, name="best", step=800, weights_file="best.safetensors", weights_sha256="1" * 64)
    provenance = Provenance(
        created=f"2026-01-02T03:04:{seed:02d}+00:00",
        command="mdl sweep s.yaml",
        git_commit="0123456789abcdef",
        hostname="host",
        device="a CPU",
        n_threads=1,
        precision="float32",
        versions={"python": "3.11", "torch": "2.13"},
        training_seconds=12.5,
        measuring_seconds=3.5,
        cohort_size=2,
    )
    return CellRecord(
        run_id=run_id,
        sweep="synthetic",
        status="failed" if bits is None else "ok",
        reason=reason if bits is None else None,
        subset_bytes=subset_bytes,
        config={"train.seed": seed},
        cohort_id=f"cohort-{size}",
        corpus=of,
        model=ModelInfo(
            size=size,
            width=8,
            depth=1,
            n_heads=1,
            context_tokens=context_bytes,
            n_params=N,
            n_params_by_group={"all": N},
        ),
        training=TrainingInfo(
            seed=seed,
            n_steps=900,
            bytes_seen=900 * 1024,
            flops=1e9,
            peak_learning_rate=1e-2,
            first_bad_step=None,
            curve=(CurvePoint(100, 16384, 4e4),),
        ),
        snapshots=() if bits is None else (best, snapshot),
        provenance=provenance,
    )


def baseline(
    coder: str,
    subset_bytes: int,
    rate: float,
    *,
    order: str = "shuffled",
    chunk_bytes: int | None = None,
    header_bytes: int = 20,
    of: CorpusInfo | None = None,
) -> BaselineRecord:
    """A classical coder's record with a given true-size rate."""
    n_chunks = 1 if chunk_bytes is None else subset_bytes // chunk_bytes
    return BaselineRecord(
        coder=coder,
        settings="-9",
        corpus=of or corpus(),
        subset_bytes=subset_bytes,
        order="shuffled" if order == "shuffled" else "contiguous",
        chunk_bytes=chunk_bytes,
        sample_bytes=subset_bytes,
        n_chunks=n_chunks,
        compressed_bytes=round(rate * subset_bytes),
        header_bytes=header_bytes,
        seconds=0.5,
        version=f"{coder} 1.0",
    )


def write_sweep(
    root: Path,
    records: Sequence[CellRecord | BaselineRecord],
    *,
    name: str = "synthetic",
    more_run_ids: Sequence[str] = (),
) -> Path:
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
        "name": name,
        "command": "mdl sweep synthetic.yaml",
        "created": "2026-01-01T00:00:00+00:00",
        "n_cells": len(run_ids) + len(more_run_ids),
        "run_ids": [*run_ids, *more_run_ids],
    }
    paths.manifest.write_text(json.dumps(manifest))
    return root


def grid(
    sizes: Sequence[str], subsets: Sequence[int], bits: CodeBits = power_law, *, seeds: Sequence[int] = (0,)
) -> list[CellRecord]:
    """A cell for every (size, subset, seed)."""
    return [cell(s, d, bits(SIZES[s], d, seed), seed=seed) for s in sizes for d in subsets for seed in seeds]
