"""minGRU from a sweep file to all that is made of its models: records, archives, packed files, generated text."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdl.models import load_weights
from mdl.records import read_cell
from tests.command import TINY, mdl, records
from tests.conftest import markov_text


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both built-in architectures, weights coded too, tuned at low precisions."""
    folder = tmp_path_factory.mktemp("mingru")
    (folder / "text.txt").write_bytes(markov_text(60_000))
    sweep = TINY.format(steps=60).replace("[2x1, 4x1, 8x1]", "[8x2]").replace("[10KB, 20KB]", "[20KB]")
    more = "  recipe: {value: 2}\n  measure.coded_weights: {value: true}\n  measure.tune_steps: {value: 5}\n"
    (folder / "tiny.yaml").write_text(f"{sweep}{more}  architecture: {{values: [transformer, mingru]}}\n")
    done = mdl("sweep", "tiny.yaml", "--no-baselines", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def run_of(folder: Path) -> Path:
    return next((folder / "runs/tiny").glob("mingru-8x2-20KB*"))


@pytest.mark.slow
def test_it_learns_what_the_transformer_learns(trained: Path) -> None:
    found = records(trained / "runs/tiny")
    assert len(found) == 2
    bits = {run_id.partition("-")[0]: record["training"]["curve"][-1]["code_bits"] for run_id, record in found.items()}
    assert bits["mingru"] < 1.1 * bits["8x2"]
    record = read_cell(run_of(trained) / "record.json")
    assert record.config["train.optimizer"] == "muon"
    assert len(record.snapshots[0].coded) > 5
    assert all(0 < coded.model_bits <= 33 * record.model.n_params for coded in record.snapshots[0].coded)
    shape, _ = load_weights(next(run_of(trained).glob("final*.safetensors")))
    assert shape.architecture == "mingru"


@pytest.mark.slow
def test_an_archive_and_a_packed_file_come_back_without_the_weights_beside(trained: Path, tmp_path: Path) -> None:
    content = (trained / "text.txt").read_bytes()[:3000]
    (tmp_path / "book.txt").write_bytes(content)
    made = mdl("compress", "book.txt", "--model", run_of(trained), "--embed-model", "-o", "book.mdl", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    back = mdl("decompress", "book.mdl", "-o", "back.txt", cwd=tmp_path)
    assert back.returncode == 0, back.stderr
    assert (tmp_path / "back.txt").read_bytes() == content
    assert (tmp_path / "book.mdl").stat().st_size < 30_000 + len(content)
    packed = mdl("pack", run_of(trained), "-o", tmp_path / "packed.mdl", cwd=trained)
    assert packed.returncode == 0, packed.stderr
    unpacked = mdl("unpack", "packed.mdl", "-o", "subset", cwd=tmp_path)
    assert unpacked.returncode == 0, unpacked.stderr
    assert len((tmp_path / "subset").read_bytes()) == 20_000


def test_a_text_is_generated(trained: Path) -> None:
    drawn = mdl("generate", "--coder", run_of(trained), "--prompt", "text.txt", "--length", "40", cwd=trained)
    assert drawn.returncode == 0, drawn.stderr
