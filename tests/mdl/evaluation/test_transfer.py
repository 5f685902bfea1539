"""A trained model on any data: its chunks' code, its bits by position, and its row in the paper's table."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from analysis.errors import AnalysisError
from analysis.records import load as load_table
from analysis.report import build_report
from analysis.report.paper import table1
from analysis.report.sections.paper_table import PAPER_BYTES, paper_table, position_curves
from analysis.report.sections.paper_table_page import lead
from analysis.report.sections.paper_table_page import paper_table as page
from mdl.cli.app import app
from mdl.cli.baselines import Models
from mdl.data import CorpusSpec, open_corpus
from mdl.errors import MdlError
from mdl.evaluation import transfer
from mdl.models import Shape, StackedTransformer, code_lengths, count_params, parse_size, shape_label, stack
from mdl.models.shape import PRESETS
from mdl.models.weights_file import save_weights
from mdl.records import (
    CellRecord,
    CorpusInfo,
    Provenance,
    RunPaths,
    TrainedModel,
    TransferRecord,
    read_transfer,
    to_json,
    write_record,
)
from tests import synthetic
from tests.tables import lines

SHAPE = Shape(8, 1, 1, context_tokens=64)


def saved(folder: Path, shape: Shape = SHAPE, seed: int = 0) -> Path:
    path = folder / f"{shape.label}-{shape.context_tokens}.safetensors"
    save_weights(path, shape, StackedTransformer(shape, [seed]).member(0))
    return path


@pytest.fixture
def loaded(tmp_path: Path) -> transfer.Loaded:
    return transfer.load_trained_model(str(saved(tmp_path)), torch.device("cpu"))


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """As a sweep leaves it: a model that learned from text."""
    record: CellRecord = synthetic.cell("8x1", 10**6, 1.0)
    folder = RunPaths(tmp_path / "runs" / "a").record(record.run_id).parent
    folder.mkdir(parents=True)
    save_weights(folder / "final.safetensors", SHAPE, StackedTransformer(SHAPE, [0]).member(0))
    write_record(record, folder / "record.json")
    return folder


def test_bits_by_position_are_those_of_measuring(loaded: transfer.Loaded, text_file: Path) -> None:
    """Over whole windows in their order the same sums as `mdl.models.code_length`, in float64."""
    corpus = open_corpus(CorpusSpec(f"file:{text_file}"))
    record = transfer.measure(corpus, loaded, transfer.TransferJob(64 * 40, None, 10**6))
    lengths = code_lengths(loaded.model, corpus.source_train, "train", [64 * 40])[0]
    assert (record.sample_bytes, record.n_chunks) == (64 * 40, 40)
    assert math.isclose(record.code_bits, float(lengths.bits_by_position.sum()), rel_tol=1e-6)
    for b in record.positions:
        assert math.isclose(b.code_bits, float(lengths.bits_by_position[b.start : b.end].sum()), rel_tol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 200), st.integers(1, 6))
def test_a_chunk_is_coded_by_itself_in_windows_of_the_context(length: int, n: int) -> None:
    """Shorter than the context, as long, longer, and no multiple of it: each chunk's bits are its own."""
    shape = Shape(4, 1, 1, context_tokens=32)
    model = stack(shape, [StackedTransformer(shape, [1]).member(0)])
    chunks = np.random.default_rng(length * 7 + n).integers(0, 256, (n, length), dtype=np.uint8)
    bits, n_bytes = transfer.by_position(model, chunks)
    assert n_bytes.sum() == n * length
    alone = [transfer.by_position(model, chunk[None])[0] for chunk in chunks]
    np.testing.assert_allclose(bits, sum(alone), rtol=1e-5)
    first, _ = transfer.by_position(model, chunks[:, : min(length, 32)])
    assert np.all(first <= bits + 1e-4 * bits)


@given(st.integers(2, 4096))
def test_bins_tile_the_window_and_lose_nothing(T: int) -> None:
    bits, n_bytes = np.arange(T) + 0.5, np.full(T, 3)
    bins = transfer.position_bins(bits, n_bytes)
    assert [b.start for b in bins] == [0, *(b.end for b in bins[:-1])]
    assert bins[-1].end == T
    assert sum(b.n_bytes for b in bins) == 3 * T
    assert sum(b.code_bits for b in bins) == pytest.approx(bits.sum())
    assert all(b.end <= 2 ** (1 / 4) * (b.start + 1) + 1 for b in bins)
    assert len(bins) <= 4 * math.log2(T) + 2


def test_a_record_says_what_was_coded_by_which_model(run_folder: Path, text_file: Path, tmp_path: Path) -> None:
    corpus = open_corpus(CorpusSpec(f"file:{text_file}"))
    loaded = transfer.load_trained_model(str(run_folder), torch.device("cpu"))
    paths = RunPaths(tmp_path / "out")
    job = transfer.TransferJob(50_000, 2048, 10_000)
    record = transfer.run_transfer(corpus, loaded, job, paths, "mdl baselines x")
    assert record.model.n_params == count_params(SHAPE)["total"]
    assert record.model.trained_on == synthetic.corpus()
    assert record.model.trained_bytes == 10**6
    assert (record.subset_bytes, record.chunk_bytes, record.sample_bytes) == (50_000, 2048, 8192)
    assert record.corpus == corpus.info
    assert record.provenance is not None
    assert record.provenance.command == "mdl baselines x"
    assert record.provenance.measuring_seconds == record.seconds
    (path,) = (tmp_path / "out" / "transfer").glob("*.json")
    written = path.stat().st_mtime_ns
    assert transfer.run_transfer(corpus, loaded, job, paths) == record
    assert path.stat().st_mtime_ns == written
    assert path.stat().st_size < 10_000
    transfer.run_transfer(corpus, loaded, dataclasses.replace(job, chunk_bytes=512), paths)
    assert len(list((tmp_path / "out" / "transfer").glob("*.json"))) == 2


def test_a_models_row_is_its_rate_and_two_bytes_a_parameter(run_folder: Path, text_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    models = Models([str(run_folder)], 20_000, "cpu")
    shown = list(lines(f"file:{text_file}", 100_000, 2048, out, models=models))
    record = read_transfer(next((out / "transfer").glob("*.json")))
    raw = record.code_bits / 8 / record.sample_bytes
    (row,) = (line for line in shown if "trained on text" in line)
    assert re.findall(r"\d+\.\d", row) == [f"{100 * raw:.1f}", f"{100 * (raw + 2 * 2840 / 100_000):.1f}"]
    assert row.split()[:2] == ["2048", "8x1"]


def test_only_more_context_than_a_chunk_has_a_row_for_the_whole(text_file: Path, tmp_path: Path) -> None:
    models = Models([str(saved(tmp_path)), str(saved(tmp_path, Shape(8, 1, 1, context_tokens=256)))], 5000, "cpu")
    shown = [line.split() for line in lines(f"file:{text_file}", 50_000, 128, tmp_path / "out", models=models)]
    rows = [(row[0], row[1]) for row in shown if row[1] == "8x1"]
    assert rows == [("128", "8x1"), ("whole", "8x1"), ("128", "8x1")]


def measured(
    folder: Path,
    corpus: CorpusInfo,
    size: str,
    trained_on: CorpusInfo | None,
    bits_per_byte: float,
    context_bytes: int = 2048,
    provenance: Provenance | None = None,
) -> None:
    """A record of a model, and gzip's on the same data, as files."""
    n = synthetic.SIZES.get(size, 213_568)
    about = TrainedModel(
        name=f"{size}-x",
        size=size,
        n_params=n,
        context_tokens=context_bytes,
        weights_sha256="ab" * 32,
        trained_on=trained_on,
        trained_bytes=10**6,
    )
    bins = tuple(
        transfer.PositionBin(start=a, end=b, n_bytes=100 * (b - a), code_bits=100 * (b - a) * bits_per_byte)
        for a, b in ((0, 1), (1, 2), (2, 2048))
    )
    record = TransferRecord(
        model=about,
        corpus=corpus,
        subset_bytes=10**7,
        chunk_bytes=2048,
        sample_bytes=204_800,
        n_chunks=100,
        code_bits=204_800 * bits_per_byte,
        positions=bins,
        seconds=1.0,
        device="cpu",
        provenance=provenance,
    )
    name = f"{size}-{trained_on.modality if trained_on else 'none'}-{corpus.modality}-{corpus.sha256[:4]}"
    path = folder / "transfer" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_json(record))


def info(source: str, modality: str, sha: str) -> CorpusInfo:
    return CorpusInfo(
        source=source,
        modality=modality,
        size_bytes=10**8,
        sha256=sha * 32,
        block_bytes=4096,
        shuffle_seed=0,
        train_bytes=9 * 10**7,
        heldout_bytes=10**6,
    )


TEXT, PICTURES, NOISE = (
    info("file:/data/book.txt", "text", "aa"),
    info("image:/data/photos", "image", "bb"),
    info("random:9MB", "bytes", "cc"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two models, one of the paper's shape, on three kinds of data."""
    for corpus in (NOISE, PICTURES, TEXT):
        measured(tmp_path / "t", corpus, "64x4h4", TEXT, 4.0)
        measured(tmp_path / "t", corpus, "16x2", PICTURES, 6.0)
    return tmp_path / "t"


def test_the_table_has_the_papers_rates_beside_ours(folder: Path) -> None:
    table = paper_table(load_table(folder))
    assert list(dict.fromkeys(table["data"])) == ["text", "images", "random bytes"]
    ours = table[(table["compressor"] == "64x4h4") & (table["data"] == "images")].iloc[0]
    assert ours["raw_rate"] == pytest.approx(0.5)
    assert ours["adjusted_rate"] == pytest.approx(0.5 + 2 * 213_568 / 1e7)
    assert ours["adjusted_rate_1gb"] == pytest.approx(0.5 + 2 * 213_568 / PAPER_BYTES)
    assert (ours["paper_raw_rate"], ours["paper_adjusted_rate"]) == (1.94, 1.94)  # their 200K, text-trained, on images
    other = table[(table["compressor"] == "16x2") & (table["data"] == "images")].iloc[0]
    assert math.isnan(other["paper_raw_rate"])
    assert bool(other["own_corpus"])
    assert not bool(ours["own_corpus"])


def test_the_papers_models_stand_beside_their_own_shapes_alone(tmp_path: Path) -> None:
    """Which `mdl` names so; one of other heads, of tokens or of another architecture is another model."""
    theirs = [shape_label(*parse_size(name)) for name in PRESETS]
    others = ["64x4", "128x4h8", "mingru-128x4", "256x4-v512", "256x4h"]
    for size in (*theirs, *others):
        measured(tmp_path, PICTURES, size, TEXT, 4.0)
    table = paper_table(load_table(tmp_path))
    beside = table[(table["kind"] == "model") & table["paper_raw_rate"].notna()]
    assert set(beside["compressor"]) == set(theirs)


def test_the_papers_rows_are_all_there_once(folder: Path) -> None:
    """The same numbers that `mdl baselines` prints."""
    table = paper_table(load_table(folder))
    theirs = table[table["kind"] == "paper"]
    neural = [row for row in table1.TABLE_1 if row.compressor not in table1.PAPER_CODERS]
    assert len(theirs) == 3 * len(neural)
    for row in neural:
        for name in ("enwik9", "ImageNet", "random"):
            found = theirs[(theirs["compressor"] == row.compressor) & (theirs["paper_data"] == name)].iloc[0]
            assert found["paper_raw_rate"] == pytest.approx(row.raw[name])
            assert found["paper_adjusted_rate"] == pytest.approx(row.adjusted[name])


def test_the_page_greys_what_is_the_papers(folder: Path) -> None:
    from analysis.records import rows_of
    from analysis.report.summary import _plain

    summary = {"paper_table": _plain(rows_of(paper_table(load_table(folder))))}
    grids = [block for block in page(summary) if block.kind == "grid"]
    assert len(grids) == 2
    for grid in grids:
        names = [grid.header[i] for i in grid.grey]
        assert names == ["enwik9", "ImageNet", "random"]
        assert len({len(row) for row in grid.rows} | {len(grid.header), len(grid.align)}) == 1
        paper_row = next(row for row in grid.rows if "Chinchilla 70B" in row)
        assert {i for i, cell in enumerate(paper_row) if cell and i >= 2 - (grid is grids[1])} == set(grid.grey)
    raw = next(row for row in grids[0].rows if row[1] == "64x4h4 (text)")
    assert raw[2:] == ("50.0†", "30.9", "50.0", "194.0", "50.0", "195.5")
    assert "2 trained models on text, images and random bytes" in lead(summary)


def test_a_report_draws_it_all_without_a_sweep(folder: Path, tmp_path: Path) -> None:
    made = build_report(folder, tmp_path / "report", formats=("pdf", "md"))
    assert made.summary["paper_table"]
    frame = pd.read_csv(tmp_path / "report" / "paper_table.csv")
    assert set(frame["kind"]) == {"model", "paper"}
    assert (tmp_path / "report" / "figures" / "transfer.svg").exists()
    text = (tmp_path / "report" / "report.md").read_text()
    assert "The paper's table on this data" in text
    assert "Transformer 200K" in text


def test_a_report_says_what_was_run_on_what(folder: Path, tmp_path: Path) -> None:
    """Also where some records are of before records said so."""
    for command, sha in (("mdl baselines b", "dd"), ("mdl baselines a", "ee")):
        known = Provenance(
            created="2026-01-02T03:04:05+00:00",
            command=command,
            git_commit="c0ffee",
            hostname="h",
            device="a CPU",
            n_threads=1,
            precision="float32",
            versions={"x": "1"},
            training_seconds=0,
            measuring_seconds=2,
            cohort_size=1,
        )
        measured(folder, info(f"file:/data/{command[-1]}.txt", "text", sha), "16x1", TEXT, 3.0, 1024, known)
    made = build_report(folder, tmp_path / "report", formats=("md",))
    assert made.summary["provenance"]["command"] == "mdl baselines a; mdl baselines b"
    assert made.summary["provenance"]["measuring_seconds"] == 4
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| commits | c0ffee (2 records) and unrecorded (" in text
    assert "t: file:a.txt, file:b.txt, file:book.txt, image:photos, random:9MB." in text
    assert "in its own order" in text
    assert "Where a model's context is shorter than a chunk of 2,048 bytes, the chunk is coded in windows" in text
    assert "each by itself: 1,024 bytes for models of text. This costs some rate." in text
    assert "FLOPs" not in text.split("Provenance")[1].split("Definitions")[0]


def test_curves_are_bits_a_byte_at_the_middle_of_each_bin(folder: Path) -> None:
    curves = position_curves(load_table(folder).transfers)
    assert list(dict.fromkeys(curves["data"])) == ["text", "images", "random bytes"]
    own = curves[(curves["data"] == "text") & (curves["compressor"] == "16x2")]
    assert own["bits_per_byte"].tolist() == [6.0, 6.0, 6.0]
    assert own["position"].tolist() == [1.0, 2.0, pytest.approx(math.sqrt(3 * 2048))]
    assert own["trained_on"].unique().tolist() == ["images"]


@pytest.mark.slow
def test_a_plain_sweep_has_no_such_table(tmp_path: Path) -> None:
    synthetic.write_sweep(tmp_path / "runs" / "s", synthetic.grid(["8x1", "16x1", "16x2"], [10**5, 10**6]))
    table = load_table(tmp_path / "runs" / "s")
    assert paper_table(table).empty
    build_report(tmp_path / "runs" / "s", tmp_path / "report", formats=("md",))
    assert not (tmp_path / "report" / "paper_table.csv").exists()


def test_a_damaged_record_is_named_in_one_line(folder: Path) -> None:
    path = next((folder / "transfer").glob("*.json"))
    path.write_text(path.read_text().replace('"code_bits"', '"code_bites"'))
    with pytest.raises(AnalysisError, match=f"{path.name} is not a transfer record"):
        load_table(folder)


def test_images_are_coded_by_a_model_of_text_from_the_command_line(run_folder: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(3):
        pixels = (np.add.outer(np.arange(64), np.arange(64) * (i + 1)) % 256).astype(np.uint8)
        Image.fromarray(pixels).save(pictures / f"{i}.png")
    words = ["--modality", "image", "--sizes", "4KiB", "--model", str(run_folder), "--device", "cpu"]
    out = tmp_path / "out"
    shown = CliRunner().invoke(app, ["baselines", str(pictures), *words, "--out", str(out)])
    assert shown.exit_code == 0, shown.output
    assert shown.output.splitlines()[-1] == f"records: {out}; next: mdl report {out}"
    record = read_transfer(next((out / "transfer").glob("*.json")))
    assert record.corpus.modality == "image"
    assert record.sample_bytes == 4096


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("runs/none/here", "no model at runs/none/here"),
        ("hf:/models/x", "no model at /models/x"),
    ],
)
def test_a_wrong_model_is_one_line_before_anything_is_measured(
    model: str, message: str, text_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(MdlError, match=re.escape(message)):
        next(lines(f"file:{text_file}", 1000, 2048, tmp_path / "out", models=Models([model], 1000, "cpu")))
    assert not (tmp_path / "out").exists()
