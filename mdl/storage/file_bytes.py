"""The bytes of a file, read where they are asked for: a mapped file's pages would count as this process's memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError


class FileBytes:
    """A file as an array of which slices can be taken, `raw[a:b]`, (b − a,) uint8 each; a copy, not a view."""

    def __init__(self, path: Path) -> None:
        """MdlError for a file that cannot be read."""
        try:
            self._file = path.open("rb", buffering=0)
            self.size = path.stat().st_size
        except OSError as error:
            raise MdlError(f"cannot read {path}: {error.strerror or error}") from None

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def __getitem__(self, where: slice) -> npt.NDArray[np.uint8]:
        start, stop, _ = where.indices(self.size)
        wanted = np.empty(max(0, stop - start), np.uint8)
        self._file.seek(start)
        done = 0
        while done < wanted.size:  # a system reads 2 GB at a time at the most
            n = self._file.readinto(wanted[done:].data)
            if not n:
                raise MdlError(f"{self._file.name} has become shorter than {self.size:,} bytes while it was being read")
            done += n
        return wanted
