"""Records on disk, checked, as rows. The one place that knows the JSON's layout (schema version 1)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from analysis.errors import AnalysisError

SCHEMA_VERSION = 1
Row = dict[str, Any]


class Column(NamedTuple):
    """Where a column is in the record (dotted), its type, what it is and its unit. A type of None: may be absent."""

    path: str
    types: tuple[type | None, ...]
    meaning: str


_CORPUS = {
    "source": Column("corpus.source", (str,), "the corpus as given, e.g. stdlib"),
    "modality": Column("corpus.modality", (str,), "text, image, audio, bytes"),
    "corpus_bytes": Column("corpus.size_bytes", (int,), "whole raw corpus, bytes"),
    "sha256": Column("corpus.sha256", (str,), "of the whole raw corpus"),
    "block_bytes": Column("corpus.block_bytes", (int,), "unit of the shuffle, bytes"),
    "shuffle_seed": Column("corpus.shuffle_seed", (int,), "corpus seed"),
    "train_bytes": Column("corpus.train_bytes", (int,), "training part; subsets are its prefixes, bytes"),
    "heldout_bytes": Column("corpus.heldout_bytes", (int,), "part that no subset touches, bytes"),
    "leak_fraction": Column("corpus.leak_fraction", (float, None), "share of the blocks replaced by held-out ones"),
    "subset_bytes": Column("subset_bytes", (int,), "D, bytes"),
}
RUN_COLUMNS = {
    "run_id": Column("run_id", (str,), "unique in the sweep"),
    "status": Column("status", (str,), "ok or failed"),
    "reason": Column("reason", (str, None), "why it failed"),
    "cohort_id": Column("cohort_id", (str,), "cells that trained together"),
    "config": Column("config", (dict,), "flat dotted settings"),
    **_CORPUS,
    "size": Column("model.size", (str,), "width x depth"),
    "n_params": Column("model.n_params", (int,), "N, parameters"),
    "n_heads": Column("model.n_heads", (int, None), "attention heads a layer"),
    "embedding_params": Column("model.n_params_by_group.embedding", (int, None), "parameters of the embedding"),
    "context_bytes": Column("model.context_bytes", (int,), "window length, bytes; tokens where there are"),
    "vocabulary": Column("tokenisation.vocabulary", (int, None), "rows of the embedding; 256: bytes"),
    "tokenizer_bytes": Column("tokenisation.tokenizer_bytes", (int, None), "that a decoder has to be sent"),
    "n_tokens": Column("tokenisation.n_tokens", (int, None), "of the own subset"),
    "seed": Column("training.seed", (int,), "training seed"),
    "n_steps": Column("training.n_steps", (int,), "optimiser steps"),
    "learning_rate": Column("training.peak_learning_rate", (float, None), "the highest"),
    "bytes_seen": Column("training.bytes_seen", (int,), "training bytes, repeats counted"),
    "flops": Column("training.flops", (float,), "training FLOPs"),
    "created": Column("provenance.created", (str,), "ISO 8601, UTC"),
    "command": Column("provenance.command", (str,), "what was run"),
    "git_commit": Column("provenance.git_commit", (str, None), "of the source"),
    "hostname": Column("provenance.hostname", (str,), "machine"),
    "device": Column("provenance.device", (str,), "processor or GPU"),
    "n_threads": Column("provenance.n_threads", (int,), "CPU threads of the process"),
    "precision": Column("provenance.precision", (str,), "of the arithmetic"),
    "versions": Column("provenance.versions", (dict,), "library versions"),
    "training_seconds": Column("provenance.training_seconds", (float,), "of the whole cohort, seconds"),
    "measuring_seconds": Column("provenance.measuring_seconds", (float,), "of the whole cohort, seconds"),
    "cohort_size": Column("provenance.cohort_size", (int,), "cells of the cohort"),
}
PROVENANCE = ("created", "command", "git_commit", "hostname", "device", "n_threads", "precision", "versions",
              "training_seconds", "measuring_seconds")  # fmt: skip
SNAPSHOT_COLUMNS = {
    "snapshot": Column("name", (str,), "final, or best: least on a held-out sample"),
    "step": Column("step", (int,), "optimiser steps it has had"),
}
SEGMENT_COLUMNS = {
    "part": Column("part", (str,), "train or heldout"),
    "start_bytes": Column("start_bytes", (int,), "first byte, in the shuffled order"),
    "end_bytes": Column("end_bytes", (int,), "one past the last byte"),
    "code_bits": Column("code_bits", (float,), "ideal code length, bits"),
}
POSITION_COLUMNS = {
    "start": Column("start", (int,), "first position in the window, bytes"),
    "end": Column("end", (int,), "one past the last position"),
    "n_bytes": Column("n_bytes", (int,), "held-out bytes at these positions"),
    "code_bits": Column("code_bits", (float,), "their code length, bits"),
}
CODED_COLUMNS = {
    "precision_bits": Column("bits", (int,), "aimed at for a weight; 32: float32 as it is"),
    "coder": Column("coder", (str,), "that made the fewest bits of the weights"),
    "model_bits": Column("model_bits", (int,), "actual size of the coded weights, bits"),
    "data_bits": Column("data_bits", (float,), "code length of the own subset under the weights as they decode, bits"),
}
CURVE_COLUMNS = {
    "step": Column("step", (int,), "optimiser steps so far"),
    "n_bytes": Column("n_bytes", (int,), "held-out sample, bytes"),
    "code_bits": Column("code_bits", (float,), "its code length, bits"),
}
ONLINE_COLUMNS = {
    "end_bytes": Column("end_bytes", (int,), "how far an online run had come in its subset, bytes"),
    "code_bits": Column("code_bits", (float,), "of [0, end_bytes), each byte coded before it was learned from, bits"),
}
BASELINE_COLUMNS = {
    "coder": Column("coder", (str,), "classical coder"),
    "settings": Column("settings", (str,), "its settings"),
    **_CORPUS,
    "order": Column("order", (str,), "shuffled subset, or contiguous: first D bytes of the source"),
    "chunk_bytes": Column("chunk_bytes", (int, None), "absent: the whole at once"),
    "sample_bytes": Column("sample_bytes", (int,), "bytes actually coded"),
    "n_chunks": Column("n_chunks", (int,), "number of chunks coded"),
    "compressed_bytes": Column("compressed_bytes", (int,), "true size, a header a chunk, bytes"),
    "header_bytes": Column("header_bytes", (int,), "size of the code of nothing, bytes"),
    "seconds": Column("seconds", (float,), "time to compress, seconds"),
    "version": Column("version", (str,), "of the library"),
}
TRANSFER_COLUMNS = {
    "model": Column("model.name", (str,), "a trained model: its run's id"),
    "size": Column("model.size", (str,), "width x depth"),
    "n_params": Column("model.n_params", (int,), "N, parameters"),
    "context_bytes": Column("model.context_bytes", (int,), "window length, bytes"),
    "trained_on": Column("model.trained_on", (dict, None), "the corpus that it learned from"),
    "trained_bytes": Column("model.trained_bytes", (int, None), "bytes of the subset that it learned from"),
    **_CORPUS,
    "chunk_bytes": Column("chunk_bytes", (int, None), "absent: the whole, in windows of the context"),
    "sample_bytes": Column("sample_bytes", (int,), "bytes actually coded"),
    "n_chunks": Column("n_chunks", (int,), "number of chunks coded"),
    "code_bits": Column("code_bits", (float,), "their ideal code length, bits"),
    **{name: RUN_COLUMNS[name]._replace(types=(*RUN_COLUMNS[name].types, None)) for name in PROVENANCE},
}


class CellRows(NamedTuple):
    """A cell's record as rows of the tables; all but the run's are empty for a failed cell."""

    run: Row
    snapshots: list[Row]
    segments: list[Row]
    positions: list[Row]
    curves: list[Row]
    coded: list[Row]
    online: list[Row]


def read_cell(path: Path) -> CellRows:
    """A cell's record; AnalysisError naming the file if it is not one, is damaged, or is of a newer schema."""
    record = read_json(path, "cell")
    run = _row(record, RUN_COLUMNS, path)
    _require(run["n_params"] > 0 and run["subset_bytes"] > 0, path, "n_params and subset_bytes must be positive")
    _require(run["status"] in ("ok", "failed"), path, f"status is '{run['status']}'")
    rows = CellRows(run, [], [], [], [], [], [])
    key = {"run_id": run["run_id"]}
    rows.curves.extend(key | _row(c, CURVE_COLUMNS, path) for c in _list(record["training"], "curve", path))
    points = _list({"prequential": []} | record, "prequential", path)
    rows.online.extend(key | _row(p, ONLINE_COLUMNS, path) for p in points)
    for raw in _list(record, "snapshots", path) if run["status"] == "ok" else []:
        snapshot = _row(raw, SNAPSHOT_COLUMNS, path)
        own = key | {"snapshot": snapshot["snapshot"]}
        rows.snapshots.append(key | snapshot)
        rows.segments.extend(own | _row(s, SEGMENT_COLUMNS, path) for s in _list(raw, "segments", path))
        rows.positions.extend(own | _row(p, POSITION_COLUMNS, path) for p in _list(raw, "positions", path))
        rows.coded.extend(own | _row(c, CODED_COLUMNS, path) for c in _list({"coded": []} | raw, "coded", path))
    return rows


def read_baseline(path: Path) -> Row:
    """A baseline's record; AnalysisError naming the file if it is not one, is damaged, or is of a newer schema."""
    row = _row(read_json(path, "baseline"), BASELINE_COLUMNS, path)
    _require(row["sample_bytes"] > 0, path, "sample_bytes must be positive")
    return row


def read_transfer(path: Path) -> Row:
    """A model's record on any data, its `positions` a list of rows; AnalysisError as of `read_baseline`."""
    record = read_json(path, "transfer")
    row = _row(record, TRANSFER_COLUMNS, path)
    _require(row["sample_bytes"] > 0 and row["subset_bytes"] > 0, path, "sample_bytes must be positive")
    return row | {"positions": [_row(p, POSITION_COLUMNS, path) for p in _list(record, "positions", path)]}


def read_json(path: Path, kind: str | None) -> dict[str, Any]:
    """A JSON object, of a kind and a schema that this version knows; `kind` None: any object."""

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is not a measurement")

    try:
        content = json.loads(path.read_bytes(), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise AnalysisError(f"{path} is not a record: {error}; delete it and run the sweep again") from None
    _require(isinstance(content, dict), path, "no JSON object")
    if kind is not None:
        _require(content.get("kind") == kind, path, f"kind is {content.get('kind')!r}, want '{kind}'")
        version = content.get("schema_version")
        if not isinstance(version, int) or version > SCHEMA_VERSION:
            known = f"this version reads up to {SCHEMA_VERSION}; upgrade mdl"
            raise AnalysisError(f"{path} has schema version {version!r}, {known}")
    return dict(content)


def _row(record: Any, columns: Mapping[str, Column], path: Path) -> Row:
    return {name: _value(record, column, path) for name, column in columns.items()}


@cache
def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _value(record: Any, column: Column, path: Path) -> Any:
    """Called for every number of every record: messages are made where they are needed."""
    value = record
    for part in _parts(column.path):
        if value is None and None in column.types:
            return None
        if not isinstance(value, dict) or (part not in value and None not in column.types):
            raise _damaged(path, f"{column.path} is missing")
        value = value.get(part)
    if value is None and None in column.types:
        return None
    if column.types[0] is float and type(value) is int:
        value = float(value)
    if not isinstance(value, column.types[0] or object) or isinstance(value, bool):
        raise _damaged(path, f"{column.path} is {value!r:.40}")
    if isinstance(value, int | float) and not 0 <= value < math.inf:
        raise _damaged(path, f"{column.path} is {value}, want at least 0")
    return value


def _list(record: Any, key: str, path: Path) -> list[Any]:
    value = record.get(key) if isinstance(record, dict) else None
    _require(isinstance(value, list), path, f"{key} is no list")
    return list(value or [])


def _require(condition: bool, path: Path, problem: str) -> None:
    if not condition:
        raise _damaged(path, problem)


def _damaged(path: Path, problem: str) -> AnalysisError:
    return AnalysisError(f"{path} is not a record of this kind: {problem}; delete it and run the sweep again")
