"""WavPack, by FFmpeg's encoder: 8-bit sound of one channel, 16 kHz; any bytes are such sound.

Large files have the sizes of the format's own tool at -hhx within 1 %; those of 2048 bytes are some 100 bytes smaller,
mostly for the RIFF header of 80 bytes that the tool makes up and keeps.

What is empty becomes one padded sample with the byte 1 before the file, since the format has no file without sound.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from mdl.compressors.general import ClassicalCoder
from mdl.compressors.registry import register_coder
from mdl.storage import import_optional

_RATE_HZ = 16_000
_LEVEL = 3  # the sizes of the tool's -hhx
_COUNT = slice(12, 16)  # samples in all, in the first block's header
_PADDED = b"\1"  # no file begins so: the format's first byte is "w"


def _pack(data: bytes) -> bytes:
    return _encode(data) if data else _PADDED + _encode(b"\x80")


def _unpack(packed: bytes) -> bytes:
    if packed[:1] == _PADDED:
        if _decode(packed[1:]) != b"\x80":
            raise ValueError("it is not one padded sample")
        return b""
    return _decode(packed)


def _encode(data: bytes) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="wv", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("wavpack", rate=_RATE_HZ, layout="mono", format="u8p")
        stream.codec_context.options = {"compression_level": str(_LEVEL)}
        frame = av.AudioFrame.from_ndarray(np.frombuffer(data, np.uint8)[None], format="u8p", layout="mono")
        frame.sample_rate = _RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def _decode(packed: bytes) -> bytes:
    import av

    with av.open(io.BytesIO(packed), "r", format="wv") as container:
        # By default the library leaves out what is damaged and goes on.
        container.streams.audio[0].codec_context.options = {"err_detect": "crccheck+explode"}
        data = b"".join(_samples(frame.to_ndarray()) for frame in container.decode(audio=0))
    if len(data) != int.from_bytes(packed[_COUNT], "little"):
        raise ValueError("it ends in the middle")
    return data


def _samples(frame: npt.NDArray[Any]) -> bytes:
    """Of a frame (channels, samples): the library gives 8 bits as the upper half of 16."""
    if frame.dtype != np.int16 or frame.shape[0] != 1 or (frame & 255).any():
        raise ValueError("it is not 8-bit sound of one channel")
    return ((frame >> 8) + 128).astype(np.uint8).tobytes()


def _wavpack(_: int | None) -> ClassicalCoder:
    av = import_optional("av", "wavpack")
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return ClassicalCoder(
        name="wavpack",
        settings=f"-compression_level {_LEVEL}",
        version=f"FFmpeg libavcodec {codec}",
        pack=_pack,
        unpack=_unpack,
    )


register_coder("wavpack", _wavpack, modalities=("audio",), cost_per_byte=1e5, decoder_bytes=None)
