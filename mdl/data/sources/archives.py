"""The files in a .zip or a tar, packed or not, as the members of a folder are."""

from __future__ import annotations

import io
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from mdl.data.sources.packed_files import Member, chunks, unpacked
from mdl.errors import MdlError

_OTHER_SUFFIXES = {".7z", ".rar", ".z", ".lz", ".lz4", ".br", ".cab", ".iso"}
_MAGIC = {
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"\x1f\x8b": "packed by gzip",
    b"\xfd7zXZ\x00": "packed by xz",
    b"BZh": "packed by bzip2",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"\x04\x22\x4d\x18": "packed by lz4",
    b"\x89PNG": "a packed picture, whose pixels image:PATH codes",
    b"\xff\xd8\xff": "a packed picture, whose pixels image:PATH codes",
    b"GIF8": "a packed picture, whose pixels image:PATH codes",
    b"fLaC": "packed sound, whose samples audio:PATH codes",
    b"OggS": "packed sound, whose samples audio:PATH codes",
    b"ID3": "packed sound, whose samples audio:PATH codes",
}


def is_archive(member: Member) -> bool:
    """Does its name say that it holds other files, which this module can list?"""
    return member.suffix in (".zip", ".tar")


def packed_as(member: Member, first: bytes) -> str:
    """What packed a file that is going to be coded as it lies, told by its first bytes or its name; else nothing."""
    known = next((what for magic, what in _MAGIC.items() if first.startswith(magic)), "")
    return known or (f"packed ({member.suffix})" if member.suffix in _OTHER_SUFFIXES else "")


@contextmanager
def archive_members(archive: Member, cache: Path) -> Iterator[list[Member]]:
    """Its files in the order of their paths, hidden ones left out; MdlError for a damaged or locked archive.

    What is in a packed tar cannot be found without unpacking it: that goes to a nameless file in the cache's folder.
    """
    if archive.suffix == ".zip":
        with unpacked(archive) as stream, zipfile.ZipFile(stream) as zipped:
            yield _in_order(archive, {e.filename: partial(zipped.open, e) for e in zipped.infolist() if not e.is_dir()})
    elif archive.is_packed:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache) as content:
            for part in chunks(archive):
                content.write(part)
            with _tar_members(archive, content) as members:
                yield members
    else:
        with unpacked(archive) as stream, _tar_members(archive, stream) as members:
            yield members


@contextmanager
def _tar_members(archive: Member, content: BinaryIO) -> Iterator[list[Member]]:
    if content.seek(0, io.SEEK_END) % tarfile.BLOCKSIZE:
        raise MdlError(f"cannot unpack {archive.name}: it ends in the middle of a block")
    content.seek(0)
    try:
        tar = tarfile.open(fileobj=content, mode="r:")  # noqa: SIM115 - it holds nothing open but `content`
        files = {entry.name: partial(tar.extractfile, entry) for entry in tar if entry.isfile()}
    except tarfile.TarError as error:
        raise MdlError(f"cannot unpack {archive.name}: {error}") from None
    _check_end(archive, content, tar.offset)
    yield _in_order(archive, files)


def _check_end(archive: Member, content: BinaryIO, at: int) -> None:
    """The library stops at the first header that it cannot read, and takes what stood before for the whole."""
    content.seek(at)
    following = content.read(tarfile.BLOCKSIZE)
    if not following:
        raise MdlError(f"cannot unpack {archive.name}: it has no end, so it may be cut off; pack it again")
    if any(following):
        raise MdlError(f"cannot unpack {archive.name}: it is damaged at byte {at:,}; what follows cannot be read")


def _in_order(archive: Member, found: Mapping[str, Callable[[], Any]]) -> list[Member]:
    """Of two members with one name the later counts, as it does where an archive is unpacked."""
    paths = {PurePosixPath(name): opened for name, opened in found.items()}
    shown = [path for path in paths if not any(map(_is_hidden, path.parts))]
    return [Member(f"{archive.name}/{path}", paths[path]) for path in sorted(shown, key=lambda path: path.parts)]


def _is_hidden(part: str) -> bool:
    """Of a path; a folder above is not, for nothing is written there."""
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))
