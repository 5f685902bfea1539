"""`mdl inspect` of a run's folder, or of a run folder: what is recorded there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mdl.cli.archive import Told, rows_told
from mdl.cli.places import is_pretrained, is_run_folder
from mdl.errors import MdlError
from mdl.records import CellRecord, RunPaths, Snapshot, read_cell
from mdl.sweeps import status as progress
from mdl.units import format_bytes


def inspect(place: Path) -> Told:
    """Of one run its model and what it codes, of a run folder its cells; MdlError for another folder."""
    if (place / "record.json").exists():
        return rows_told(_run(read_cell(place / "record.json"), place))
    if is_run_folder(place):
        return rows_told(_sweep(RunPaths(place)))
    way = f"; it holds a model of transformers: mdl evaluate hf:{place} CORPUS" if is_pretrained(place) else ""
    raise MdlError(f"{place} is neither a run's folder nor a run folder (it has no record.json below it){way}")


def _run(record: CellRecord, place: Path) -> list[tuple[str, str]]:
    model, corpus = record.model, record.corpus
    rows = [
        ("run", f"{record.run_id} of {record.sweep}"),
        ("status", record.status + (f": {record.reason}" if record.reason else "")),
        ("model", f"{model.size}, context {model.context_bytes:,} bytes, {model.n_params:,} parameters"),
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
            (snapshot.name, f"step {snapshot.step:,}, {_rates(snapshot)}"),
            (f"  weights {snapshot.name}", f"{snapshot.weights_file}, {there}, sha256 {snapshot.weights_sha256}"),
        ]
    return rows


def _rates(snapshot: Snapshot) -> str:
    """Bits a byte of each part that was coded."""
    parts: dict[str, tuple[float, int]] = {}
    for segment in snapshot.segments:
        bits, n_bytes = parts.get(segment.part, (0.0, 0))
        parts[segment.part] = (bits + segment.code_bits, n_bytes + segment.end_bytes - segment.start_bytes)
    return "; ".join(f"{part}: {bits / n:.4f} bits a byte of {n:,}" for part, (bits, n) in parts.items() if n)


def _sweep(paths: RunPaths) -> list[tuple[str, str]]:
    state = progress.folder_status(paths)
    records = [read_cell(paths.record(run_id)) for run_id in state.done]
    return [
        ("sweep", f"{state.name}, {state.n_cells} cells"),
        ("recorded", f"{len(state.done)}, and {len(state.failed)} that failed; {len(state.left)} left"),
        ("corpora", _joined(record.corpus.source for record in records)),
        ("dataset sizes", ", ".join(format_bytes(size) for size in sorted({r.subset_bytes for r in records}))),
        ("models", _joined(r.model.size for r in sorted(records, key=lambda record: record.model.n_params))),
        ("classical coders", f"{len(list(paths.baselines.glob('*.json')))} records"),
    ]


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
