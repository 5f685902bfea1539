"""Bits of tokens that an interrupted measurement had coded, from its folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdl.storage import locked_folder, open_both

_ITEM_BYTES = 8
_EVERY_SECONDS = 5.0


class KeptBits:
    """A file of numbers that grows as they are computed; a number cut short is none."""

    def __init__(self, file: Path) -> None:
        self._file = open_both(file)
        content = self._file.read()
        self.bits = content[: len(content) // _ITEM_BYTES * _ITEM_BYTES]
        """Those of an earlier call, float64 as bytes."""
        self._file.truncate(len(self.bits))
        self._file.seek(len(self.bits))
        self._waiting, self._written = bytearray(), time.monotonic()

    def add(self, bits: npt.NDArray[np.float64]) -> None:
        """The next ones, which go to the disk every few seconds."""
        self._waiting += bits.tobytes()
        if time.monotonic() - self._written > _EVERY_SECONDS:
            self.write()

    def write(self) -> None:
        """Whatever waits; the disk has it when this returns."""
        self._file.write(self._waiting)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._waiting.clear()
        self._written = time.monotonic()

    def close(self) -> None:
        """Nothing more will come."""
        with self._file:
            self.write()


@contextmanager
def kept_bits(folder: Path | None) -> Iterator[KeptBits | None]:
    """Those of a folder, which is this process's alone until the end; MdlError where another one has it."""
    if folder is None:
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked_folder(folder):
        kept = KeptBits(folder / "bits")
        try:
            yield kept
        finally:
            kept.close()
