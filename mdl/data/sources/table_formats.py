"""What columns of text a table file has, and their values, a format at a time.

JSON lines are read here, line by line, so that a bad one can be named: the libraries name the file at best.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from mdl.data.sources.packed_files import Member
from mdl.errors import MdlError

_LOOK_AT_ROWS = 1000  # to tell which columns hold text where no schema says so
_BATCH_ROWS = 1000
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
TEXT = "text"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class TableFormat:
    """How a kind of table is read from a stream; the file's name is for messages."""

    columns: Callable[[BinaryIO, str], dict[str, str]]
    """Each with what it holds: TEXT, or the name of another kind."""
    values: Callable[[BinaryIO, str, str], Iterator[tuple[int, Any]]]
    """Of the named column: the number of the line or row, from 1, and its value, None where it has none."""
    unit: str = "row"


def is_table(member: Member) -> bool:
    """Does its name say that it is rows and nothing else? A CSV or a JSON file may be meant as the text that it is."""
    return member.suffix in (".jsonl", ".ndjson", ".parquet", ".arrow", ".feather")


Rows = Callable[[BinaryIO, str], Iterator[tuple[int, dict[str, Any]]]]
Columnar = tuple[Any, Callable[[str], Iterator[Any]]]  # Arrow's schema, and the batches of a column


def _json_lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every line that is not blank with its number; MdlError naming the line and what is wrong with it."""
    for number, line in enumerate(stream, 1):
        if number == 1:
            _refuse_utf_16(line, name)
            line = line.removeprefix(_BOM)
        if line.strip():
            where = f"{name}, line {number}"
            yield number, _object(_parsed(line, where), where)


def _json_list(stream: BinaryIO, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """A list of objects; or JSON lines under another name."""
    content = stream.read().removeprefix(_BOM)
    if not content.lstrip().startswith(b"["):
        yield from _json_lines(io.BytesIO(content), name)
        return
    for number, row in enumerate(_parsed(content, name), 1):
        yield number, _object(row, f"{name}, row {number}")


def _parsed(text: bytes, where: str) -> Any:
    try:
        return json.loads(text.decode(), parse_int=len)  # a number is no text, of whatever length
    except UnicodeDecodeError as error:
        told = f"byte 0x{text[error.start]:02x} at place {error.start + 1:,} is not UTF-8; convert the file to UTF-8"
    except json.JSONDecodeError as error:
        told = f"{error.msg.removesuffix(' at')} at character {error.pos + 1:,}"
    except RecursionError:
        told = "it is nested too deep"
    except ValueError as error:
        told = str(error)
    raise MdlError(f"{where}: {told}")


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MdlError(f'{where}: a row is an object such as {{"text": …}}, got {type(value).__name__}')
    return value


def _refuse_utf_16(first: bytes, name: str) -> None:
    if first.startswith(UTF_16):
        raise MdlError(f"{name} is UTF-16; convert it to UTF-8")


def _json(rows: Rows, unit: str) -> TableFormat:
    def columns(stream: BinaryIO, name: str) -> dict[str, str]:
        seen: dict[str, str] = {}
        for _, row in itertools.islice(rows(stream, name), _LOOK_AT_ROWS):
            for column, value in row.items():
                if seen.get(column) != TEXT:
                    seen[column] = TEXT if isinstance(value, str) else type(value).__name__
        return seen

    def values(stream: BinaryIO, column: str, name: str) -> Iterator[tuple[int, Any]]:
        return ((number, row.get(column)) for number, row in rows(stream, name))

    return TableFormat(columns, values, unit)


def _separated(separators: str) -> TableFormat:
    """Text between separators, of which the header has most of one; bytes that are no UTF-8 pass as they are."""
    import pandas as pd

    def batches(stream: BinaryIO, name: str, **options: Any) -> Iterator[pd.DataFrame]:
        _refuse_utf_16(_header(stream), name)
        with _told(name, pd.errors.ParserError, pd.errors.EmptyDataError, ValueError):
            yield from pd.read_csv(
                stream,
                sep=_separator(stream),
                dtype=object,  # text as it is; the library's own strings refuse bytes that are no UTF-8
                keep_default_na=False,
                index_col=False,
                encoding_errors="surrogateescape",
                chunksize=_BATCH_ROWS,
                **options,
            )

    def columns(stream: BinaryIO, name: str) -> dict[str, str]:
        names = next(csv.reader([_header(stream).decode("utf-8-sig", "replace")], delimiter=_separator(stream)), [])
        _refuse_twice(names, name)
        batch = next(batches(stream, name), None)
        if batch is None or batch.empty:
            raise MdlError(f"{name} has no rows: it has only a header")
        return {str(column): "numbers" if _numbers(batch[column]) else TEXT for column in batch.columns}

    def values(stream: BinaryIO, column: str, name: str) -> Iterator[tuple[int, Any]]:
        between = _separator(stream)
        cells = (cell for batch in batches(stream, name, usecols=[column]) for cell in batch[column])
        for number, cell in enumerate(cells, 1):
            if isinstance(cell, str) and between == "\t" and "\t" in cell and "\n" in cell:
                raise MdlError(f"{name}, row {number} runs over lines: a quotation mark is not closed")
            yield number, cell.encode("utf-8", "surrogateescape") if isinstance(cell, str) else None

    def _separator(stream: BinaryIO) -> str:
        return max(separators, key=lambda separator: _header(stream).count(separator.encode()))

    return TableFormat(columns, values)


def _header(stream: BinaryIO) -> bytes:
    """The first line, which stays to be read; every stream of `unpacked` can do that."""
    return re.split(rb"[\r\n]", stream.peek(1 << 16), maxsplit=1)[0]  # type: ignore[attr-defined]


def _refuse_twice(names: list[str], name: str) -> None:
    if repeated := next((column for column in names if column and names.count(column) > 1), None):
        raise MdlError(f"{name} names the column '{repeated:.60}' twice; rename one of them")


def _numbers(cells: Any) -> bool:
    import pandas as pd

    return bool(pd.to_numeric(cells[cells != ""], errors="coerce").notna().all())


def _parquet(stream: BinaryIO) -> Columnar:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(stream)
    return file.schema_arrow, lambda column: file.iter_batches(batch_size=_BATCH_ROWS, columns=[column])


def _arrow(stream: BinaryIO) -> Columnar:
    """What `datasets` writes is Arrow's stream; its file format begins with a magic word."""
    import pyarrow.ipc as ipc

    is_file = stream.read(6) == b"ARROW1"
    stream.seek(0)
    if not is_file:
        opened = ipc.open_stream(stream)
        return opened.schema, lambda column: (batch.select([column]) for batch in opened)
    file = ipc.open_file(stream)
    every = (file.get_batch(i) for i in range(file.num_record_batches))
    return file.schema, lambda column: (batch.select([column]) for batch in every)


def _columnar(opened: Callable[[BinaryIO], Columnar]) -> TableFormat:
    """A file that has its schema in it."""

    def columns(stream: BinaryIO, name: str) -> dict[str, str]:
        with _arrow_errors(name):
            schema = opened(stream)[0]
            _refuse_twice(schema.names, name)
            return {field.name: TEXT if _holds_text(field.type) else str(field.type) for field in schema}

    def values(stream: BinaryIO, column: str, name: str) -> Iterator[tuple[int, Any]]:
        with _arrow_errors(name):
            batches = opened(stream)[1](column)
            cells = (cell for batch in batches for cell in batch.column(0).to_pylist())
            yield from enumerate(cells, 1)

    return TableFormat(columns, values)


def _holds_text(kind: Any) -> bool:
    from pyarrow import types

    value = kind.value_type if types.is_dictionary(kind) else kind
    return any(
        is_one(value)
        for is_one in (
            types.is_string,
            types.is_large_string,
            types.is_string_view,
            types.is_binary,
            types.is_large_binary,
            types.is_binary_view,
            types.is_fixed_size_binary,
        )
    )


def _arrow_errors(name: str) -> Any:
    import pyarrow as pa

    return _told(name, pa.ArrowException, OSError, ValueError)


@contextmanager
def _told(name: str, *kinds: type[Exception]) -> Iterator[None]:
    """The library's own reason in one line."""
    try:
        yield
    except kinds as error:
        raise MdlError(f"cannot read {name}: {(str(error).strip() or 'it is damaged').splitlines()[0]}") from None


# Made where they are asked for: their libraries are slow to import.
FORMATS: dict[str, Callable[[], TableFormat]] = {
    ".jsonl": partial(_json, _json_lines, "line"),
    ".ndjson": partial(_json, _json_lines, "line"),
    ".json": partial(_json, _json_list, "row"),
    ".csv": partial(_separated, ",;\t|"),
    ".tsv": partial(_separated, "\t"),
    ".parquet": partial(_columnar, _parquet),
    ".arrow": partial(_columnar, _arrow),
    ".feather": partial(_columnar, _arrow),
}
