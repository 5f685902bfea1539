"""Classical coders take no more than their seconds by the clock, and what they lacked the time for comes later."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mdl.compressors import coders_for
from mdl.data import Corpus, CorpusSpec, open_corpus
from mdl.records import RunPaths, read_baseline
from mdl.sizing.coders import Coders, run_coders


@pytest.fixture
def corpus(text_file: Path) -> Corpus:
    return open_corpus(CorpusSpec(f"file:{text_file}"))


def made(paths: RunPaths) -> int:
    return len(list((paths.root / "baselines").glob("*.json")))


def test_every_coder_comes_in_the_end_and_none_twice(corpus: Corpus, tmp_path: Path) -> None:
    paths, subsets = RunPaths(tmp_path / "run"), (20_000, 5_000)
    assert not run_coders(corpus, subsets, paths, 0.0)
    assert made(paths) == 0
    assert run_coders(corpus, subsets, paths, 60.0)
    assert made(paths) == 2 * len(coders_for("text"))
    assert not run_coders(corpus, subsets, paths, 60.0)


def test_a_coder_that_takes_longer_than_foretold_is_the_last(corpus: Corpus, tmp_path: Path) -> None:
    """Found by use: making its unpacker takes zpaq half a second on every subset, which nothing had foretold."""
    paths = RunPaths(tmp_path / "run")
    began = time.monotonic()
    assert run_coders(corpus, range(4_000, 24_000, 1_000), paths, 1.0)
    assert time.monotonic() - began < 5.0
    assert 0 < made(paths) < 20 * len(coders_for("text"))


def test_where_a_core_is_free_they_run_beside_and_end_with_the_search(corpus: Corpus, tmp_path: Path) -> None:
    """Found by use: on a GPU's host with sixteen idle cores an answer was compared with bzip2 alone."""
    paths = RunPaths(tmp_path / "run")
    coders = Coders(corpus, paths, 60.0, is_core_free=True)
    began = time.monotonic()
    coders.begin((20_000,), 60.0)
    assert time.monotonic() - began < 2.0  # it waits for none of them
    while made(paths) < len(coders_for("text")) and time.monotonic() - began < 120.0:
        time.sleep(0.1)
    assert made(paths) == len(coders_for("text"))
    assert not coders.more((20_000,), 60.0)  # they are what the process beside is for
    assert coders.end()
    assert not coders.end()


def test_what_runs_beside_is_stopped_with_nothing_half_written(corpus: Corpus, tmp_path: Path) -> None:
    """Whatever it was at: every record that is there can be read."""
    paths = RunPaths(tmp_path / "run")
    coders = Coders(corpus, paths, 60.0, is_core_free=True)
    coders.begin(tuple(range(4_000, 24_000, 1_000)), 60.0)
    began = time.monotonic()
    while not made(paths) and time.monotonic() - began < 60.0:
        time.sleep(0.05)
    assert coders.end()
    files = list((paths.root / "baselines").iterdir())
    assert 0 < len(files) == made(paths)
    for file in files:
        assert read_baseline(file).compressed_bytes > 0
