from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdl.data import CorpusSpec, open_corpus, tokenised
from mdl.data.byte_pair_encoding import BytePairs, from_content, learn
from mdl.data.tokenized_corpus import cuts, encoded
from mdl.errors import MdlError
from mdl.storage import cache_folder
from tests.conftest import markov_text

TEXT = markov_text(30_000)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(256, 400))
def test_any_bytes_come_back_and_the_tokenizer_does_too(pieces: list[bytes], vocabulary: int) -> None:
    pairs = learn([*pieces, *pieces], vocabulary)
    assert len(pairs.strings) <= vocabulary
    assert from_content(pairs.content) == pairs
    for piece, ids in zip(pieces, pairs.encode(pieces), strict=True):
        assert pairs.decode(ids) == piece
        assert pairs.lengths[ids].sum() == len(piece)


def test_bytes_that_were_never_seen_are_coded_too() -> None:
    pairs = learn([TEXT], 512)
    for data in (bytes(range(256)) * 3, "日本語 «ÿ» é".encode(), b"\xff\xfe\x00", b""):
        assert pairs.decode(pairs.encode([data])[0]) == data


def test_merges_are_those_of_the_textbook() -> None:
    """Sennrich et al. 2016, counted by hand: ab five times, then abc three times; a space begins a word."""
    pairs = learn([b"abc abc abc abd abd"], 260)
    assert pairs.strings[256] == b"ab"
    assert pairs.strings[257] == b" ab"
    assert set(pairs.strings[258:]) <= {b" abc", b" abd", b"abc"}
    assert pairs.merges[0] == (97, 98)


def test_a_merge_never_crosses_from_a_word_to_the_next() -> None:
    pairs = learn([b"one two, 12 34 one two, 12 34 " * 50], 400)
    assert all(b" " not in string[1:] for string in pairs.strings if string.strip())
    assert learn(["été été été été ".encode() * 50], 280).encode([" été".encode()])[0].size == 1


def test_learning_is_the_same_in_every_process() -> None:
    program = (
        "import sys, hashlib; from mdl.data.byte_pair_encoding import learn; from tests.conftest import markov_text;"
        "print(hashlib.sha256(learn([markov_text(30_000)], 700).content).hexdigest())"
    )
    told = {subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout for _ in range(3)}
    assert len(told) == 1


def test_the_tokenizer_is_counted_by_what_it_takes() -> None:
    """A merge is two numbers of some ten bits: xz cannot be far below that, and is well below plain pairs."""
    pairs = learn([TEXT], 1024)
    assert len(pairs.merges) * 1.5 < len(pairs.content) < len(pairs.merges) * 4
    assert len(BytePairs(()).content) < 64


@pytest.mark.parametrize("content", [b"", b"banana", BytePairs(((300, 97),)).content, BytePairs(()).content[:-4]])
def test_what_is_no_tokenizer_is_one_line(content: bytes) -> None:
    with pytest.raises(MdlError, match="not a tokenizer"):
        from_content(content)


def test_no_token_crosses_a_cut() -> None:
    corpus = open_corpus(CorpusSpec("random:1500KB", heldout_bytes=50_000))
    at = cuts(1_300_000, 123_456)
    assert {0, 1_000, 30_000, 123_456, 1_000_000, 1_300_000} <= set(at)
    pairs = learn([TEXT], 300)
    tokens = encoded(pairs, corpus.train, at)
    for a, b in itertools.pairwise(at):
        own = tokens.ids[tokens.n_within(a) : tokens.n_within(b)]
        assert pairs.decode(own) == corpus.train.read(a, b).tobytes()
    with pytest.raises(IndexError):
        tokens.n_within(1_001)


def test_the_tokenizer_is_learned_from_the_subset_alone_and_kept(tmp_path, monkeypatch) -> None:
    first, second = b"ab ab ab " * 5_000, b"xyz xyz " * 10_000
    path = tmp_path / "two.txt"
    path.write_bytes(first + second)
    spec = CorpusSpec(f"file:{path}", block_bytes=len(first) + len(second), heldout_bytes=20_000)
    corpus = open_corpus(spec)
    subset = tokenised(corpus, len(first), len(corpus.train), 300)
    assert not any(b"x" in string for string in subset.pairs.strings[256:])
    assert subset.pairs.decode(subset.train.ids) == corpus.train.read(0, len(corpus.train)).tobytes()
    assert subset.pairs.decode(subset.heldout.ids) == corpus.heldout.read(0, 20_000).tobytes()
    monkeypatch.setattr("mdl.data.tokenized_corpus.learn", lambda *_: pytest.fail("it was in the cache"))
    again = tokenised(corpus, len(first), len(corpus.train), 300)
    assert again.pairs == subset.pairs
    assert np.array_equal(again.train.ids, subset.train.ids)


def test_what_is_in_the_cache_is_found_under_the_name_that_it_always_had(tmp_path) -> None:
    """Golden: what a record may say of a corpus beside its bytes makes no other tokens of them."""
    path = tmp_path / "text"
    path.write_bytes(b"ab ab ab " * 5_000)
    tokenised(open_corpus(CorpusSpec(f"file:{path}", heldout_bytes=5_000)), 10_000, 10_000, 300)
    assert [kept.stem for kept in (cache_folder() / "tokens").iterdir()] == ["1301eb89"]


def test_a_damaged_cache_is_made_again(text_file, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MDL_CACHE", str(tmp_path / "cache"))
    corpus = open_corpus(CorpusSpec(f"file:{text_file}"))
    made = tokenised(corpus, 50_000, 50_000, 300)
    (kept,) = (tmp_path / "cache" / "tokens").glob("*.npz")
    for damaged in (kept.read_bytes()[:1000], b"", b"banana"):
        kept.write_bytes(damaged)
        assert np.array_equal(tokenised(corpus, 50_000, 50_000, 300).train.ids, made.train.ids)


def test_without_the_library_one_line_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MdlError, match=r"pip install 'mdl-critical-size\[tokens\]'"):
        learn([TEXT], 300)
