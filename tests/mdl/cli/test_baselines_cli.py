"""`mdl baselines` measures what it prints, puts the paper's figures beside, and leaves records that a report takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from analysis.records import load
from analysis.report.paper import table1
from mdl import compressors
from mdl.cli.app import app
from mdl.cli.baselines import source_of
from mdl.compressors import chunk_lengths, coders_for
from mdl.data import open_whole
from mdl.errors import MdlError
from tests.tables import lines


def table_of(text: list[str]) -> dict[tuple[str, str], list[str]]:
    """(chunk, compressor) -> the numbers of the row."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in text]
    found = {}
    for row in rows:
        chunk, _, coder = row[0].partition(" ")
        words = [coder, *row[1:]] if coder else row[1:]
        if chunk in ("whole", "2048"):
            found[chunk, words[0]] = re.findall(r"[0-9]+\.[0-9]", " ".join(words[1:]))
    return found


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    waves = np.add.outer(np.arange(64) ** 2 // 9, np.arange(192) * 2)
    for i in range(4):
        Image.fromarray((waves * (i + 1) % 256).astype(np.uint8)).save(folder / f"{i}.png")
    return folder


def test_a_row_is_the_size_in_percent_at_true_size_and_with_the_header_once(pictures: Path, tmp_path: Path) -> None:
    table = table_of(list(lines(f"image:{pictures}", None, 2048, tmp_path / "run")))
    corpus = open_whole(f"image:{pictures}")
    data = corpus.source_train.read(0, len(corpus.source_train)).tobytes()
    chunks = [data[i : i + 2048] for i in range(0, len(data), 2048)]
    for name in ("gzip", "png", "jpegxl"):
        coder = compressors.get(name)
        true = sum(len(coder.compress(chunk)) for chunk in chunks)
        once = true - (len(chunks) - 1) * len(coder.compress(b""))
        whole = 100 * len(coder.compress(data)) / len(data)
        assert table["whole", name][:2] == [f"{whole:.1f}", f"{whole:.1f}"]
        assert table["2048", name][:2] == [f"{100 * size / len(data):.1f}" for size in (true, once)]


def test_the_papers_figures_stand_beside(pictures: Path, tmp_path: Path) -> None:
    table = table_of(list(lines(f"image:{pictures}", 4096, 2048, tmp_path / "run")))
    assert table["whole", "png"][2:] == ["58.5", "58.5"]
    assert table["2048", "flac"][2:] == ["60.9", "60.9"]
    assert table["2048", "brotli"][2:] == []
    assert table["2048", "Chinchilla 70B"] == ["48.0", "14048.0"]


def test_adjusted_is_raw_and_two_bytes_a_parameter_of_a_gigabyte() -> None:
    """The paper's rows are copied without a slip: within its rounding, by each model's nominal size."""
    sizes = {"Llama 2 7B": 7e9, "Chinchilla 1B": 1e9, "Chinchilla 7B": 7e9, "Chinchilla 70B": 70e9}
    sizes |= {"Transformer 200K": 2e5, "Transformer 800K": 8e5, "Transformer 3.2M": 3_286_272}
    neural = [row for row in table1.TABLE_1 if row.compressor not in table1.PAPER_CODERS]
    assert {row.compressor for row in neural} == set(sizes)
    for row in neural:
        for name in table1.PAPER_DATA_SETS.values():
            assert abs(row.adjusted[name] - row.raw[name] - 2 * sizes[row.compressor] / 1e9) < 0.0011
    assert [row for row in table1.TABLE_1 if row not in neural and row.raw != row.adjusted] == []


def test_noise_stands_beside_noise(tmp_path: Path) -> None:
    table = table_of(list(lines("random:20KB", 8192, 2048, tmp_path / "run")))
    assert table["2048", "gzip"][2:] == ["100.1", "100.1"]
    assert float(table["2048", "gzip"][0]) > 100


def test_a_chunk_length_of_ones_own_has_no_figures_of_the_papers(text_file: Path, tmp_path: Path) -> None:
    rows = [line for line in lines(f"file:{text_file}", 4096, 512, tmp_path / "run") if line.startswith("  512")]
    assert len(rows) >= 9
    assert all(len(re.findall(r"[0-9]+\.[0-9]\b", row)) == 2 for row in rows)


def test_the_records_are_a_tables(text_file: Path, tmp_path: Path) -> None:
    """One a coder and chunk length, read by the analysis; a second run measures nothing again."""
    first = list(lines(f"file:{text_file}", 8192, 2048, tmp_path / "run"))
    records = sorted((tmp_path / "run" / "baselines").iterdir())
    times = [path.stat().st_mtime_ns for path in records]
    baselines = load(tmp_path / "run").baselines
    assert (
        len(baselines)
        == len(records)
        == sum(len(chunk_lengths(coder, 2048)) for coder in [*coders_for("text"), "png", "flac"])
    )
    assert set(baselines["coder"]) >= {"gzip", "png", "flac", "brotli"}
    assert list(lines(f"file:{text_file}", 8192, 2048, tmp_path / "run")) == first
    assert [path.stat().st_mtime_ns for path in records] == times


def test_a_path_is_what_the_modality_says() -> None:
    assert source_of("photos", "image") == "image:photos"
    assert source_of("talk.wav", "audio") == "audio:talk.wav"
    assert source_of("book.txt", None) == source_of("book.txt", "text") == "file:book.txt"
    assert source_of("image:samples", None) == source_of("image:samples", "image") == "image:samples"
    assert source_of("stdlib", None) == "stdlib"
    with pytest.raises(MdlError, match="unknown modality 'imag'; did you mean 'image'"):
        source_of("photos", "imag")
    with pytest.raises(MdlError, match="'image:samples' is not audio; leave --modality out"):
        source_of("image:samples", "audio")


def test_a_table_is_its_rows_as_for_a_sweep(tmp_path: Path) -> None:
    table = tmp_path / "talks.jsonl"
    table.write_text('{"text": "one"}\n')
    assert source_of(str(table), None) == f"rows:{table}"
    assert source_of(str(table), "text") == f"file:{table}"


def test_the_command_prints_the_table(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shown = CliRunner().invoke(
        app, ["baselines", str(pictures), "--modality", "image", "--sizes", "4KiB", "--out", str(out)]
    )
    assert shown.exit_code == 0, shown.output
    assert table_of(shown.output.splitlines())["whole", "gzip"]
    assert shown.output.splitlines()[-1] == f"records: {out}; next: mdl report {out}"


@pytest.mark.parametrize(
    ("size", "chunk", "said"),
    [
        (0, 2048, "--sizes must be at least 1 byte each"),
        (1000, 0, "--chunk-bytes and --model-bytes must be at least 1"),
        (10**9, 2048, "--sizes asks for 1,000,000,000 bytes of corpus"),
    ],
)
def test_nothing_to_code_is_one_line(size: int, chunk: int, said: str, text_file: Path, tmp_path: Path) -> None:
    with pytest.raises(MdlError, match=said):
        list(lines(f"file:{text_file}", size, chunk, tmp_path))


def test_several_sizes_are_several_tables(text_file: Path, tmp_path: Path) -> None:
    words = ["baselines", str(text_file), "--sizes", "2KB,4KB", "--out", str(tmp_path / "run"), "--json"]
    told = json.loads(CliRunner().invoke(app, words).output)
    assert {row["subset_bytes"] for row in told["coders"]} == {2000, 4000}


def test_a_file_is_coded_whole_by_coders_that_suit_it(text_file: Path, tmp_path: Path) -> None:
    """No held-out part is left out, and a text is no picture: the paper's PNG and FLAC come with --paper alone."""
    shown = CliRunner().invoke(app, ["baselines", str(text_file), "--out", str(tmp_path / "run"), "--json"])
    told = json.loads(shown.output)
    assert {row["sample_bytes"] for row in told["coders"] if row["chunk_bytes"] is None} == {text_file.stat().st_size}
    assert not {"png", "flac"} & {row["coder"] for row in told["coders"]}
