"""What the classical coders really take, on the very bytes that the models see, measured once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdl import compressors
from mdl.compressors import chunk_lengths, coders_for
from mdl.data import Corpus, CorpusSpec, open_corpus
from mdl.errors import MdlError
from mdl.evaluation import BaselineJob, baseline_path, run_baseline
from mdl.evaluation.classical import ORDERS, baseline_plan, measure, pieces_of
from mdl.records import RunPaths, read_baseline
from tests.arrays import ArrayView

CONTENT = np.random.default_rng(0).bytes(10**6)

CODERS = coders_for("bytes")  # the general ones
N_LENGTHS = sum(len(chunk_lengths(coder, 256)) for coder in CODERS)  # a program of its own: the whole alone


@pytest.fixture
def corpus(text_file: Path) -> Corpus:
    return open_corpus(CorpusSpec(f"file:{text_file}", block_bytes=512))


def test_every_coder_is_planned_in_both_orders_whole_and_in_chunks(corpus: Corpus) -> None:
    jobs = baseline_plan(corpus, [1000, 3000], 256)
    assert len(set(jobs)) == len(jobs) == 2 * 2 * N_LENGTHS
    assert {job.chunk_bytes for job in jobs} == {None, 256}


def test_pictures_and_sound_have_coders_of_their_own_beside_the_general_ones() -> None:
    assert coders_for("text") == coders_for("bytes") == CODERS
    assert set(coders_for("image")) - set(CODERS) == {"png", "webp", "jpegxl"}
    assert set(coders_for("audio")) - set(CODERS) == {"flac", "wavpack"}
    assert {*coders_for("image"), *coders_for("audio")} <= set(compressors.REGISTRY)


def test_a_subset_that_is_not_there_is_not_planned(corpus: Corpus) -> None:
    with pytest.raises(MdlError, match="subset_bytes 1,000,000 is more than the 190,000 training bytes"):
        baseline_plan(corpus, [1000, 1_000_000], 256)


@pytest.mark.parametrize("coder", CODERS)
def test_a_whole_run_codes_the_whole_subset(corpus: Corpus, coder: str) -> None:
    for order in ORDERS:
        view = corpus.train if order == "shuffled" else corpus.source_train
        record = measure(corpus, BaselineJob(coder=coder, subset_bytes=20_000, order=order, chunk_bytes=None))
        packed = compressors.get(coder).compress(view.read(0, 20_000).tobytes())
        assert (record.sample_bytes, record.n_chunks, record.compressed_bytes) == (20_000, 1, len(packed))
        assert record.header_bytes == len(compressors.get(coder).compress(b""))
        assert (record.coder, record.order, record.subset_bytes, record.corpus) == (coder, order, 20_000, corpus.info)
        assert record.seconds > 0


def test_a_leak_has_records_of_its_own_for_its_own_bytes(text_file: Path, tmp_path: Path) -> None:
    """In the source's own order there is no leak, and one record for all."""
    clean, leaky = (
        open_corpus(
            CorpusSpec(f"file:{text_file}", shuffle_seed=0, block_bytes=512, heldout_bytes=8192, leak_fraction=fraction)
        )
        for fraction in (0.0, 0.5)
    )
    paths = RunPaths(tmp_path)
    for order, n_records in (("shuffled", 2), ("contiguous", 1)):
        job = BaselineJob(coder="gzip", subset_bytes=50_000, order=order, chunk_bytes=None)
        made = [run_baseline(corpus, job, paths) for corpus in (clean, leaky)]
        assert len({baseline_path(corpus, job, paths) for corpus in (clean, leaky)}) == n_records
        assert len({record.compressed_bytes for record in made}) == n_records
        assert [record.corpus.leak_fraction for record in made] == ([0.0, 0.5] if n_records == 2 else [0.0, 0.0])


def test_a_corpus_without_its_copies_has_records_of_its_own_in_either_order(text_file: Path, tmp_path: Path) -> None:
    """The held-out part may be as long, and the file is the same."""
    text_file.write_bytes(text_file.read_bytes()[:50_000] * 3)
    with_copies, without = (
        open_corpus(
            CorpusSpec(
                f"file:{text_file}",
                shuffle_seed=0,
                block_bytes=512,
                heldout_bytes=8192,
                leak_fraction=0.0,
                deduplicate=d,
            )
        )
        for d in (False, True)
    )
    assert with_copies.info.sha256 == without.info.sha256
    for order in ORDERS:
        job = BaselineJob(coder="gzip", subset_bytes=10_000, order=order, chunk_bytes=None)
        assert len({baseline_path(corpus, job, RunPaths(tmp_path)) for corpus in (with_copies, without)}) == 2


@pytest.mark.slow
@pytest.mark.parametrize("coder", CODERS)
def test_a_chunked_run_codes_every_chunk_by_itself(corpus: Corpus, coder: str) -> None:
    """The partial last one too, where all fit into the sample."""
    record = measure(corpus, BaselineJob(coder=coder, subset_bytes=5000, order="shuffled", chunk_bytes=256))
    data, same = corpus.train.read(0, 5000).tobytes(), compressors.get(coder, 256)
    sizes = [len(same.compress(data[i : i + 256])) for i in range(0, 5000, 256)]
    assert (record.sample_bytes, record.n_chunks, record.compressed_bytes) == (5000, 20, sum(sizes))


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(16, 300_000))
def test_a_sample_is_all_chunks_or_256_kib_of_whole_ones(subset_bytes: int, chunk_bytes: int) -> None:
    view = ArrayView(CONTENT[:subset_bytes])
    n_chunks, n_most = -(-subset_bytes // chunk_bytes), max(1, 256 * 1024 // chunk_bytes)
    pieces = pieces_of(
        view, BaselineJob(coder="gzip", subset_bytes=subset_bytes, order="shuffled", chunk_bytes=chunk_bytes)
    )
    if n_chunks <= n_most:
        assert b"".join(pieces) == CONTENT[:subset_bytes]
        assert len(pieces) == n_chunks
    else:
        assert [len(piece) for piece in pieces] == [chunk_bytes] * n_most
        assert len(set(pieces)) == n_most
        assert all(piece in CONTENT[:subset_bytes] for piece in pieces[:3])


def test_a_sample_reaches_from_the_first_chunk_to_the_last_whole_one() -> None:
    content = np.arange(500_100 // 4 + 1, dtype="<u4").tobytes()[:500_100]
    pieces = pieces_of(
        ArrayView(content), BaselineJob(coder="gzip", subset_bytes=500_100, order="shuffled", chunk_bytes=1000)
    )
    starts = [content.index(piece) for piece in pieces]
    assert (starts[0], starts[-1], len(starts)) == (0, 499_000, 262)
    assert set(np.diff(starts)) == {1000, 2000}


def test_a_job_is_measured_once(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time its record is read, and the record says the same."""
    paths, job = (
        RunPaths(tmp_path / "runs"),
        BaselineJob(coder="xz", subset_bytes=2000, order="contiguous", chunk_bytes=256),
    )
    record = run_baseline(corpus, job, paths)
    assert read_baseline(baseline_path(corpus, job, paths)) == record
    monkeypatch.delattr("mdl.evaluation.classical.get_compressor")
    assert run_baseline(corpus, job, paths) == record


def test_no_two_measurements_share_a_name(text_file: Path, tmp_path: Path) -> None:
    """Another shuffle, block or held-out part is another record; but no shuffle touches the source's own order."""
    paths, names = RunPaths(tmp_path / "runs"), set()
    specs = [
        CorpusSpec(str(text_file), shuffle_seed=shuffle_seed, block_bytes=block_bytes, heldout_bytes=heldout_bytes)
        for shuffle_seed in (0, 1)
        for block_bytes in (512, 1024)
        for heldout_bytes in (1000, 2000)
    ]
    for spec in specs:
        opened = open_corpus(spec)
        names |= {baseline_path(opened, job, paths) for job in baseline_plan(opened, [1000, 1001], 256)}
    shuffled = len(specs) * 2 * N_LENGTHS
    contiguous = 2 * 2 * N_LENGTHS
    assert len(names) == shuffled + contiguous
    assert all(opened.info.sha256[:8] in path.name and path.parent == paths.baselines for path in names)
