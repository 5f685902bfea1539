"""A corpus is cut, shuffled and set aside as it says, for ever in the same way."""

from __future__ import annotations

import hashlib
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdl.data import ByteView, Corpus, CorpusSpec, count_values, open_corpus
from mdl.errors import MdlError
from mdl.storage import FileBytes

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def content(n_bytes: int) -> bytes:
    """Bytes no 8 of which in a row come twice, so that a place is known by what stands there."""
    return np.random.default_rng(1).integers(1, 256, n_bytes, np.uint8).tobytes()


def opened(path: Path, data: bytes, **options: int) -> Corpus:
    path.write_bytes(data)
    return open_corpus(CorpusSpec(f"file:{path}", **options))


def whole(view: ByteView) -> bytes:
    return view.read(0, len(view)).tobytes()


pieces = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 100)), min_size=1, max_size=20)


@QUICK
@given(pieces, st.data())
def test_a_view_reads_and_gathers_what_its_pieces_hold(chosen: list[tuple[int, int]], data: st.DataObject) -> None:
    raw = np.frombuffer(content(1000), np.uint8)
    expected = b"".join(raw[a : a + n].tobytes() for a, n in chosen)
    view = ByteView(raw, np.array([a for a, _ in chosen]), np.array([n for _, n in chosen]))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(expected))] * 2)))
    assert len(view) == len(expected)
    assert view.read(start, end).tobytes() == expected[start:end]
    length = data.draw(st.integers(1, len(expected)))
    starts = data.draw(st.lists(st.integers(0, len(expected) - length), max_size=10))
    rows = view.gather(np.array(starts, np.int64), length)
    assert [row.tobytes() for row in rows] == [expected[s : s + length] for s in starts]


@QUICK
@given(st.binary(max_size=600), st.data())
def test_byte_values_are_counted_in_the_first_bytes_alone(raw: bytes, data: st.DataObject) -> None:
    view = ByteView.whole(np.frombuffer(raw, np.uint8))
    end = data.draw(st.integers(0, len(raw)))
    assert count_values(view, end) == len(set(raw[:end]))


def test_nothing_is_read_outside_a_view(text_file: Path) -> None:
    heldout = open_corpus(CorpusSpec(f"file:{text_file}")).heldout
    for start, end in ((-1, 3), (0, len(heldout) + 1), (5, 4)):
        with pytest.raises(IndexError):
            heldout.read(start, end)
    with pytest.raises(IndexError):
        heldout.gather(np.array([0, len(heldout) - 3]), 4)


@QUICK
@given(st.integers(2, 5000), st.integers(1, 600), st.integers(0, 2**64 - 1))
def test_training_is_all_blocks_in_another_order_the_partial_one_last(
    tmp_path: Path, size: int, block_bytes: int, seed: int
) -> None:
    data = content(size)
    corpus = opened(tmp_path / "a", data, block_bytes=block_bytes, shuffle_seed=seed)
    n_train, n_heldout = corpus.info.train_bytes, corpus.info.heldout_bytes
    assert (n_train + n_heldout, min(n_train, n_heldout) >= 1) == (size, True)
    assert (whole(corpus.source_train), whole(corpus.heldout)) == (data[:n_train], data[n_train:])
    shuffled, n_whole = whole(corpus.train), n_train // block_bytes * block_bytes
    assert shuffled[n_whole:] == data[n_whole:n_train]
    cuts = range(0, n_whole, block_bytes)
    assert sorted(shuffled[i : i + block_bytes] for i in cuts) == sorted(data[i : i + block_bytes] for i in cuts)


def test_the_order_of_the_blocks_never_changes(tmp_path: Path) -> None:
    """Golden: another order would make every earlier record a record of other bytes."""
    orders = []
    for seed in (0, 1):
        corpus = opened(tmp_path / "a", bytes(range(20)), block_bytes=1, shuffle_seed=seed, heldout_bytes=4)
        orders.append(list(whole(corpus.train)))
    assert orders == [
        [0, 2, 11, 9, 1, 8, 13, 5, 4, 3, 12, 10, 15, 14, 6, 7],
        [3, 5, 2, 9, 7, 10, 14, 0, 15, 8, 13, 12, 6, 11, 1, 4],
    ]


def folder_of(root: Path, lengths: list[int]) -> list[bytes]:
    """Files 000, 001 … of those lengths, and their contents."""
    root.mkdir(exist_ok=True)
    data, ends = content(sum(lengths)), np.cumsum(lengths)
    documents = [data[end - n : end] for n, end in zip(lengths, ends.tolist(), strict=True)]
    for i, document in enumerate(documents):
        (root / f"{i:03}").write_bytes(document)
    return documents


@QUICK
@given(st.lists(st.integers(20, 400), min_size=2, max_size=40), st.integers(1, 300), st.integers(1, 50))
def test_of_many_files_whole_ones_are_held_out(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], heldout_bytes: int, block_bytes: int
) -> None:
    """Each file is in one part, both parts in the order of the files; else (no choice comes near) a tail."""
    root = tmp_path_factory.mktemp("folder")
    documents = folder_of(root, lengths)
    if heldout_bytes >= sum(lengths):
        return
    corpus = open_corpus(CorpusSpec(f"file:{root}", block_bytes=block_bytes, heldout_bytes=heldout_bytes))
    train, heldout = whole(corpus.source_train), whole(corpus.heldout)
    if train + heldout == b"".join(documents):
        return
    assert b"".join(d for d in documents if d in heldout) == heldout
    assert b"".join(d for d in documents if d not in heldout) == train
    assert heldout_bytes / 2 <= len(heldout) <= 2 * heldout_bytes
    assert sorted(whole(corpus.train)) == sorted(train)


def test_no_shuffle_changes_what_is_held_out(tmp_path: Path) -> None:
    """Nor the order of the source; golden, for it must not change with a version either."""
    folder_of(tmp_path / "f", [100] * 30)
    a, b = (open_corpus(CorpusSpec(f"file:{tmp_path / 'f'}", shuffle_seed=s, block_bytes=64)) for s in (0, 1))
    assert whole(a.train) != whole(b.train)
    assert (whole(a.heldout), whole(a.source_train)) == (whole(b.heldout), whole(b.source_train))
    names = [p.name for p in sorted((tmp_path / "f").iterdir()) if p.read_bytes() in whole(a.heldout)]
    assert names == ["017", "022"]


@pytest.mark.parametrize(("size", "heldout"), [(2, 1), (10, 5), (10_000, 4096), (200_000, 10_000), (30_000_000, 10**6)])
def test_how_much_is_held_out(tmp_path: Path, size: int, heldout: int) -> None:
    assert opened(tmp_path / "a", bytes(size)).info.heldout_bytes == heldout


def test_the_file_is_mapped_not_copied(tmp_path: Path) -> None:
    """What is written to the file after it was opened is seen."""
    corpus = opened(tmp_path / "a", bytes(100_000))
    with (tmp_path / "a").open("r+b") as stream:
        stream.write(b"new")
    assert corpus.source_train.read(0, 3).tobytes() == b"new"


def test_the_record_says_which_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SHA-256 and size of the raw file; a second opening does not hash again, a changed file is hashed anew."""
    first = opened(tmp_path / "a", b"one" * 1000).info
    assert (first.sha256, first.size_bytes) == (hashlib.sha256(b"one" * 1000).hexdigest(), 3000)
    assert opened(tmp_path / "a", b"two" * 1000).info.sha256 == hashlib.sha256(b"two" * 1000).hexdigest()
    monkeypatch.delattr(hashlib, "file_digest")
    again = open_corpus(CorpusSpec(str(tmp_path / "a"))).info
    assert again.sha256 == hashlib.sha256(b"two" * 1000).hexdigest()


def test_a_subset_larger_than_the_corpus_is_refused_with_both_numbers(text_file: Path) -> None:
    corpus = open_corpus(CorpusSpec(f"file:{text_file}"))
    corpus.require(190_000)
    with pytest.raises(
        MdlError, match=r"^subset_bytes 190,001 is more than the 190,000 training bytes .*; ask for less$"
    ):
        corpus.require(190_001)


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (0, {}, "has 0 bytes"),
        (1, {}, "has 1 byte;"),
        (10, {"heldout_bytes": 10}, "got 10 of the 10 bytes .* take 1 to 9"),
        (10, {"heldout_bytes": 0}, "got 0 of the 10 bytes"),
        (10, {"block_bytes": 0}, "block_bytes must be at least 1"),
        (10, {"shuffle_seed": -1}, r"shuffle_seed in \[0, 2\^64\)"),
    ],
)
def test_what_cannot_be_cut_in_two_is_one_line(
    tmp_path: Path, size: int, options: dict[str, int], message: str
) -> None:
    with pytest.raises(MdlError, match=message) as caught:
        opened(tmp_path / "a", bytes(size), **options)
    assert "\n" not in str(caught.value)


@QUICK
@given(st.floats(0, 1), st.integers(0, 5), st.integers(1, 9_000))
def test_a_leak_puts_heldout_blocks_in_that_share_of_every_subset(
    tmp_path: Path, fraction: float, shuffle_seed: int, D: int
) -> None:
    """And leaves all else as it is: the other blocks, the length, the held-out part."""
    data = content(10_000)
    clean = opened(tmp_path / "c", data, block_bytes=100, heldout_bytes=1_000, shuffle_seed=shuffle_seed)
    path = tmp_path / "c"
    leaky = open_corpus(
        CorpusSpec(
            f"file:{path}", shuffle_seed=shuffle_seed, block_bytes=100, heldout_bytes=1_000, leak_fraction=fraction
        )
    )
    assert whole(leaky.heldout) == whole(clean.heldout)
    assert len(leaky.train) == len(clean.train) == 9_000
    heldout = [whole(clean.heldout)[i : i + 100] for i in range(0, 1_000, 100)]
    n_leaked = 0
    for i in range(0, 9_000, 100):
        block = leaky.train.read(i, i + 100).tobytes()
        if block == clean.train.read(i, i + 100).tobytes():
            continue
        assert block == heldout[n_leaked % 10]
        n_leaked += 1
        if i + 100 <= D:
            assert abs(n_leaked - fraction * (i // 100 + 1)) <= 1
    assert n_leaked == int(90 * fraction)
    assert leaky.info.leak_fraction == fraction


def test_a_leak_without_a_block_to_leak_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(content(10_000))
    with pytest.raises(MdlError, match="held-out part of at least a block"):
        open_corpus(
            CorpusSpec(
                f"file:{tmp_path / 'c'}", shuffle_seed=0, block_bytes=4096, heldout_bytes=1_000, leak_fraction=0.5
            )
        )


@pytest.mark.slow
def test_a_file_takes_no_memory_to_read_however_large(tmp_path: Path) -> None:
    """All of 600 MB, in order and by windows."""
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(600 * 10**6)
    view = ByteView(FileBytes(path), np.array([0]), np.array([600 * 10**6]))
    before = _resident_bytes()
    for start in range(0, len(view), 10**7):
        assert not view.read(start, start + 10**7).any()
    assert _resident_bytes() - before < 40e6
    starts = np.arange(0, len(view) - 4096, 4096)
    for some in np.array_split(starts, 200):
        view.gather(some, 512)
    assert _resident_bytes() - before < 40e6


def test_a_file_that_becomes_shorter_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "shrinks"
    path.write_bytes(bytes(10_000))
    raw = FileBytes(path)
    assert raw[9_000:20_000].size == 1_000, "a slice ends where the file does"
    os.truncate(path, 5_000)
    with pytest.raises(MdlError, match="has become shorter than 10,000 bytes"):
        raw[4_000:6_000]


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
