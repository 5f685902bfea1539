"""Which weights code or decode a file: given by name, the best of a sweep for its size, or found by their hash."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mdl.errors import MdlError
from mdl.records import CellRecord, RunPaths, Snapshot, read_cell
from mdl.storage import cache_folder, sha256_of
from mdl.units import format_bytes

_PARAMETER_BYTES = 2  # float16, as the paper counts
_SNAPSHOT = "final"


@dataclass(frozen=True)
class Choice:
    """A weights file, and in words why it was taken."""

    weights: Path
    reason: str


def choose_model(model: str, size_bytes: int, runs: Path) -> Choice:
    """For `--model`: 'auto', a .safetensors file, or a run's folder (its final snapshot); MdlError otherwise."""
    if model == "auto":
        return best_of_newest_sweep(size_bytes, runs)
    path = Path(model)
    if path.is_dir():
        return Choice(_snapshot_weights(path / "record.json"), f"the {_SNAPSHOT} snapshot of {path.name}")
    if not path.exists():
        raise MdlError(
            f"no model at {model}; give a run's folder (runs/<sweep>/<run id>), a .safetensors file, or auto"
        )
    return Choice(path, path.name)


def _snapshot_weights(record: Path) -> Path:
    if not record.exists():
        raise MdlError(
            f"{record.parent} is not a run's folder (it has no record.json); give one, or a .safetensors file"
        )
    snapshot = _final(read_cell(record))
    if snapshot is None:
        raise MdlError(f"{record}: the run failed, or only evaluated a pretrained model; choose another")
    return record.parent / snapshot.weights_file


def _final(record: CellRecord) -> Snapshot | None:
    own = record.snapshots if record.tokens is None else ()  # a pretrained model's weights are elsewhere, and code none
    return next((s for s in own if s.name == _SNAPSHOT), None)


def best_of_newest_sweep(size_bytes: int, runs: Path) -> Choice:
    """The least adjusted size for a file of this size, among the models trained on subsets of about its size.

    Adjusted: own rate × size + 2 bytes a parameter. A model of a much smaller subset may know that by heart, and
    its own rate says nothing of a larger file.
    """
    paths = RunPaths(RunPaths.newest(runs))
    records = [read_cell(path) for path in sorted(paths.root.glob("*/record.json"))]
    costs = [(*_adjusted(record, size_bytes), record) for record in records if _own_rate(record) is not None]
    if not costs:
        raise MdlError(f"{paths.root} has no finished run yet; finish the sweep, or name a model with --model")
    _, cost_bytes, best = min(costs, key=lambda cost: cost[:2])
    return Choice(
        _snapshot_weights(paths.record(best.run_id)),
        f"{best.run_id} of {paths.root.name}, for {format_bytes(size_bytes)}: expected {format_bytes(cost_bytes)} with "
        f"its {best.model.n_params:,} parameters at {_PARAMETER_BYTES} bytes",
    )


def _adjusted(record: CellRecord, size_bytes: int) -> tuple[float, float]:
    """(how far the subset's size is from the file's, in factors; expected bytes with parameters)."""
    distance = abs(math.log(record.subset_bytes / max(size_bytes, 1)))
    return round(distance, 6), (_own_rate(record) or 0.0) * size_bytes + _PARAMETER_BYTES * record.model.n_params


def _own_rate(record: CellRecord) -> float | None:
    """Coded bytes a byte of the final snapshot's own subset; None where there is none."""
    snapshot = _final(record)
    if snapshot is None:
        return None
    own = [s for s in snapshot.segments if s.part == "train" and s.end_bytes <= record.subset_bytes]
    n_bytes = sum(s.end_bytes - s.start_bytes for s in own)
    return sum(s.code_bits for s in own) / 8 / n_bytes if n_bytes else None


def find_by_hash(sha256: str, runs: Path) -> Path:
    """The weights under `runs` of that SHA-256; MdlError naming the hash where there are none."""
    for path in _weights_files(runs):
        if sha256_of(path, cache_folder()) == sha256:
            return path
    raise MdlError(
        f"the archive was made with the model {sha256}, which is not in {runs}/; give its weights with --model, "
        f"or compress with --embed-model"
    )


def _weights_files(runs: Path) -> Iterator[Path]:
    yield from sorted(runs.glob("*/*/*.safetensors"))
