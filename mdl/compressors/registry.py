"""Every coder is a peer: one Protocol, one registry, one file a family.

To add one, register it in a file of its own and name that file with --plugin (or import it in Python):

    from mdl.compressors import ClassicalCoder, register_coder

    def lz4(chunk_bytes):
        return ClassicalCoder(name="lz4", settings="-9", version=lz4.__version__, pack=..., unpack=...)

    register_coder("lz4", lz4, modalities=(ANY,), cost_per_byte=1e4, decoder_bytes=None)
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mdl.errors import MdlError
from mdl.records import MODALITIES, Registry

ANY = "any"
_OF_CODERS = (*MODALITIES, ANY)


class Compressor(Protocol):
    """Bytes to fewer bytes and back, exactly."""

    @property
    def name(self) -> str:
        """Its registry name, such as gzip."""
        ...

    @property
    def settings(self) -> str:
        """As its command-line tool writes them, such as -9."""
        ...

    @property
    def version(self) -> str:
        """Of the library that does the work."""
        ...

    def compress(self, data: bytes) -> bytes:
        """A self-contained file of `data`."""
        ...

    def decompress(self, data: bytes) -> bytes:
        """What `compress` was given; MdlError for data that is seen to be damaged."""
        ...


@dataclass(frozen=True, kw_only=True)
class Coder:
    """What the toolkit has to know of a classical coder to plan and report with it."""

    make: Callable[[int | None], Compressor]
    """From the longest input, bytes, where it is known: some coders then take less memory and time."""
    modalities: tuple[str, ...]
    """Kinds of data that it is made for: text, image, audio, bytes, or any."""
    cost_per_byte: float
    """What coding a byte takes: the floating-point operations that a model would do in that time on the same core."""
    decoder_bytes: int | None
    """Size of the compiled library or program that decodes; None: not known."""
    program: str | None = None
    """Executable that must be on the PATH. Such a coder is measured on whole subsets alone."""

    @property
    def is_there(self) -> bool:
        """Whether its program, if it needs one, is on the PATH."""
        return self.program is None or shutil.which(self.program) is not None


REGISTRY: Registry[Coder] = Registry(
    "coder",
    {
        **dict.fromkeys(
            ("gzip", "xz", "bzip2", "zstd", "zstd-ultra", "brotli", "ppmd", "ppmd-o6"), "mdl.compressors.general"
        ),
        **dict.fromkeys(("png", "webp", "jpegxl", "flac"), "mdl.compressors.images_and_audio"),
        "wavpack": "mdl.compressors.wavpack",
        "zpaq": "mdl.compressors.external",
    },
)


def register_coder(
    name: str,
    make: Callable[[int | None], Compressor],
    *,
    modalities: tuple[str, ...],
    cost_per_byte: float,
    decoder_bytes: int | None,
    program: str | None = None,
) -> None:
    """Add a coder under its name (see `Coder`); MdlError for a name that is taken, or for what it says wrongly."""
    if not modalities or (unknown := set(modalities) - set(_OF_CODERS)):
        given = ", ".join(sorted(unknown)) if modalities else "none"
        raise MdlError(f"coder '{name}': modalities are {', '.join(_OF_CODERS)}; got {given}")
    if not (math.isfinite(cost_per_byte) and cost_per_byte > 0):
        raise MdlError(f"coder '{name}': cost_per_byte is {cost_per_byte}; want operations, such as 1e5")
    coder = Coder(
        make=make,
        modalities=tuple(modalities),
        cost_per_byte=cost_per_byte,
        decoder_bytes=decoder_bytes,
        program=program,
    )
    REGISTRY.register(name, coder)


def coders_for(modality: str) -> tuple[str, ...]:
    """Names of the coders of any data, then of those made for the modality ("text", "image", "audio", "bytes").

    Those whose program is not on the PATH are left out; `missing_programs` names them.
    """
    there = [name for name in REGISTRY if REGISTRY[name].is_there]
    general = [name for name in there if ANY in REGISTRY[name].modalities]
    return (*general, *(name for name in there if modality in REGISTRY[name].modalities and name not in general))


def missing_programs() -> tuple[str, ...]:
    """Names of the coders that `coders_for` leaves out, since their program is not on the PATH."""
    return tuple(name for name in REGISTRY if not REGISTRY[name].is_there)


def chunk_lengths(coder: str, context_bytes: int) -> tuple[int | None, ...]:
    """What a coder is measured on: the whole (None) and chunks of the context; a program on the whole alone.

    A program starts anew for every file and writes an archive of its own, which is all that chunks would measure.
    """
    return (None,) if REGISTRY[coder].program else (None, context_bytes)


def get(name: str, chunk_bytes: int | None = None) -> Compressor:
    """The coder of that name, for inputs of `chunk_bytes` at the most where given; MdlError naming the nearest.

    Language models are named by where they are: model:RUN_FOLDER (or a .safetensors file), hf:PRETRAINED_MODEL.
    """
    kind, colon, _ = name.partition(":")
    if colon and kind in _LANGUAGE_MODELS:
        return _LANGUAGE_MODELS[kind](name)
    return REGISTRY[name].make(chunk_bytes)


def _trained(name: str) -> Compressor:
    from mdl.compressors.byte_model import load_model
    from mdl.compressors.language_model import LanguageModel
    from mdl.compressors.model_selection import choose_model

    model = name.partition(":")[2]
    if model in ("", "auto"):
        raise MdlError(f"'{name}' names no model; give model:RUN_FOLDER, or model:FILE.safetensors")
    return LanguageModel(load_model(choose_model(model).weights), name)


def _pretrained(name: str) -> Compressor:
    from mdl.pretrained import open_pretrained

    return open_pretrained(name)


def _own(name: str) -> Compressor:
    from mdl.compressors.model_selection import choose_model

    return _trained(str(choose_model(name).weights))  # which says why there is none


_LANGUAGE_MODELS: dict[str, Callable[[str], Compressor]] = {"model": _trained, "hf": _pretrained, "py": _own}
