"""What is made once and kept: corpora put together, and the hashes of large files. $MDL_CACHE, else ~/.cache/mdl."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError
from mdl.storage.atomic_files import remove_dead_temporaries, replacing, write_atomically

# what is being done, bytes done, bytes in all where known
Progress = Callable[[str, int, int | None], None]
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Source:
    """Raw bytes in one file, and where each document in it begins (one document: [0]).

    A corpus is made of things of `unit_bytes` that no split or shuffle may cut: a picture's patches, a byte of text.
    """

    path: Path
    starts: npt.NDArray[np.int64]
    modality: str
    unit_bytes: int = 1


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


def cached(
    cache: Path, name: str, documents: Callable[[], Iterable[Iterable[bytes]]], modality: str, unit_bytes: int = 1
) -> Source:
    """Documents one after another in `name`.bin, their starts in `name`.starts.npy; made only where not there yet.

    The .bin comes last, so that where it is, all is. `name` must change with anything that the documents depend on.
    """
    path, index = cache / f"{name}.bin", cache / f"{name}.starts.npy"
    if not (path.exists() and index.exists()):
        starts: list[int] = []
        with new_file(path) as stream:
            for document in documents():
                starts.append(stream.tell())
                for chunk in document:
                    stream.write(chunk)
            with new_file(index) as index_stream:
                content = io.BytesIO()
                np.save(content, np.array(starts, np.int64))
                index_stream.write(content.getvalue())
    return Source(path, np.load(index, allow_pickle=False), modality, unit_bytes)


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
