"""Which weights code or decode a file: given by name, or found by their hash."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mdl.errors import MdlError
from mdl.pretrained import OWN_PREFIX
from mdl.records import CellRecord, Snapshot, read_cell
from mdl.storage import cache_folder, sha256_of

_SNAPSHOT = "final"


@dataclass(frozen=True)
class Choice:
    """A weights file, and in words why it was taken."""

    weights: Path
    reason: str


def choose_model(model: str) -> Choice:
    """For `--model`: a .safetensors file, or a run's folder (its final snapshot); MdlError otherwise."""
    if model.startswith(OWN_PREFIX):
        raise MdlError(f"{model} can be measured only (mdl evaluate): mdl has no archives of models of another's code")
    path = Path(model)
    if path.is_dir():
        return Choice(_snapshot_weights(path / "record.json"), f"the {_SNAPSHOT} snapshot of {path.name}")
    if not path.exists():
        raise MdlError(f"no model at {model}; give a run's folder (runs/<sweep>/<run id>) or a .safetensors file")
    return Choice(path, path.name)


def _snapshot_weights(record: Path) -> Path:
    if not record.exists():
        door = "give one, or a .safetensors file that mdl wrote"
        if (record.parent / "config.json").exists():
            door = f"a model of transformers is given as hf:{record.parent}"
        raise MdlError(f"{record.parent} is not a run's folder (it has no record.json); {door}")
    snapshot = _final(read_cell(record))
    if snapshot is None:
        raise MdlError(f"{record}: the run failed, or only evaluated a pretrained model; choose another")
    return record.parent / snapshot.weights_file


def _final(record: CellRecord) -> Snapshot | None:
    snapshots = (
        () if record.is_pretrained else record.snapshots
    )  # a pretrained model's weights are elsewhere, and code none
    return next((s for s in snapshots if s.name == _SNAPSHOT), None)


def find_by_hash(sha256: str, runs: Path) -> Path:
    """The weights under `runs` of that SHA-256; MdlError naming the hash where there are none."""
    for path in _weights_files(runs):
        with contextlib.suppress(OSError):  # one that may not be read is not the one that is looked for
            if sha256_of(path, cache_folder()) == sha256:
                return path
    raise MdlError(
        f"the archive was made with the model {sha256}, which is not in {runs}/; give its weights with --model, "
        f"or compress with --embed-model"
    )


def _weights_files(runs: Path) -> Iterator[Path]:
    """Plain files: a folder, a pipe or a link to nothing may have such a name too."""
    yield from (path for path in sorted(runs.glob("*/*/*.safetensors")) if path.is_file())
