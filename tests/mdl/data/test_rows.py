"""A table's rows are documents, byte for byte, whatever form they come in; a bad row is one line that names it."""

from __future__ import annotations

import bz2
import gzip
import json
import logging
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdl.errors import MdlError
from tests.mdl.data.test_sources import bytes_of, documents_of, refusal

ROWS = ["first\r\n", "", 'zweite "Zeile": äöü\n', "\x00third\t,;"]
CODED = [row.encode() for row in ROWS]
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".ZST": zstandard.compress,
}


def json_lines(rows: list[str]) -> bytes:
    return "".join(json.dumps({"id": i, "text": row}) + "\n" for i, row in enumerate(rows)).encode()


def written(folder: Path, suffix: str) -> Path:
    """The rows as a table of that kind."""
    path = folder / f"table{suffix}"
    table = pa.table({"id": range(len(ROWS)), "text": pa.array(ROWS)})
    if suffix == ".parquet":
        pq.write_table(table, path)
    elif suffix == ".feather":
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table)
    elif suffix == ".arrow":
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table)
    elif suffix in (".csv", ".tsv"):
        table.to_pandas().to_csv(path, index=False, sep="," if suffix == ".csv" else "\t", lineterminator="\r\n")
    elif suffix == ".json":
        path.write_text(json.dumps([{"id": 1, "text": row} for row in ROWS]))
    else:
        path.write_bytes(json_lines(ROWS))
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather"])
def test_every_form_of_a_table_gives_the_same_documents(tmp_path: Path, suffix: str) -> None:
    """An empty row of text is a document of nothing."""
    path = written(tmp_path, suffix)
    for source in (f"rows:{path}", f"hf:{path}", f"rows:{path},column=text", f"hf:{path},column=text"):
        assert documents_of(source) == CODED, source


@pytest.mark.parametrize("packing", PACKERS)
def test_a_table_by_its_path_is_its_rows_packed_or_not_and_file_is_its_bytes(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"table.JSONL{packing}"
    path.write_bytes(PACKERS[packing](json_lines(ROWS)))
    assert documents_of(str(path)) == CODED
    assert documents_of(f"{path},column=text") == CODED
    assert bytes_of(f"file:{path}") == json_lines(ROWS)
    assert bytes_of(f"bytes:{path}") == path.read_bytes()


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    """A folder or a glob of tables; what is no table is not asked for."""
    for i, row in enumerate(ROWS):
        (tmp_path / f"{i}.jsonl.gz").write_bytes(gzip.compress(json_lines([row])))
    (tmp_path / "README.md").write_text("about")
    for source in (f"rows:{tmp_path}", f"rows:{tmp_path}/*.jsonl.gz", f"hf:{tmp_path}/*.gz", f"{tmp_path}/*.jsonl.gz"):
        assert documents_of(source) == CODED, source


def test_tables_in_a_folder_of_text_are_rows_too(tmp_path: Path) -> None:
    """A CSV may be meant as the text that it is, and stays it."""
    (tmp_path / "a.jsonl").write_bytes(json_lines(["one", "two"]))
    (tmp_path / "b.txt").write_text("three")
    (tmp_path / "c.csv").write_text("text\nfour\n")
    assert documents_of(f"file:{tmp_path}") == [b"one", b"two", b"three", b"text\nfour\n"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_csv_is_separated_as_its_header_is(tmp_path: Path, separator: str) -> None:
    lines = [["id", "body", "n"], ["1", "some, text; here", "2"], ["2", "more", "3"]]
    quoted = [[f'"{cell}"' if "," in cell else cell for cell in line] for line in lines]
    (tmp_path / "a.csv").write_text("".join(separator.join(line) + "\n" for line in quoted))
    assert documents_of(f"rows:{tmp_path}/a.csv") == [b"some, text; here", b"more"]


def test_a_byte_order_mark_blank_lines_and_missing_values_are_no_documents(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": null}\n{"other": 1}\n{"text": "b"}')
    assert documents_of(str(path)) == [b"a", b"b"]
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext,n\r\nNA,1\r\n,2\r\nx")
    assert documents_of(f"rows:{tmp_path}/a.csv") == [b"NA", b"", b"x"]


def test_a_csv_keeps_its_bytes_whatever_their_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id,body\n1,café\n2,naïve\n".encode("latin-1"))
    assert documents_of(f"rows:{tmp_path}/a.csv") == ["café".encode("latin-1"), "naïve".encode("latin-1")]


BAD_LINES = {
    b'{"text": "caf\xe9"}': "line 2: byte 0xe9 at place 14 is not UTF-8; convert the file to UTF-8",
    b'{"text": "cut': "line 2: Invalid control character at character 14",
    b'{"text": "\\ud800"}': "line 2: column 'text' holds \\ud800, half of a surrogate pair",
    b'{"text": 7}': "line 2: column 'text' holds int, not text as other rows do",
    b'["text"]': 'line 2: a row is an object such as {"text": …}, got list',
    b"[" * 100_000: "line 2: ",
    b'{"text": ' + b"1" * 5000 + b"}": "line 2: ",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_is_named_with_its_file_and_the_cause(tmp_path: Path, line: bytes) -> None:
    """Where it is read by path, through hf:, and of packed shards."""
    content = b'{"text": "good"}\n' + line + b"\n"
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    for name in ("a.jsonl", "b.jsonl.gz"):
        for source in (f"{tmp_path}/{name}", f"hf:{tmp_path}/{name}"):
            said = refusal(source)
            assert f"{name}, {BAD_LINES[line]}" in said
            assert len(said) < 400


def test_of_several_columns_of_text_the_one_meant_must_be_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """But for hf:, which takes the first as it ever did, and says so."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "x1", "body": "long"}\n')
    assert "has 2 columns of text (id, body); name one, as in mdl size --column id, elsewhere rows:" in refusal(
        f"{path}"
    )
    assert "no column 'bod' of text; did you mean 'body'? (it has id, body)" in refusal(f"{path},column=bod")
    assert "unknown setting 'colum'; did you mean 'column'?" in refusal(f"rows:{path},colum=id")
    assert bytes_of(f"{path},column=body") == b"long"
    with caplog.at_level(logging.WARNING):
        assert bytes_of(f"hf:{path}") == b"x1"
    assert "column 'id' is coded, the first of id, body" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "no column of text"),
        ("a.jsonl", b'{"n": 1}\n', "no column of text"),
        ("a.jsonl", '{"text": "a"}\n'.encode("utf-16"), "is UTF-16; convert it to UTF-8"),
        ("a.csv", "text\na\n".encode("utf-16"), "is UTF-16; convert it to UTF-8"),
        ("a.csv", b"", "cannot read "),
        ("a.csv", b'a,b\n1,"x\n', "cannot read "),
        ("a.csv", b"text\na\nb,c,d\n", "cannot read "),
        ("a.parquet", b"PAR1 no", "cannot read "),
        ("a.arrow", b"no arrow at all", "cannot read "),
        ("a.feather", b"ARROW1 cut", "cannot read "),
        ("a.json", b'{"text": 1', "a.json, line 1: "),
        ("a.json", b"[1, 2]", "a.json, row 1: a row is an object"),
        ("a.jsonl.gz", b"not packed", "cannot "),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in refusal(f"rows:{tmp_path}/{name}")
    assert said in refusal(f"hf:{tmp_path}/{name}")


def test_a_column_that_holds_next_to_nothing_of_the_file_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = "".join(json.dumps({"text": "ab", "html": ["x" * 100]}) + "\n" for _ in range(20))
    (tmp_path / "a.jsonl").write_text(rows)
    with caplog.at_level(logging.WARNING):
        assert bytes_of(f"{tmp_path}/a.jsonl") == b"ab" * 20
    assert f"column 'text' holds 40 of its {len(rows):,} bytes" in caplog.text


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20))
def test_any_text_comes_back_from_json_and_parquet(tmp_path_factory: pytest.TempPathFactory, rows: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.jsonl").write_bytes(json_lines(rows))
    pq.write_table(pa.table({"text": rows}), folder / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        assert documents_of(f"{folder}/{name}") == [row.encode() for row in rows]


def test_what_a_data_set_raises_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    """A folder laid out for the library, with a bad line far behind the first."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.jsonl").write_bytes(b'{"text": "a"}\n' * 50_000 + b'{"text": "\xe9"}\n')
    with pytest.raises(MdlError, match=r"^cannot (load|read).*data set hf:"):
        bytes_of(f"hf:{tmp_path}/data")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.csv"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, name: str) -> None:
    table = pa.Table.from_arrays([pa.array(["one"]), pa.array(["two"])], names=["text", "text"])
    if name == "a.parquet":
        pq.write_table(table, tmp_path / name)
    elif name == "a.arrow":
        with pa.ipc.new_stream(tmp_path / name, table.schema) as stream:
            stream.write_table(table)
    else:
        (tmp_path / name).write_text("text,text\none,two\n")
    assert "names the column 'text' twice" in refusal(f"rows:{tmp_path}/{name}")


def test_rows_without_a_value_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"other": "two"}\n' * 30)
    pq.write_table(pa.table({"text": ["one", None, None]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("text,n\none,1\n")
    with caplog.at_level(logging.WARNING):
        for name, n in (("a.jsonl", 30), ("a.parquet", 1), ("a.csv", 1)):
            assert len(documents_of(f"rows:{tmp_path}/{name},column=text")) == n
    assert "a.jsonl: 30 of 60 rows have no 'text' and are left out" in caplog.text
    assert "a.parquet: 2 of 3 rows have no 'text'" in caplog.text
    assert "a.csv: " not in caplog.text


def test_quotation_marks_that_join_rows_of_tabs_are_refused(tmp_path: Path) -> None:
    """In most tables of tabs they are part of the text, and pairs of rows would become one."""
    (tmp_path / "a.tsv").write_text("id\ttext\n" + "".join(f'{i}\t"word {i}\n' for i in range(6)))
    assert "row 1 runs over lines: a quotation mark is not closed" in refusal(f"rows:{tmp_path}/a.tsv")
    (tmp_path / "b.tsv").write_text('id\ttext\n1\t"two\nlines"\n')
    assert documents_of(f"rows:{tmp_path}/b.tsv") == [b"two\nlines"]


def test_numbers_of_any_length_beside_the_text_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"n": ' + "1" * 5001 + ', "text": "one"}\n')
    assert documents_of(f"{tmp_path}/a.jsonl") == [b"one"]


def test_a_table_without_text_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"n": 1, "meta": {"text": "one"}}\n')
    pq.write_table(pa.table({"when": pa.array([1], pa.timestamp("ms"))}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("text,n\n")
    assert "(it has n: int, meta: dict)" in refusal(f"{tmp_path}/a.jsonl")
    assert "(it has when: timestamp[ms])" in refusal(f"{tmp_path}/a.parquet")
    assert "it has only a header" in refusal(f"rows:{tmp_path}/a.csv")
