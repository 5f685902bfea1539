"""What was read and what bytes it became is said of everything that is not coded as it lies."""

from __future__ import annotations

import gzip
import json
import lzma
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdl.data import CorpusSpec, open_corpus
from tests.conftest import markov_text

TEXT = markov_text(30_000)


def read(source: str) -> str:
    return open_corpus(CorpusSpec(source)).read


def test_a_file_as_it_lies_needs_no_word(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT)
    assert read(f"{tmp_path}/a.txt") == read(f"bytes:{tmp_path}/a.txt") == ""


def test_a_file_whose_content_could_be_coded_instead_says_how(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,body\n" + "1,x\n" * 10)
    (tmp_path / "a.wav").write_bytes(b"RIFF\0\0" * 2000)
    said = "the table as it lies → 48 B of text; mdl size --column NAME codes one column alone"
    assert read(f"{tmp_path}/a.csv") == said
    (tmp_path / "a.txt").write_text("abc", encoding="utf-16")
    said = "the UTF-16 text as it lies → 8 B of bytes; as UTF-8 its letters alone are coded"
    assert read(f"{tmp_path}/a.txt") == said
    place = f"{tmp_path}/a.wav"
    assert read(place) == f"the recording as it lies → 12 KB of bytes; audio:{place} codes its samples"


@pytest.mark.parametrize(("suffix", "pack"), [(".xz", lzma.compress), (".GZ", gzip.compress)])
def test_an_unpacked_file_says_from_how_much(tmp_path: Path, suffix: str, pack: object) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(pack(TEXT))  # type: ignore[operator]
    assert read(str(path)).endswith(f" KB of {suffix.lower()} → 30 KB unpacked")


def test_files_of_a_folder_are_counted_with_what_was_unpacked_and_which_column(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(TEXT))
    (tmp_path / "c.jsonl").write_text('{"text": "abc"}\n' * 10)
    said = "3 files (of 1 table the column 'text', 1 unpacked) → 60 KB one after another"
    assert read(str(tmp_path)) == said
    assert read(f"bytes:{tmp_path}").startswith("3 files → ")


def test_rows_say_their_column_and_how_many_they_are(tmp_path: Path) -> None:
    rows = [{"title": "x", "body": "long text " * 20} for _ in range(100)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read(f"{tmp_path}/a.jsonl,column=body") == "column 'body' of 100 rows → 20 KB of text, a row a document"


def test_pictures_and_sound_say_what_a_byte_is(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (256, 256 if i else 16)).save(tmp_path / f"{i}.png")
    said = "2 pictures → 131 KB of gray patches, 32 × 64 pixels of a byte each"
    assert read(f"image:{tmp_path}") == said  # the third is smaller than a patch
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(np.zeros(20_480, "<i2").tobytes())
    assert read(f"audio:{tmp_path}") == "1 recording → 20.5 KB of 8-bit samples, one channel at 16 kHz"
