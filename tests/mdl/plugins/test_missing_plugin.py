"""Runs of a user's own architecture, source and optimizer, read where the plugin is not named or is an edited one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.command import assert_one_line, mdl
from tests.test_plugins import OPTIMIZER, SOURCE

pytestmark = pytest.mark.slow

ARCHITECTURE = """
import torch
import mdl

class Order0(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(256))

    def forward(self, windows):
        return self.logits.expand(*windows.shape, 256)

mdl.register_architecture("own", lambda shape: Order0())
"""
SWEEP = """
name: s
parameters:
  source: {value: "coin:7"}
  architecture: {values: [transformer, own]}
  optimizer: {value: sign}
  size: {value: 2x1}
  subset_bytes: {value: 10KB}
  steps: {value: 5}
  context_bytes: {value: 64}
  heldout_sample_bytes: {value: 512}
  recipe: {value: 2}
"""
ASKS = "--plugin FILE"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("missing")
    (folder / "mine.py").write_text(SOURCE + OPTIMIZER + ARCHITECTURE)
    (folder / "edited.py").write_text(SOURCE + OPTIMIZER + ARCHITECTURE + "\n# edited\n")
    (folder / "s.yaml").write_text(SWEEP)
    (folder / "book.txt").write_bytes(b"to be or not to be " * 100)
    done = mdl("sweep", "s.yaml", "--no-baselines", "--plugin", "mine.py", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def run(place: Path, name: str) -> Path:
    return next((place / "runs/s").glob(f"{name}*"))


def test_what_only_reads_records_needs_no_plugin(place: Path) -> None:
    for words in (
        ("report", "s.yaml", "--format", "md"),
        ("status", "runs/s"),
        ("fit", "runs/s", "--group", "coin:7, own"),
        ("inspect", run(place, "own-2x1")),
    ):
        done = mdl(*words, cwd=place)
        assert done.returncode == 0, (words, done.stderr)
    edited = mdl("report", "runs/s", "--format", "md", "-o", "report", "--plugin", "edited.py", cwd=place)
    assert edited.returncode == 0, edited.stderr


def test_the_status_of_a_sweep_file_is_that_of_its_run_folder_and_says_so(place: Path) -> None:
    """What its cells are called only the plugin tells; of a file that is wrong otherwise it says what is wrong."""
    done = mdl("status", "s.yaml", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "s: 2 cells: 2 done, 0 running, 0 failed, 0 left" in done.stdout
    assert done.stderr.startswith("note: ")
    assert done.stderr.count("\n") == 1
    assert ASKS in done.stderr
    assert "runs/s alone" in done.stderr
    assert len(json.loads(mdl("status", "s.yaml", "--json", cwd=place).stdout)["done"]) == 2
    with_it = mdl("status", "s.yaml", "--plugin", "mine.py", cwd=place)
    assert (with_it.stdout, with_it.stderr) == (done.stdout, "")
    assert "0 done" in mdl("status", "s.yaml", "--plugin", "edited.py", cwd=place).stdout, "other runs"
    assert_one_line(mdl("status", "s.yaml", "--runs", "elsewhere", cwd=place), ASKS)
    (place / "wrong.yaml").write_text(SWEEP.replace("steps:", "stepz:"))
    assert_one_line(mdl("status", "wrong.yaml", cwd=place), "did you mean")


def test_what_needs_it_says_which_plugin_and_how_to_name_it(place: Path) -> None:
    sha256 = hashlib.sha256((place / "mine.py").read_bytes()).hexdigest()
    own = run(place, "own-2x1")
    for words in (
        ("compress", "book.txt", "--model", own, "-o", "x.mdl"),
        ("generate", "--coder", own, "--prompt", "book.txt", "--length", "5"),
        ("baselines", "book.txt", "--model", own),
        ("pack", own, "-o", "x.mdl"),
    ):
        assert_one_line(mdl(*words, cwd=place), f"unknown architecture 'own' of plugin {sha256[:12]}…; ")
        assert_one_line(mdl(*words, cwd=place), ASKS)
        assert_one_line(mdl(*words, "--plugin", "edited.py", cwd=place), "is another one, or was edited")
    assert not (place / "x.mdl").exists()


def test_a_model_of_ours_codes_without_the_source_that_it_learned_from(place: Path) -> None:
    """Packing needs its data, and says that a plugin has it."""
    run_of_ours = run(place, "2x1")
    made = mdl("compress", "book.txt", "--model", run_of_ours, "-o", "book.mdl", cwd=place)
    assert made.returncode == 0, made.stderr
    assert_one_line(mdl("pack", run_of_ours, "-o", "x.mdl", cwd=place), "unknown corpus 'coin:7'")
    assert_one_line(mdl("pack", run_of_ours, "-o", "x.mdl", cwd=place), ASKS)
    assert_one_line(mdl("baselines", "coin:7", cwd=place), "unknown corpus 'coin:7'")
    assert_one_line(mdl("baselines", "coin:7", "--modality", "image", cwd=place), ASKS)
