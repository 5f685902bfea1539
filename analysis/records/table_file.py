"""Anyone's table, as it lies on disk, as a frame of what stands in it: nothing is taken for a number yet.

CSV with commas, semicolons, tabs, bars or blanks between its fields, JSON (an object a line, or a list of them) and
Parquet; in UTF-8 or UTF-16; also compressed. Which it is, is seen from its content.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pandas as pd

from analysis.errors import AnalysisError

MOST_BYTES = 1 << 30  # of a table, unpacked
MOST_COLUMNS = 10_000
_PACKED: dict[bytes, Callable[[IO[bytes]], io.BufferedIOBase | IO[bytes]]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
_ENCODINGS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_BETWEEN = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars"}


@dataclass(frozen=True)
class TableFile:
    """`frame` has a column per name, of text or of numbers; `lines` says which line of the file each row stands in."""

    frame: pd.DataFrame
    lines: list[int]


def read_table(path: Path) -> TableFile:
    """A table with names in its first line; AnalysisError in one line for what is none, or larger than is read."""
    if path.suffix.lower() in (".yaml", ".yml"):
        raise AnalysisError(
            f"{path} is a sweep file, no table: run it with 'mdl sweep {path}', then name its run folder"
        )
    try:
        with path.open("rb") as stream:
            return _read(path, stream)
    except (ValueError, csv.Error, EOFError, lzma.LZMAError, RecursionError) as error:
        raise AnalysisError(f"{path} is not a CSV: {' '.join(str(error).split())[:200]}") from None


def _read(path: Path, stream: IO[bytes]) -> TableFile:
    begin = stream.read(16)
    stream.seek(0)
    opened = next((unpack(stream) for magic, unpack in _PACKED.items() if begin.startswith(magic)), stream)
    try:
        content = opened.read(MOST_BYTES + 1)
    except OSError as error:  # gzip's and bz2's own errors are OSErrors without a number
        if error.errno is not None:
            raise
        raise AnalysisError(f"{path} cannot be unpacked: {error}") from None
    if len(content) > MOST_BYTES:
        raise AnalysisError(f"{path} holds more than {MOST_BYTES:,} bytes, the most that a table may have")
    if content[:4] == b"PAR1":
        return _numbered(path, _parquet(path, content))
    if content[:2] == b"PK":
        raise AnalysisError(f"{path} is a zip archive or a spreadsheet; save the sheet as CSV")
    text = _text(content)
    if "\0" in text:
        raise ValueError("it holds NUL characters")
    if text.lstrip()[:1] in ("{", "["):
        return _numbered(path, _json(text))
    return _separated(path, text)


def _text(content: bytes) -> str:
    for mark, encoding in _ENCODINGS.items():
        if content.startswith(mark):
            return content.decode(encoding)
    begin = content[:200]
    if begin[1::2].count(0) > len(begin) // 3:
        return content.decode("utf-16-le")
    if begin[::2].count(0) > len(begin) // 3:
        return content.decode("utf-16-be")
    return content.decode("utf-8-sig")


def _parquet(path: Path, content: bytes) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        names = file.schema_arrow.names
        _check_names(path, names)
        if file.metadata.num_rows * len(names) * 8 > MOST_BYTES:
            raise AnalysisError(f"{path} holds more than {MOST_BYTES:,} bytes, the most that a table may have")
        made: pd.DataFrame = file.read().to_pandas()
    except pa.ArrowException as error:
        raise AnalysisError(f"{path} is a damaged Parquet file: {' '.join(str(error).split())[:200]}") from None
    return made


def _json(text: str) -> pd.DataFrame:
    """Objects a line, or a list of them. Python's reader: it keeps what a number is and says where one is broken."""
    if text.lstrip().startswith("["):
        rows = json.loads(text)
    else:
        rows = [_object(line, i) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a JSON table is a list of objects, or one object per line")
    return pd.DataFrame(rows)


def _object(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number} is not JSON: {error}") from None


def _separated(path: Path, text: str) -> TableFile:
    """A CSV of any separator. Lines that begin with # are comments; they may hold the names, as NumPy writes them."""
    lines = re.split(r"\r\n|\n|\r", text)
    told = [i for i, line in enumerate(lines) if line.strip()]
    first = next((i for i in told if not lines[i].lstrip().startswith("#")), None)
    if first is None:
        raise AnalysisError(f"{path} is not a CSV: it has no line with names of columns")
    _check_width(path, 1 + max(lines[first].count(between) for between in _BETWEEN))  # before they are taken apart
    between, header = _header(lines, told, first)
    _check_names(path, header)
    rows, numbers = [], []
    start = first if _fields(lines[first], between) != header else first + 1
    reader = csv.reader(_uncommented(lines[start:], between), delimiter=between or " ", skipinitialspace=True)
    n_before, last = 0, (start, start)
    for fields in reader:
        if not any(field.strip() for field in fields):
            continue
        if len(fields) > len(header):
            raise AnalysisError(_too_long(path, start + reader.line_num, len(fields), len(header), between))
        rows.append(fields + [""] * (len(header) - len(fields)))
        numbers.append(start + reader.line_num)
        last = start + n_before, start + reader.line_num
        n_before = reader.line_num
    if rows and last[1] - last[0] > 1 and "".join(lines[last[0] : last[1]]).count('"') % 2:
        raise AnalysisError(f"{path}: line {last[0] + 1} opens a quotation mark that is never closed")
    return TableFile(pd.DataFrame(rows, columns=header, dtype=object), numbers)


def _uncommented(lines: list[str], between: str | None) -> Any:
    """Comments as empty lines, so that lines keep their numbers; runs of blanks as one where blanks are between."""
    for line in lines:
        if line.lstrip().startswith("#"):
            yield ""
        else:
            yield " ".join(line.split()) if between is None else line


def _header(lines: list[str], told: list[int], first: int) -> tuple[str | None, list[str]]:
    """What is between the fields (None: blanks), and the names of the columns."""
    between, names = _split(lines[first])
    comments = [i for i in told if i < first]
    if comments and all(_looks_like_number(name) for name in names):
        above = _fields(lines[comments[-1]].lstrip().lstrip("#"), between)
        if len(above) == len(names):
            return between, above
    return between, names


def _split(line: str) -> tuple[str | None, list[str]]:
    found = {between: _fields(line, between) for between in _BETWEEN}
    between = max(found, key=lambda one: len(found[one]))
    if len(found[between]) > 1 or len(line.split()) < 2:
        return (between if len(found[between]) > 1 else ","), found[between]
    return None, line.split()


def _fields(line: str, between: str | None) -> list[str]:
    if between is None:
        return line.split()
    return [name.strip() for name in next(csv.reader([line], delimiter=between, skipinitialspace=True), [])]


def _looks_like_number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?[\d.,_]+(e[-+]?\d+)?", text.strip(), re.IGNORECASE))


def _check_names(path: Path, names: list[str]) -> None:
    _check_width(path, len(names))
    counted = Counter(name for name in names if name)
    if repeated := next((name for name, count in counted.items() if count > 1), None):
        raise AnalysisError(f"{path} names the column '{repeated:.60}' twice; rename one of them")


def _check_width(path: Path, n_columns: int) -> None:
    if n_columns > MOST_COLUMNS:
        raise AnalysisError(f"{path} has {n_columns:,} columns, a table at most {MOST_COLUMNS:,}; keep what counts")


def _too_long(path: Path, line: int, n_fields: int, n_names: int, between: str | None) -> str:
    what = _BETWEEN.get(between or "", "blanks")
    mend = f"remove one {what.removesuffix('s')}, or name the column"
    if between == ",":
        mend += "; a number with a comma in it must be in quotation marks"
    return f"{path}, line {line} has {n_fields} fields, the header {n_names}; {mend}"


def _numbered(path: Path, frame: pd.DataFrame) -> TableFile:
    """What has no lines: rows count as if they stood below a header."""
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    _check_names(path, list(frame.columns))
    return TableFile(frame.reset_index(drop=True), list(range(2, len(frame) + 2)))
