"""A folder that one process at a time works in, for one purpose."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mdl.errors import MdlError

_KEY = "key"


@contextmanager
def locked_folder(folder: Path, key: Any = None) -> Iterator[None]:
    """A folder that is this process's alone, made where it is not there; emptied of what is not of `key`.

    What JSON can say is a key; it stands in the folder. None: whatever it is of. The system unlocks the folder when the
    process ends, however it does. After an exception it stays only where something was written in it. MdlError where
    another process has it.
    """
    if folder.is_symlink():
        raise MdlError(f"{folder} is a link; remove it")
    with _locked_file(folder) as stream:
        try:
            if key is not None:
                _make_of_key(folder, stream, json.dumps(key, sort_keys=True).encode())
            yield
        except BaseException:
            if folder.exists() and not any(file.is_dir() or file.stat().st_size for file in _but_key(folder)):
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _make_of_key(folder: Path, stream: BinaryIO, key: bytes) -> None:
    if stream.read() == key:
        return
    for file in _but_key(folder):
        shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()
    stream.seek(0)
    stream.truncate()
    stream.write(key)
    stream.flush()


def _but_key(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.name != _KEY]


def open_both(file: Path) -> BinaryIO:
    """To read and to write, from its beginning; made where it is not there."""
    return os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b")


def _locked_file(folder: Path) -> BinaryIO:
    while True:
        folder.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # it was removed between two looks
            stream = open_both(folder / _KEY)
            try:
                _lock(stream, folder)
                if os.path.samestat(os.fstat(stream.fileno()), (folder / _KEY).stat()):
                    return stream
            except BaseException:
                stream.close()
                raise
            stream.close()


def _lock(stream: BinaryIO, folder: Path) -> None:
    """Of this process, not of those that it forks; where a file system has no locks there is none."""
    try:
        import fcntl

        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows
        pass
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise MdlError(f"another process is writing the same, in {folder}; wait for it, or stop it") from None
