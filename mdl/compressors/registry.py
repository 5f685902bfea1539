"""Every coder is a peer: one Protocol, one registry, one file a family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mdl.compressors import general, images_and_audio, wavpack
from mdl.errors import MdlError, nearest


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


# name -> factory(chunk_bytes): some coders take less memory and time when told the longest input.
REGISTRY: dict[str, Callable[[int | None], Compressor]] = {
    **general.FACTORIES,
    **images_and_audio.FACTORIES,
    **wavpack.FACTORIES,
}


def get(name: str, chunk_bytes: int | None = None) -> Compressor:
    """The coder of that name, for inputs of `chunk_bytes` at the most where given; MdlError naming the nearest.

    Language models are named by where they are: model:RUN_FOLDER (or a .safetensors file), hf:PRETRAINED_MODEL.
    """
    kind, colon, _ = name.partition(":")
    if colon and kind in _LANGUAGE_MODELS:
        return _LANGUAGE_MODELS[kind](name)
    if name not in REGISTRY:
        known = ", ".join([*REGISTRY, "model:RUN_FOLDER", "hf:PRETRAINED_MODEL"])
        raise MdlError(f"unknown coder '{name}'{nearest(name, REGISTRY)} (there are {known})")
    return REGISTRY[name](chunk_bytes)


def _trained(name: str) -> Compressor:

    from mdl.compressors.byte_model import LanguageModel, load_model
    from mdl.compressors.model_selection import choose_model

    model = name.partition(":")[2]
    if model in ("", "auto"):
        raise MdlError(f"'{name}' names no model; give model:RUN_FOLDER, or model:FILE.safetensors")
    return LanguageModel(load_model(choose_model(model).weights), name)


def _pretrained(name: str) -> Compressor:
    from mdl.pretrained import open_pretrained

    return open_pretrained(name)


_LANGUAGE_MODELS: dict[str, Callable[[str], Compressor]] = {"model": _trained, "hf": _pretrained}
