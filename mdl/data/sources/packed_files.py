"""A file's bytes as they were before it was packed: .gz, .xz, .lzma, .bz2 and .zst, in any case."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, cast

from mdl.errors import MdlError
from mdl.storage import CHUNK_BYTES

HEAD_BYTES = 8192
_SHORT_TARS = {".tgz": ".gz", ".tbz": ".bz2", ".tbz2": ".bz2", ".txz": ".xz", ".tzst": ".zst"}
_DAMAGED = (
    EOFError,
    lzma.LZMAError,
    gzip.BadGzipFile,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    RuntimeError,  # zipfile's word for a member that is locked, or packed in a way that it does not know
)


@dataclass(frozen=True)
class Member:
    """A file of a folder or of an archive: its name as the user is told it, and how its bytes are had."""

    name: str
    open: Callable[[], BinaryIO]

    @property
    def suffix(self) -> str:
        """Of what it is once unpacked, in lower case: ".jsonl" of "a.JSONL.gz", ".tar" of "a.tgz"."""
        return _suffixes(self.name)[0]

    @property
    def is_packed(self) -> bool:
        """Does its name say that one stream is packed in it?"""
        return bool(_suffixes(self.name)[1])


def _suffixes(name: str) -> tuple[str, str]:
    """Of the content and of the packing, in lower case."""
    path = PurePath(name)
    last = path.suffix.lower()
    if last in _SHORT_TARS:
        return ".tar", _SHORT_TARS[last]
    return (PurePath(path.stem).suffix.lower(), last) if last in _UNPACK else (last, "")


def member_of(path: Path) -> Member:
    """A file of this machine."""
    return Member(str(path), lambda: path.open("rb"))


@contextmanager
def unpacked(member: Member) -> Iterator[BinaryIO]:
    """Its bytes as a stream, unpacked where its name says that it is packed; MdlError for a damaged or cut one."""
    try:
        with member.open() as stream, _UNPACK.get(_suffixes(member.name)[1], _as_it_is)(stream) as content:
            yield content
    except _DAMAGED as error:
        raise MdlError(f"cannot unpack {member.name}: {_reason(error)}") from None
    except OSError as error:
        raise MdlError(f"cannot read {member.name}: {error.strerror or error}") from None


def _reason(error: Exception) -> str:
    """zipfile puts an object into its words."""
    return "it is encrypted; unpack it with its password first" if "is encrypted" in str(error) else str(error)


def chunks(member: Member, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The same, part by part."""
    with unpacked(member) as stream:
        while chunk := stream.read(chunk_bytes):
            yield chunk


def head(member: Member) -> bytes:
    """Its first 8 KB, fewer where it ends before."""
    with unpacked(member) as stream:
        return stream.read(HEAD_BYTES)


def is_text(member: Member) -> bool:
    """Not empty, and no NUL in the first 8 KB (of what is packed in it): git's rule."""
    first = head(member)
    return bool(first) and b"\0" not in first


def _as_it_is(stream: BinaryIO) -> BinaryIO:
    return stream


class _Parts(io.RawIOBase):
    """A stream of what an iterator gives."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the library says "Buffer", which has no len
        self._rest = self._rest or next(self._parts, b"")
        n = min(len(buffer), len(self._rest))
        buffer[:n], self._rest = self._rest[:n], self._rest[n:]
        return n


def _zstd(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Parts(_zstd_frames(stream)), CHUNK_BYTES))


def _zstd_frames(stream: BinaryIO) -> Iterator[bytes]:
    """Every frame; the library's own file object takes a cut file, or the first of several frames, for the whole."""
    import zstandard

    frame = None
    while packed := stream.read(CHUNK_BYTES):
        while packed:
            frame = frame or zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
            try:
                chunk = frame.decompress(packed)
            except zstandard.ZstdError as error:
                raise EOFError(error) from None
            if chunk:
                yield chunk
            packed, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame:
        raise EOFError("it ends in the middle")


_UNPACK: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": cast(Callable[[BinaryIO], BinaryIO], gzip.open),
    ".xz": cast(Callable[[BinaryIO], BinaryIO], lzma.open),
    ".lzma": cast(Callable[[BinaryIO], BinaryIO], lzma.open),
    ".bz2": cast(Callable[[BinaryIO], BinaryIO], bz2.open),
    ".zst": _zstd,
}
