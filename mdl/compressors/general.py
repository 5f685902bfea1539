"""The classical general-purpose coders, at the settings by which they are usually judged."""

from __future__ import annotations

import bz2
import gzip
import importlib.metadata
import lzma
import platform
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from mdl.compressors.registry import ANY, register_coder
from mdl.errors import MdlError

_OF_PYTHON = f"of Python {platform.python_version()}"  # which does not tell these libraries' own versions


@dataclass(frozen=True, kw_only=True)
class ClassicalCoder:
    """A library's pair of functions with its name and settings."""

    name: str
    settings: str
    version: str
    pack: Callable[[bytes], bytes] = field(repr=False)
    unpack: Callable[[bytes], bytes] = field(repr=False)

    def compress(self, data: bytes) -> bytes:
        """A self-contained file of `data`."""
        return self.pack(data)

    def decompress(self, data: bytes) -> bytes:
        """What `compress` was given; MdlError for damaged data (brotli, which has no checksum, may not see it)."""
        if not data:  # gzip and bzip2 would take it for an empty file's file
            raise MdlError(f"{self.name}: the data is damaged or not {self.name} (it is empty)")
        try:
            return self.unpack(data)
        except Exception as error:  # every library has its own kinds
            raise MdlError(f"{self.name}: the data is damaged or not {self.name} ({error})") from None


def _gzip(_: int | None) -> ClassicalCoder:
    return ClassicalCoder(
        name="gzip",
        settings="-9",
        version=f"zlib {zlib.ZLIB_RUNTIME_VERSION}",
        pack=lambda d: gzip.compress(d, 9, mtime=0),
        unpack=gzip.decompress,
    )


def _xz(chunk_bytes: int | None) -> ClassicalCoder:
    # At preset 9 a fresh 64 MB dictionary makes 256-byte chunks 800 times slower; it cannot help a shorter input.
    settings = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}
    if chunk_bytes is not None:
        settings["dict_size"] = max(4096, chunk_bytes)
    return ClassicalCoder(
        name="xz",
        settings="-9e",
        version=f"liblzma {_OF_PYTHON}",
        pack=lambda d: lzma.compress(d, filters=[settings]),
        unpack=lambda d: lzma.decompress(d),
    )


def _bzip2(_: int | None) -> ClassicalCoder:
    return ClassicalCoder(
        name="bzip2",
        settings="-9",
        version=f"libbz2 {_OF_PYTHON}",
        pack=lambda d: bz2.compress(d, 9),
        unpack=bz2.decompress,
    )


def _zstd(name: str, level: int, settings: str) -> Callable[[int | None], ClassicalCoder]:
    def make(_: int | None) -> ClassicalCoder:
        import zstandard

        return ClassicalCoder(
            name=name,
            settings=settings,
            version=f"zstd {'.'.join(map(str, zstandard.ZSTD_VERSION))}",
            pack=zstandard.ZstdCompressor(level=level, write_checksum=True).compress,
            unpack=lambda d: zstandard.ZstdDecompressor().decompress(d),
        )

    return make


def _brotli(_: int | None) -> ClassicalCoder:
    import brotli

    return ClassicalCoder(
        name="brotli",
        settings="-q 11 -w 24",
        version=f"brotli {brotli.__version__}",
        pack=lambda d: brotli.compress(d, quality=11, lgwin=24),
        unpack=brotli.decompress,
    )


# PPMd variant H on the interpreter's own sources, compressed / raw, by order (memory 256 MiB):
#             6      8     12     16     24
# 100 KB  .2248  .2210  .2185  .2176  .2170
#   1 MB  .2001  .1939  .1892  .1879  .1871
#  10 MB  .1768  .1652  .1556  .1523  .1573 (24 runs out of memory and begins anew; with 1 GiB it reaches .1502)
# and of 10 MB at order 16 by memory: 16 MiB .1965, 64 MiB .1732, 256 MiB .1523, 1 GiB .1523; of 30 MB of an
# encyclopaedia 256 MiB .2193, 1.5 GB .2082: it must grow with the data. Speech prefers order 6.
_PPMD_MEMORY_A_BYTE, _PPMD_LEAST_MEMORY, _PPMD_MOST_MEMORY = 64, 1 << 20, 1 << 31


def _ppmd(name: str, order: int) -> Callable[[int | None], ClassicalCoder]:
    def make(_: int | None) -> ClassicalCoder:
        import pyppmd

        def pack(data: bytes) -> bytes:
            memory = _ppmd_memory(len(data))
            encoder = pyppmd.Ppmd7Encoder(order, memory)
            packed = _ppmd_header(len(data), memory) + bytes(encoder.encode(data)) + bytes(encoder.flush())
            return packed + zlib.crc32(packed).to_bytes(4, "little")

        def unpack(data: bytes) -> bytes:
            # The library's decoder writes outside its memory when given damaged bytes: they must not get there.
            if zlib.crc32(data[:-4]).to_bytes(4, "little") != data[-4:]:
                raise ValueError("its checksum is wrong")
            length, kept, begin = _parse_ppmd_header(data)
            return bytes(pyppmd.Ppmd7Decoder(order, kept).decode(data[begin:-4], length)) if length else b""

        version = f"pyppmd {importlib.metadata.version('pyppmd')}"
        most = f"{_PPMD_MOST_MEMORY >> 30} GiB at most"
        return ClassicalCoder(
            name=name,
            settings=f"var.H -o{order}, {_PPMD_MEMORY_A_BYTE} B a byte, {most}",
            version=version,
            pack=pack,
            unpack=unpack,
        )

    return make


def _ppmd_memory(n_bytes: int) -> int:
    """What the model of so many bytes can fill, a power of two; with less it begins anew in the middle."""
    wanted = 1 << (_PPMD_MEMORY_A_BYTE * n_bytes - 1).bit_length() if n_bytes else 0
    return min(max(wanted, _PPMD_LEAST_MEMORY), _PPMD_MOST_MEMORY)


def _ppmd_header(length: int, memory: int) -> bytes:
    """Raw PPMd has none: the memory's power of two in a byte, then the length in groups of seven bits."""
    groups = bytearray()
    while length > 127:
        groups.append(128 | length & 127)
        length >>= 7
    return bytes([memory.bit_length() - 1, *groups, length])


def _parse_ppmd_header(data: bytes) -> tuple[int, int, int]:
    """(length, memory bytes, where the stream begins)."""
    length = 0
    for i, byte in enumerate(data[1:]):
        length |= (byte & 127) << 7 * i
        if byte < 128 and 1 << data[0] <= _PPMD_MOST_MEMORY:
            return length, 1 << data[0], i + 2
    raise ValueError("it has no header")


# Costs by measured seconds a megabyte. Libraries as installed, encoder and all: zlib 1.2.13, libbz2 1.0.8, liblzma
# 5.4.1, pyppmd 1.3.1.
_GENERAL: tuple[tuple[str, Callable[[int | None], ClassicalCoder], float, int | None], ...] = (
    ("gzip", _gzip, 3e4, 121_280),
    ("xz", _xz, 1.6e5, 190_456),
    ("bzip2", _bzip2, 2e4, 74_688),
    ("zstd", _zstd("zstd", 19, "-19"), 1.8e5, None),
    ("zstd-ultra", _zstd("zstd-ultra", 22, "--ultra -22"), 2.3e5, None),
    ("brotli", _brotli, 6e5, None),
    ("ppmd", _ppmd("ppmd", 16), 9e4, 357_016),
    ("ppmd-o6", _ppmd("ppmd-o6", 6), 9e4, 357_016),
)
for _name, _make, _cost, _size in _GENERAL:
    register_coder(_name, _make, modalities=(ANY,), cost_per_byte=_cost, decoder_bytes=_size)
