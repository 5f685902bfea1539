"""Records to JSON and back: written once by a hard link, read with every field checked."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

from mdl.errors import MdlError
from mdl.records.schema import SCHEMA_VERSION, BaselineRecord, CellRecord
from mdl.storage import create_once

_VERSION = re.compile(rb'^ "schema_version": (\d+),?$', re.MULTILINE)
_ENDING = re.compile(rb'^ "status": "(ok|failed)",\n "reason": (null|".*"),$', re.MULTILINE)
T = TypeVar("T")


def to_json(record: CellRecord | BaselineRecord) -> bytes:
    """The record as JSON. NaN and infinity are refused: a measurement that failed is a failed cell, not a number."""
    try:
        text = json.dumps(dataclasses.asdict(record), indent=1, allow_nan=False, sort_keys=False)
    except ValueError as error:
        raise MdlError(f"a record may not hold NaN or infinity ({error})") from None
    return text.encode() + b"\n"


def write_record(record: CellRecord | BaselineRecord, path: Path) -> None:
    """Write a record, wholly or not at all. Where there is one already it stays: a record is unique."""
    create_once(path, to_json(record))


def read_cell(path: Path) -> CellRecord:
    """Read a cell's record; MdlError for a file that is not one, or is of a newer schema."""
    return read_as(path, CellRecord, "cell")


def read_ending(path: Path) -> tuple[str, str | None]:
    """How a cell ended, "ok" or "failed", and why, from the ends of the file alone: a sweep may have 10,000 cells.

    MdlError for a file that is not a record, or is of a newer schema.
    """
    with path.open("rb", buffering=0) as stream:
        head = stream.read(1024)
        stream.seek(-min(1024, stream.seek(0, os.SEEK_END)), os.SEEK_END)
        tail = stream.read()
    version, how = _VERSION.search(tail), _ENDING.search(head)
    if how and version and int(version[1]) <= SCHEMA_VERSION and tail.endswith(b"}\n"):
        return how[1].decode(), json.loads(how[2])
    record = read_cell(path)  # says what is wrong with it
    return record.status, record.reason


def read_baseline(path: Path) -> BaselineRecord:
    """Read a baseline's record; MdlError for a file that is not one, or is of a newer schema."""
    return read_as(path, BaselineRecord, "baseline")


def read_as(path: Path, cls: type[T], kind: str) -> T:
    """Read a record of a kind as its dataclass; MdlError for a file that is not one, or is of a newer schema."""
    try:
        raw = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except (ValueError, UnicodeDecodeError) as error:
        raise MdlError(f"{path} is not a record: {error}; delete it to have it made again") from None
    if not isinstance(raw, dict) or raw.get("kind") != kind:
        raise MdlError(f"{path} is not a {kind} record; delete it to have it made again")
    version = raw.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise MdlError(f"{path} has schema version {version}, this mdl reads up to {SCHEMA_VERSION}; upgrade mdl")
    try:
        return typing.cast(T, _decode(raw, cls))
    except (TypeError, ValueError, KeyError) as error:
        raise MdlError(f"{path} is not a {kind} record: {error}; delete it to have it made again") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a measurement")


def _decode(value: Any, annotation: Any) -> Any:  # noqa: C901 - one branch a JSON form, flat
    """`value` (parsed JSON) as an instance of `annotation`: dataclasses, tuples, optionals, literals, scalars."""
    origin = typing.get_origin(annotation)
    if dataclasses.is_dataclass(annotation):
        return _decode_dataclass(value, typing.cast(type, annotation))
    if origin is tuple:
        return tuple(_decode(item, typing.get_args(annotation)[0]) for item in value)
    if origin is dict:
        of = typing.get_args(annotation)[1]
        return {str(k): _decode(v, of) for k, v in value.items()}
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _decode(value, next(a for a in typing.get_args(annotation) if a is not type(None)))
    if origin is Literal:
        if value not in typing.get_args(annotation):
            raise ValueError(f"{value!r} is not one of {typing.get_args(annotation)}")
        return value
    if annotation is Any:
        return value
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, annotation) or (isinstance(value, bool) and annotation is not bool):
        raise TypeError(f"{value!r} is not {annotation.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value!r} is not a measurement")
    return value


def _decode_dataclass(value: Any, cls: type) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not {cls.__name__}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for name, spec in fields.items():
        if name not in value and spec.default is dataclasses.MISSING:
            raise KeyError(f"{cls.__name__}.{name} is missing")
    return cls(**{name: _decode(value[name], hints[name]) for name in fields if name in value})
