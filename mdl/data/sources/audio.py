"""Sound as the paper takes it: one channel (the mean of all), 16 kHz, 8-bit unsigned, in chunks of 2048 bytes.

A sample of 16 bits becomes (s >> 8) + 128; 24 bits and floating point likewise by rounding down, and what is past full
scale is clipped. What is left over at the end of whole chunks is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdl.data.sources.base import Source
from mdl.data.sources.media_files import UNIT_BYTES, cached_units, files_of, split_settings
from mdl.data.sources.registry import register_source
from mdl.errors import MdlError
from mdl.storage import Progress, import_optional, package_version

RATE_HZ = 16_000
SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .aif .aiff .au .caf .w64 .rf64".split()  # noqa: SIM905 - reads as one
)
_BLOCK_FRAMES = 1 << 18
_UNKNOWN_FRAMES = 1 << 62  # a streamed file does not say how many it has; the library then says 2^63 − 1
Floats = npt.NDArray[np.float64]


def open_audio(rest: str, cache: Path, progress: Progress | None = None) -> Source:
    """A file or a folder; a document a recording. MdlError in one line naming the file that cannot be read."""
    import_optional("soundfile", "an audio corpus")
    import_optional("soxr", "an audio corpus")
    name, _ = split_settings(rest, ())
    files = files_of(Path(name).expanduser(), SUFFIXES)
    return cached_units(
        files,
        "audio",
        [package_version("soundfile"), package_version("soxr")],
        lambda path: whole_chunks(read_u8(path)),
        cache,
        progress,
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

    try:
        with soundfile.SoundFile(path) as file:
            for mono in _at_16_khz(_mono(file), file.samplerate):
                if not np.isfinite(mono).all():
                    raise MdlError(f"cannot read audio {path}: it holds samples that are no numbers")
                yield (np.clip(np.floor(mono * 128), -128, 127) + 128).astype(np.uint8).tobytes()
    except (soundfile.SoundFileError, EOFError) as error:
        reason = getattr(error, "error_string", None) or error
        raise MdlError(f"cannot read audio {path}: {reason}") from None


def _mono(file: Any) -> Iterator[Floats]:
    """The mean of the channels, full scale 1, block by block; EOFError where fewer come than the file says."""
    n_read = 0
    for block in file.blocks(_BLOCK_FRAMES, dtype="float64", always_2d=True):
        n_read += len(block)
        yield block.mean(axis=1)
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
