"""A column of text out of tables: JSON lines, JSON, CSV, TSV, Parquet, Arrow; a row is a document.

A missing value is no document, and nothing stands between two rows. Text is coded as UTF-8; the bytes of a CSV are kept
as they are, whatever their encoding.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mdl.data.sources.base import Source, became, cached
from mdl.data.sources.file_listing import files_at, states_of
from mdl.data.sources.media_files import split_settings
from mdl.data.sources.packed_files import Member, member_of, unpacked
from mdl.data.sources.registry import register_source
from mdl.data.sources.table_formats import FORMATS, TEXT, TableFormat
from mdl.errors import MdlError, nearest
from mdl.storage import Progress, digest
from mdl.units import counted

_USUAL_COLUMNS = ("text", "content", "bytes")
_NEXT_TO_NOTHING = 0.05  # of the files' bytes

log = logging.getLogger(__name__)


def open_rows(rest: str, cache: Path, progress: Progress | None = None) -> Source:
    """PATH[,column=NAME]: a table, a folder of tables or a glob of them. MdlError where no column is the one meant."""
    place, settings = split_settings(rest, ("column",))
    return open_tables(place, settings.get("column"), cache, progress)


def open_tables(
    place: str, wanted: str | None, cache: Path, progress: Progress | None, *, first_of_several: bool = False
) -> Source:
    """The rows of every table at a place, one after another in the order of the paths.

    `first_of_several`: where columns are as good as each other the first is taken; otherwise that is an MdlError.
    """
    members = [member_of(path) for path in files_at(Path(place).expanduser())]
    tables = [member for member in members if member.suffix in FORMATS]
    if not tables:
        other = f"without a column file:{place} codes its bytes"
        raise MdlError(f"no table at {place} ({' '.join(FORMATS)}, packed or not); {other}")
    columns = [column_of(table, wanted, first_of_several=first_of_several) for table in tables]
    if not wanted:
        log.warning("%s: what is coded is column '%s', a row a document", place, "', '".join(dict.fromkeys(columns)))
    stats = states_of(Path(table.name) for table in tables)
    n_bytes = [size for _, size, _ in stats]

    def documents() -> Iterator[list[bytes]]:
        for i, (table, column) in enumerate(zip(tables, columns, strict=True)):
            yield from row_documents(table, column)
            if progress:
                progress(f"rows of {table.name}", sum(n_bytes[: i + 1]), sum(n_bytes))

    source = cached(cache, f"rows-{digest([stats, columns])}", documents, "text")
    coded = source.path.stat().st_size
    if coded < _NEXT_TO_NOTHING * sum(n_bytes):
        log.warning("%s: column '%s' holds %s of its %s bytes", place, columns[0], f"{coded:,}", f"{sum(n_bytes):,}")
    names = "', '".join(dict.fromkeys(columns))
    of = f" of {len(tables)} tables" if len(tables) > 1 else ""
    return became(source, f"column '{names}' of {counted(source.starts.size, 'row')}{of}", "of text, a row a document")


def column_of(member: Member, wanted: str | None = None, *, first_of_several: bool = False) -> str:
    """The one to code: what is asked for, else "text", "content" or "bytes", else the only one that holds text."""
    with unpacked(member) as stream:
        kinds = _format_of(member).columns(stream, member.name)
    columns = [column for column, kind in kinds.items() if kind == TEXT]
    there = ", ".join(columns) or "none"
    if wanted and wanted not in columns:
        raise MdlError(f"{member.name} has no column '{wanted}' of text{nearest(wanted, columns)} (it has {there})")
    if not columns:
        has = ", ".join(f"{column}: {kind}" for column, kind in list(kinds.items())[:20])
        known = f" (it has {has})" if has else ""
        raise MdlError(f"{member.name} has no column of text or binary values{known}")
    usual = next((column for column in _USUAL_COLUMNS if column in columns), None)
    if not (wanted or usual) and len(columns) > 1:
        if not first_of_several:
            raise MdlError(
                f"{member.name} has {len(columns)} columns of text ({there}); name one, as in mdl size --column "
                f"{columns[0]}, elsewhere rows:{member.name},column={columns[0]}"
            )
        log.warning("%s: column '%s' is coded, the first of %s; column=… names another", member.name, columns[0], there)
    return wanted or usual or columns[0]


def row_documents(member: Member, column: str) -> Iterator[list[bytes]]:
    """A row's value a document; MdlError naming the file, the line and the cause where it cannot be read."""
    kind = _format_of(member)
    n_rows = n_without = 0
    with unpacked(member) as stream:
        for number, value in kind.values(stream, column, member.name):
            n_rows += 1
            n_without += value is None
            if value is not None:
                # The place is put into words only where it is needed: there are millions of rows.
                yield [value if isinstance(value, bytes) else _encoded(value, column, (member.name, kind.unit, number))]
    if n_without:
        log.warning("%s: %d of %d rows have no '%s' and are left out", member.name, n_without, n_rows, column)


def _format_of(member: Member) -> TableFormat:
    return FORMATS[member.suffix]()


def _encoded(value: Any, column: str, place: tuple[str, str, int]) -> bytes:
    fault = f"holds {type(value).__name__}, not text as other rows do"
    try:
        if isinstance(value, str):
            return value.encode()
    except UnicodeEncodeError as error:
        fault = f"holds \\u{ord(error.object[error.start]):04x}, half of a surrogate pair, which UTF-8 cannot say"
    name, unit, number = place
    raise MdlError(f"{name}, {unit} {number}: column '{column}' {fault}")


register_source("rows", open_rows, form="rows:PATH", modality="text", needs_network=False)
