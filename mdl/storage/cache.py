"""What is made once and kept: corpora put together, and the hashes of large files. $MDL_CACHE, else ~/.cache/mdl."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mdl.errors import MdlError
from mdl.storage.atomic_files import remove_dead_temporaries, replacing, write_atomically

# what is being done, bytes done, bytes in all where known
Progress = Callable[[str, int, int | None], None]
CHUNK_BYTES = 1 << 20


def cache_folder() -> Path:
    """$MDL_CACHE, else ~/.cache/mdl."""
    return Path(os.environ.get("MDL_CACHE") or Path.home() / ".cache" / "mdl")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is at `path` once it is whole, and nowhere if anything fails; MdlError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_dead_temporaries(path.parent)
        with replacing(path) as stream:
            yield stream
    except OSError as error:
        reason = error.strerror or str(error)
        raise MdlError(f"cannot write the cache {path.parent}: {reason}; free some space or set MDL_CACHE") from None


def sha256_of(path: Path, cache: Path) -> str:
    """Of the file's bytes; remembered under what tells that the file is the same, so that 10 GB are hashed once."""
    stat = path.stat()
    key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"
    note = cache / "sha256" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(note.read_bytes())
        if known["key"] == key:
            return str(known["sha256"])
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not truth
        write_atomically(note, json.dumps({"key": key, "sha256": sha256}).encode())
    return sha256
