"""enwik8 and enwik9: the first 1e8 and 1e9 bytes of an English Wikipedia dump, downloaded once and checked."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mdl.data.sources.base import Source
from mdl.data.sources.registry import register_source
from mdl.errors import MdlError
from mdl.storage import CHUNK_BYTES, Progress, new_file

_HOME = "http://mattmahoney.net/dc"
# Of the unpacked files (Mahoney's large text compression benchmark).
MD5 = {"enwik8": "a1fa5ffddb56f4953e226637dabbb36a", "enwik9": "e206c3450ac99950df65bf70ef61a12d"}


def open_enwik(name: str, cache: Path, progress: Progress | None = None) -> Source:
    """`name` is enwik8 or enwik9. MDL_ENWIK_URL names another folder that has NAME.zip. MdlError where it fails."""
    path = cache / f"{name}.bin"
    if not path.exists():
        url = f"{os.environ.get('MDL_ENWIK_URL', _HOME)}/{name}.zip"
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache) as packed:  # nameless: gone however this ends
            _download(url, packed, progress)
            _unpack(packed, name, path)
    return Source(path, np.zeros(1, np.int64), "text")


def _download(url: str, target: BinaryIO, progress: Progress | None) -> None:
    mend = "fetch and unpack it yourself and use file:PATH"
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:  # noqa: S310 - the URL is ours or the user's own
            length = reply.headers.get("Content-Length")
            n_bytes = int(length) if length else None
            while chunk := reply.read(CHUNK_BYTES):
                target.write(chunk)
                if progress:
                    progress(f"downloading {url}", target.tell(), n_bytes)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the server's reply, too
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise MdlError(f"cannot download {url}: {reason}; {mend}") from None
    if n_bytes is not None and target.tell() != n_bytes:
        raise MdlError(f"{url} ended after {target.tell():,} of {n_bytes:,} bytes; try again, or {mend}")


def _unpack(packed: BinaryIO, name: str, path: Path) -> None:
    """Checked before it gets its name."""
    md5 = hashlib.md5(usedforsecurity=False)
    try:
        with zipfile.ZipFile(packed) as archive, archive.open(name) as stream, new_file(path) as target:
            while chunk := stream.read(CHUNK_BYTES):
                md5.update(chunk)
                target.write(chunk)
            if md5.hexdigest() != MD5[name]:
                raise MdlError(f"{name}: the download's md5 is {md5.hexdigest()}, not {MD5[name]}; try again")
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error) as error:
        raise MdlError(f"{name}: the download is not the archive expected ({error}); try again") from None


def _register(name: str) -> None:
    register_source(
        name,
        lambda _, cache, progress: open_enwik(name, cache, progress),
        form=name,
        modality="text",
        needs_network=True,
    )


for _name in MD5:
    _register(_name)
