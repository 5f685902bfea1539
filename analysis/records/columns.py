"""Records as rows. Columns are the fields of `mdl.records.schema`, where each is described with its unit.

A record's parts are laid flat under the names of their fields, but for those in RENAMED. Lists are tables of their own.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from mdl.records import (
    BaselineRecord,
    CellRecord,
    CodedWeights,
    CurvePoint,
    PositionBin,
    PrequentialPoint,
    Provenance,
    RecordError,
    Segment,
    TransferRecord,
    read_json,
    require_kind,
    shown,
)
from mdl.records import read_baseline as baseline_record
from mdl.records import read_cell as cell_record
from mdl.records import read_transfer as transfer_record

Row = dict[str, Any]

# A field's place in its record, and the column that it is where the name alone would not tell.
RENAMED = {
    "corpus.size_bytes": "corpus_bytes",
    "training.peak_learning_rate": "learning_rate",
    "model.name": "model",  # of a transfer: the run's id
    "model.context_tokens": "context_bytes",  # as in records; bytes where a model reads bytes
    "device": "coded_on",  # of a transfer; `device` is of its provenance
    "name": "snapshot",  # final, or best: least on a held-out sample
    "bits": "precision_bits",  # aimed at for a weight; 32: float32 as it is
}
_NOT_FLAT = ("tokens", "trained_on")  # a pretrained model's tokens are no column; a corpus stays whole
_SHOWN = ("source", "command", "reason")  # text that may hold anything: escaped for whoever prints or draws it


def columns_of(cls: type, within: str = "") -> dict[str, Any]:
    """The columns of a kind of record and their types, in the order of the fields; lists and the kind left out."""
    found: dict[str, Any] = {}
    for name, annotation in typing.get_type_hints(cls).items():
        part, place = _part(annotation), f"{within}{name}"
        if part and name not in _NOT_FLAT:
            found |= columns_of(part, f"{place}.")
        elif typing.get_origin(annotation) is not tuple and name not in ("kind", "schema_version", "tokens", "stream"):
            found[RENAMED.get(place, name)] = annotation
    return found


def _part(annotation: Any) -> type | None:
    """The dataclass of a field that is one, or may be one."""
    of = typing.get_args(annotation) if typing.get_origin(annotation) is types.UnionType else (annotation,)
    return next((kind for kind in of if is_dataclass(kind) and isinstance(kind, type)), None)


PROVENANCE = tuple(f.name for f in fields(Provenance) if f.name != "cohort_size")
_OF_CONFIG = {  # keys, and unsaid
    "optimizer": ("train.optimizer", "adamw"),
    "recipe": ("train.recipe", 1),
    "architecture": ("model.architecture", "transformer"),
    "weight_bits": ("train.weight_bits", None),
}
RUN_COLUMNS = [*columns_of(CellRecord), "embedding_params", *_OF_CONFIG]
SNAPSHOT_COLUMNS = ["snapshot", "step"]
SEGMENT_COLUMNS = [*columns_of(Segment)]
OVERLAPPING_COLUMNS = ["stride_bytes", "bucket_bits", *SEGMENT_COLUMNS]
POSITION_COLUMNS = [*columns_of(PositionBin)]
CODED_COLUMNS = [*columns_of(CodedWeights)]
CURVE_COLUMNS = [*columns_of(CurvePoint)]
ONLINE_COLUMNS = [*columns_of(PrequentialPoint)]
BASELINE_COLUMNS = [*columns_of(BaselineRecord)]
TRANSFER_COLUMNS = [*columns_of(TransferRecord), "positions"]


@dataclass(frozen=True, kw_only=True)
class CellRows:
    """A cell's record as rows of the tables; all but the run's are empty for a failed cell."""

    run: Row
    snapshots: list[Row] = field(default_factory=list)
    segments: list[Row] = field(default_factory=list)
    positions: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)
    coded: list[Row] = field(default_factory=list)
    online: list[Row] = field(default_factory=list)
    overlapping: list[Row] = field(default_factory=list)


def read_cell(path: Path) -> CellRows:
    """A cell's record; AnalysisError naming the file if it is not one, is damaged, or is of a newer schema."""
    with readable():
        record = cell_record(path)
    run = _row(record) | {"embedding_params": record.model.n_params_by_group.get("embedding")}
    run |= {column: record.config.get(key, unsaid) for column, (key, unsaid) in _OF_CONFIG.items()}
    rows = CellRows(run=run)
    key = {"run_id": record.run_id}
    rows.curves.extend(key | vars(point) for point in record.training.curve)
    rows.online.extend(key | vars(point) for point in record.prequential)
    for snapshot in record.snapshots if record.status == "ok" else ():
        own = key | {"snapshot": snapshot.name}
        rows.snapshots.append(own | {"step": snapshot.step})
        rows.segments.extend(own | vars(segment) for segment in snapshot.segments)
        rows.positions.extend(own | vars(position) for position in snapshot.positions)
        rows.coded.extend(own | _row(coded) for coded in snapshot.coded)
        if second := snapshot.overlapping:
            how = {"stride_bytes": second.stride_bytes, "bucket_bits": second.bucket_bits}
            rows.overlapping.extend(own | how | vars(s) for s in second.segments)
    return rows


def read_baseline(path: Path) -> Row:
    """A baseline's record; AnalysisError naming the file if it is not one, is damaged, or is of a newer schema."""
    with readable():
        return _row(baseline_record(path))


def read_transfer(path: Path) -> Row:
    """A model's record on any data, its `positions` a list of rows; AnalysisError as of `read_baseline`."""
    with readable():
        record = transfer_record(path)
    trained_on = record.model.trained_on
    return _row(record) | {
        "trained_on": trained_on and vars(trained_on) | {"source": shown(trained_on.source)},
        "positions": [dict(vars(position)) for position in record.positions],
    }


def read_object(path: Path, kind: str) -> dict[str, Any]:
    """Any other JSON object of a kind that mdl writes; AnalysisError as of `read_baseline`."""
    with readable():
        return require_kind(path, read_json(path), kind)


def blank_run() -> Row:
    """A run of which nothing is known: zero, empty, or None where a record need not say."""
    empty: dict[Any, Any] = {int: 0, float: 0.0, str: "", dict: {}}
    row = {}
    for name, annotation in columns_of(CellRecord).items():
        row[name] = empty.get(typing.get_origin(annotation) or annotation)
    return row | dict.fromkeys(("n_heads", "learning_rate", "embedding_params", "vocabulary", *_OF_CONFIG, *_TOKENS))


_TOKENS = ("tokenizer_bytes", "n_tokens")


@contextmanager
def readable() -> Iterator[None]:
    """Within, a record that cannot be read is an AnalysisError, with the same words."""
    try:
        yield
    except RecordError as error:
        raise AnalysisError(str(error)) from None


def _row(record: Any, within: str = "") -> Row:
    """The fields of a record as `columns_of` names them."""
    row: Row = {}
    values = vars(record)
    for name, column, part in _layout(typing.cast(Hashable, type(record)), within):
        value = values[name]
        if part and value is not None:
            row |= _row(value, f"{within}{name}.")
        elif part:
            row |= part
        else:
            row[column] = shown(value) if name in _SHOWN and value else value
    return row


@cache
def _layout(cls: Any, within: str) -> list[tuple[str, str, Row | None]]:
    """(field, its column, the columns of a part that is laid flat, empty) of every field, for 10,000 records alike."""
    layout: list[tuple[str, str, Row | None]] = []
    for name, annotation in typing.get_type_hints(cls).items():
        part = None if name in _NOT_FLAT else _part(annotation)
        absent = dict.fromkeys(columns_of(part, f"{within}{name}.")) if part else None
        layout.append((name, RENAMED.get(within + name, name), absent))
    return layout
