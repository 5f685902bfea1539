"""What picture and sound corpora share: which files, their settings, the cache, and chunks of 2048 bytes.

Each file is a document, so that the held-out part is whole files and never a patch beside one that was trained on. A
file gives whole chunks alone: a patch is never cut, nor does a chunk hold the end of one recording and the start of
the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from mdl.data.sources.base import Source, cached
from mdl.errors import MdlError, nearest
from mdl.storage import Progress, digest

UNIT_BYTES = 2048  # a patch of 32 × 64 pixels; 0.128 s of sound

log = logging.getLogger(__name__)


def split_settings(rest: str, known: Collection[str]) -> tuple[str, dict[str, str]]:
    """`PATH,key=value` as (PATH, {key: value}); a path that is there may hold commas. MdlError for an unknown key."""
    if Path(rest).expanduser().exists():
        return rest, {}
    path, *words = rest.split(",")
    settings = dict(word.partition("=")[::2] for word in words)
    for key in settings:
        if key not in known:
            raise MdlError(f"{rest}: unknown setting '{key}'{nearest(key, known)} (there are {list(known)})")
    return path, settings


def files_of(path: Path, suffixes: Collection[str]) -> list[Path]:
    """The one named file, or a folder's files of these kinds in the order of their paths, hidden ones left out."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise MdlError(f"no file or folder at {path}")
    found = [p for p in path.rglob("*") if p.is_file()]
    seen = [p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts)]
    files = sorted((p for p in seen if p.suffix.lower() in suffixes), key=lambda p: p.parts)
    if not files:
        raise MdlError(f"none of the {len(seen)} files in {path} is one of {' '.join(sorted(suffixes))}")
    if len(files) < len(seen):
        log.warning("%s: left out %d of %d files by their names", path, len(seen) - len(files), len(seen))
    return files


def cached_units(
    files: list[Path], modality: str, depends_on: list[object], read: Callable[[Path], Iterable[bytes]], cache: Path,
    progress: Progress | None,
) -> Source:  # fmt: skip
    """Every file's bytes as `read` gives them, a document each, made anew when a file or `depends_on` changes.

    MdlError where not even one file gives a chunk.
    """
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    n_bytes = [size for _, size, _ in stats]

    def documents() -> Iterator[Iterable[bytes]]:
        for i, path in enumerate(files):
            yield read(path)
            if progress:
                progress(f"{modality} {path.name} ({i + 1} of {len(files)})", sum(n_bytes[: i + 1]), sum(n_bytes))

    source = cached(cache, f"{modality}-{digest([stats, *depends_on])}", documents, modality, UNIT_BYTES)
    if not source.path.stat().st_size:
        where = files[0] if len(files) == 1 else files[0].parent
        raise MdlError(f"no {UNIT_BYTES}-byte chunk of {modality} in {where}: all of it is smaller")
    return source
