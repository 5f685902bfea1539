"""JSON from a plain file of at most a stated size: whatever else lies there is refused in one line."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from mdl.errors import MdlError

MOST_RECORD_BYTES = 16 << 20  # the largest of 4,200 records kept here has 21 KB
MOST_MANIFEST_BYTES = 64 << 20  # a million cells


class RecordError(MdlError):
    """A file that is not the record it should be: which file, which field, what was wanted."""


def read_json(path: Path, most_bytes: int = MOST_RECORD_BYTES) -> Any:
    """What the file holds; RecordError for what is no plain file, larger, no JSON, or too deep; OSError."""
    try:
        return json.loads(read_plain(path, most_bytes), parse_constant=_refuse_constant)
    except RecursionError:
        raise RecordError(f"{path} is not a record: it is nested too deep; delete it to have it made again") from None
    except ValueError as error:  # of UTF-8, of JSON, of a number with too many digits
        raise RecordError(f"{path} is not a record: {error}; delete it to have it made again") from None


def read_plain(path: Path, most_bytes: int) -> bytes:
    """All of a plain file; RecordError where it is none, or larger. OSError where it cannot be read."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for who writes it
    state = os.fstat(handle)
    if not stat.S_ISREG(state.st_mode):
        os.close(handle)
        raise RecordError(f"{path} is not a plain file; remove it")
    with os.fdopen(handle, "rb", buffering=0) as stream:
        if state.st_size > most_bytes:
            raise RecordError(f"{path} has {state.st_size:,} bytes, and at most {most_bytes:,} are read; remove it")
        parts, left = [], most_bytes
        while left and (part := stream.read(left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a measurement")
