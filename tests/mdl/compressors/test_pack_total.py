"""A run that was trained for its coded weights is packed as those, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from analysis.records import load
from mdl.config import Cell, Cohort, from_flat
from mdl.models import load_weights
from mdl.quantization import decode_weights
from mdl.records import RunPaths, read_cell
from mdl.training import run_cohort
from tests.command import mdl
from tests.conftest import markov_text

D = 20_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained for its total; its record's folder."""
    folder = tmp_path_factory.mktemp("total")
    (folder / "text.txt").write_bytes(markov_text(60_000))
    flat = {
        "source": f"file:{folder / 'text.txt'}",
        "subset_bytes": D,
        "size": "8x1",
        "context_bytes": 64,
        "train.recipe": 2,
        "train.steps": 60,
        "train.weight_bits": "auto",
        "block_bytes": 512,
        "heldout_bytes": "10KB",
        "heldout_sample_bytes": 2048,
        "reach_ratio": 1,
        "measure.coded_weights": True,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDL_CACHE", str(folder / "cache"))
        config = from_flat(flat)
        run_cohort(Cohort((Cell(config.run_id, config),)), "s", RunPaths(folder / "runs" / "s"))
    return folder / "runs" / "s" / config.run_id


def test_the_record_holds_the_one_code_that_was_trained_for(run: Path) -> None:
    """Real bytes, which decode to the weights beside them; the data's code is theirs; resolved and asked for."""
    record = read_cell(run / "record.json")
    assert record.config["train.weight_bits"] == "auto"
    assert record.config["train.rounding_start"] == record.config["train.decay_start"] == 0.7
    assert record.requested["train.rounding_start"] is None
    for snapshot in record.snapshots:
        (code,) = snapshot.coded
        content = (run / str(code.coded_file)).read_bytes()
        assert code.coder == "density"
        assert code.model_bits == 8 * len(content)
        assert code.density_bits == pytest.approx(code.model_bits, rel=0.02)
        assert code.data_bits == snapshot.own_bits(D)
        shape, weights = load_weights(run / snapshot.weights_file)
        sent = decode_weights(shape, content)
        assert all((weights[name].numpy() == sent[name]).all() for name in sent)
    table = load(run.parent)
    row = table.for_code.iloc[0]
    assert row["own_bits"] == code.data_bits
    assert row["bits_per_param"] * row["n_params"] == pytest.approx(code.model_bits)
    assert table.cells.empty
    assert table.coded.empty


def test_it_is_packed_at_the_recorded_size_and_another_process_decodes_it(run: Path, tmp_path: Path) -> None:
    (code,) = read_cell(run / "record.json").snapshots[0].coded
    made = mdl("pack", run, "-o", tmp_path / "subset.mdl", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert f"{code.model_bits:,} bits" in made.stdout
    size_bits = 8 * (tmp_path / "subset.mdl").stat().st_size
    assert abs(size_bits - code.total_bits) <= 0.001 * code.total_bits + 8 * 1024
    back = mdl("unpack", "subset.mdl", "-o", "data.bin", cwd=tmp_path, MDL_CACHE=str(tmp_path / "no-cache"))
    assert back.returncode == 0, back.stderr
    again = mdl("unpack", "subset.mdl", "-o", "again.bin", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len((tmp_path / "data.bin").read_bytes()) == D
    assert (tmp_path / "data.bin").read_bytes() == (tmp_path / "again.bin").read_bytes()


@pytest.mark.parametrize("change", ["altered", "missing"])
def test_coded_weights_that_are_not_the_recorded_are_refused(run: Path, tmp_path: Path, change: str) -> None:
    other = tmp_path / run.name
    shutil.copytree(run, other)
    path = other / "final.coded"
    content = path.read_bytes()
    path.unlink()
    if change == "altered":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    made = mdl("pack", other, "-o", tmp_path / "subset.mdl", cwd=tmp_path)
    assert made.returncode == 2
    assert "is not the coded weights that the run's record names" in made.stderr
    assert not (tmp_path / "subset.mdl").exists()
