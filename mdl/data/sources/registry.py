"""Where bytes come from: each kind of source makes one file on disk, and the offsets at which its documents begin.

To add a kind, register it in a file of its own and name that file with --plugin (or import it in Python):

    import hashlib
    from pathlib import Path

    from mdl.data import cached, register_source
    from mdl.storage import digest

    def open_logs(rest, cache, progress):
        days = [path.read_bytes() for path in sorted(Path(rest).glob("*.log"))]
        name = digest([hashlib.sha256(day).hexdigest() for day in days])  # of all that the bytes depend on
        return cached(cache, f"logs-{name}", lambda: [[day] for day in days], "text")  # a document is its pieces

    register_source("logs", open_logs, form="logs:PATH", modality="text", needs_network=False)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mdl.data.sources.base import Source
from mdl.data.sources.file_listing import broken_link, is_here
from mdl.data.sources.packed_files import member_of
from mdl.data.sources.table_formats import is_table
from mdl.errors import MdlError, nearest
from mdl.records import MODALITIES, Registry, is_name, shown
from mdl.storage import Progress

# What follows the kind's name and colon, the cache's folder, and whom to tell how far it is.
Open = Callable[[str, Path, Progress | None], Source]
_MODALITIES = (*MODALITIES, "random")  # as the paper has it; a record calls random ones bytes


@dataclass(frozen=True, kw_only=True)
class SourceKind:
    """A kind of corpus source."""

    open: Open
    """Puts the bytes on disk; MdlError in one line where that cannot be done."""
    form: str
    """How it is written, such as "file:PATH"; without a colon the name is all of it."""
    modality: str
    """Of what its data are, as the paper has it: text, image, audio, random or bytes."""
    needs_network: bool
    """May it have to be fetched? Then a dry run does not open it, unless what follows the colon is a path here."""


SOURCES: Registry[SourceKind] = Registry(
    "corpus source",
    {
        "stdlib": "mdl.data.sources.text_files",
        "file": "mdl.data.sources.text_files",
        "bytes": "mdl.data.sources.text_files",
        "rows": "mdl.data.sources.rows",
        "image": "mdl.data.sources.images",
        "audio": "mdl.data.sources.audio",
        "random": "mdl.data.sources.random_bytes",
        "enwik8": "mdl.data.sources.enwik",
        "enwik9": "mdl.data.sources.enwik",
        "hf": "mdl.data.sources.huggingface",
    },
)


def register_source(name: str, open_rest: Open, *, form: str, modality: str, needs_network: bool) -> None:
    """Add a kind of source under its name (see `SourceKind`); MdlError for a name that is taken, or another's form.

    `open_rest(rest, cache, progress)` is given what follows the colon.
    """
    if form.partition(":")[0] != name:
        raise MdlError(f"corpus source '{name}': its form begins with its name, such as '{name}:PATH'; got '{form}'")
    if modality not in _MODALITIES:
        raise MdlError(f"corpus source '{name}': modalities are {', '.join(_MODALITIES)}; got {modality}")
    SOURCES.register(name, SourceKind(open=open_rest, form=form, modality=modality, needs_network=needs_network))


def open_source(source: str, cache: Path, progress: Progress | None = None) -> Source:
    """Put the named bytes on disk; MdlError in one line where that cannot be done."""
    if not is_name(source):
        raise MdlError(f"corpus {shown(source)}: a name with control characters, or too long a one; rename the file")
    name, rest = _kind_and_rest(source)
    try:
        _refuse_pipes(source, Path(rest).expanduser())
        return SOURCES[name].open(rest, cache, progress)
    except OSError as error:
        raise MdlError(f"cannot read corpus '{source}': {error.strerror or error}") from None


def _refuse_pipes(source: str, path: Path) -> None:
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise MdlError(
            f"corpus '{source}' is a pipe or a device, which cannot be read twice; save its bytes to a file first"
        )


def kind_of(source: str) -> str:
    """The kind's name of a corpus as written: a bare path is a table where its name says so, else a file."""
    return _kind_and_rest(source)[0]


def identity_of(source: str) -> tuple[str, str]:
    """The same of two spellings of one corpus: its kind, and what follows, the path that is here without links.

    MdlError for a corpus of no known kind.
    """
    name, rest = _kind_and_rest(source)
    place = rest if is_here(rest) else rest.partition(",")[0]
    if not (place and is_here(place)):
        return name, rest
    return name, f"{Path(place).expanduser().resolve()}{rest.removeprefix(place)}"


def is_fetched(source: str) -> bool:
    """Would opening it ask the network? MdlError for a corpus of no known kind."""
    name, rest = _kind_and_rest(source)
    return SOURCES[name].needs_network and not Path(rest.partition(",")[0]).expanduser().exists()


def _kind_and_rest(source: str) -> tuple[str, str]:
    name, colon, rest = source.partition(":")
    if name in SOURCES and bool(rest) == (":" in SOURCES[name].form) and bool(colon) == bool(rest):
        return name, rest
    if source and name not in SOURCES:
        path = source if is_here(source) else source.partition(",column=")[0]
        if is_here(path) and (path != source or is_table(member_of(Path(path)))):
            return "rows", source  # a column is asked for; or keys and escapes are not meant, which file: takes
        if is_here(source):
            return "file", source
    raise MdlError(_unknown(source, name))


def _unknown(source: str, name: str) -> str:
    if source == "-":
        return "standard input cannot be read twice; save its bytes to a file and name that"
    if broken := broken_link(Path(source.partition(",column=")[0]).expanduser()):
        return broken
    if ":" not in source and any(mark in source for mark in "./"):  # a path is meant, not a name of a corpus
        return f"no file or folder at {source.partition(',column=')[0]}; check the path"
    hint = "" if name in SOURCES else nearest(name, SOURCES)
    forms = [SOURCES[known].form for known in SOURCES]
    known = f"{', '.join(forms[:-1])} or {forms[-1]}"
    return f"unknown corpus '{source}'{hint}: neither a path here nor {known}; --plugin FILE adds those of your own"
