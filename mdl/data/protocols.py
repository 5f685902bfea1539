"""What a reader of bytes or tokens can be asked."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Gatherable(Protocol):
    """The part of a corpus that training needs."""

    def gather(self, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[Any]:
        """Rows (n, length) of bytes (or tokens) from the given offsets."""
        ...

    def read(self, start: int, end: int) -> npt.NDArray[Any]:
        """Bytes (or tokens) [start, end)."""
        ...


class Readable(Protocol):
    """The part of a corpus that measuring needs."""

    def __len__(self) -> int: ...
    def read(self, start: int, end: int) -> npt.NDArray[Any]:
        """Bytes (or tokens) [start, end)."""
        ...
