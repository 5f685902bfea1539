"""Where bytes come from: each kind of source makes one file on disk, and the offsets at which its documents begin.

To add a kind, register it in a file of its own and name that file with --plugin (or import it in Python):

    from mdl.data import Source, cached, register_source

    def open_logs(rest, cache, progress):
        return cached(cache, f"logs-{digest(rest)}", lambda: read(rest), "text")

    register_source("logs", open_logs, form="logs:PATH", modality="text", is_path=True)
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mdl.data.sources.base import Source
from mdl.errors import MdlError, nearest
from mdl.records import Registry
from mdl.storage import Progress

# What follows the kind's name and colon, the cache's folder, and whom to tell how far it is.
Open = Callable[[str, Path, Progress | None], Source]


@dataclass(frozen=True, kw_only=True)
class SourceKind:
    """A kind of corpus source."""

    open: Open
    """Puts the bytes on disk; MdlError in one line where that cannot be done."""
    form: str
    """How it is written, such as "file:PATH"; without a colon the name is all of it."""
    modality: str
    """Of what its data are, as the paper has it: text, image, audio, random or bytes."""
    is_path: bool
    """Does a path on this machine follow the colon, perhaps with settings after a comma?"""


SOURCES: Registry[SourceKind] = Registry(
    "corpus source",
    {
        "stdlib": "mdl.data.sources.text_files",
        "file": "mdl.data.sources.text_files",
        "image": "mdl.data.sources.images",
        "audio": "mdl.data.sources.audio",
        "random": "mdl.data.sources.random_bytes",
        "enwik8": "mdl.data.sources.enwik",
        "enwik9": "mdl.data.sources.enwik",
        "hf": "mdl.data.sources.huggingface",
    },
)


def register_source(name: str, open_rest: Open, *, form: str, modality: str, is_path: bool) -> None:
    """Add a kind of source under its name (see `SourceKind`); MdlError for a name that is taken, or another's form.

    `open_rest(rest, cache, progress)` is given what follows the colon.
    """
    if form.partition(":")[0] != name:
        raise MdlError(f"corpus source '{name}': its form begins with its name, such as '{name}:PATH'; got '{form}'")
    SOURCES.register(name, SourceKind(open=open_rest, form=form, modality=modality, is_path=is_path))


def open_source(source: str, cache: Path, progress: Progress | None = None) -> Source:
    """Put the named bytes on disk; MdlError in one line where that cannot be done."""
    name, rest = _kind_and_rest(source)
    try:
        return SOURCES[name].open(rest, cache, progress)
    except OSError as error:
        raise MdlError(f"cannot read corpus '{source}': {error.strerror or error}") from None


def kind_of(source: str) -> str:
    """The kind's name of a corpus as written: a bare path is a file."""
    return _kind_and_rest(source)[0]


def _kind_and_rest(source: str) -> tuple[str, str]:
    name, colon, rest = source.partition(":")
    if name in SOURCES and bool(rest) == (":" in SOURCES[name].form) and bool(colon) == bool(rest):
        return name, rest
    if source and name not in SOURCES and Path(source).exists():
        return "file", source
    raise MdlError(_unknown(source, name))


def _unknown(source: str, name: str) -> str:
    hint = "" if name in SOURCES else nearest(name, SOURCES)
    forms = [SOURCES[known].form for known in SOURCES]
    return f"unknown corpus '{source}'{hint}: neither a path here nor {', '.join(forms[:-1])} or {forms[-1]}"


def not_here(source: str) -> str:
    """Why a corpus cannot be opened on this machine, as far as its name tells without reading it; else nothing."""
    try:
        name, rest = _kind_and_rest(source)
    except MdlError as error:
        return str(error)
    if not SOURCES[name].is_path or source == "image:samples":
        return ""
    path = Path(rest if Path(rest).expanduser().exists() else rest.partition(",")[0]).expanduser()
    there = path.exists() or glob.glob(str(path), recursive=True)  # noqa: PTH207 - may be absolute
    return "" if there else f"there is no {path} on this machine, which corpus '{source}' wants"
