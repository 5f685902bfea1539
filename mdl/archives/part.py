"""A file that takes long to write, as far as it is: kept beside it, so that the same command goes on after any end.

What is kept lies in a hidden folder, `.NAME.DIGEST.part`. The digest is that of all that the file hangs on, so that
other bytes, another model, other options and another version have a folder of their own. In it are

    key      all of that in words; locked by the process that writes
    whole    the file as it grows; it gets its name in the end
    blocks   of an archive every finished block, with a checksum
    memory   what contexts had learned after so many blocks, every now and then
    coded    of a packed run the weights at the precision that was chosen

The folder goes when the file is whole, or cannot be (MdlError). After any other end it stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mdl.archives.format import Archive, Block
from mdl.archives.header import Header
from mdl.errors import MdlError
from mdl.mixing import ContextMixer
from mdl.storage import (
    CHUNK_BYTES,
    digest,
    locked_folder,
    open_both,
    remove_dead_temporaries,
    replacing,
    require_parent,
)

Key = dict[str, Any]  # what JSON can say
Say = Callable[[str], None]

_VERSION = 1  # of what lies in the folder
_RECORD = struct.Struct("<4I")  # bytes of content, stream and guard list, the content's CRC-32; then these two
_CHECKSUM = struct.Struct("<I")
_N_BLOCKS = struct.Struct("<Q")
_MARK_BYTES = hashlib.sha256().digest_size
_SHARE = 0.02  # of the time, for writing what contexts have learned
_FIRST_BYTES_A_SECOND = 2e8  # how fast that is held to be written before it was


def silent(text: str) -> None:
    """Say nothing."""


class Part:
    """What there is of a file; see `resumable`, which makes it."""

    def __init__(self, path: Path, folder: Path, *, n_bytes: int, what: str, say: Say) -> None:
        self.path, self.folder, self.say = path, folder, say
        self.n_bytes, self.known_bytes = n_bytes, 0  # of the content: in all, and done before this process
        self.worth = _holds_work(folder)  # going on from
        self.file = folder / "whole"
        self.whole = open_both(self.file)
        self._log, self._what = open_both(folder / "blocks"), what
        self._n_blocks, self._memory_from, self._started = 0, -1.0, time.monotonic()

    def anew(self) -> BinaryIO:
        """`whole`, emptied: what it is written from is kept."""
        self.whole.truncate(0)
        return self.whole

    def once(self, make: Callable[[], bytes]) -> bytes:
        """What `make` gives, which took long, or gave before: the coded weights."""
        file = self.folder / "coded"
        kept = file.read_bytes() if file.exists() else b""
        if hashlib.sha256(kept[_MARK_BYTES:]).digest() == kept[:_MARK_BYTES]:
            self.say(f"the precision was chosen before ({self.folder.name})")
            return kept[_MARK_BYTES:]
        made = make()
        with replacing(file) as stream:
            stream.write(hashlib.sha256(made).digest() + made)
        self.worth = True
        return made

    def blocks(self, header: Header, mixer: ContextMixer | None) -> Iterator[Block]:
        """The finished blocks of an archive with this header, of which the mixer is made to know."""
        mark = hashlib.sha256(header.to_json()).digest()
        self._log.seek(0)
        if self._log.read(_MARK_BYTES) != mark:
            self._log.seek(0)
            self._log.truncate()
            self._log.write(mark)
            (self.folder / "memory").unlink(missing_ok=True)
        sizes, ends = [], [_MARK_BYTES]
        for block in self._logged():
            sizes.append(block.n_bytes)
            ends.append(self._log.tell())
        n = self._go_on(sizes, mixer)
        self._log.truncate(ends[n])
        yield from itertools.islice(self._logged(), n)
        self._log.seek(ends[n])

    def _logged(self) -> Iterator[Block]:
        """From the log's beginning, as far as it is sound."""
        self._log.seek(_MARK_BYTES)
        while len(head := self._log.read(_RECORD.size)) == _RECORD.size:
            n_bytes, n_stream, n_guard, crc32 = _RECORD.unpack(head)
            stream, guard = self._log.read(n_stream), self._log.read(n_guard)
            if self._log.read(_CHECKSUM.size) != _CHECKSUM.pack(zlib.crc32(head + stream + guard)):
                return
            yield Block(n_bytes=n_bytes, stream=stream, guard=guard, crc32=crc32)

    def add(self, block: Block, mixer: ContextMixer | None) -> None:
        """The next block is finished, and the mixer has learned from it and from none after."""
        head = _RECORD.pack(block.n_bytes, len(block.stream), len(block.guard), block.crc32)
        record = head + block.stream + block.guard
        self._log.write(record + _CHECKSUM.pack(zlib.crc32(record)))
        self._grew(self._log, 1, mixer)

    def decoded(self, archive: Archive, mixer: ContextMixer | None) -> int:
        """How many of the archive's blocks `whole`, which is read from its beginning then, holds decoded."""
        sizes, blocks = [], archive.blocks()
        self.whole.seek(0)
        for block in blocks:
            content = self.whole.read(block.n_bytes)
            if len(content) < block.n_bytes or zlib.crc32(content) != block.crc32:
                break
            sizes.append(block.n_bytes)
        n = self._go_on(sizes, mixer)
        self.whole.truncate(sum(sizes[:n]))
        self.whole.seek(0)
        return n

    def decoded_more(self, n_blocks: int, mixer: ContextMixer | None) -> None:
        """So many blocks more are in `whole`."""
        self._grew(self.whole, n_blocks, mixer)

    def _go_on(self, sizes: Sequence[int], mixer: ContextMixer | None) -> int:
        """Of finished blocks of these sizes, how many can be gone on from."""
        n = len(sizes)
        if mixer and sum(sizes) < self.n_bytes:  # else it has nothing more to do
            n = self._recall(mixer, n)
            mixer.n_bytes = sum(sizes[:n])
            self._memory_from = sum(array.nbytes for array in mixer.learned) / _FIRST_BYTES_A_SECOND / _SHARE
        self._n_blocks, self.known_bytes = n, sum(sizes[:n])
        self.worth = n > 0 or (self.folder / "coded").exists()
        if n:
            self.say(f"{self._what} goes on at {_of(self.known_bytes, self.n_bytes)} ({self.folder.name})")
        return n

    def _grew(self, stream: BinaryIO, n_blocks: int, mixer: ContextMixer | None) -> None:
        stream.flush()  # to the system: it is there then, whatever ends this process
        self._n_blocks, self.worth = self._n_blocks + n_blocks, True
        began = time.monotonic() - self._started
        if mixer and began >= self._memory_from:
            os.fsync(stream.fileno())  # a memory is of use with the blocks that it is of
            with replacing(self.folder / "memory") as memory:
                _write_checked(memory, [_N_BLOCKS.pack(self._n_blocks), *map(_bytes_of, mixer.learned)])
            ended = time.monotonic() - self._started
            self._memory_from = ended + (ended - began) / _SHARE

    def _recall(self, mixer: ContextMixer, most: int) -> int:
        """Put into the mixer what was learned from the first n ≤ `most` blocks; returns n, 0 where there is nothing."""
        with contextlib.suppress(FileNotFoundError), (self.folder / "memory").open("rb") as memory:
            arrays = [_bytes_of(array) for array in mixer.learned]
            if _is_sound(memory, _N_BLOCKS.size + sum(array.nbytes for array in arrays)):
                n: int = _N_BLOCKS.unpack(memory.read(_N_BLOCKS.size))[0]
                if n <= most:
                    for array in arrays:
                        memory.readinto(array)
                    return n
        return 0

    def close(self) -> None:
        """Close all files."""
        self.whole.close()
        self._log.close()


@contextmanager
def resumable(path: Path, key: Key, *, n_bytes: int, what: str, say: Say = silent) -> Iterator[Part]:
    """The part of a file that is at `path` once all went well, as far as an earlier process of the same key left it.

    The content that it is made of, or holds, has `n_bytes`. `say` is told where it goes on, and `what` does. MdlError
    where another process is writing it; after an MdlError nothing stays.
    """
    require_parent(path)
    key = {**key, "n_bytes": n_bytes, "part": _VERSION}
    folder = path.with_name(f".{path.name}.{digest(key)}.part")
    with locked_folder(folder, key):
        remove_dead_temporaries(folder)
        others = list(_others(path, folder))
        for other in others:
            say(
                f"{other.name} is left of other bytes, another model or other options: it is not used, and removed "
                f"once {path.name} is written"
            )
        part, keep = Part(path, folder, n_bytes=n_bytes, what=what, say=say), False
        try:
            yield part
            part.whole.flush()
            os.fsync(part.whole.fileno())
            part.file.replace(path)
        except MdlError:
            raise
        except BaseException:
            keep = part.worth
            raise
        finally:
            part.close()
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
        for other in others:
            with contextlib.suppress(MdlError, OSError), locked_folder(other):
                shutil.rmtree(other, ignore_errors=True)


def _holds_work(folder: Path) -> bool:
    """Whether an earlier process left more in it than what any begins with."""
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    blocks = sizes.get("blocks", 0)
    return "coded" in sizes or blocks > _MARK_BYTES or (not blocks and sizes.get("whole", 0) > 0)


def _others(path: Path, folder: Path) -> Iterator[Path]:
    """What is left of the same file by other keys."""
    name = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}\.part")
    for entry in os.scandir(path.parent):
        if name.fullmatch(entry.name) and entry.name != folder.name and entry.is_dir(follow_symlinks=False):
            yield Path(entry)


def _bytes_of(array: Any) -> memoryview:
    return memoryview(array).cast("B")


def _write_checked(stream: BinaryIO, pieces: Sequence[bytes | memoryview]) -> None:
    checksum = 0
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
        stream.write(piece)
    stream.write(_CHECKSUM.pack(checksum))


def _is_sound(stream: BinaryIO, n_bytes: int) -> bool:
    """Whether so many bytes and their checksum are all of it; it is read from its beginning then."""
    left, checksum = n_bytes, 0
    while left and (piece := stream.read(min(left, CHUNK_BYTES))):
        left, checksum = left - len(piece), zlib.crc32(piece, checksum)
    sound = not left and stream.read() == _CHECKSUM.pack(checksum)
    stream.seek(0)
    return sound


def _of(n_bytes: int, whole_bytes: int) -> str:
    unit, factor = ("MB", 1e6) if whole_bytes >= 1e6 else ("KB", 1e3)
    return f"{n_bytes / factor:.1f} of {whole_bytes / factor:.1f} {unit}"
