"""A corpus that changes while something reads it: one line, no record of other bytes, and the old bytes mend it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mdl.data import Corpus, CorpusSpec, open_corpus, open_whole, tokenised
from mdl.errors import MdlError
from mdl.evaluation import BaselineJob, TransferJob, load_trained_model, run_baseline, run_transfer
from mdl.models import Shape, StackedTransformer
from mdl.models.weights_file import save_weights
from mdl.records import RunPaths
from mdl.sweeps import plan_sweep
from mdl.training import run_cohort
from tests.command import assert_one_line, leftovers, mdl, records
from tests.conftest import markov_text

pytestmark = pytest.mark.slow

Change = Callable[[Path, bytes], None]


def rewrite(path: Path, other: bytes) -> None:
    """In place, the same size."""
    with path.open("r+b") as stream:
        stream.write(other)


def rewrite_in_the_same_moment(path: Path, other: bytes) -> None:
    """In place, the same size, and with its old time of change put back, as `rsync --times` or a build may do."""
    before = path.stat()
    rewrite(path, other)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(path: Path, other: bytes) -> None:
    os.truncate(path, 30_000)


def empty(path: Path, other: bytes) -> None:
    path.write_bytes(b"")


def replace(path: Path, other: bytes) -> None:
    """By a rename: whoever has the file open goes on reading the old one."""
    beside = path.with_name("other")
    beside.write_bytes(other)
    beside.replace(path)


CHANGES = [rewrite, rewrite_in_the_same_moment, truncate, empty, replace]
SAID = "is not what it was when it was opened"


SMALL = """
parameters:
  corpus.source: {{value: "file:{text}"}}
  corpus.heldout_bytes: {{value: 20KB}}
  subset_bytes: {{value: 40KB}}
  size: {{values: [4x1, 8x1]}}
  context_bytes: {{value: 64}}
  steps: {{value: 400}}
  checkpoint_seconds: {{value: 0.1}}
  reach_ratio: {{value: 1}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two cohorts, its corpus, and under `straight` what an undisturbed run makes of them."""
    folder = tmp_path_factory.mktemp("changed")
    (folder / "text.txt").write_bytes(markov_text(200_000))
    (folder / "small.yaml").write_text(SMALL.format(text=folder / "text.txt"))
    straight = mdl("sweep", "small.yaml", "--no-baselines", "--runs", "straight", cwd=folder)
    assert straight.returncode == 0, straight.stderr
    return folder


def changed_while_it_runs(folder: Path, change: Change, runs: str) -> subprocess.CompletedProcess[str]:
    """The sweep's end, where the corpus changes once the first of its cohorts has saved its first checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--no-baselines", "--workers", "1", "--runs", runs],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(folder.glob(f"{runs}/small/cohorts/*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    change(folder / "text.txt", markov_text(200_000, seed=1))
    out, errors = process.communicate(timeout=120)
    return subprocess.CompletedProcess([], process.returncode, out, errors)


SLOW = [pytest.param(change, marks=pytest.mark.slow) for change in (truncate, replace)]


@pytest.mark.parametrize("change", [rewrite, *SLOW])
def test_a_sweep_whose_corpus_changes_ends_with_a_line_and_goes_on_once_the_old_bytes_are_back(
    change: Change, folder: Path
) -> None:
    """No record is of other bytes; the checkpoint is of before the change: going on gives what an undisturbed run does.

    The second cohort is not begun: it would open other bytes than the manifest names.
    """
    old, runs = (folder / "text.txt").read_bytes(), change.__name__
    ended = changed_while_it_runs(folder, change, runs)
    (folder / "text.txt").write_bytes(old)
    assert_one_line(ended, "text.txt")
    assert SAID in ended.stderr or "has become shorter" in ended.stderr
    assert "run the same command to go on" in ended.stderr
    straight = records(folder / "straight/small")
    made = records(folder / runs / "small")
    assert len(made) < len(straight)
    assert all(straight[run_id] == record for run_id, record in made.items())
    again = mdl("sweep", "small.yaml", "--no-baselines", "--runs", runs, cwd=folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert records(folder / runs / "small") == straight
    assert leftovers(folder) == []


def test_what_begins_after_the_change_is_compared_with_the_manifest(folder: Path, tmp_path: Path) -> None:
    """A worker opens the corpus anew for every cohort: what it finds then is other bytes from the first."""
    text = folder / "text.txt"
    old, plan = text.read_bytes(), plan_sweep(folder / "small.yaml", tmp_path)
    plan.paths.root.mkdir()
    plan.paths.manifest.write_bytes((folder / "straight/small/sweep.json").read_bytes())
    rewrite(text, markov_text(200_000, seed=1))
    with pytest.raises(MdlError, match=r"is not what .* was made from"):
        run_cohort(plan.cohorts[0], "small", plan.paths)
    rewrite(text, old)
    assert [path.name for path in plan.paths.root.iterdir()] == ["sweep.json"]


@pytest.fixture
def corpus(text_file: Path) -> Corpus:
    return open_corpus(CorpusSpec(f"file:{text_file}"))


def test_looking_at_a_file_again_costs_no_hash_where_nothing_changed(
    corpus: Corpus, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same bytes under new times, or in another file, are the same corpus."""
    monkeypatch.delattr(hashlib, "file_digest")
    corpus.check_unchanged()
    monkeypatch.undo()
    os.utime(text_file)
    corpus.check_unchanged()
    replace(text_file, text_file.read_bytes())
    corpus.check_unchanged()
    text_file.unlink()  # what was opened is still there for whoever opened it
    corpus.check_unchanged()


@pytest.mark.parametrize("change", CHANGES)
def test_the_line_names_the_corpus_both_hashes_and_the_way_out(change: Change, corpus: Corpus, text_file: Path) -> None:
    old = corpus.info.sha256[:12]
    change(text_file, markov_text(200_000, seed=1))
    new = hashlib.sha256(text_file.read_bytes()).hexdigest()[:12]
    with pytest.raises(MdlError) as caught:
        corpus.check_unchanged()
    said = str(caught.value)
    assert "\n" not in said
    for words in (corpus.info.source, SAID, f"sha256 {new}…", f"was {old}…", "bring the old bytes back"):
        assert words in said


def test_what_takes_the_place_of_a_corpus_and_is_no_file_is_named(corpus: Corpus, text_file: Path) -> None:
    """A pipe under that name is not waited for."""
    text_file.unlink()
    os.mkfifo(text_file)
    with pytest.raises(MdlError, match="no plain file"):
        corpus.check_unchanged()


def test_nothing_that_is_made_of_changed_bytes_is_kept(text_file: Path, tmp_path: Path) -> None:
    """A classical coder's size, a model's code on other data, a subset's tokens: nobody knows which bytes they saw."""
    paths = RunPaths(tmp_path / "out")
    whole, split = open_whole(f"file:{text_file}"), open_corpus(CorpusSpec(f"file:{text_file}"))
    rewrite(text_file, markov_text(200_000, seed=1))
    with pytest.raises(MdlError, match=SAID):
        run_baseline(whole, BaselineJob(coder="gzip", subset_bytes=10_000, order="contiguous", chunk_bytes=None), paths)
    with pytest.raises(MdlError, match=SAID):
        tokenised(split, 10_000, 10_000, 300)
    model = StackedTransformer(Shape(2, 1, 1, context_tokens=64), [0])
    save_weights(tmp_path / "w.safetensors", model.shape, model.member(0))
    loaded = load_trained_model(str(tmp_path / "w.safetensors"), torch.device("cpu"))
    with pytest.raises(MdlError, match=SAID):
        run_transfer(whole, loaded, TransferJob(10_000, 64, 1_000), paths)
    assert not list(paths.root.rglob("*.json"))
    assert not list(Path(os.environ["MDL_CACHE"]).rglob("*.npz"))
