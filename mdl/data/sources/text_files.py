"""Text and any other bytes of this machine: the interpreter's own library, a file, a folder, a glob.

A single plain file is used where it lies; everything else is put together once in the cache, under a name made of all
its inputs (paths, sizes, times), so that a change makes a new one.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import logging
import lzma
import os
import sysconfig
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from mdl.data.sources.base import Source, cached
from mdl.data.sources.registry import register_source
from mdl.errors import MdlError
from mdl.storage import CHUNK_BYTES, digest

_HEAD_BYTES = 8192
_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__"}

log = logging.getLogger(__name__)


def open_stdlib(cache: Path) -> Source:
    """The running interpreter's own library: .py files sorted by path, no site-packages, no tests, no empty ones."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [path for path in _in_order(_library(root)) if path.stat().st_size]
    if not files:
        raise MdlError(f"this interpreter has no library sources in {root}; give a corpus as file:PATH")
    return _joined(files, cache, "text")


def _library(root: Path) -> Iterator[Path]:
    """Folders that are left out are not looked into: an environment's packages are many times the library."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - _NOT_LIBRARY)
        yield from (Path(folder, name) for name in names if name.endswith(".py") and name not in _NOT_LIBRARY)


def open_files(rest: str, cache: Path) -> Source:
    """One named file whatever its bytes; of a folder or a glob all that looks like text, in the order of the paths."""
    path = Path(rest).expanduser()
    if not path.is_file():
        return _joined(_texts(path), cache, "text")
    modality = "text" if _is_text(path) else "bytes"
    if path.suffix in _UNPACKERS:
        return _joined([path], cache, modality)
    return Source(path.resolve(), np.zeros(1, np.int64), modality)


def _texts(path: Path) -> list[Path]:
    """Every text file under a folder, hidden ones left out, or that a glob matches; says how many were no text."""
    if path.is_dir():
        found = [p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts)]
    else:
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - may be absolute
        if not found:
            raise MdlError(f"no file at {path}; give a file, a folder or a glob")
    files = [p for p in _in_order(found) if p.is_file()]
    texts = [p for p in files if _is_text(p)]
    if not texts:
        raise MdlError(f"no text found in {path} ({len(files)} files); to code other bytes name one file of them")
    if len(texts) < len(files):
        log.warning("%s: left out %d of %d files, empty or no text", path, len(files) - len(texts), len(files))
    return texts


def _in_order(paths: Iterable[Path]) -> list[Path]:
    """By the names of the folders and files, the same on every system."""
    return sorted(paths, key=lambda path: path.parts)


def _is_text(path: Path) -> bool:
    """Not empty, and no NUL in the first 8 KB (of what is packed in it): git's rule."""
    head = next(_chunks(path, _HEAD_BYTES), b"")
    return bool(head) and b"\0" not in head


def _joined(files: list[Path], cache: Path, modality: str) -> Source:
    """The files one after another, unpacked, in the cache; made anew when any of them changes."""
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return cached(cache, f"files-{digest(stats)}", lambda: (_chunks(path) for path in files), modality)


def _chunks(path: Path, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The file's bytes, unpacked where its name says that it is packed; MdlError for a damaged or cut one."""
    try:
        with path.open("rb") as stream:
            yield from _UNPACKERS.get(path.suffix, _read)(stream, chunk_bytes)
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        raise MdlError(f"cannot unpack {path}: {error}") from None
    except OSError as error:
        raise MdlError(f"cannot read {path}: {error.strerror or error}") from None


def _read(stream: IO[bytes], chunk_bytes: int) -> Iterator[bytes]:
    while chunk := stream.read(chunk_bytes):
        yield chunk


def _unzstd(stream: IO[bytes], chunk_bytes: int) -> Iterator[bytes]:
    """Every frame; the library's own file object takes a cut file, or the first of several frames, for the whole."""
    import zstandard

    frame = None
    for packed in _read(stream, chunk_bytes):
        while packed:
            frame = frame or zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
            try:
                chunk = frame.decompress(packed)
            except zstandard.ZstdError as error:
                raise ValueError(error) from None
            if chunk:
                yield chunk
            packed, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame:
        raise EOFError("it ends in the middle")


def _with(opener: Callable[[IO[bytes]], Any]) -> Callable[[IO[bytes], int], Iterator[bytes]]:
    def unpack(stream: IO[bytes], chunk_bytes: int) -> Iterator[bytes]:
        with opener(stream) as unpacked:
            yield from _read(unpacked, chunk_bytes)

    return unpack


_UNPACKERS = {".xz": _with(lzma.open), ".gz": _with(gzip.open), ".bz2": _with(bz2.open), ".zst": _unzstd}


register_source("stdlib", lambda _, cache, __: open_stdlib(cache), form="stdlib", modality="text", is_path=False)
register_source("file", lambda rest, cache, _: open_files(rest, cache), form="file:PATH", modality="text", is_path=True)
