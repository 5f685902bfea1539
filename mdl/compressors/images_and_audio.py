"""The coders of pictures and of sound, made to take any bytes: PNG, WebP and JPEG XL, all lossless, and FLAC.

A picture is 64 columns wide, as the paper's patches are (Delétang et al. 2024): 2048 bytes are 32 rows, more bytes are
more rows. Whole rows become an ordinary file of the format, nothing added. Where pixels had to be padded, a byte before
the file says how many, 1 to 64. What is too much for one picture begins with a byte 0, then the number of pixels padded
to the last, 0 to 63, and then each picture with its length before it, four bytes, little-endian. No format's own first
byte is so small.

Sound is 8-bit, one channel, 16 kHz: byte b is the sample b − 128, at FLAC's true depth of 8 bits.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from mdl.compressors.general import ClassicalCoder
from mdl.compressors.registry import register_coder
from mdl.storage import import_optional

N_COLUMNS = 64  # of a picture, one byte a pixel
_LENGTH_BYTES = 4
Pixels = npt.NDArray[np.uint8]  # (rows, 64)


def pack_pictures(data: bytes, encode: Callable[[Pixels], bytes], most_rows: int) -> bytes:
    """Rows of 64 pixels as one file of the format, or padded and in several as the module says."""
    n_padded = -len(data) % N_COLUMNS if data else N_COLUMNS
    # A repeated last byte is cheaper than any other value.
    padded = data + (data[-1:] or b"\0") * n_padded
    rows = np.frombuffer(padded, np.uint8).reshape(-1, N_COLUMNS)
    if len(rows) <= most_rows:
        return (bytes([n_padded]) if n_padded else b"") + encode(rows)
    pictures = [encode(rows[start : start + most_rows]) for start in range(0, len(rows), most_rows)]
    return bytes([0, n_padded]) + b"".join(len(p).to_bytes(_LENGTH_BYTES, "little") + p for p in pictures)


def unpack_pictures(packed: bytes, decode: Callable[[bytes], Pixels]) -> bytes:
    """What `pack_pictures` was given; ValueError for what it cannot have made."""
    if packed[0] > N_COLUMNS:
        return _pixels(decode(packed))
    if packed[0]:
        return _pixels(decode(packed[1:]))[: -packed[0]]
    data = b"".join(_pixels(decode(picture)) for picture in _pictures(packed))
    return data[: len(data) - packed[1]]


def _pictures(packed: bytes) -> Iterator[bytes]:
    begin = 2
    if len(packed) <= begin:
        raise ValueError("it ends in the middle")
    while begin < len(packed):
        end = begin + _LENGTH_BYTES + int.from_bytes(packed[begin : begin + _LENGTH_BYTES], "little")
        if end > len(packed):
            raise ValueError("it ends in the middle")
        yield packed[begin + _LENGTH_BYTES : end]
        begin = end


def _pixels(picture: Pixels) -> bytes:
    if picture.dtype != np.uint8 or picture.ndim != 2 or picture.shape[1] != N_COLUMNS:
        raise ValueError(f"a picture of {picture.shape} {picture.dtype}, not of {N_COLUMNS} grey columns")
    return picture.tobytes()


@dataclass(frozen=True)
class _Format:
    """How a picture becomes a file, and back; a file has at most so many rows."""

    encode: Callable[[Pixels], bytes]
    decode: Callable[[bytes], Pixels]
    most_rows: int

    def coder(self, name: str, settings: str, version: str) -> ClassicalCoder:
        """Of any bytes, as pictures."""
        pack = partial(pack_pictures, encode=self.encode, most_rows=self.most_rows)
        unpack = partial(unpack_pictures, decode=self.decode)
        return ClassicalCoder(name=name, settings=settings, version=version, pack=pack, unpack=unpack)


def _png(_: int | None) -> ClassicalCoder:
    codecs = import_optional("imagecodecs", "png")
    # optipng -o2's trials: no filter or the adaptive one, under each of zlib's strategies; the shortest is kept.
    trials = [(row_filter, strategy) for row_filter in (0x08, 0xF8) for strategy in range(4)]

    def encode(rows: Pixels) -> bytes:
        files: list[bytes] = [codecs.png_encode(rows, level=9, filter=f, strategy=s) for f, s in trials]
        return min(files, key=len)

    # libpng refuses pictures of over a million rows.
    return _Format(encode, codecs.png_decode, 500_000).coder("png", "optipng -o2", codecs.png_version())


def _webp(_: int | None) -> ClassicalCoder:
    codecs = import_optional("imagecodecs", "webp")

    def encode(rows: Pixels) -> bytes:
        # The format has no grey; equal channels cost it nothing but a few bytes of header.
        colour = np.ascontiguousarray(np.broadcast_to(rows[..., None], (*rows.shape, 3)))
        return bytes(codecs.webp_encode(colour, lossless=True, level=75, method=4))

    def decode(picture: bytes) -> Pixels:
        grey: Pixels = np.ascontiguousarray(codecs.webp_decode(picture)[..., 0])
        return grey

    return _Format(encode, decode, 16_000).coder("webp", "-lossless -q 75 -m 4", codecs.webp_version())


def _jpegxl(_: int | None) -> ClassicalCoder:
    codecs = import_optional("imagecodecs", "jpegxl")
    trial = partial(codecs.jpegxl_encode, lossless=True, numthreads=1, usecontainer=False)

    def encode(rows: Pixels) -> bytes:
        files: list[bytes] = [trial(rows, effort=effort) for effort in _JPEGXL_EFFORTS]
        return min(files, key=len)

    # A megabyte a picture bounds the encoder's memory and time.
    settings = f"-d 0 -e {'|'.join(map(str, _JPEGXL_EFFORTS))}"
    return _Format(encode, codecs.jpegxl_decode, 1 << 14).coder("jpegxl", settings, codecs.jpegxl_version())


# Effort 10 is best by far on a large picture (9 % below 9 on one of 4096 rows) and worst on a single patch. Forty
# patches of photographs: 10 alone 37,026 bytes, 9 36,508, 5 36,231, the shortest of these three 35,937.
_JPEGXL_EFFORTS = (5, 8, 10)
_FLAC_HEAD_BYTES = 8 + 34  # magic, and the first block: STREAMINFO
_MD5_OF_NOTHING = hashlib.md5(b"", usedforsecurity=False).digest()


def _flac(_: int | None) -> ClassicalCoder:
    soundfile = import_optional("soundfile", "flac")

    def encode(samples: npt.NDArray[np.uint8]) -> bytes:
        # The library takes 16 bits and keeps the upper 8 of them.
        wide = (samples.astype(np.int16) - 128) << 8
        file = io.BytesIO()
        soundfile.write(file, wide, 16_000, format="FLAC", subtype="PCM_S8", compression_level=1.0)
        return file.getvalue()

    def pack(data: bytes) -> bytes:
        return encode(np.frombuffer(data, np.uint8)) if data else _without_sound(encode(np.zeros(1, np.uint8)))

    def unpack(packed: bytes) -> bytes:
        if _n_samples(packed) == 0 and packed[_FLAC_HEAD_BYTES - 16 : _FLAC_HEAD_BYTES] == _MD5_OF_NOTHING:
            return b""
        wide, _rate = soundfile.read(io.BytesIO(packed), dtype="int16")
        if wide.ndim != 1 or (wide & 255).any():
            raise ValueError("it is not 8-bit sound of one channel")
        if len(wide) != _n_samples(packed):
            raise ValueError("it ends in the middle")
        return bytes(((wide >> 8) + 128).astype(np.uint8))

    return ClassicalCoder(
        name="flac", settings="-8", version=f"libsndfile {soundfile.__libsndfile_version__}", pack=pack, unpack=unpack
    )


def _n_samples(packed: bytes) -> int:
    """By STREAMINFO: the 36 bits before the 16 bytes of MD5 at its end (RFC 9639)."""
    return int.from_bytes(packed[_FLAC_HEAD_BYTES - 21 : _FLAC_HEAD_BYTES - 16], "big") & (1 << 36) - 1


def _without_sound(one_sample: bytes) -> bytes:
    """The file of no sample, which the library does not write: the blocks before the first frame, count and MD5 set."""
    end, last = 4, False
    while not last:
        last = one_sample[end] >= 128
        end += 4 + int.from_bytes(one_sample[end + 1 : end + 4], "big")
    head = bytearray(one_sample[:end])
    head[_FLAC_HEAD_BYTES - 17] &= 0xFE  # the count was 1
    head[_FLAC_HEAD_BYTES - 16 : _FLAC_HEAD_BYTES] = _MD5_OF_NOTHING
    return bytes(head)


register_coder("png", _png, modalities=("image",), cost_per_byte=6e5, decoder_bytes=None)
register_coder("webp", _webp, modalities=("image",), cost_per_byte=2e5, decoder_bytes=None)
register_coder("jpegxl", _jpegxl, modalities=("image",), cost_per_byte=5e6, decoder_bytes=None)
register_coder("flac", _flac, modalities=("audio",), cost_per_byte=1e5, decoder_bytes=None)
