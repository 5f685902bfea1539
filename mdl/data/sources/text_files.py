"""Text and any other bytes of this machine: the interpreter's own library, a file, a folder, a glob, an archive.

A single plain file is used where it lies; everything else is put together once in the cache, under a name made of all
its inputs (paths, sizes, times), so that a change makes a new one.
"""

from __future__ import annotations

import logging
import os
import sysconfig
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mdl.data.sources.archives import archive_members, is_archive, packed_as
from mdl.data.sources.audio import SUFFIXES as RECORDINGS
from mdl.data.sources.base import Source, became, cached
from mdl.data.sources.file_listing import files_at, states_of
from mdl.data.sources.images import SUFFIXES as PICTURES
from mdl.data.sources.packed_files import HEAD_BYTES, Member, chunks, head, member_of
from mdl.data.sources.registry import register_source
from mdl.data.sources.rows import column_of, row_documents
from mdl.data.sources.table_formats import FORMATS, UTF_16, is_table
from mdl.errors import MdlError
from mdl.storage import CHUNK_BYTES, digest
from mdl.units import counted, format_bytes

_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__"}

# What a file's name says that it holds, and how that is coded instead of the file's own bytes.
_AS_THEY_LIE: tuple[tuple[str, Collection[str], str], ...] = (
    ("table", FORMATS, "mdl size --column NAME codes one column alone"),
    ("picture", PICTURES, "image:{} codes its pixels"),
    ("recording", RECORDINGS, "audio:{} codes its samples"),
)

log = logging.getLogger(__name__)


def open_stdlib(cache: Path) -> Source:
    """The running interpreter's own library: .py files sorted by path, no site-packages, no tests, no empty ones."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = sorted(_library(root), key=lambda path: path.parts)
    files = [path for path in found if path.stat().st_size]
    if not files:
        raise MdlError(f"this interpreter has no library sources in {root}; give a corpus as file:PATH")
    return _joined([member_of(path) for path in files], states_of(files), cache)


def _library(root: Path) -> Iterator[Path]:
    """Folders that are left out are not looked into: an environment's packages are many times the library."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - _NOT_LIBRARY)
        yield from (Path(folder, name) for name in names if name.endswith(".py") and name not in _NOT_LIBRARY)


def open_files(rest: str, cache: Path) -> Source:
    """One named file, unpacked, whatever its bytes; of a folder, a glob or an archive all that looks like text."""
    path = Path(rest).expanduser()
    if not path.is_file():
        texts = _texts(rest, [member_of(file) for file in files_at(path)])
        return _joined(texts, states_of(Path(text.name) for text in texts), cache)
    member = member_of(path)
    if is_archive(member):
        with archive_members(member, cache) as members:
            return _joined(_texts(rest, members), ["archive", *states_of([path])], cache)
    if member.is_packed:
        name = f"files-{digest(states_of([path]))}"
        content = cached(cache, name, lambda: [chunks(member)], _modality(head(member)))
        return became(content, f"{format_bytes(path.stat().st_size)} of {path.suffix.lower()}", "unpacked")
    source = open_bytes(rest, cache)
    for what, suffixes, other in _AS_THEY_LIE:
        if member.suffix in suffixes:
            return became(source, f"the {what} as it lies", f"of {source.modality}; {other.format(rest)}")
    if head(member).startswith(UTF_16):
        return became(
            source, "the UTF-16 text as it lies", f"of {source.modality}; as UTF-8 its letters alone are coded"
        )
    return source


def open_bytes(rest: str, cache: Path) -> Source:
    """One named file just as it lies, packed or not; of a folder or a glob every file, text or not."""
    path = Path(rest).expanduser()
    if not path.is_file():
        files = [file for file in files_at(path) if file.stat().st_size]
        content = cached(cache, f"bytes-{digest(states_of(files))}", lambda: map(_raw, files), "bytes")
        return became(content, counted(len(files), "file"), "as they lie, one after another")
    try:
        with path.open("rb") as stream:
            first = stream.read(HEAD_BYTES)
    except OSError as error:
        raise MdlError(f"cannot read {path}: {error.strerror or error}") from None
    if packed := packed_as(member_of(path), first):
        log.warning("%s is %s; it is coded as it lies, not what is in it", path, packed)
    return Source(path.resolve(), np.zeros(1, np.int64), _modality(first))


def _raw(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def _modality(first: bytes) -> str:
    """Text has no NUL in its first 8 KB: git's rule."""
    return "text" if first and b"\0" not in first else "bytes"


def _texts(place: str, members: list[Member]) -> list[Member]:
    """Those that hold text, as it is or in rows; says how many were left out, and why."""
    kinds = {member: _kind(member) for member in members}
    taken = [member for member, kind in kinds.items() if kind in ("text", "table")]
    left_out = Counter(kind for kind in kinds.values() if kind not in ("text", "table"))
    reasons = ", ".join(f"{n} {kind}" for kind, n in left_out.items())
    if not taken:
        if not members:
            raise MdlError(f"no file in {place}, hidden ones aside; name a folder or an archive that holds some")
        found = counted(len(members), "file")
        raise MdlError(f"no text found in {place} ({found}: {reasons}); {_other_ways(place, members)}")
    if left_out:
        log.warning("%s: left out %d of %d files: %s", place, left_out.total(), len(members), reasons)
    return taken


def _other_ways(place: str, members: Sequence[Member]) -> str:
    """How else a place without text can be coded."""
    ways = [
        f"{kind}:{place} codes its {what}"
        for kind, what, suffixes in (("image", "pictures", PICTURES), ("audio", "recordings", RECORDINGS))
        if any(member.suffix in suffixes for member in members)
    ]
    return "; ".join([*ways, f"mdl size --any, elsewhere bytes:{place}, codes every file's bytes"])


def _kind(member: Member) -> str:
    if is_archive(member):
        return "archive"
    first = head(member)
    if not first:
        return "empty"
    if is_table(member):
        return "table"
    return "no text" if b"\0" in first else "text"


def _joined(members: list[Member], inputs: Sequence[object], cache: Path) -> Source:
    """The files one after another, unpacked, in the cache; made anew when any of them changes. A row is a document."""
    columns = {member: column_of(member) for member in members if is_table(member)}

    def documents() -> Iterator[Iterable[bytes]]:
        for member in members:
            if member in columns:
                yield from row_documents(member, columns[member])
            else:
                yield chunks(member)

    name = f"files-{digest([inputs, *columns.values()] if columns else inputs)}"
    return became(cached(cache, name, documents, "text"), _told(members, columns), "one after another")


def _told(members: Sequence[Member], columns: Mapping[Member, str]) -> str:
    names = "', '".join(dict.fromkeys(columns.values()))
    n_packed = sum(member.is_packed for member in members)
    how = [
        *([f"of {counted(len(columns), 'table')} the column '{names}'"] if columns else []),
        *([f"{n_packed} unpacked"] if n_packed else []),
    ]
    return f"{counted(len(members), 'file')}{' (' + ', '.join(how) + ')' if how else ''}"


register_source("stdlib", lambda _, cache, __: open_stdlib(cache), form="stdlib", modality="text", needs_network=False)
register_source(
    "file", lambda rest, cache, _: open_files(rest, cache), form="file:PATH", modality="text", needs_network=False
)
register_source(
    "bytes", lambda rest, cache, _: open_bytes(rest, cache), form="bytes:PATH", modality="bytes", needs_network=False
)
