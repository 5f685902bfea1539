"""A trained byte model as a peer of the classical coders."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from mdl import __version__
from mdl.archives import Archive
from mdl.compressors.byte_model import ExactModel, compress_stream, decompress_stream


@dataclass(frozen=True)
class LanguageModel:
    """A peer of the classical coders: whole archives, without the weights."""

    exact: ExactModel = field(repr=False)
    name: str = "language-model"

    @property
    def settings(self) -> str:
        """Shape, context and hash."""
        shape = self.exact.shape
        return f"{shape.label} context {shape.context_tokens} {self.exact.sha256[:12]}"

    @property
    def version(self) -> str:
        """The version of this package, which is the coder."""
        return f"mdl {__version__}"

    def compress(self, data: bytes) -> bytes:
        """An archive of `data`."""
        target = io.BytesIO()
        compress_stream(io.BytesIO(data), target, self.exact)
        return target.getvalue()

    def decompress(self, data: bytes) -> bytes:
        """What `compress` was given; MdlError for damaged data or another model."""
        target = io.BytesIO()
        decompress_stream(Archive(io.BytesIO(data)), target, self.exact)
        return target.getvalue()
