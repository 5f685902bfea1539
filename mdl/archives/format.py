r"""The archive file: a coded content, and what a decoder must know. All integers are little-endian.

    offset  size  what
    0       8     magic: 93 "MDL" 0D 0A 1A 0A (a transfer as text breaks it visibly)
    8       2     version of this format: 1, or 2 where the weights are coded
    10      4     h, length of the header, at most 65,536
    14      h     header, JSON in UTF-8, with exactly the keys of `Header.to_json`
            w     the model's weights, where w = "embedded_bytes" of the header is not 0: a safetensors file, or in
                  version 2 a coded model (`mdl.quantization.weight_codec`)
            ...   the blocks' data, each a coded stream (`range_coder`) and then a guard list (`guard_list`); or, where
                  that would be longer, the content itself, filled up with zeros to a multiple of 4, and one byte FF
            12·k  block table: for every block the lengths of its stream and guard list and the CRC-32 of its content
            8     n, length of the content
            32    SHA-256 of the content
            32    SHA-256 of all of the file before this

A block is `windows_per_block` windows of the model's context length, the last one what is left, so there are
k = ceil(n / (windows_per_block · context_bytes)) of them. A file is read only after its SHA-256 is right, and then
every field is still checked: whoever forges an archive can compute a hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from mdl.errors import MdlError
from mdl.models import Shape

MAGIC = b"\x93MDL\r\n\x1a\n"
VERSION, VERSION_CODED = 1, 2
MAX_HEADER_BYTES = 1 << 16
MAX_BLOCK_BYTES = 1 << 20
MAX_CONTEXT_BYTES = 1 << 16
MAX_BLOCK_WINDOWS = 1 << 12
MAX_CACHE_BYTES = 2 << 30  # keys and values of a block while it is decoded, float64

_START = struct.Struct("<8sHI")
_ENTRY = struct.Struct("<III")
_END = struct.Struct("<Q32s32s")
_BLOCK_BYTES = 1 << 18
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


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a decoder must know before it begins."""

    model_sha256: str  # of the weights file, or of the coded model, 64 hex digits
    shape: Shape
    windows_per_block: int
    embedded_bytes: int  # 0: the weights are not in the archive
    writer: str  # program and version, for people
    coded: bool = False  # version 2: the embedded weights are a coded model

    def __post_init__(self) -> None:
        """MdlError for values that no writer makes, or that would take unbounded memory to decode."""
        counts = (self.windows_per_block, self.embedded_bytes)
        if any(type(count) is not int for count in counts):
            raise MdlError("the archive's header is damaged or forged: a count is not a whole number")
        self.shape.require_bytes("archives")
        if len(self.model_sha256) != 64 or set(self.model_sha256) - set("0123456789abcdef"):
            raise MdlError("the archive's header is damaged or forged: the model's hash is not 64 hex digits")
        if not 1 <= self.windows_per_block <= MAX_BLOCK_WINDOWS or self.embedded_bytes < 0:
            raise MdlError("the archive's header is damaged or forged: a count is out of range")
        if self.shape.context_tokens > MAX_CONTEXT_BYTES:
            raise MdlError(
                f"archives go up to a context of {MAX_CONTEXT_BYTES:,} bytes, got {self.shape.context_tokens:,}"
            )
        if self.block_bytes > MAX_BLOCK_BYTES or self.cache_bytes > MAX_CACHE_BYTES:
            raise MdlError(
                f"a block of {self.block_bytes:,} bytes takes {self.cache_bytes / 2**30:.3g} GiB to decode; archives go"
                f" up to {MAX_BLOCK_BYTES:,} and {MAX_CACHE_BYTES >> 30} GiB: use a smaller model or context"
            )
        if self.coded and not self.embedded_bytes:
            raise MdlError("the archive's header is damaged or forged: its weights are coded, and it has none")
        if len(self.writer) > 64 or not self.writer.isascii() or not self.writer.isprintable():
            raise MdlError("the archive's header is damaged or forged: the writer's name is not plain text")

    @property
    def block_bytes(self) -> int:
        """Content of every block but the last."""
        return self.windows_per_block * self.shape.context_tokens

    @property
    def cache_bytes(self) -> int:
        """Memory of a block's keys and values while it is decoded."""
        return self.block_bytes * _cache_bytes_per_position(self.shape)

    def to_json(self) -> bytes:
        """The header as it stands in the file."""
        content = {
            "model": {"sha256": self.model_sha256, **self.shape.told()},
            "windows_per_block": self.windows_per_block,
            "embedded_bytes": self.embedded_bytes,
            "writer": self.writer,
        }
        return json.dumps(content, separators=(",", ":")).encode()

    @property
    def version(self) -> int:
        """Of the format that such an archive has."""
        return VERSION_CODED if self.coded else VERSION

    @staticmethod
    def from_json(raw: bytes, version: int = VERSION) -> Header:
        """Read it back; MdlError for anything that `to_json` does not write."""
        try:
            content: dict[str, Any] = json.loads(raw)
            model = content.pop("model")
            sha256, coded = model.pop("sha256"), version == VERSION_CODED
            header = Header(model_sha256=sha256, shape=Shape.from_told(model), **content, coded=coded)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            raise MdlError("the archive's header is damaged or forged") from None
        if header.to_json() != raw:
            raise MdlError("the archive's header is damaged or forged: it is not as mdl writes it")
        return header


def _cache_bytes_per_position(shape: Shape) -> int:
    return 2 * shape.width * shape.depth * 8


def windows_per_block(shape: Shape) -> int:
    """How many windows the encoder puts in a block: some 256 KiB of content that decode in bounded memory."""
    by_cache = MAX_CACHE_BYTES // (shape.context_tokens * _cache_bytes_per_position(shape))
    return max(1, min(MAX_BLOCK_WINDOWS, _BLOCK_BYTES // shape.context_tokens, by_cache))


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
        if version not in (VERSION, VERSION_CODED):
            raise MdlError(
                f"the archive has version {version}, this mdl reads {VERSION} and {VERSION_CODED}; "
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
