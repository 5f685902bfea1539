"""An archive is the folder that is packed in it; what packs in another way is named, never coded without a word."""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import lzma
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from mdl.data.sources.registry import open_source
from mdl.storage import cache_folder
from tests.mdl.data.test_sources import bytes_of, documents_of, refusal

FILES = {
    "docs/b.txt": b"two\r\n", "docs/a.txt": b"one", "docs/deep/c.md": b"zero", "docs/empty.txt": b"",
    "docs/photo.jpg": b"\xff\xd8\0", ".git/config": b"hidden", "__MACOSX/docs/._a.txt": b"hidden",
    "docs/rows.jsonl": b'{"text": "row"}\n', "docs/d.txt.gz": gzip.compress(b"packed"), "docs/inner.zip": b"PK",
}  # fmt: skip
TEXTS = [b"one", b"two\r\n", b"packed", b"zero", b"row"]
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes, ".tar.gz": gzip.compress, ".TGZ": gzip.compress, ".tar.bz2": bz2.compress, ".tbz2": bz2.compress,
    ".tar.xz": lzma.compress, ".txz": lzma.compress, ".tar.ZST": zstandard.compress, ".tzst": zstandard.compress,
}  # fmt: skip


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("./docs/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return content.getvalue()


@pytest.mark.parametrize("suffix", [*PACKERS, ".zip", ".Zip"])
@pytest.mark.parametrize("before", ["", "file:"])
def test_an_archive_is_its_texts_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str, before: str
) -> None:
    """As the folder that is packed in it; what is left out is told with the reason; no link is followed."""
    path = tmp_path / f"all{suffix}"
    path.write_bytes(zipped(FILES) if suffix.lower() == ".zip" else PACKERS[suffix](tarred(FILES)))
    with caplog.at_level(logging.WARNING):
        assert documents_of(f"{before}{path}") == TEXTS
    assert "left out 3 of 8 files: 1 empty, 1 archive, 1 no text" in caplog.text
    for name, data in FILES.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(data)
    (tmp_path / "folder/__MACOSX/docs/._a.txt").unlink()
    assert documents_of(f"file:{tmp_path}/folder") == TEXTS


@pytest.mark.parametrize("suffix", [*PACKERS, ".zip"])
def test_a_damaged_archive_is_one_line(tmp_path: Path, suffix: str) -> None:
    files = {f"{i}.txt": os.urandom(2000).hex().encode() for i in range(5)}
    whole = zipped(files) if suffix == ".zip" else PACKERS[suffix](tarred(files))
    path = tmp_path / f"all{suffix}"
    for damage in (whole[: len(whole) // 2], b"not packed at all" * 50, b""):
        path.write_bytes(damage)
        assert refusal(f"file:{path}").startswith((f"cannot unpack {path}", f"cannot read {path}", "no text found in"))


def test_a_tar_that_is_damaged_or_cut_between_members_is_one_line(tmp_path: Path) -> None:
    """The library takes what stands before for the whole."""
    whole = tarred({f"{i}.txt": b"text" for i in range(9)})
    damaged = bytearray(whole)
    damaged[1024 * 5 + 3] ^= 5
    for data, said in ((bytes(damaged), "damaged at byte 5,120"), (whole[: 1024 * 5], "it has no end")):
        for name, content in (("a.tar", data), ("a.tar.gz", gzip.compress(data))):
            (tmp_path / name).write_bytes(content)
            assert said in refusal(f"file:{tmp_path}/{name}")


def test_members_above_the_folder_are_read_as_any_other(tmp_path: Path) -> None:
    """Nothing is written where their names say."""
    files = {"/etc/x.txt": b"one", "../../y.txt": b"two"}
    (tmp_path / "a.zip").write_bytes(zipped(files))
    (tmp_path / "a.tar").write_bytes(tarred({"../y.txt": b"two", "x.txt": b"one"}))
    assert sorted(documents_of(f"file:{tmp_path}/a.zip")) == [b"one", b"two"]
    assert sorted(documents_of(f"file:{tmp_path}/a.tar")) == [b"one", b"two"]


def test_a_damaged_member_is_one_line_and_a_locked_one_too(tmp_path: Path) -> None:
    whole = bytearray(zipped({"a.txt": b"word " * 1000}))
    middle = whole.index(b"a.txt") + 12
    whole[middle] ^= 0xFF
    (tmp_path / "bad.zip").write_bytes(whole)
    assert "bad.zip/a.txt" in refusal(f"file:{tmp_path}/bad.zip")
    locked = bytearray(zipped({"a.txt": b"word"}))
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(magic) + place] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    assert "locked.zip/a.txt" in refusal(f"file:{tmp_path}/locked.zip")
    assert "encrypted" in refusal(f"file:{tmp_path}/locked.zip")
    assert "<ZipInfo" not in refusal(f"file:{tmp_path}/locked.zip")


@pytest.mark.parametrize(
    ("name", "first", "said"),
    [("a.7z", b"7z\xbc\xaf\x27\x1c", "a 7z archive"), ("a.rar", b"Rar!\x1a\x07\0", "a rar archive"),
     ("a", b"\x1f\x8b\x08", "packed by gzip"), ("a.docx", b"PK\x03\x04", "a zip archive"), ("a.Z", b"\x1f\x9d", "(.z)"),
     ("a.png", b"\x89PNG\r\n", "image:PATH codes"), ("a.flac", b"fLaC", "audio:PATH codes"),
     ("a.lz4", b"\x04\x22\x4d\x18", "packed by lz4"), ("a.bin", b"\xfd7zXZ\x00", "packed by xz")],
)  # fmt: skip
def test_what_is_packed_in_another_way_is_coded_as_it_lies_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, first: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(first + bytes(500))
    with caplog.at_level(logging.WARNING):
        assert bytes_of(f"file:{tmp_path}/{name}") == first + bytes(500)
    assert said in caplog.text
    assert "coded as it lies" in caplog.text


def test_a_file_under_two_names_counts_once(tmp_path: Path) -> None:
    """Through links to folders, to itself and hard links, in a folder and in a glob."""
    (tmp_path / "real/v1").mkdir(parents=True)
    (tmp_path / "real/v1/a.txt").write_bytes(b"one")
    (tmp_path / "real/latest").symlink_to("v1")
    (tmp_path / "real/v1/loop").symlink_to(".")
    (tmp_path / "real/v1/up").symlink_to("..")
    os.link(tmp_path / "real/v1/a.txt", tmp_path / "real/v1/b.txt")
    for source in ("real", "real/**/*.txt", "real/**", "re*/**/*.txt", "real/*/*.txt", "real/v1/*.txt"):
        assert bytes_of(f"file:{tmp_path}/{source}") == b"one", source


@pytest.mark.parametrize("kind", ["file:", "bytes:", "rows:", "hf:", ""])
def test_a_glob_that_fits_nothing_ends_though_links_lead_round_and_round(tmp_path: Path, kind: str) -> None:
    """The library's own walk through two links to their own folder has 2^40 steps."""
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(".")
    program = (
        "import sys; from mdl.data.sources.registry import open_source; from mdl.storage import cache_folder\n"
        "from mdl.errors import MdlError\n"
        "try: open_source(sys.argv[1], cache_folder())\n"
        "except MdlError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, f"{kind}{tmp_path}/**/*.none"],
        capture_output=True, text=True, timeout=60, env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.stdout.count("\n") == 1, done.stderr


@pytest.mark.parametrize("kind", ["file:", "bytes:", "rows:", "image:", "audio:", ""])
def test_a_pipe_a_device_and_standard_input_are_one_true_line(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        assert "which cannot be read twice" in refusal(f"{kind}{path}")


def test_a_pipe_as_standard_input_is_refused_and_a_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"content")
    script = (
        "from mdl.data.sources.registry import open_source; from mdl.storage import cache_folder\n"
        "from mdl.errors import MdlError\n"
        "try: print(open_source('/dev/stdin', cache_folder()).path.read_bytes())\n"
        "except MdlError as error: print(error)"
    )
    command = [sys.executable, "-c", script]
    piped = subprocess.run(command, input="content", capture_output=True, text=True, check=True)
    assert "cannot be read twice; save its bytes to a file first" in piped.stdout
    with (tmp_path / "a.txt").open() as stream:
        taken = subprocess.run(command, stdin=stream, capture_output=True, text=True, check=True)
    assert taken.stdout == "b'content'\n"
    assert "standard input cannot be read twice" in refusal("-")


def test_a_name_that_no_record_could_hold_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for name in ("two\nlines.txt", "e\x1b[31mred.txt", "right\u202eleft.txt"):
        (tmp_path / name).write_bytes(b"content")
        assert "a name with control characters" in refusal(f"file:{tmp_path}/{name}")


def test_nothing_waits_for_a_pipe_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"content")
    os.mkfifo(tmp_path / "pipe")
    done = threading.Event()

    def read() -> None:
        assert bytes_of(f"file:{tmp_path}") == b"content"
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert done.wait(20)


def test_an_archive_is_unpacked_once(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(gzip.compress(tarred(FILES)))
    made = open_source(f"file:{tmp_path}/a.tgz", cache_folder()).path
    assert open_source(f"file:{tmp_path}/a.tgz", cache_folder()).path == made
    assert len(list(cache_folder().glob("files-*.bin"))) == 1
