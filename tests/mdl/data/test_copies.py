"""What stands twice in a corpus is found wherever it stands, and nothing else is; on request it is left out."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdl.data import Corpus, CorpusSpec, corpus_file, open_corpus
from mdl.data.duplicate_bytes import LEAST_BYTES, Part, chunks, copied_bytes, first_copies
from mdl.errors import MdlError
from mdl.storage import cache_folder
from tests.arrays import ArrayView

MOST_BYTES = 2 * 4096  # a chunk is shorter than this


def noise(n_bytes: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(n_bytes)


def part(*documents: bytes) -> Part:
    """Documents, none of them empty."""
    starts = np.cumsum([0, *map(len, documents)])[:-1]
    return Part(ArrayView(b"".join(documents)), starts.astype(np.int64))


def pieces(*documents: bytes, block_bytes: int = 1 << 20) -> list[bytes]:
    return [name for some in chunks(part(*documents), block_bytes=block_bytes) for name in some.names]


def opened(path: Path, **options: object) -> Corpus:
    return open_corpus(CorpusSpec(f"file:{path}", **options))  # type: ignore[arg-type]


def whole(corpus: Corpus) -> tuple[bytes, bytes]:
    """(training part in the source's order, held-out part)."""
    return tuple(v.read(0, len(v)).tobytes() for v in (corpus.source_train, corpus.heldout))  # type: ignore[return-value]


# Bytes with stretches of one value, which have no cut of their own, and words that come again and again.
texts = st.lists(
    st.one_of(
        st.builds(noise, st.integers(1, 3000), st.integers(0, 3)),
        st.builds(lambda value, n: bytes([value]) * n, st.integers(0, 255), st.integers(1, 20_000)),
        st.binary(min_size=1, max_size=100),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=60)
@given(texts, st.integers(1 << 14, 1 << 16))
def test_chunks_are_all_of_a_part_each_within_a_document_whatever_the_block(
    documents: list[bytes], block_bytes: int
) -> None:
    found = pieces(*documents)
    assert found == pieces(*documents, block_bytes=block_bytes)
    assert found == [chunk for document in documents for chunk in pieces(document)], "each document by itself"
    assert b"".join(found) == b"".join(documents)
    for chunk in found:
        assert LEAST_BYTES <= len(chunk) < MOST_BYTES or chunk in documents


def test_the_cuts_never_change() -> None:
    """Golden: other cuts would leave other bytes out, under the same run id."""
    assert [len(chunk) for chunk in pieces(hashlib.shake_128(b"").digest(4000))] == [
        159, 420, 194, 171, 294, 888, 186, 395, 156, 561, 327, 100, 149,
    ]  # fmt: skip
    assert [len(chunk) for chunk in pieces(bytes(10_000))] == [4096, 5904]


@settings(max_examples=60)
@given(texts, texts)
def test_no_more_is_counted_than_really_stands_in_training(heldout: list[bytes], train: list[bytes]) -> None:
    """By brute force: a held-out chunk counts where it is found in a document of the training part."""
    most = sum(len(chunk) for chunk in pieces(*heldout) if any(chunk in document for document in train))
    assert copied_bytes(part(*heldout), part(*train)) <= most
    assert copied_bytes(part(*heldout), part(*train, *heldout)) == len(b"".join(heldout))


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(2_000, 30_000))
def test_a_shifted_copy_is_found_to_within_two_chunks(before: int, there: int, n_bytes: int) -> None:
    """Whatever the offsets at which the two stand, and whatever stands around them."""
    copy = noise(n_bytes, 1)
    heldout = noise(before, 2) + copy + noise(5_000, 3)
    train = noise(there, 4) + copy + noise(50_000, 5)
    longest = max(map(len, pieces(copy)))
    found = copied_bytes(part(heldout), part(train))
    assert n_bytes - 2 * (longest + LEAST_BYTES) <= found <= n_bytes


def test_noise_has_no_copies() -> None:
    corpus = open_corpus(CorpusSpec("random:2MB"))
    assert corpus.info.heldout_copied_bytes == 0


def test_equal_bytes_are_all_copies_and_few_chunks(tmp_path: Path) -> None:
    """Nothing blows up, and of the corpus without copies little is left."""
    (tmp_path / "zeros").write_bytes(bytes(5_000_000))
    info = opened(tmp_path / "zeros", heldout_bytes=100_000).info
    assert info.heldout_copied_bytes is not None
    assert info.heldout_copied_bytes > 100_000 - MOST_BYTES, "only its last chunk may be of another length"
    left = opened(tmp_path / "zeros", deduplicate=True).info
    assert left.train_bytes + left.heldout_bytes < 3 * MOST_BYTES
    assert left.train_bytes + left.heldout_bytes + (left.deduplicated_bytes or 0) == 5_000_000


def test_a_planted_copy_in_one_file_is_told_in_the_record(tmp_path: Path) -> None:
    data = noise(200_000)
    (tmp_path / "a").write_bytes(data + noise(3_001, 1) + data[70_003:80_003] + noise(6_996, 2))
    info = opened(tmp_path / "a", heldout_bytes=20_000).info
    assert 10_000 - 2 * MOST_BYTES < (info.heldout_copied_bytes or 0) <= 10_000
    assert (info.heldout_copied_bytes or 0) > 7_000
    assert info.deduplicated_bytes is None


def folder_of(root: Path, documents: list[bytes]) -> Path:
    root.mkdir()
    for i, document in enumerate(documents):
        (root / f"{i:04}").write_bytes(document)
    return root


def lines(n: int, seed: int, length: int = 500) -> list[bytes]:
    """Documents of text, no two alike."""
    generator = np.random.default_rng(seed)
    return [bytes(generator.integers(97, 123, length, np.uint8)) for _ in range(n)]


def test_equal_documents_of_a_folder_are_found_whatever_their_length(tmp_path: Path) -> None:
    """Each stands twice, once in each part or both in one; of one byte, or of many."""
    documents = [bytes([c]) for c in range(97, 107)] + lines(40, 0, 30) + lines(40, 1, 5_000)
    corpus = opened(folder_of(tmp_path / "f", documents + documents[::-1]), heldout_bytes=40_000)
    train, heldout = whole(corpus)
    twice = {d for d in documents if d in heldout and d in train and len(d) > 1}
    assert twice
    copied = corpus.info.heldout_copied_bytes or 0
    assert 0 <= copied - sum(map(len, twice)) <= 10, "and what is of one byte"


def test_a_leak_made_on_purpose_is_no_copy_of_the_corpus(tmp_path: Path) -> None:
    """Nor does the shuffle change anything: what is counted is of the source."""
    (tmp_path / "a").write_bytes(noise(100_000))
    found = {
        opened(tmp_path / "a", heldout_bytes=10_000, leak_fraction=leak, shuffle_seed=seed).info.heldout_copied_bytes
        for leak, seed in ((0.0, 0), (0.5, 0), (0.5, 1))
    }
    assert found == {0}


def test_it_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And kept in the cache, for every order of the corpus; other parts are counted anew."""
    (tmp_path / "a").write_bytes(noise(50_000) * 2)
    first = [opened(tmp_path / "a", deduplicate=each).info for each in (False, True)]
    calls: list[object] = []
    monkeypatch.setattr(corpus_file, "copied_bytes", lambda *_: calls.append(1) or 77)
    monkeypatch.setattr(corpus_file, "first_copies", lambda *_: pytest.fail("found before"))
    assert [opened(tmp_path / "a", deduplicate=each, shuffle_seed=3).info.heldout_copied_bytes for each in (False, True)
            ] == [each.heldout_copied_bytes for each in first]  # fmt: skip
    assert opened(tmp_path / "a", heldout_bytes=20_000).info.heldout_copied_bytes == 77
    assert calls == [1]


def test_a_damaged_note_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(noise(50_000) * 2)
    first = [opened(tmp_path / "a", deduplicate=each).info for each in (False, True)]
    notes = list((cache_folder() / "copies").iterdir())
    assert len(notes) == 3
    for spoil in (lambda told: b"banana", lambda told: json.dumps({**json.loads(told), "copies": "x"}).encode()):
        for each in notes:
            each.write_bytes(spoil(each.read_bytes()))
        assert [opened(tmp_path / "a", deduplicate=each).info for each in (False, True)] == first


def test_without_copies_a_corpus_is_its_first_copies_in_their_order(tmp_path: Path) -> None:
    """Documents that come again are gone, whatever their length; of a stretch all but its ends; nothing else is."""
    once = lines(60, 0, 30) + lines(60, 1, 2_000) + [b"x", b"y"]
    again = [once[3], once[70], once[-1], once[100]]
    corpus = opened(folder_of(tmp_path / "f", once + again), deduplicate=True, heldout_bytes=10_000)
    train, heldout = whole(corpus)
    assert corpus.info.deduplicated_bytes == sum(map(len, again))
    assert corpus.info.heldout_copied_bytes == 0
    assert [d for d in once if d in heldout and len(d) > 1] + [d for d in once if d in train and len(d) > 1]
    assert sorted(train + heldout) == sorted(b"".join(once))
    data = noise(100_000)
    (tmp_path / "a").write_bytes(data + data[20_001:60_001] + noise(5_000, 1))
    info = opened(tmp_path / "a", deduplicate=True).info
    assert 40_000 - 2 * MOST_BYTES < (info.deduplicated_bytes or 0) <= 40_000
    train, heldout = whole(opened(tmp_path / "a", deduplicate=True))
    assert (train + heldout).startswith(data)
    assert (train + heldout).endswith(noise(5_000, 1))


@settings(max_examples=60)
@given(texts, st.data())
def test_what_is_left_out_stands_before(documents: list[bytes], data: st.DataObject) -> None:
    """Every chunk left out is one that is kept; what is kept is in order, and no chunk of it comes twice."""
    more = data.draw(st.lists(st.sampled_from(documents), max_size=4))
    content = b"".join([*documents, *more])
    starts, lengths = first_copies(part(*documents, *more))
    kept = [content[a : a + n] for a, n in zip(starts.tolist(), lengths.tolist(), strict=True)]
    assert all(a < b for a, b in pairwise(starts.tolist()))
    assert kept == list(dict.fromkeys(pieces(*documents, *more)))


def test_pictures_and_sound_are_compared_by_whole_documents() -> None:
    a, b, c = noise(2048), noise(4096, 1), noise(2048, 2)
    content, starts = a + b + a + c, np.array([0, 2048, 6144, 8192])
    view = Part(ArrayView(content), starts, 2048)
    assert [each.tolist() for each in first_copies(view)] == [[0, 2048, 8192], [2048, 4096, 2048]]
    assert copied_bytes(Part(ArrayView(a + b[:2048]), np.array([0, 2048]), 2048), view) == 2048


@pytest.mark.parametrize("size", [0, 1])
def test_what_is_too_small_to_cut_is_one_line_with_and_without(tmp_path: Path, size: int) -> None:
    (tmp_path / "a").write_bytes(bytes(size))
    for deduplicate in (False, True):
        with pytest.raises(MdlError, match=f"has {size} byte"):
            opened(tmp_path / "a", deduplicate=deduplicate)
