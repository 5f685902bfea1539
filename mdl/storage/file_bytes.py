"""The bytes of a file, read where they are asked for: a mapped file's pages would count as this process's memory."""

from __future__ import annotations

import os
import stat
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError
from mdl.storage.cache import FileState, cache_folder, file_state, sha256_of_open


class ChangedError(MdlError):
    """A file is not what it was when it was opened: what was made from it meanwhile is of nobody knows which bytes."""


class FileBytes:
    """A file as an array of which slices can be taken, `raw[a:b]`, (b − a,) uint8 each; a copy, not a view."""

    def __init__(self, path: Path) -> None:
        """MdlError for a file that cannot be read."""
        self.path = path
        self._known: set[FileState] = set()  # looks of the file at which it held the bytes that were asked for
        try:
            self._file = path.open("rb", buffering=0)
            self.size = os.fstat(self._file.fileno()).st_size
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
                raise ChangedError(
                    f"{self.path} has become shorter than {self.size:,} bytes while it was being read; bring the old "
                    "bytes back"
                )
            done += n
        return wanted

    def sha256(self, cache: Path) -> str:
        """Of all bytes of the open file; remembered in the cache. ChangedError where it grew since it was opened."""
        state = file_state(self._file)
        if state.size != self.size:
            raise ChangedError(f"{self.path} is being written to; try again when it is finished")
        found_sha256 = sha256_of_open(self._file, self.path, cache)
        self._known.add(state)
        return found_sha256

    def other_than(self, sha256: str) -> str:
        """What the file, or its name, holds now where that is not the bytes of `sha256`; else nothing.

        Only what looks different from before (size, times, which file it is) is hashed again. A file whose name is gone
        is still what it was to whoever has opened it.
        """
        try:
            with self._under_its_name() as named:
                return self._other(self._file, sha256) or self._other(named, sha256)
        except OSError as error:
            return f"not readable: {error.strerror or error}"

    def _under_its_name(self) -> FileIO:
        """What lies at the path now, a file server asked anew; what was opened where nothing does."""
        try:  # a pipe in its place would wait for who writes it
            handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            handle = os.dup(self._file.fileno())
        return os.fdopen(handle, "rb", buffering=0)

    def _other(self, stream: FileIO, sha256: str) -> str:
        state = file_state(stream)
        if state in self._known:
            return ""
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return "no plain file"
        found_sha256 = sha256_of_open(stream, self.path, cache_folder())
        if found_sha256 != sha256:
            return f"sha256 {found_sha256[:12]}…"
        self._known.add(state)
        return ""
