"""Which files a folder or a list of paths holds: each file once, whatever links and second names lead to it.

A file taken twice would stand in the held-out part and in the training part, and every rate would be too low. Two
paths are the same file where device and inode are equal, so a hard link counts no more than a symbolic one. The path
that is kept is the one through the fewest links, and of these the first by name.
"""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from heapq import heappop, heappush
from pathlib import Path

from mdl.errors import MdlError

_LEADS_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def files_at(path: Path) -> list[Path]:
    """The named file; every file below a folder; every file that a glob matches, each once. MdlError for none.

    `**` in a glob is any number of folders, as below a folder: links are followed, but none twice.
    """
    if path.is_file():
        return [path]
    if path.is_dir():
        return files_under(path)
    if not (files := _matching(path)):
        raise MdlError(broken_link(path) or f"no file at {path}; give a file, a folder or a glob")
    return files


def broken_link(path: Path) -> str:
    """What is wrong with a link that leads nowhere; nothing of any other path."""
    if not path.is_symlink() or _status(path):
        return ""
    return f"{path} is a link to {path.readlink()}, which leads nowhere; mend the link or name the file itself"


def is_here(place: str) -> bool:
    """Is there such a file, such a folder, or any file that fits the glob?"""
    path = Path(place).expanduser()
    return path.exists() or bool(_matching(path))


def _matching(pattern: Path) -> list[Path]:
    """The library's own `**` would follow two links to a folder above for ever."""
    if "**" not in pattern.parts:
        return once(_glob(pattern))
    first = pattern.parts.index("**")
    bases = [base for base in _glob(Path(*pattern.parts[:first])) if base.is_dir()]
    under = [(base, file) for base in bases for file in files_under(base)]
    return once(file for base, file in under if _fits(file.relative_to(base).parts, pattern.parts[first:]))


def _glob(pattern: Path) -> list[Path]:
    return [Path(name) for name in glob.glob(str(pattern))]  # noqa: PTH207 - may be absolute


def _fits(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return len(pattern) == 1 or any(_fits(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def states_of(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Where each lies, its bytes, and when it was written: what a cache of them hangs on."""
    return [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def files_under(folder: Path) -> list[Path]:
    """Every file below a folder, each once, sorted by the parts of its path; hidden files and folders are left out.

    Links to folders are followed, each folder once, so that a link to a folder above does no harm. Links that lead
    nowhere, pipes and devices are no files. MdlError names what may not be read.
    """
    waiting = [(0, folder.parts, folder)]  # the fewest links first: a folder keeps its real name where it has one
    seen: set[tuple[int, int]] = set()
    files: list[Path] = []
    while waiting:
        n_links, _, here = heappop(waiting)
        status = _status(here)
        if status is None or _identity(status) in seen:
            continue
        seen.add(_identity(status))
        for path in _visible(here):
            inner = _status(path)
            if inner and stat.S_ISDIR(inner.st_mode):
                heappush(waiting, (n_links + path.is_symlink(), path.parts, path))
            elif inner:
                files.append(path)
    return once(files)


def once(paths: Iterable[Path]) -> list[Path]:
    """The regular files among the paths, each once, sorted by the parts of their paths."""

    @cache
    def n_links(path: Path) -> int:
        """How many links stand in a path; parents are asked once for all their files."""
        return path.is_symlink() + (n_links(path.parent) if path.parent != path else 0)

    files = [(path, status) for path in paths if (status := _status(path)) and stat.S_ISREG(status.st_mode)]
    kept: dict[tuple[int, int], Path] = {}
    for path, status in sorted(files, key=lambda pair: (n_links(pair[0]), pair[0].parts)):
        kept.setdefault(_identity(status), path)
    return sorted(kept.values(), key=lambda path: path.parts)


def _visible(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise MdlError(f"cannot read the folder {folder}: {error.strerror or error}") from None


def _status(path: Path) -> os.stat_result | None:
    """What the path leads to, links followed; None where it leads nowhere."""
    try:
        return path.stat()
    except OSError as error:
        if error.errno in _LEADS_NOWHERE:
            return None
        raise MdlError(f"cannot read {path}: {error.strerror or error}") from None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
