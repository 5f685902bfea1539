"""What is made once and kept: corpora put together, and the hashes of large files. $MDL_CACHE, else ~/.cache/mdl."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

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


class FileState(NamedTuple):
    """How a file looks: one that is written to, renamed over or put back looks different."""

    size: int  # bytes
    mtime_ns: int
    ctime_ns: int  # which nobody can set
    inode: int


def file_state(stream: IO[bytes]) -> FileState:
    """How an open file looks now."""
    seen = os.fstat(stream.fileno())
    return FileState(seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)


def sha256_of(path: Path, cache: Path) -> str:
    """Of the file's bytes; remembered under what tells that the file is the same, so that 10 GB are hashed once."""
    with path.open("rb", buffering=0) as stream:
        return sha256_of_open(stream, path, cache)


def sha256_of_open(stream: IO[bytes], path: Path, cache: Path) -> str:
    """The same of a file that is open, from its beginning on, whatever lies at `path` by now."""
    state = file_state(stream)
    key = f"{path}|{'|'.join(map(str, state))}"
    stored = noted(cache, "sha256", key)
    if isinstance(stored, str):
        return stored
    stream.seek(0)
    sha256 = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type] # raw streams are read into
    if file_state(stream) == state:  # else it was written to meanwhile
        note(cache, "sha256", key, sha256)
    return sha256


def noted(cache: Path, kind: str, key: str) -> Any:
    """What was noted under a key; None where nothing was."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(_note_path(cache, kind, key).read_bytes())
        if stored["key"] == key:
            return stored[kind]
    return None


def note(cache: Path, kind: str, key: str, value: Any) -> None:
    """Keep what JSON can say under a key; a cache that cannot be written costs time, not truth."""
    with contextlib.suppress(OSError):
        write_atomically(_note_path(cache, kind, key), json.dumps({"key": key, kind: value}).encode())


def _note_path(cache: Path, kind: str, key: str) -> Path:
    return cache / kind / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
