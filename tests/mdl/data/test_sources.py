"""Every source gives its bytes exactly, once; what cannot be had is one line, with nothing left behind."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.server
import io
import logging
import lzma
import os
import subprocess
import sys
import sysconfig
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from mdl.data.sources import enwik
from mdl.data.sources.registry import open_source
from mdl.errors import MdlError
from mdl.storage import cache_folder

TEXT = b"To be, or not to be, that is the question:\r\n\xff\xfe not UTF-8 either\n" * 50


def bytes_of(source: str) -> bytes:
    return open_source(source, cache_folder()).path.read_bytes()


def documents_of(source: str) -> list[bytes]:
    found = open_source(source, cache_folder())
    data = found.path.read_bytes()
    ends = [*found.starts.tolist()[1:], len(data)]
    return [data[a:b] for a, b in zip(found.starts.tolist(), ends, strict=True)]


def refusal(source: str) -> str:
    """The one line that says why `source` cannot be had; nothing of it is in the cache."""
    with pytest.raises(MdlError) as caught:
        open_source(source, cache_folder())
    assert "\n" not in str(caught.value)
    assert [p for p in cache_folder().glob("*") if p.is_file()] == []
    return str(caught.value)


def test_stdlib_is_the_interpreters_own_sources_without_tests() -> None:
    root = Path(sysconfig.get_paths()["stdlib"])
    documents = documents_of("stdlib")
    assert documents[0] == (root / "__future__.py").read_bytes()
    assert (root / "json" / "decoder.py").read_bytes() in documents
    for stray in ("test/test_json/__init__.py", "unittest/test/__init__.py"):
        assert not (root / stray).exists() or (root / stray).read_bytes() not in documents
    assert sum(map(len, documents)) > 5_000_000
    assert min(map(len, documents)) > 0


def test_one_file_is_taken_where_it_lies_whatever_its_bytes(tmp_path: Path) -> None:
    """With or without `file:`, and nothing is copied."""
    before = set(cache_folder().rglob("*"))
    for data, modality in ((TEXT, "text"), (b"\0\1" * 50, "bytes")):
        path = tmp_path / modality
        path.write_bytes(data)
        for source in (f"file:{path}", str(path)):
            found = open_source(source, cache_folder())
            assert (found.path, found.modality, found.starts.tolist()) == (path.resolve(), modality, [0])
    assert set(cache_folder().rglob("*")) == before


def test_a_folder_is_its_texts_in_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Sorted by path, hidden ones left out; empty and binary ones too, with a notice of how many."""
    files = {
        "b.txt": b"2", "a/z.txt": b"1", "a.txt": b"3", ".hidden": b"no", ".git/x": b"no",
        "photo.jpg": b"\xff\xd8\0", "empty": b"", "c.txt.gz": gzip.compress(b"4"), "d.gz": gzip.compress(b"\0"),
    }  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert documents_of(f"file:{tmp_path}") == [b"1", b"3", b"2", b"4"]
    assert "left out 3 of 7 files" in caplog.text
    assert documents_of(f"file:{tmp_path}/*.txt") == [b"3", b"2"]
    assert documents_of(f"file:{tmp_path}/**/*.txt") == [b"1", b"3", b"2"]


def zstd_of_two_frames(data: bytes) -> bytes:
    return zstandard.compress(data[:100]) + zstandard.compress(data[100:])


def test_bytes_takes_every_file_of_a_folder_as_it_lies(tmp_path: Path) -> None:
    """What is no text, packed files and all; empty ones and hidden ones are no documents."""
    files = {"a.txt": b"one", "b.gz": gzip.compress(b"two"), "c.bin": b"\0\xff", "empty": b"", ".hidden": b"no"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert documents_of(f"bytes:{tmp_path}") == [files["a.txt"], files["b.gz"], files["c.bin"]]
    assert documents_of(f"bytes:{tmp_path}/*.gz") == [files["b.gz"]]


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstd_of_two_frames,
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_is_unpacked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"book{suffix}"
    path.write_bytes(PACKERS[suffix](TEXT))
    assert bytes_of(f"file:{path}") == TEXT


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("damage", ["cut", "not packed at all"])
def test_a_damaged_packed_file_is_one_line(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"book{suffix}"
    path.write_bytes(PACKERS[suffix](TEXT)[:-20] if damage == "cut" else TEXT)
    message = refusal(f"file:{path}")
    assert message.startswith((f"cannot unpack {path}: ", f"cannot read {path}: "))


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").write_bytes(b"same")
    assert bytes_of(f"file:{tmp_path}") == b"oldsame"
    (tmp_path / "a").write_bytes(b"new")
    assert bytes_of(f"file:{tmp_path}") == b"newsame"


def test_what_was_made_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT))
    made = open_source(f"file:{tmp_path}", cache_folder()).path
    before = made.stat().st_mtime_ns, made.stat().st_ino
    assert open_source(f"file:{tmp_path}", cache_folder()).path == made
    assert (made.stat().st_mtime_ns, made.stat().st_ino) == before


def test_random_bytes_are_uniform_and_for_ever_the_same() -> None:
    """Golden; a seed gives other bytes, a length only more of them."""
    data = bytes_of("random:2MiB")
    assert hashlib.sha256(data).hexdigest()[:16] == "428179da42ff6711"
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    assert abs(float(((counts - 8192) ** 2 / 8192).sum()) - 255) < 5 * (2 * 255) ** 0.5
    assert bytes_of("random:1_000_001") == data[:1_000_001]
    assert bytes_of("random:1MB:7")[:100] != data[:100]
    assert open_source("random:1e3", cache_folder()).modality == "bytes"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("stdlb", "unknown corpus 'stdlb'; did you mean 'stdlib'?"),
        ("enwik7", "did you mean 'enwik"),
        ("file", "unknown corpus 'file': neither"),
        ("fil:x", "did you mean 'file'?"),
        ("", "unknown corpus ''"),
        ("nowhere/book.txt", "no file or folder at nowhere/book.txt; check the path"),
        ("mu.jsonl,column=body", "no file or folder at mu.jsonl; check the path"),
        ("book", "unknown corpus 'book': neither a path here nor stdlib, file:PATH"),
        ("file:nowhere/book.txt", "no file at nowhere/book.txt"),
        ("file:nowhere/*.txt", "no file at nowhere/*.txt"),
        ("file:" + "x" * 300, "File name too long"),
        ("random:many", "'many' is not a size"),
        ("random:1KB:-1", "the seed must be a whole number"),
        ("random:1KB:1_0", "the seed must be a whole number"),
        ("hf:x,colum=text", "unknown setting 'colum'; did you mean 'column'?"),
    ],
)
def test_what_is_not_there_is_one_line(source: str, message: str) -> None:
    assert message in refusal(source)


def test_a_folder_without_text_is_one_line(tmp_path: Path) -> None:
    assert f"no file in {tmp_path}, hidden ones aside" in refusal(f"file:{tmp_path}")
    (tmp_path / "a.bin").write_bytes(b"\0")
    (tmp_path / "empty.txt").touch()
    assert f"no text found in {tmp_path} (2 files: 1 no text, 1 empty)" in refusal(f"file:{tmp_path}")


def test_an_unreadable_file_is_one_line() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        Path(folder).chmod(0o755)
        path = Path(folder) / "secret.txt"
        path.write_bytes(TEXT)
        path.chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)  # nothing is unreadable for root
        try:
            for source in (f"file:{path}", f"file:{folder}"):
                with pytest.raises(MdlError, match=rf"^cannot read {path}: Permission denied$"):
                    open_source(source, Path(folder))
        finally:
            os.seteuid(user)


def test_a_cache_that_cannot_be_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MDL_CACHE", str(tmp_path / "file" / "cache"))
    assert "free some space or set MDL_CACHE" in refusal("random:1KB")


def test_a_full_disk_leaves_nothing() -> None:
    """A process that may not write more than 100 KB to a file stands for it."""
    before = set(cache_folder().rglob("*"))
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from mdl.data.corpus import CorpusSpec, open_corpus; from mdl.errors import MdlError\n"
        "try: open_corpus(CorpusSpec('random:1MB'))\n"
        "except MdlError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"cannot write the cache {cache_folder()}: File too large; free some space or set MDL_CACHE\n"
    assert set(cache_folder().rglob("*")) == before


def zipped(name: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return packed.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[bytes, int]]]:
    """A loopback home of enwik8; path → (content, the length that it claims)."""
    files: dict[str, tuple[bytes, int]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content, length = files.get(self.path, (b"", 0))
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    home = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=home.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("MDL_ENWIK_URL", f"http://127.0.0.1:{home.server_port}")
    monkeypatch.setitem(enwik.MD5, "enwik8", hashlib.md5(TEXT, usedforsecurity=False).hexdigest())
    yield files
    home.shutdown()
    thread.join()
    home.server_close()


Server = dict[str, tuple[bytes, int]]


def test_enwik8_is_downloaded_once_with_progress(server: Server) -> None:
    packed = zipped("enwik8", TEXT)
    server["/enwik8.zip"] = packed, len(packed)
    seen: list[tuple[int, int | None]] = []
    found = open_source("enwik8", cache_folder(), lambda _, done, total: seen.append((done, total)))
    assert found.path.read_bytes() == TEXT
    assert seen[-1] == (len(packed), len(packed))
    server.clear()
    assert bytes_of("enwik8") == TEXT


@pytest.mark.parametrize(
    ("packed", "claims_more", "message"),
    [
        (zipped("enwik8", TEXT + b"!"), 0, "the download's md5 is"),
        (zipped("enwik8", TEXT), 1000, " bytes; try again"),
        (zipped("enwik9", TEXT), 0, "not the archive expected"),
        (TEXT, 0, "not the archive expected"),
        (b"", 0, "Not Found"),
    ],
)
def test_a_bad_download_is_one_line(server: Server, packed: bytes, claims_more: int, message: str) -> None:
    server["/enwik8.zip"] = packed, len(packed) + claims_more
    assert message in refusal("enwik8")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "no url"])
def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MDL_ENWIK_URL", url)
    assert refusal("enwik9").endswith("fetch and unpack it yourself and use file:PATH")


ROWS = ["first\r\n", "", "zweite Zeile: äöü", "\x00third"]


def test_a_saved_data_set_is_coded_byte_for_byte(tmp_path: Path) -> None:
    """Rows are documents; UTF-8 for text, binary as it is, a missing value nothing."""
    import datasets

    rows = datasets.Dataset.from_dict(
        {"id": [1, 2, 3, 4, 5], "text": [*ROWS, None], "raw": [b"\xff\r", b"", b"\0", b"x", b"y"]}
    )
    rows.save_to_disk(tmp_path / "plain")
    datasets.DatasetDict({"validation": rows}).save_to_disk(tmp_path / "splits")
    assert documents_of(f"hf:{tmp_path}/plain") == [row.encode() for row in ROWS]
    assert bytes_of(f"hf:{tmp_path}/plain,column=raw") == b"\xff\r\0xy"
    assert open_source(f"hf:{tmp_path}/plain,column=raw", cache_folder()).modality == "bytes"
    assert bytes_of(f"hf:{tmp_path}/splits,split=validation") == "".join(ROWS).encode()


def test_a_data_file_goes_through_datasets(tmp_path: Path) -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"id": [1, 2, 3, 4], "body": ROWS})
    rows.to_parquet(tmp_path / "a.parquet")
    rows.to_json(tmp_path / "a.jsonl")
    for name in ("a.parquet", "a.jsonl"):
        assert bytes_of(f"hf:{tmp_path}/{name}") == "".join(ROWS).encode()


def test_a_data_set_without_what_was_asked_for_is_one_line(tmp_path: Path) -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"id": [1], "text": ["a"]})
    datasets.DatasetDict({"train": rows}).save_to_disk(tmp_path / "d")
    rows.select_columns(["id"]).save_to_disk(tmp_path / "numbers")
    (tmp_path / "book.txt").write_bytes(TEXT)
    (tmp_path / "bad.parquet").write_bytes(TEXT)
    (tmp_path / "empty").mkdir()
    for source, message in {
        "d,split=tran": "has no split 'tran'; did you mean 'train'? (it has train)",
        "d,column=texts": "has no column 'texts'; did you mean 'text'? (it has id, text)",
        "d,column=id": "column 'id' holds int64",
        "numbers": "has no column of text or binary values",
        "book.txt": "no table at",
        "bad.parquet": "bad.parquet: Parquet magic bytes not found",
        "empty": "cannot load data set",
    }.items():
        assert message in refusal(f"hf:{tmp_path}/{source}")


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_hub_name_without_a_network_is_one_quick_line(tmp_path: Path, offline: str) -> None:
    program = (
        "from mdl.data.corpus import CorpusSpec, open_corpus; from mdl.errors import MdlError\n"
        "try: open_corpus(CorpusSpec('hf:nobody/nothing'))\n"
        "except MdlError as error: print(error)"
    )
    env = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": offline, "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env, timeout=20
    )
    assert "hf:nobody/nothing" in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_column_is_that_of_a_table_whatever_its_name_says(tmp_path: Path) -> None:
    """A CSV file alone is the text that it is; with a column asked for it is rows, as every table is."""
    file = tmp_path / "t.csv"
    file.write_text("id,body\n1,one\n2,two\n")
    assert bytes_of(str(file)) == file.read_bytes()
    assert bytes_of(f"{file},column=body") == bytes_of(f"rows:{file},column=body") == b"onetwo"
    (tmp_path / "book.txt").write_bytes(TEXT)
    with pytest.raises(MdlError, match="no table at"):
        bytes_of(f"{tmp_path}/book.txt,column=body")
