"""Recipe 2 from a sweep file to all that is made of its models: records, archives, packed files, generated text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mdl.models import load_weights
from mdl.records import read_cell
from tests.command import TINY, mdl, records
from tests.conftest import markov_text

pytestmark = pytest.mark.slow

RECIPE_2 = TINY.replace("[2x1, 4x1, 8x1]", "[8x2]") + "  recipe: {{value: 2}}\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two budgets of one trunk, weights coded too."""
    folder = tmp_path_factory.mktemp("second")
    (folder / "text.txt").write_bytes(markov_text(60_000))
    more = "  measure.coded_weights: {value: true}\n  measure.tune_steps: {value: 5}\n"
    (folder / "tiny.yaml").write_text(
        RECIPE_2.format(steps="60").replace("{value: 60}", "{values: [30, 60]}").replace("[10KB, 20KB]", "[20KB]")
        + more
    )
    done = mdl("sweep", "tiny.yaml", "--no-baselines", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def record_of(folder: Path) -> Path:
    return next(
        path
        for path in sorted((folder / "runs/tiny").glob("*20KB*/record.json"))
        if json.loads(path.read_text())["config"]["train.steps"] == 60
    )


def test_the_record_says_what_it_was_trained_by(trained: Path) -> None:
    config = read_cell(record_of(trained)).config
    assert config["train.recipe"] == 2
    assert config["train.optimizer"] == "muon"
    assert config["train.weight_decay"] == 0.1
    assert config["train.decay_start"] == 0.7
    shape, weights = load_weights(next(record_of(trained).parent.glob("final*.safetensors")))
    assert shape.block == 2
    assert {"smear", "query_gain_0", "query_gain_1", "value_mix_1"} <= set(weights)
    assert len(records(trained / "runs/tiny")) == 2


def test_it_learns_more_than_the_first_recipe(trained: Path, tmp_path: Path) -> None:
    """After as many bytes, on a text that both learn; a rate that was far off would not."""
    (tmp_path / "text.txt").write_bytes((trained / "text.txt").read_bytes())
    (tmp_path / "tiny.yaml").write_text(RECIPE_2.format(steps="60").replace("{value: 2}", "{value: 1}"))
    assert mdl("sweep", "tiny.yaml", "--no-baselines", cwd=tmp_path).returncode == 0
    own = {
        recipe: min(
            segment["code_bits"]
            for path in folder.glob("runs/tiny/*20KB*/record.json")
            for segment in json.loads(path.read_text())["snapshots"][0]["segments"]
            if segment["part"] == "heldout"
        )
        for recipe, folder in ((1, tmp_path), (2, trained))
    }
    assert own[2] < own[1]


def test_an_archive_and_a_packed_file_come_back(trained: Path, tmp_path: Path) -> None:
    weights = next(record_of(trained).parent.glob("final*.safetensors"))
    content = (trained / "text.txt").read_bytes()[:3000]
    (tmp_path / "book.txt").write_bytes(content)
    made = mdl("compress", "book.txt", "--model", weights, "--embed-model", "-o", "book.mdl", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    back = mdl("decompress", "book.mdl", "-o", "back.txt", cwd=tmp_path)
    assert back.returncode == 0, back.stderr
    assert (tmp_path / "back.txt").read_bytes() == content
    packed = mdl("pack", record_of(trained).parent, "-o", tmp_path / "packed.mdl", cwd=trained)
    assert packed.returncode == 0, packed.stderr
    (tmp_path / "elsewhere").mkdir()
    unpacked = mdl("decompress", tmp_path / "packed.mdl", "-o", "subset", cwd=tmp_path / "elsewhere")
    assert unpacked.returncode == 0, unpacked.stderr
    assert len((tmp_path / "elsewhere/subset").read_bytes()) == 20_000


def test_a_report_is_built_of_it_and_a_text_is_generated(trained: Path, tmp_path: Path) -> None:
    built = mdl("report", "runs/tiny", "--out", tmp_path / "report", "--format", "md", cwd=trained)
    assert built.returncode == 0, built.stderr
    assert "Muon" in (tmp_path / "report/report.md").read_text()
    weights = next(record_of(trained).parent.glob("final*.safetensors"))
    drawn = mdl("generate", "--coder", weights, "--prompt", "text.txt", "--length", "40", cwd=trained)
    assert drawn.returncode == 0, drawn.stderr
