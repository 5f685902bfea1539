r"""The archive file: a coded content, and what a decoder must know. All integers are little-endian.

    offset  size  what
    0       8     magic: 93 "MDL" 0D 0A 1A 0A (a transfer as text breaks it visibly)
    8       2     version of this format: 1, 2 where the weights are coded, 3 where the windows overlap, or
                    4 where the model is mixed with contexts
    10      4     h, length of the header, at most 65,536
    14      h     header, JSON in UTF-8, with exactly the keys of `Header.to_json`
            w     the model's weights, where w = "embedded_bytes" of the header is not 0: a safetensors file, or in
                    version 2, and from 3 on if "coded", a coded model (`mdl.quantization.weight_codec`)
            ...   the blocks' data, each a coded stream (`range_coder`) and then a guard list (`guard_list`); or, where
                    that would be longer, the content itself, filled up with zeros to a multiple of 4, and one byte FF
            12·k  block table: for every block the lengths of its stream and guard list and the CRC-32 of its content
            8     n, length of the content
            32    SHA-256 of the content
            32    SHA-256 of all of the file before this

A block is `windows_per_block` windows of the model's context length, the last one what is left, so there are
k = ceil(n / (windows_per_block · context_bytes)) of them. A file is read only after its SHA-256 is right, and then
every field is still checked: whoever forges an archive can compute a hash.

In version 3 a block is so many *stretches* of "stretch_bytes" in place of windows. Each is coded by itself, in windows
that begin every "stride_bytes" (`mdl.models.WindowCut`): the first one's bytes all, every other one's last
"stride_bytes", with what stands before these as context.

In version 4 a block is so many stretches too, "stride_bytes" may be the context (side by side), and the stream is that
of `mdl.mixing.memory`; no block is stored as it is, and each hangs on all blocks before. "bucket_bits" says how much
memory that takes.

Where the model's architecture is a plugin's, "model" of the header has "plugin_sha256", that plugin's hash.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mdl.archives.header import VERSION, VERSION_MIXED, Header
from mdl.errors import MdlError
from mdl.mixing import bucket_bits

MAGIC = b"\x93MDL\r\n\x1a\n"
MAX_HEADER_BYTES = 1 << 16

_START = struct.Struct("<8sHI")
_ENTRY = struct.Struct("<III")
_END = struct.Struct("<Q32s32s")
_COPY_BYTES = 1 << 20
_STORED = b"\xff"  # no guard list begins so


@dataclass(frozen=True, kw_only=True)
class Block:
    """`n_bytes` of content as a coded stream, a packed guard list and a checksum of the content."""

    n_bytes: int
    stream: bytes
    guard: bytes
    crc32: int

    @property
    def is_stored(self) -> bool:
        """Whether the stream is the content as it is."""
        return self.guard == _STORED

    def or_stored(self, content: bytes) -> Block:
        """This block, or where that is shorter its content as it is: a model expands what it has never seen."""
        padded = content + bytes(-len(content) % 4)
        if len(self.stream) + len(self.guard) <= len(padded) + len(_STORED):
            return self
        return Block(n_bytes=self.n_bytes, stream=padded, guard=_STORED, crc32=self.crc32)

    def stored_content(self) -> bytes:
        """The content of a stored block; MdlError for a forged one."""
        content, padding = self.stream[: self.n_bytes], self.stream[self.n_bytes :]
        if len(content) != self.n_bytes or len(padding) > 3 or any(padding):
            raise MdlError("the archive is damaged or forged: a stored block is not as long as its content")
        return checked_crc(self, content)


class ArchiveWriter:
    """Writes an archive front to back; nothing is kept but the table."""

    def __init__(self, target: BinaryIO, header: Header, weights: bytes = b"") -> None:
        """`weights` has the header's `embedded_bytes`."""
        self._target, self._whole, self._content = target, hashlib.sha256(), hashlib.sha256()
        self._table, self.n_bytes, self.archive_bytes = bytearray(), 0, 0
        raw = header.to_json()
        self._write(_START.pack(MAGIC, header.version, len(raw)) + raw + weights)

    def _write(self, data: bytes) -> None:
        self._whole.update(data)
        self._target.write(data)
        self.archive_bytes += len(data)

    def add(self, block: Block, content: bytes) -> None:
        """The next block, and the content that it codes."""
        if max(len(block.stream), len(block.guard)) > _most_bytes(block.n_bytes):
            raise MdlError("the model's logits lie on the boundaries of the coder's grid; use another model")
        self._write(block.stream)
        self._write(block.guard)
        self._table += _ENTRY.pack(len(block.stream), len(block.guard), block.crc32)
        self._content.update(content)
        self.n_bytes += block.n_bytes

    def finish(self) -> None:
        """The table and the end."""
        self._write(bytes(self._table) + struct.pack("<Q", self.n_bytes) + self._content.digest())
        digest = self._whole.digest()
        self._target.write(digest)
        self.archive_bytes += len(digest)


class Archive:
    """An archive whose hash and every field have been checked; its blocks are read one at a time."""

    def __init__(self, source: BinaryIO) -> None:
        """`source` must be seekable. MdlError for anything but a whole, undamaged archive."""
        self._source = source
        self.size_bytes = source.seek(0, os.SEEK_END)
        self.header, self._weights_at = self._read_header()
        if self.size_bytes < self._weights_at + self.header.embedded_bytes + _END.size:
            raise MdlError("the archive is cut short; get the whole file")
        self._check_hash()
        source.seek(-_END.size, os.SEEK_END)
        self.n_bytes, self.content_sha256, _ = _END.unpack(source.read(_END.size))
        if self.header.bucket_bits > bucket_bits(self.n_bytes):
            raise MdlError("the archive is damaged or forged: so much memory for contexts is of a longer content")
        self.n_blocks = -(-self.n_bytes // self.header.block_bytes)
        self._blocks_at = self._weights_at + self.header.embedded_bytes
        self._table_at = self.size_bytes - _END.size - _ENTRY.size * self.n_blocks
        self.stream_bytes, self.guard_bytes = self._check_table()

    def _read_header(self) -> tuple[Header, int]:
        self._source.seek(0)
        start = self._source.read(_START.size)
        if start[: len(MAGIC)] != MAGIC:
            raise MdlError("not an mdl archive (it does not begin as one)")
        if len(start) < _START.size:
            raise MdlError("the archive is cut short; get the whole file")
        _, version, length = _START.unpack(start)
        if not VERSION <= version <= VERSION_MIXED:
            raise MdlError(
                f"the archive has version {version}, this mdl reads {VERSION} to {VERSION_MIXED}; "
                "or its first bytes are damaged"
            )
        if length > MAX_HEADER_BYTES:
            raise MdlError(f"the archive is damaged: its header is said to have {length:,} bytes")
        raw = self._source.read(length)
        if len(raw) < length:
            raise MdlError("the archive is cut short; get the whole file")
        return Header.from_json(raw, version), _START.size + length

    def _check_hash(self) -> None:
        whole, left = hashlib.sha256(), self.size_bytes - 32
        self._source.seek(0)
        while left and (part := self._source.read(min(left, _COPY_BYTES))):
            whole.update(part)
            left -= len(part)
        self.sha256 = whole.hexdigest()
        if self._source.read(32) != whole.digest():
            raise MdlError("the archive is damaged or cut short: its SHA-256 is not the one at its end")

    def _check_table(self) -> tuple[int, int]:
        """Total bytes of streams and of guard lists, which must fill the file exactly."""
        if self._table_at < self._blocks_at:
            raise MdlError("the archive is damaged or forged: its table does not fit")
        n_stream = n_guard = 0
        for stream, guard, _ in self._entries():
            if stream % 4:
                raise MdlError("the archive is damaged or forged: a stream is not made of 4-byte words")
            n_stream, n_guard = n_stream + stream, n_guard + guard
        if self._blocks_at + n_stream + n_guard != self._table_at:
            raise MdlError("the archive is damaged or forged: its table does not add up to its blocks")
        return n_stream, n_guard

    def _entries(self) -> Iterator[tuple[int, int, int]]:
        per_read = 4096
        for first in range(0, self.n_blocks, per_read):
            self._source.seek(self._table_at + first * _ENTRY.size)
            yield from _ENTRY.iter_unpack(self._source.read(min(per_read, self.n_blocks - first) * _ENTRY.size))

    def weights(self) -> bytes:
        """The embedded weights (see `Header.coded`), or nothing; MdlError where they are not those of the header."""
        self._source.seek(self._weights_at)
        content = self._source.read(self.header.embedded_bytes)
        if content and hashlib.sha256(content).hexdigest() != self.header.model_sha256:
            raise MdlError("the archive is damaged or forged: the weights in it are not those that its header names")
        return content

    def blocks(self) -> Iterator[Block]:
        """Every block in turn."""
        place, left = self._blocks_at, self.n_bytes
        for stream, guard, crc32 in self._entries():
            n_bytes = min(left, self.header.block_bytes)
            if max(stream, guard) > _most_bytes(n_bytes):
                raise MdlError("the archive is damaged or forged: a block is far longer than what it codes")
            self._source.seek(place)
            yield Block(n_bytes=n_bytes, stream=self._source.read(stream), guard=self._source.read(guard), crc32=crc32)
            place, left = place + stream + guard, left - n_bytes


def _most_bytes(n_bytes: int) -> int:
    """No byte costs more than 24 bits, and no guard list more than 64 a byte."""
    return 8 * n_bytes + 64


def checked_crc(block: Block, content: bytes) -> bytes:
    """`content`, if it is what the block coded."""
    if zlib.crc32(content) != block.crc32:
        raise MdlError(
            "the decoded bytes do not have the checksum of the original: the archive is forged, or this machine"
            " computes too differently; no output was written"
        )
    return content
