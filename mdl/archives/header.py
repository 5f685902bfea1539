"""The header of an archive: which model it was made with, and how its content is cut into blocks and windows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mdl.errors import MdlError
from mdl.mixing import MAX_BUCKET_BITS, MIN_BUCKET_BITS
from mdl.models import Shape, WindowCut

VERSION, VERSION_CODED, VERSION_OVERLAPPING, VERSION_MIXED = 1, 2, 3, 4
MAX_BLOCK_BYTES = 1 << 20
MAX_CONTEXT_BYTES = 1 << 16
MAX_BLOCK_WINDOWS = 1 << 12
MAX_CACHE_BYTES = 2 << 30  # keys and values of a block while it is decoded, float64

_BLOCK_BYTES = 1 << 18
_STRETCH_WINDOWS = 32  # of the context: what a first window lacks costs a 32nd of what overlapping gains
_MIXED_LANES, _MIXED_LANE_BYTES = 128, 1 << 12  # contexts see the lanes' past: few lanes, and short blocks, know more


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a decoder must know before it begins."""

    model_sha256: str  # of the weights file, or of the coded model, 64 hex digits
    shape: Shape
    windows_per_block: int
    embedded_bytes: int  # 0: the weights are not in the archive
    writer: str  # program and version, for people
    coded: bool = False  # the embedded weights are a coded model
    stride_bytes: int = 0  # windows of a stretch begin every so many bytes; 0: side by side, and no stretches
    stretch_bytes: int = 0
    bucket_bits: int = 0  # the model is mixed with contexts, in a memory of so many bits (`mdl.mixing`); 0: it is not
    plugin_sha256: str | None = None  # of the plugin that the model's architecture is of; None: it comes with mdl

    def __post_init__(self) -> None:
        """MdlError for values that no writer makes, or that would take unbounded memory to decode."""
        counts = (self.windows_per_block, self.embedded_bytes, self.bucket_bits, *self._overlap)
        if any(type(count) is not int for count in counts) or type(self.coded) is not bool:
            raise MdlError("the archive's header is damaged or forged: a count is not a whole number")
        self.shape.require_bytes("archives")
        for whose, sha256 in (("model", self.model_sha256), ("plugin", self.plugin_sha256)):
            if sha256 is not None and not _is_sha256(sha256):
                raise MdlError(f"the archive's header is damaged or forged: the {whose}'s hash is not 64 hex digits")
        if not 1 <= self.windows_per_block <= MAX_BLOCK_WINDOWS or self.embedded_bytes < 0:
            raise MdlError("the archive's header is damaged or forged: a count is out of range")
        if self.shape.context_tokens > MAX_CONTEXT_BYTES:
            raise MdlError(
                f"archives go up to a context of {MAX_CONTEXT_BYTES:,} bytes, got {self.shape.context_tokens:,}"
            )
        self._check_cut()
        if self.block_bytes > MAX_BLOCK_BYTES or self.cache_bytes > MAX_CACHE_BYTES:
            raise MdlError(
                f"a block of {self.block_bytes:,} bytes takes {self.cache_bytes / 2**30:.3g} GiB to decode; archives go"
                f" up to {MAX_BLOCK_BYTES:,} and {MAX_CACHE_BYTES >> 30} GiB: use a smaller model or context"
            )
        if self.coded and not self.embedded_bytes:
            raise MdlError("the archive's header is damaged or forged: its weights are coded, and it has none")
        if len(self.writer) > 64 or not self.writer.isascii() or not self.writer.isprintable():
            raise MdlError("the archive's header is damaged or forged: the writer's name is not plain text")

    def _check_cut(self) -> None:
        context, (stride, stretch) = self.shape.context_tokens, self._overlap
        most = context if self.bucket_bits else context - 1  # of a stride: mixed windows can stand side by side
        if any(self._overlap) and not (1 <= stride <= most and context <= stretch <= MAX_BLOCK_BYTES):
            raise MdlError("the archive's header is damaged or forged: its windows cannot overlap so")
        if self.bucket_bits and not (stride and MIN_BUCKET_BITS <= self.bucket_bits <= MAX_BUCKET_BITS):
            raise MdlError("the archive's header is damaged or forged: no contexts are mixed so")

    @property
    def _overlap(self) -> tuple[int, int]:
        return self.stride_bytes, self.stretch_bytes

    @property
    def cut(self) -> WindowCut:
        """How a stretch is cut into windows."""
        return WindowCut(self.shape.context_tokens, self.stride_bytes or self.shape.context_tokens)

    @property
    def lane_bytes(self) -> int:
        """What is coded by itself and in lockstep with others: a stretch, or a window."""
        return self.stretch_bytes or self.shape.context_tokens

    @property
    def block_bytes(self) -> int:
        """Content of every block but the last."""
        return self.windows_per_block * self.lane_bytes

    @property
    def cache_bytes(self) -> int:
        """Memory of a block's keys and values while it is decoded."""
        return self.windows_per_block * self.shape.context_tokens * _cache_bytes_per_position(self.shape)

    def to_json(self) -> bytes:
        """The header as it stands in the file."""
        plugin = {"plugin_sha256": self.plugin_sha256} if self.plugin_sha256 else {}
        content = {
            "model": {"sha256": self.model_sha256, **plugin, **self.shape.told()},
            "windows_per_block": self.windows_per_block,
            "embedded_bytes": self.embedded_bytes,
            "writer": self.writer,
        }
        if self.version >= VERSION_OVERLAPPING:
            content |= {"coded": self.coded, "stride_bytes": self.stride_bytes, "stretch_bytes": self.stretch_bytes}
        if self.version == VERSION_MIXED:
            content |= {"bucket_bits": self.bucket_bits}
        return json.dumps(content, separators=(",", ":")).encode()

    @property
    def version(self) -> int:
        """Of the format that such an archive has."""
        if self.bucket_bits:
            return VERSION_MIXED
        if self.stride_bytes:
            return VERSION_OVERLAPPING
        return VERSION_CODED if self.coded else VERSION

    @staticmethod
    def from_json(raw: bytes, version: int = VERSION) -> Header:
        """Read it back; MdlError for anything that `to_json` does not write."""
        try:
            content: dict[str, Any] = json.loads(raw)
            model = content.pop("model")
            sha256, plugin = model.pop("sha256"), model.pop("plugin_sha256", None)
            if version < VERSION_OVERLAPPING:
                content["coded"] = version == VERSION_CODED
            header = Header(model_sha256=sha256, plugin_sha256=plugin, shape=Shape.from_told(model), **content)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            raise MdlError("the archive's header is damaged or forged") from None
        if header.to_json() != raw or header.version != version:
            raise MdlError("the archive's header is damaged or forged: it is not as mdl writes it")
        return header


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and not set(text) - set("0123456789abcdef")


def _cache_bytes_per_position(shape: Shape) -> int:
    return 2 * shape.width * shape.depth * 8


def windows_per_block(shape: Shape, stretch_bytes: int = 0, *, mixed: bool = False) -> int:
    """How many windows the encoder puts in a block: some 256 KiB of content that decode in bounded memory.

    Or how many stretches, of which 1 MiB: they are long, and the more of them go in lockstep the better. Of mixed ones
    fewer: what one lane says teaches the others.
    """
    by_cache = MAX_CACHE_BYTES // (shape.context_tokens * _cache_bytes_per_position(shape))
    by_content = MAX_BLOCK_BYTES // stretch_bytes if stretch_bytes else _BLOCK_BYTES // shape.context_tokens
    most = _MIXED_LANES if mixed else MAX_BLOCK_WINDOWS
    return max(1, min(most, by_content, by_cache))


def stretch_bytes(shape: Shape, *, mixed: bool = False) -> int:
    """How long a stretch of overlapping windows the encoder makes; or of mixed ones, which begin with no context."""
    least = _MIXED_LANE_BYTES if mixed else _STRETCH_WINDOWS * shape.context_tokens
    windows = -(-min(least, MAX_BLOCK_BYTES) // shape.context_tokens)
    return windows * shape.context_tokens if mixed else max(shape.context_tokens, min(least, MAX_BLOCK_BYTES))
