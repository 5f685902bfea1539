"""What picture and sound corpora share: which files, their settings, the cache, and chunks of 2048 bytes.

Each file is a document, so that the held-out part is whole files and never a patch beside one that was trained on. A
file gives whole chunks alone: a patch is never cut, nor does a chunk hold the end of one recording and the start of
the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten

import numpy as np

from mdl.data.sources.base import Source, became, cached
from mdl.data.sources.file_listing import files_at, states_of
from mdl.errors import MdlError, nearest
from mdl.storage import Progress, digest
from mdl.units import counted

UNIT_BYTES = 2048  # a patch of 32 × 64 pixels; 0.128 s of sound

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MediaFiles:
    """The files of a corpus as it was named, in order, and how many were left out by reason."""

    name: str
    modality: str
    paths: list[Path]
    left_out: dict[str, int] = field(default_factory=dict)


def split_settings(rest: str, known: Collection[str]) -> tuple[str, dict[str, str]]:
    """`PATH,key=value` as (PATH, {key: value}); a path that is there may hold commas. MdlError for an unknown key."""
    if Path(rest).expanduser().exists():
        return rest, {}
    path, *words = rest.split(",")
    settings = dict(word.partition("=")[::2] for word in words)
    for key in settings:
        if key not in known:
            raise MdlError(f"{rest}: unknown setting '{key}'{nearest(key, known)} (there are {', '.join(known)})")
    return path, settings


def files_of(path: Path, suffixes: Collection[str], modality: str) -> MediaFiles:
    """The one named file, or those of a folder or a glob that are of these kinds and not empty, each once."""
    if path.is_file():
        if not path.stat().st_size:
            raise MdlError(f"cannot read {modality} {path}: it is empty")
        return MediaFiles(name=str(path), modality=modality, paths=[path])
    seen = files_at(path)
    named = [p for p in seen if p.suffix.lower() in suffixes]
    if not named:
        raise MdlError(f"none of the {len(seen)} files in {path} is one of {' '.join(sorted(suffixes))}")
    full = [p for p in named if p.stat().st_size]
    if not full:
        raise MdlError(f"no {modality} in {path}: of {len(named)} files with such a name none holds a byte")
    left_out = {"of other kinds by their names": len(seen) - len(named), "empty": len(named) - len(full)}
    return MediaFiles(name=str(path), modality=modality, paths=full, left_out=left_out)


@contextmanager
def reading(modality: str, path: Path) -> Iterator[None]:
    """Whatever a decoder raises for a damaged file becomes one line that names the file."""
    try:
        yield
    except Exception as error:
        raise MdlError(f"cannot read {modality} {path}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """What a decoder says; where it only fell over what it read, that the file is damaged, and how it fell."""
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    said = getattr(error, "error_string", None) or getattr(error, "strerror", None)
    if not said and isinstance(error, MdlError | OSError | SyntaxError | ValueError | EOFError):
        said = str(error)
    return shorten(said or f"it is damaged ({type(error).__name__}: {error})", 200, placeholder=" …")


def cached_units(
    files: MediaFiles,
    read: Callable[[Path], Iterable[bytes]],
    cache: Path,
    *,
    depends_on: list[object],
    unit: str,
    made: tuple[str, str],
    progress: Progress | None,
) -> Source:
    """Every file's bytes as `read` gives them, a document each, made anew when a file or `depends_on` changes.

    `made`: a file and what its bytes are, for people. One warning tells how many files were left out and why: also
    those that give no chunk, smaller than a `unit`. MdlError where not even one file gives a chunk.
    """
    stats = states_of(files.paths)
    n_bytes = [size for _, size, _ in stats]

    def documents() -> Iterator[Iterable[bytes]]:
        for i, path in enumerate(files.paths):
            yield read(path)
            if progress:
                told = f"{files.modality} {path.name} ({i + 1} of {len(files.paths)})"
                progress(told, sum(n_bytes[: i + 1]), sum(n_bytes))

    name = f"{files.modality}-{digest([stats, *depends_on])}"
    source = cached(cache, name, documents, files.modality, UNIT_BYTES)
    lengths = np.diff(source.starts, append=source.path.stat().st_size)
    if not lengths.any():
        raise MdlError(f"no {UNIT_BYTES}-byte chunk of {files.modality} in {files.name}: all of it is smaller")
    _tell(files, {f"smaller than {unit}": int((lengths == 0).sum())})
    return became(source, counted(int((lengths > 0).sum()), made[0]), made[1])


def _tell(files: MediaFiles, too_small: dict[str, int]) -> None:
    reasons = {reason: n for reason, n in {**files.left_out, **too_small}.items() if n}
    if reasons:
        n_left_out, n_files = sum(reasons.values()), len(files.paths) + sum(files.left_out.values())
        why = ", ".join(f"{n} {reason}" if len(reasons) > 1 else reason for reason, n in reasons.items())
        log.warning("%s: left out %d of %d files: %s", files.name, n_left_out, n_files, why)
