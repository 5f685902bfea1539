"""A pretrained language model beside the other coders: it tells code lengths, and says why it writes no files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from mdl.corpus import ByteView
from mdl.errors import MdlError
from mdl.pretrained import Pretrained, Windows

_WHY = (
    "{} gives code lengths only (mdl evaluate): transformers computes partly in float32, so no decoder is sure to see "
    "the encoder's probabilities; to write files train a model of mdl's own (mdl sweep), and use model:RUN_FOLDER"
)


@dataclass(frozen=True)
class PretrainedCoder:
    """A peer of the classical coders for measuring; its code is stated in `mdl.escape` and `mdl.pretrained`."""

    model: Pretrained
    windows: Windows

    @property
    def name(self) -> str:
        """Its registry name, such as hf:/models/pythia-70m."""
        return self.model.checkpoint.spec

    @property
    def settings(self) -> str:
        """The windows, and the hash of the weights."""
        windows = self.windows
        return f"context {windows.context_tokens} stride {windows.stride_tokens} {self.model.checkpoint.sha256[:12]}"

    @property
    def version(self) -> str:
        """Of the library that runs it."""
        from importlib.metadata import version

        return f"transformers {version('transformers')}"

    def code_bits(self, data: bytes) -> float:
        """Length of the code of `data`, bits, the escape included."""
        from mdl.evaluate import code

        if not data:
            return 0.0
        view = ByteView(np.frombuffer(data, np.uint8), np.array([0]), np.array([len(data)]))
        return sum(own.token_bits + own.escape_bits for own in code(self.model, view, len(data), self.windows))

    def compress(self, data: bytes) -> NoReturn:
        """MdlError that says why there is no file."""
        raise MdlError(_WHY.format(self.name))

    def decompress(self, data: bytes) -> NoReturn:
        """MdlError that says why there is no file."""
        raise MdlError(_WHY.format(self.name))


def open_pretrained(name: str) -> PretrainedCoder:
    """hf:FOLDER or hf:NAME in float32, in windows of its own context; MdlError where there is none."""
    from mdl.compressors.language_model import choose_device
    from mdl.hub import find
    from mdl.pretrained import load, windows_of

    checkpoint = find(name)
    return PretrainedCoder(load(checkpoint, device=choose_device()), windows_of(checkpoint, None, None))
