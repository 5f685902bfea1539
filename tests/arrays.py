"""An in-memory stand-in for a corpus's byte view, with the same two methods."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class ArrayView:
    """Bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = np.frombuffer(content, np.uint8)

    def __len__(self) -> int:
        return self.content.size

    def read(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        """Bytes [start, end)."""
        return self.content[start:end].copy()

    def gather(self, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.uint8]:
        """Rows (n, length)."""
        return self.content[starts[:, None] + np.arange(length)]
