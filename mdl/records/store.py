"""Records to JSON and back: written once by a hard link, read with every field checked."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import reprlib
import typing
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

from mdl.errors import MdlError
from mdl.records.decode import MismatchError, decoder
from mdl.records.fields import is_file_name, key_of, shown
from mdl.records.json_file import RecordError, read_json
from mdl.records.schema import SCHEMA_VERSION, BaselineRecord, CellRecord
from mdl.records.transfer_schema import TransferRecord
from mdl.storage import create_once

_VERSION = re.compile(rb'^ "schema_version": (\d{1,9}),?$', re.MULTILINE)
_ENDING = re.compile(rb'^ "status": "(ok|failed|needless)",\n "reason": (null|".*"),$', re.MULTILINE)
T = TypeVar("T")


Record = CellRecord | BaselineRecord | TransferRecord


def to_json(record: Record) -> bytes:
    """The record as JSON. NaN and infinity are refused: a measurement that failed is a failed cell, not a number."""
    try:
        text = json.dumps(content_of(record), indent=1, allow_nan=False, sort_keys=False)
    except ValueError as error:
        raise MdlError(f"a record may not hold NaN or infinity ({error})") from None
    return text.encode() + b"\n"


def content_of(value: Any) -> Any:
    """A record as its JSON has it: dataclasses as objects, each field under its name there."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key_of(field): content_of(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [content_of(item) for item in value]
    if isinstance(value, dict):
        return {key: content_of(item) for key, item in value.items()}
    return value


def write_record(record: Record, path: Path) -> None:
    """Write a record, wholly or not at all. Where there is one already it stays: a record is unique."""
    create_once(path, to_json(record))


def read_cell(path: Path) -> CellRecord:
    """Read a cell's record; RecordError for a file that is not one, or is of a newer schema."""
    return read_as(path, CellRecord, "cell")


def read_ending(path: Path) -> tuple[str, str | None]:
    """How a cell ended (ok, failed, needless), and why, from the ends of the file alone: a sweep may have 10,000 cells.

    RecordError for a file that is not a record, or is of a newer schema.
    """
    if not path.is_file():
        return _ending(read_cell(path))
    with path.open("rb", buffering=0) as stream:
        head = stream.read(1024)
        stream.seek(-min(1024, stream.seek(0, os.SEEK_END)), os.SEEK_END)
        tail = stream.read()
    version, how = _VERSION.search(tail), _ENDING.search(head)
    if how and version and 1 <= int(version[1]) <= SCHEMA_VERSION and tail.endswith(b"}\n"):
        with contextlib.suppress(ValueError):
            reason = json.loads(how[2])
            return how[1].decode(), reason if reason is None else shown(reason)
    return _ending(read_cell(path))  # says what is wrong with it


def is_needless(record: CellRecord, until: float, price: float | str) -> bool:
    """Whether a budget that was left out would be so again with other `train.until` and `train.price`."""
    gain = record.budget.foretold if record.budget else None
    return gain is not None and gain < until and record.config.get("train.price") == price


def _ending(record: CellRecord) -> tuple[str, str | None]:
    return record.status, record.reason and shown(record.reason)


def read_baseline(path: Path) -> BaselineRecord:
    """Read a baseline's record; RecordError for a file that is not one, or is of a newer schema."""
    return read_as(path, BaselineRecord, "baseline")


def read_transfer(path: Path) -> TransferRecord:
    """Read a model's record on any data; RecordError for a file that is not one, or is of a newer schema."""
    return read_as(path, TransferRecord, "transfer")


_SCALAR = ("corpus.", "model.", "train.", "measure.")  # settings of one value each


def _require_consistent(record: CellRecord) -> None:
    """MismatchError for fields that do not go together, or a configuration that no run has."""
    names = [snapshot.name for snapshot in record.snapshots]
    for name in set(names):
        if names.count(name) > 1:
            raise MismatchError(f"has '{name}' twice", "snapshots")
    for i, snapshot in enumerate(() if record.is_pretrained else record.snapshots):
        if not is_file_name(snapshot.weights_file):
            got = reprlib.repr(snapshot.weights_file)
            raise MismatchError(f"is {got}, want the name of a file, without a folder", f"snapshots[{i}].weights_file")
    for key, value in record.config.items():
        if key.endswith(("_bytes", "_steps")) and not (value is None or (type(value) is int and value >= 0)):
            raise MismatchError(f"is {reprlib.repr(value)}, want a whole number of at least 0", f"config.{key}")
        if key.startswith(_SCALAR) and isinstance(value, list | dict):
            raise MismatchError(f"is {reprlib.repr(value)}, want one value", f"config.{key}")


def read_as(path: Path, cls: type[T], kind: str) -> T:
    """Read a record of a kind as its dataclass; RecordError for a file that is not one, or is of a newer schema."""
    raw = require_kind(path, read_json(path), kind)
    try:
        record = typing.cast(T, decoder(typing.cast(Hashable, cls))(raw))
        if isinstance(record, CellRecord):
            _require_consistent(record)
    except MismatchError as error:
        raise RecordError(f"{path} is not a {kind} record: {error}; delete it to have it made again") from None
    return record


def require_kind(path: Path, raw: Any, kind: str) -> dict[str, Any]:
    """A JSON object of a kind and a schema that this version knows; RecordError for anything else."""
    if not isinstance(raw, dict) or raw.get("kind") != kind:
        got = f"its kind is {reprlib.repr(raw.get('kind'))}" if isinstance(raw, dict) else "it is not an object"
        raise RecordError(f"{path} is not a {kind} record: {got}; delete it to have it made again")
    version = raw.get("schema_version")
    if type(version) is not int or version < 1:
        raise RecordError(f"{path} is not a {kind} record: schema_version is {reprlib.repr(version)}, want a number")
    if version > SCHEMA_VERSION:
        raise RecordError(f"{path} has schema version {version}, this mdl reads up to {SCHEMA_VERSION}; upgrade mdl")
    return raw
