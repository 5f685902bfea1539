"""Where an archive, or what it holds, is written to: what is not overwritten, and what outlives an interruption."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mdl import __version__
from mdl.archives import Part, resumable
from mdl.cli.options import note
from mdl.errors import MdlError
from mdl.storage import file_state, replacing


def free_name(path: Path) -> Path:
    """A name made up by the program must not cost the user a file."""
    if path.exists():
        raise MdlError(f"{path} is there already; remove it, or name the output with -o")
    return path


@contextmanager
def replacing_plain(path: Path, source: Path) -> Iterator[BinaryIO]:
    """A stream to a temporary file that is moved to `path` once all went well, and removed otherwise."""
    require_output(path, source)
    with replacing(path) as stream:
        yield stream


@contextmanager
def resuming(path: Path, file: Path, source: BinaryIO, key: dict[str, Any]) -> Iterator[tuple[BinaryIO, Part | None]]:
    """A stream to what will be at `path`, and the part that outlives an interruption; None where `source` is a pipe."""
    require_output(path, file)
    if not source.seekable():
        with replacing(path) as stream:
            yield stream, None
        return
    n_bytes, sha256 = file_state(source).size, hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]
    source.seek(0)
    key = {"what": f"mdl compress, {__version__}", "sha256": sha256, **key}
    with resumable(path, key, n_bytes=n_bytes, what="compressing", say=note) as part:
        yield part.anew(), part


def require_output(path: Path, source: Path) -> None:
    """MdlError where a file must not be written."""
    if path.exists() and not path.is_file():
        raise MdlError(f"{path} is not a plain file; name another output with -o")
    if path.exists() and path.samefile(source):
        raise MdlError(f"{path} is the input; name another output with -o")
