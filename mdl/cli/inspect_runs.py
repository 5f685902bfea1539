"""`mdl inspect` of a run's folder, or of a run folder: what is recorded there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdl.cli.archive import Told, told
from mdl.cli.path_resolution import is_pretrained, is_run_folder
from mdl.errors import MdlError
from mdl.records import CellRecord, RunPaths, Segment, Snapshot, read_cell
from mdl.sweeps import status as progress
from mdl.units import counted, format_bytes


def inspect(place: Path) -> Told:
    """Of one run its model and what it codes, of a run folder its cells; MdlError for another folder."""
    if (place / "record.json").exists():
        record = read_cell(place / "record.json")
        return told(_run(record, place), _run_content(record, place))
    if is_run_folder(place):
        state = progress.folder_status(RunPaths(place))
        return _sweep(state, [read_cell(RunPaths(place).record(run_id)) for run_id in state.done])
    way = f"; it holds a model of transformers: mdl evaluate hf:{place} CORPUS" if is_pretrained(place) else ""
    raise MdlError(f"{place} is neither a run's folder nor a run folder (it has no record.json below it){way}")


def _context(record: CellRecord) -> str:
    if record.tokens:
        return f"{record.tokens.context_tokens:,} tokens"
    return f"{record.model.context_tokens:,} {'tokens' if record.tokenisation else 'bytes'}"


def _run(record: CellRecord, place: Path) -> list[tuple[str, str]]:
    model, corpus = record.model, record.corpus
    rows = [
        ("run", f"{record.run_id} of {record.sweep}"),
        ("status", record.status + (f": {record.reason}" if record.reason else "")),
        ("model", f"{model.size}, context {_context(record)}, {model.n_params:,} parameters"),
        ("corpus", f"{corpus.source}, {corpus.size_bytes:,} bytes, sha256 {corpus.sha256}"),
        (
            "trained on",
            f"{record.subset_bytes:,} bytes, seed {record.training.seed}, {record.training.n_steps:,} steps",
        ),
        ("measured", f"{record.provenance.created} on {record.provenance.device}"),
    ]
    for snapshot in record.snapshots:
        file = place / snapshot.weights_file
        there = f"{file.stat().st_size:,} bytes" if file.is_file() else "not here"
        rows += [
            (snapshot.name, f"step {snapshot.step:,}, {_rates(snapshot.segments)}"),
            *_overlapping_row(snapshot),
            (f"  weights {snapshot.name}", f"{snapshot.weights_file}, {there}, sha256 {snapshot.weights_sha256}"),
        ]
    return rows


def _run_content(record: CellRecord, place: Path) -> dict[str, Any]:
    return {
        "kind": "run",
        "run_id": record.run_id,
        "sweep": record.sweep,
        "status": record.status,
        "reason": record.reason,
        "model": record.model.size,
        "n_params": record.model.n_params,
        "source": record.corpus.source,
        "corpus_sha256": record.corpus.sha256,
        "subset_bytes": record.subset_bytes,
        "seed": record.training.seed,
        "snapshots": [
            {
                "name": snapshot.name,
                "step": snapshot.step,
                **{f"{part}_bits": bits for part, (bits, _) in _coded(snapshot.segments).items()},
                **_overlapping(snapshot),
                "weights": place / snapshot.weights_file,
                "weights_sha256": snapshot.weights_sha256,
            }
            for snapshot in record.snapshots
        ],
    }


def _overlapping_row(snapshot: Snapshot) -> list[tuple[str, str]]:
    second = snapshot.overlapping
    if not second:
        return []
    mixed = "mixed, " if second.bucket_bits else ""
    return [(f"  {mixed}stride {second.stride_bytes:,}", _rates(second.segments))]


def _overlapping(snapshot: Snapshot) -> dict[str, Any]:
    """Of the second code length, where there is one."""
    second = snapshot.overlapping
    if not second:
        return {}
    bits = {f"overlapping_{part}_bits": bits for part, (bits, _) in _coded(second.segments).items()}
    return {"stride_bytes": second.stride_bytes, "bucket_bits": second.bucket_bits, **bits}


def _coded(segments: Sequence[Segment]) -> dict[str, tuple[float, int]]:
    """Bits and bytes of each part: train (from its beginning) and heldout."""
    parts = {"train": (0.0, 0), "heldout": (0.0, 0)}
    for segment in segments:
        bits, n_bytes = parts[segment.part]
        parts[segment.part] = (bits + segment.code_bits, n_bytes + segment.end_bytes - segment.start_bytes)
    return parts


def _rates(segments: Sequence[Segment]) -> str:
    coded = _coded(segments).items()
    return "; ".join(f"{part}: {bits / n:.4f} bits per byte of {n:,}" for part, (bits, n) in coded if n)


def _sweep(state: progress.Status, records: Sequence[CellRecord]) -> Told:
    sources = list(dict.fromkeys(record.corpus.source for record in records))
    sizes = sorted({record.subset_bytes for record in records})
    by_size = sorted(records, key=lambda record: record.model.n_params)
    models = list(dict.fromkeys(record.model.size for record in by_size))
    rows = [
        ("sweep", f"{state.name}, {counted(state.n_cells, 'cell')}"),
        (
            "recorded",
            f"{len(state.done)}, and {len(state.failed)} that failed; {len(state.left)} left"
            + (f", {len(state.needless)} needless" if state.needless else ""),
        ),
        ("corpora", ", ".join(sources)),
        ("dataset sizes", ", ".join(map(format_bytes, sizes))),
        ("models", ", ".join(models)),
    ]
    content = {"kind": "sweep", "name": state.name, "n_cells": state.n_cells}
    content |= {f"n_{name}": len(getattr(state, name)) for name in ("done", "failed", "left", "needless")}
    return told(rows, content | {"sources": sources, "subset_bytes": sizes, "models": models})
