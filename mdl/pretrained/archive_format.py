r"""The archive of a pretrained model: a coded content, and what a decoder must know. All integers are little-endian.

    offset  size  what
    0       8     magic: 93 "MDH" 0D 0A 1A 0A (a transfer as text breaks it visibly)
    8       1     version of this format: 1 (the model in float64, `float64`; tables as in `large_vocabulary`)
    9       1     g: logits are rounded to steps of 2^-g
    10      1     e: those within 2^-e of a boundary are in the guard lists
    11      1     w, windows of a block
    12      4     T, tokens of a window
    16      4     V, logits of the model
    20      8     n, length of the content in bytes
    28      8     m, number of tokens
    36      8     length of the escape in bytes
    44      32    SHA-256 of the model's weights (of its shards' hashes where there are several)
    76      4     fingerprint of weights, configuration and tokenizer
    80      32    SHA-256 of the content
    112     1     length of a text for people, ASCII: the model's name and the library that ran it
    113     ...   that text
            12·k  block table: for every block the lengths of its stream and guard list and the CRC-32 of its tokens
            ...   the escape (`byte_fallback`), binary digits high bit first, the last byte filled up with zeros
            ...   the blocks' data, each a coded stream (`range_coder`) and then a guard list (`guard_list`)
            32    SHA-256 of all of the file before this

A block is w windows of T tokens, the last one what is left, so there are k = ceil(m / (w · T)) of them. A file is read
only after its SHA-256 is right, and then every field is still checked: whoever forges an archive can compute a hash.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import BinaryIO

from mdl.errors import MdlError

MAGIC = b"\x93MDH\r\n\x1a\n"
VERSION = 1
MOST_WINDOWS = 255
MOST_BLOCK_TOKENS = 1 << 20
MOST_TOKENS_A_BYTE = 4  # a tokenizer may put a token of no text before each piece

_START = struct.Struct("<8s4BIIQQQ32s4s32sB")
_ENTRY = struct.Struct("<III")
_MOST_TEXT_BYTES = 100
_TOKEN_BYTES = 64  # of guard list, at the most: far more than an encoder accepts


@dataclass(frozen=True, kw_only=True)
class Coded:
    """`n_tokens` as a coded stream, a packed guard list and a checksum of the tokens."""

    n_tokens: int
    stream: bytes
    guard: bytes
    crc32: int


@dataclass(frozen=True, kw_only=True)
class PretrainedArchive:
    """All that is in a file."""

    step_bits: int
    epsilon_bits: int
    windows_per_block: int
    context_tokens: int
    n_vocabulary: int
    n_bytes: int
    n_tokens: int
    model_sha256: str
    fingerprint: str  # 8 hex
    content_sha256: bytes
    about: str  # for people
    escape: bytes
    blocks: tuple[Coded, ...]

    @property
    def guard_bytes(self) -> int:
        """Of all guard lists."""
        return sum(len(block.guard) for block in self.blocks)

    @property
    def stream_bytes(self) -> int:
        """Of all coded streams."""
        return sum(len(block.stream) for block in self.blocks)

    def to_bytes(self) -> bytes:
        """The archive as the bytes of a file."""
        about = self.about.encode("ascii", "replace")[:_MOST_TEXT_BYTES]
        start = [MAGIC, VERSION, self.step_bits, self.epsilon_bits, self.windows_per_block]
        start += [self.context_tokens, self.n_vocabulary, self.n_bytes, self.n_tokens, len(self.escape)]
        start += [bytes.fromhex(self.model_sha256), bytes.fromhex(self.fingerprint), self.content_sha256, len(about)]
        parts = [
            _START.pack(*start),
            about,
            *(_ENTRY.pack(len(block.stream), len(block.guard), block.crc32) for block in self.blocks),
            self.escape,
            *(block.stream + block.guard for block in self.blocks),
        ]
        content = b"".join(parts)
        return content + hashlib.sha256(content).digest()


def is_pretrained(source: BinaryIO) -> bool:
    """Whether a file begins as one of these; it is left at its beginning."""
    begin = source.read(len(MAGIC))
    source.seek(0)
    return begin == MAGIC


def parse_archive(file: bytes) -> PretrainedArchive:
    """The archive in a file; MdlError for anything but a whole, undamaged one."""
    if file[: len(MAGIC)] != MAGIC:
        raise MdlError("not an archive of a pretrained model (it does not begin as one)")
    if len(file) < _START.size + 32:
        raise MdlError("the archive is cut short; get the whole file")
    if file[len(MAGIC)] != VERSION:
        raise MdlError(
            f"the archive has version {file[len(MAGIC)]}, this mdl reads {VERSION}; or its first bytes are damaged"
        )
    if hashlib.sha256(file[:-32]).digest() != file[-32:]:
        raise MdlError("the archive is damaged or cut short: its SHA-256 is not the one at its end")
    return _parsed(file[:-32])


def _parsed(content: bytes) -> PretrainedArchive:
    fields = _START.unpack_from(content)
    (_, _, step_bits, epsilon_bits, w, T, V, n_bytes, n_tokens, escape_bytes, sha, fingerprint, content_sha, text) = (
        fields
    )
    if not (w >= 1 and T >= 2 and w * T <= MOST_BLOCK_TOKENS and n_tokens <= MOST_TOKENS_A_BYTE * n_bytes):
        raise MdlError("the archive is damaged or forged: a count in its header is out of range")
    about = content[_START.size : _START.size + text]
    if len(about) < text or text > _MOST_TEXT_BYTES or not about.isascii() or not about.decode().isprintable():
        raise MdlError("the archive is damaged or forged: what it says for people is not plain text")
    place = _START.size + text
    n_blocks = -(-n_tokens // (w * T))
    if place + _ENTRY.size * n_blocks > len(content):
        raise MdlError("the archive is damaged or forged: its table does not fit")
    table = list(_ENTRY.iter_unpack(content[place : place + _ENTRY.size * n_blocks]))
    place += _ENTRY.size * n_blocks
    if place + escape_bytes + sum(stream + listed for stream, listed, _ in table) != len(content):
        raise MdlError("the archive is damaged or forged: its table does not add up to its blocks")
    return PretrainedArchive(
        step_bits=step_bits,
        epsilon_bits=epsilon_bits,
        windows_per_block=w,
        context_tokens=T,
        n_vocabulary=V,
        n_bytes=n_bytes,
        n_tokens=n_tokens,
        model_sha256=sha.hex(),
        fingerprint=fingerprint.hex(),
        content_sha256=content_sha,
        about=about.decode(),
        escape=content[place : place + escape_bytes],
        blocks=_blocks(content, place + escape_bytes, table, n_tokens, w * T),
    )


def _blocks(
    content: bytes, place: int, table: list[tuple[int, int, int]], n_tokens: int, block_tokens: int
) -> tuple[Coded, ...]:
    blocks = []
    for stream, listed, crc32 in table:
        n = min(n_tokens, block_tokens)
        if stream % 4 or stream > 4 * n + 8 or listed > _TOKEN_BYTES * n + 64:
            raise MdlError("the archive is damaged or forged: a block is not as long as what it codes")
        middle, end = place + stream, place + stream + listed
        blocks.append(Coded(n_tokens=n, stream=content[place:middle], guard=content[middle:end], crc32=crc32))
        place, n_tokens = end, n_tokens - n
    return tuple(blocks)
