"""Sound as the paper takes it: one channel (the mean of all), 16 kHz, 8-bit unsigned, in chunks of 2048 bytes.

A sample of 16 bits becomes (s >> 8) + 128; 24 bits and floating point likewise by rounding down, and what is past full
scale is clipped. What is left over at the end of whole chunks is dropped. Rates from 1 kHz to 1 MHz are resampled; any
other is a damaged header, by which a second of sound could become gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdl.data.sources.base import Source
from mdl.data.sources.media_files import UNIT_BYTES, cached_units, files_of, reading, split_settings
from mdl.data.sources.registry import register_source
from mdl.errors import MdlError
from mdl.storage import Progress, import_optional, package_version

RATE_HZ = 16_000
SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .aif .aiff .au .caf .w64 .rf64".split()  # noqa: SIM905 - reads as one
)
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 1_000_000
_BLOCK_FRAMES = 1 << 18
_BLOCK_SAMPLES = 1 << 21  # of all channels, of which a file may claim a thousand
_UNKNOWN_FRAMES = 1 << 62  # a streamed file does not say how many it has; the library then says 2^63 − 1
Floats = npt.NDArray[np.float64]


def open_audio(rest: str, cache: Path, progress: Progress | None = None) -> Source:
    """A file or a folder; a document a recording. MdlError in one line naming the file that cannot be read."""
    import_optional("soundfile", "an audio corpus")
    import_optional("soxr", "an audio corpus")
    name, _ = split_settings(rest, ())
    return cached_units(
        files_of(Path(name).expanduser(), SUFFIXES, "audio"),
        lambda path: whole_chunks(read_u8(path)),
        cache,
        depends_on=[package_version("soundfile"), package_version("soxr")],
        unit=f"a chunk of {UNIT_BYTES} samples at 16 kHz",
        made=("recording", "of 8-bit samples, one channel at 16 kHz"),
        progress=progress,
    )


def whole_chunks(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, less what does not fill a chunk of 2048 at the end."""
    rest = b""
    for part in parts:
        have = rest + part
        end = len(have) - len(have) % UNIT_BYTES
        yield have[:end]
        rest = have[end:]


def read_u8(path: Path) -> Iterator[bytes]:
    """A recording's bytes, part by part; MdlError naming it where it is damaged or no sound."""
    import soundfile

    with reading("audio", path), soundfile.SoundFile(path) as file:
        if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
            limits = f"from {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz"
            raise MdlError(f"it claims a rate of {file.samplerate:,} Hz; those {limits} are read")
        for mono in _at_16_khz(_mono(file), file.samplerate):
            if not np.isfinite(mono).all():
                raise MdlError("it holds samples that are not numbers")
            yield (np.floor(np.clip(mono, -1, 1) * 128).clip(-128, 127) + 128).astype(np.uint8).tobytes()


def _mono(file: Any) -> Iterator[Floats]:
    """The mean of the channels, full scale 1, block by block; EOFError where fewer come than the file says."""
    n_read = 0
    block_frames = min(_BLOCK_FRAMES, _BLOCK_SAMPLES // file.channels)
    # `file.blocks` would refuse forms that cannot be wound back, such as GSM.
    while len(block := file.read(block_frames, dtype="float64", always_2d=True)):
        n_read += len(block)
        with np.errstate(all="ignore"):  # what becomes infinite is refused
            mono = block.mean(axis=1)
        yield mono
    if n_read < file.frames < _UNKNOWN_FRAMES:
        raise EOFError(f"it ends after {n_read:,} of {file.frames:,} samples")


def _at_16_khz(blocks: Iterator[Floats], rate_hz: int) -> Iterator[Floats]:
    if rate_hz == RATE_HZ:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate_hz, RATE_HZ, 1, dtype="float64")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0), last=True)


register_source("audio", open_audio, form="audio:PATH", modality="audio", needs_network=False)
