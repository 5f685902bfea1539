"""Classical coders take no more than their seconds by the clock, and what they lacked the time for comes later."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mdl.compressors import coders_for
from mdl.data import Corpus, CorpusSpec, open_corpus
from mdl.records import RunPaths
from mdl.sizing.coders import run_coders


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
