"""Every file of this package is written here: wholly or not at all, over an older one or once for all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from mdl.errors import MdlError, one_line
from mdl.storage.process_identity import Process, this_process

_ABANDONED_SECONDS = 3600.0
T = TypeVar("T")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream to a file beside `path`, synced and moved there once all went well, and removed otherwise.

    Every file of this package is written through here. OSError (no space, read-only) leaves nothing behind.
    """
    require_parent(path)
    temporary = temporary_beside(path)
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # gone already where all went well


def require_parent(path: Path) -> None:
    """FileNotFoundError where the folder that a file is to lie in is not there."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))


def temporary_beside(path: Path) -> Path:
    """A name that is this process's own, and tells whose it is should it be left behind."""
    return path.with_name(f".{path.name}.{this_process().token}.tmp")


def remove_dead_temporaries(folder: Path) -> None:
    """Remove from a folder what a process that died was writing there; what another host writes after an hour."""
    with contextlib.suppress(FileNotFoundError):
        for entry in list(os.scandir(folder)):
            if entry.name.startswith(".") and entry.name.endswith(".tmp"):
                owner = Process.parse(entry.name.split(".")[-2])
                with contextlib.suppress(OSError):
                    if not entry.is_file(follow_symlinks=False):
                        continue
                    if owner and (owner.is_dead or time.time() - entry.stat().st_mtime > _ABANDONED_SECONDS):
                        Path(entry).unlink()


def remove_own(path: Path) -> bool:
    """Remove a file whose name only this package gives; whether it is gone. What is linked, or lies in a link, stays.

    Whoever links a file or a folder to here has the thing itself elsewhere, and it is theirs.
    """
    if path.is_symlink() or path.parent.is_symlink():
        return False
    path.unlink(missing_ok=True)
    return True


def set_aside(path: Path) -> Path:
    """Rename a file that is of no use to a free name beside it, `<name>.damaged` and so on; returns that."""
    names = itertools.chain([f"{path.name}.damaged"], (f"{path.name}.damaged-{n}" for n in itertools.count(2)))
    aside = next(other for name in names if not (other := path.with_name(name)).exists())
    path.rename(aside)
    return aside


def write_atomically(path: Path, content: bytes) -> None:
    """All of `content` at `path`, or nothing. Raises OSError (no space, read-only) with nothing left behind."""

    def write() -> None:
        with replacing(path) as stream:
            stream.write(content)

    _in_its_folder(path, write)


def require_writable(path: Path) -> None:
    """Raise before long work what writing its output to `path` would raise after it; nothing stays. OSError.

    A folder is made there and removed again: a file system such as /proc permits what it then refuses.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    try:
        Path(tempfile.mkdtemp(prefix=".", dir=folder)).rmdir()
    except OSError as error:
        raise OSError(
            error.errno, f"nothing can be made there: {os.strerror(error.errno or errno.EIO)}", str(folder)
        ) from None


def require_records_folder(folder: Path) -> None:
    """MdlError before long work where records could not be written in a folder, which need not be there yet."""
    try:
        require_writable(folder / "record.json")
    except OSError as error:
        raise MdlError(f"no records can be written to {folder}: {one_line(error)}; name another folder") from None


def _in_its_folder(path: Path, write: Callable[[], T]) -> T:
    """What `write` gives, in a folder that is made for it and that other processes remove whenever it is empty."""
    for _ in range(1000):
        # Python's mkdir says that it exists where it went in the very moment between two looks.
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return write()
    path.parent.mkdir(parents=True, exist_ok=True)  # this is no such race: let it say what it is
    return write()


def create_once(path: Path, content: bytes, *, synced: bool = True) -> bool:
    """All of `content` at `path` where nothing was, and whether it is ours: of many processes one gets True.

    Raises OSError (no space, read-only) with nothing left behind.
    """
    temporary = temporary_beside(path)

    def write() -> bool:
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                if synced:
                    os.fsync(stream.fileno())
            return _link(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    return _in_its_folder(path, write)


def keep_once(path: Path, content: bytes) -> Path:
    """Where `content` now lies: at `path`, or beside it under a name with 8 hex of it where something else lies there.

    Overwrites nothing: a process that stood still, was taken for dead and wakes up leaves its successor's file alone.
    """
    with contextlib.suppress(FileNotFoundError):  # removed between the two looks
        if create_once(path, content) or path.read_bytes() == content:
            return path
    other = path.with_stem(f"{path.stem}-{hashlib.sha256(content).hexdigest()[:8]}")
    write_atomically(other, content)  # whoever writes this name writes the same
    return other


def _link(temporary: Path, path: Path) -> bool:
    """NFS may lose a reply and repeat the call: the number of links tells the truth, not the error."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        return _create_without_links(temporary, path)
    return temporary.stat().st_nlink == 2


def _create_without_links(temporary: Path, path: Path) -> bool:
    """For file systems that have no links: created by one, but for a moment a reader may see it empty."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    temporary.replace(path)
    return True
