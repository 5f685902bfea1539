from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.codes import shortest_codes
from analysis.costs import parse_cost
from analysis.records import load
from analysis.report import build_report
from analysis.report.figures import draw
from analysis.report.sections.tokenization import tokenisation
from analysis.report.summary import measure
from analysis.study import study
from mdl.config import Cell, Cohort, from_flat
from mdl.data import open_corpus
from mdl.data.byte_pair_encoding import from_content
from mdl.errors import MdlError
from mdl.models import Shape, count_params, forward_flops_per_byte, load_weights, stack, weights_bytes, window_bits
from mdl.records import CellRecord, RunPaths, Tokenisation, store
from mdl.training import run_cohort
from mdl.training.cohort_data import reading
from mdl.training.cohort_tokens import TokenReading
from tests.synthetic import cell, corpus, write_sweep

T, V = 32, 300


def cells(source: str, **settings: object) -> Cohort:
    """A cell for each of `subsets`."""
    made = []
    for D in settings.pop("subsets", ("10KB", "50KB")):  # type: ignore[attr-defined]
        flat = {
            "source": source,
            "subset_bytes": D,
            "size": "8x1",
            "vocabulary": V,
            "context_bytes": T,
            "steps": 30,
            "evaluate_every": 10,
            "block_bytes": 512,
            "heldout_bytes": "20KB",
            "heldout_sample_bytes": 2048,
            **settings,
        }
        config = from_flat(flat)
        made.append(Cell(config.run_id, config))
    return Cohort(tuple(made))


def bits_of(record: CellRecord, part: str, end: int) -> float:
    return sum(s.code_bits for s in record.snapshots[0].segments if s.part == part and s.end_bytes <= end)


def test_records_say_what_was_measured_and_the_segments_add_up_to_the_windows(text_file: Path, tmp_path: Path) -> None:
    """Coded anew from the weights, the corpus and the tokenizer that lie beside the record, and nothing else."""
    paths, group = RunPaths(tmp_path / "runs"), cells(f"file:{text_file}")
    records = run_cohort(group, "s", paths)
    data = open_corpus(group.cells[0].config.corpus.spec())
    for own, record in zip(group.cells, records, strict=True):
        assert store.read_cell(paths.record(own.run_id)) == record
        assert re.fullmatch(r"8x1-v300-\d+KB-s0-[0-9a-f]{8}", own.run_id)
        told, content = record.tokenisation, paths.tokenizer(own.run_id).read_bytes()
        assert told is not None
        assert (told.vocabulary, told.tokenizer_bytes) == (V, len(content))
        assert told.tokenizer_sha256 == hashlib.sha256(content).hexdigest()
        assert record.model.size == "8x1"
        assert record.model.n_params_by_group["embedding"] == V * 8
        assert record.model.n_params == count_params(group.shape)["total"]
        pairs, D = from_content(content), record.subset_bytes
        train = [s for s in record.snapshots[0].segments if s.part == "train"]
        edges = [0, *(s.end_bytes for s in train)]
        # No token crosses a boundary, so each segment's tokens are those of its bytes alone.
        ids = [pairs.encode([data.train.read(a, b).tobytes()])[0] for a, b in itertools.pairwise(edges)]
        assert told.n_tokens == sum(part.size for s, part in zip(train, ids, strict=True) if s.end_bytes <= D)
        every = np.concatenate(ids).astype(np.int32)
        shape, weights = load_weights(paths.weights(own.run_id, record.snapshots[0].weights_file), tokens=True)
        padded = np.pad(every, (0, -every.size % T)).reshape(-1, T)
        bits = window_bits(stack(shape, [weights]), padded)[0].double().flatten()[: every.size]
        places = np.cumsum([0, *(part.size for part in ids)])
        for s, a, b in zip(train, places[:-1], places[1:], strict=True):
            assert s.code_bits == pytest.approx(float(bits[a:b].sum()), rel=1e-5)
        assert sum(p.n_bytes for p in record.snapshots[0].positions) == data.info.heldout_bytes
        assert record.training.bytes_seen == round(30 * 4 * T * D / told.n_tokens)
        assert record.training.flops == own.resolved.training_flops
        assert record.snapshots[0].stream is None


def test_a_member_is_what_it_would_be_alone(text_file: Path, tmp_path: Path) -> None:
    """Each has a tokenizer, a stretch of tokens and a held-out sample of its own."""
    group = cells(f"file:{text_file}")
    together = run_cohort(group, "s", RunPaths(tmp_path / "a"))
    for own, beside in zip(group.cells, together, strict=True):
        (alone,) = run_cohort(Cohort((own,)), "s", RunPaths(tmp_path / "b"))
        assert alone.tokenisation == beside.tokenisation
        for point, other in zip(alone.training.curve, beside.training.curve, strict=True):
            assert (point.step, point.n_bytes) == (other.step, other.n_bytes)
            assert point.code_bits == pytest.approx(other.code_bits, rel=1e-4)
        assert bits_of(alone, "train", own.config.subset_bytes) == pytest.approx(
            bits_of(beside, "train", own.config.subset_bytes), rel=1e-4
        )
        assert bits_of(alone, "heldout", 20_000) == pytest.approx(bits_of(beside, "heldout", 20_000), rel=1e-4)


def test_training_reads_the_members_own_tokens(text_file: Path) -> None:
    group = cells(f"file:{text_file}", subsets=("50KB", "10KB"))
    data = open_corpus(group.cells[0].config.corpus.spec())
    read = reading(group)
    assert isinstance(read, TokenReading)
    for m, member in enumerate(read.members()):
        told = read.tokenisation(m)
        assert told is not None
        own = read.source.read(member.first, member.first + member.subset_length).astype(np.uint16)
        D = group.cells[m].config.subset_bytes
        assert from_content(told[1]).decode(own) == data.train.read(0, D).tobytes()
    windows, n_bytes = read.heldout_sample()
    assert windows.shape[0] == len(n_bytes or ()) == 2
    assert all(0.5 * 2048 < n <= 1.5 * 2048 for n in n_bytes or ())


def test_words_that_follow_from_each_other_cost_next_to_nothing(tmp_path: Path) -> None:
    """Ten words in a fixed round: as tokens a round of ten, which a bigram knows; a byte is then a sixth of a token."""
    words = [
        b"aardvark",
        b"beekeeper",
        b"caramel",
        b"dynamo",
        b"elephant",
        b"fjord",
        b"glacier",
        b"harp",
        b"iris",
        b"jam",
    ]
    path = tmp_path / "round.txt"
    path.write_bytes(b" ".join(words * 2_000))
    group = cells(
        f"file:{path}",
        subsets=("50KB",),
        vocabulary=400,
        steps=150,
        block_bytes="100KB",
        reach_ratio=1,
        width=16,
        size=None,
        depth=1,
    )
    (record,) = run_cohort(group, "s", RunPaths(tmp_path))
    told = record.tokenisation
    assert told is not None
    assert 50_000 / told.n_tokens > 5
    assert bits_of(record, "train", 50_000) / 50_000 < 0.1
    assert bits_of(record, "heldout", 20_000) / 20_000 < 0.1


def test_random_bytes_cannot_be_had_for_less_than_they_are(tmp_path: Path) -> None:
    """Neither by the tokens alone nor, by more than chance, with what was learned; with the tokenizer never below 8."""
    group = cells("random:200KB", subsets=("20KB",), vocabulary=1024, steps=60, reach_ratio=1)
    (record,) = run_cohort(group, "s", RunPaths(tmp_path))
    told = record.tokenisation
    assert told is not None
    assert (bits_of(record, "train", 20_000) + 8 * told.tokenizer_bytes) / 20_000 >= 8
    assert bits_of(record, "heldout", 20_000) / 20_000 >= 8


def test_a_small_subset_has_fewer_pairs_than_were_asked_for_and_pays_for_all_rows(tmp_path: Path) -> None:
    group = cells("random:100KB", subsets=("2KB",), vocabulary=4096, steps=2, reach_ratio=1)
    (record,) = run_cohort(group, "s", RunPaths(tmp_path))
    assert record.tokenisation is not None
    assert record.tokenisation.n_merges < 4096 - 256
    assert record.model.n_params_by_group["embedding"] == 4096 * 8


def test_old_names_stay_and_tokens_have_their_own() -> None:
    """The names of records made before there were vocabularies."""
    assert from_flat({"size": "16x2"}).run_id == "16x2-100KB-s0-931b6d22"
    later = {"size": "64x4", "subset_bytes": "10MB", "steps": 3500, "context_bytes": 1024, "coded_weights": True}
    assert from_flat(later).run_id == "64x4-10MB-s0-32887827"
    assert from_flat({"size": "16x2", "vocabulary": 256}).run_id == "16x2-100KB-s0-931b6d22"
    tokens = from_flat({"size": "16x2", "vocabulary": 512})
    assert tokens.run_id.startswith("16x2-v512-100KB-s0-")
    assert tokens.cohort_key() != from_flat({"size": "16x2"}).cohort_key()


def test_a_weights_file_of_bytes_does_not_speak_of_a_vocabulary() -> None:
    for shape, named in (
        (Shape(4, 1, 1, context_tokens=8), False),
        (Shape(4, 1, 1, context_tokens=8, vocabulary=300), True),
    ):
        content = weights_bytes(shape, {"embedding": torch.zeros(shape.vocabulary, 4)})
        assert (b"vocabulary" in content[:500]) == named


def test_the_head_and_the_embedding_are_counted() -> None:
    bytes_, tokens = Shape(16, 2, 1, context_tokens=64), Shape(16, 2, 1, context_tokens=64, vocabulary=4096)
    assert count_params(tokens)["total"] - count_params(bytes_)["total"] == 16 * (4096 - 256)
    assert forward_flops_per_byte(tokens) - forward_flops_per_byte(bytes_) == 2 * 16 * (4096 - 256)
    assert tokens.label == "16x2-v4096"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocabulary": 255}, "model.vocabulary"),
        ({"vocabulary": 65_537}, "model.vocabulary"),
        ({"vocabulary": 512, "coded_weights": True}, "codes models of bytes only"),
        ({"vocabulary": 512, "objective": "prequential"}, "prequential run cannot know"),
    ],
)
def test_what_tokens_cannot_do_is_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(MdlError, match=message) as caught:
        from_flat({"size": "16x2", **values})
    assert "\n" not in str(caught.value)


def test_a_subset_of_less_than_a_window_of_tokens_is_one_line(text_file: Path, tmp_path: Path) -> None:
    group = cells(f"file:{text_file}", subsets=("1KB",), context_bytes=1000)
    with pytest.raises(MdlError, match="less than one context of 1,000"):
        run_cohort(group, "s", RunPaths(tmp_path))


def test_archives_say_that_they_code_bytes_only(text_file: Path, tmp_path: Path) -> None:
    paths, group = RunPaths(tmp_path), cells(f"file:{text_file}", subsets=("10KB",), steps=2)
    run_cohort(group, "s", paths)
    with pytest.raises(MdlError, match="code bytes only, and this model reads 300 tokens"):
        load_weights(paths.weights(group.cells[0].run_id, "final.safetensors"))


D = 100_000
BITS = {256: 3.0e5, 512: 2.7e5, 1024: 2.4e5}
TOKENIZER = {512: 700, 1024: 2000}
N = {"16x2": 10_320, "32x2": 32_928}


def tokenised_cell(size: str, vocabulary: int, seed: int = 0) -> CellRecord:
    """A record of a known code length, whose embedding has so many rows."""
    width, more = int(size.split("x")[0]), vocabulary - 256
    bits = BITS[vocabulary] * (0.9 if size == "32x2" else 1) * (1 + 0.01 * seed)
    plain = cell(size, D, bits, n_params=N[size] + width * more, seed=seed)
    if not more:
        return plain
    told = Tokenisation(
        vocabulary=vocabulary,
        n_merges=more,
        tokenizer_bytes=TOKENIZER[vocabulary],
        tokenizer_sha256="c" * 64,
        n_tokens=D // 3,
        n_heldout_tokens=10_000,
    )
    return replace(plain, run_id=f"{plain.run_id}-v{vocabulary}", tokenisation=told)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "runs" / "s", [tokenised_cell(size, v) for size in N for v in BITS])


def by_hand(size: str, vocabulary: int, bytes_per_param: float) -> float:
    n = N[size] + int(size.split("x")[0]) * (vocabulary - 256)
    code = BITS[vocabulary] * (0.9 if size == "32x2" else 1) / 8
    return (code + TOKENIZER.get(vocabulary, 0) + bytes_per_param * n) / D


@pytest.mark.parametrize(("cost", "price"), [("float16", 2.0), ("float32", 4.0), ("none", 0.0), ("0.5", 0.5)])
def test_the_tokenizer_is_in_the_adjusted_rate_under_every_cost(sweep: Path, cost: str, price: float) -> None:
    explained = study(load(sweep), parse_cost(cost))
    assert len(explained.rates) == 6
    for row in explained.rates.to_dict("records"):
        assert row["adjusted_rate"] == pytest.approx(by_hand(row["size"], row["vocabulary"], price))
        code = BITS[row["vocabulary"]] * (0.9 if row["size"] == "32x2" else 1)
        assert row["raw_rate"] == pytest.approx(code / (8 * D))
    for row in explained.critical.to_dict("records"):  # of two sizes the better
        vocabulary = int(row["group"].rpartition(" ")[2].replace(",", ""))
        assert row["adjusted_rate"] == pytest.approx(min(by_hand(size, vocabulary, price) for size in N))


def test_cells_of_several_vocabularies_are_never_of_one_critical_size(sweep: Path) -> None:
    chosen = shortest_codes(load(sweep))
    assert (chosen.groupby("group")["vocabulary"].nunique() == 1).all()
    assert list(dict.fromkeys(sorted(chosen["group"]))) == [
        f"file:book.txt, vocabulary {name}" for name in ("  256", "  512", "1,024")
    ]


@pytest.mark.slow
def test_a_figures_caption_names_its_vocabulary_but_where_it_is_of_all(sweep: Path, tmp_path: Path) -> None:
    found = study(load(sweep), parse_cost("float16"))
    pictures = draw(found, measure(found), tmp_path / "f")
    captions = {picture.name: picture.caption for picture in pictures}
    assert captions["raw_rate"].startswith("file:book.txt, vocabulary   256: ")
    assert captions["tokenisation"].startswith("Rates of raw bytes against the vocabulary")


def test_with_one_vocabulary_groups_are_named_as_ever(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", [tokenised_cell(size, 512) for size in N])
    assert set(load(folder).runs["group"]) == {"file:book.txt"}
    assert tokenisation(study(load(folder), parse_cost("float16"))).empty


def test_the_parts_of_the_adjusted_rate_add_up(sweep: Path) -> None:
    rows = tokenisation(study(load(sweep), parse_cost("float16")))
    assert rows["vocabulary"].tolist() == [256, 512, 1024] * 2
    parts = rows["raw_rate"] + rows["parameter_rate"] + rows["tokenizer_rate"]
    assert np.allclose(parts, rows["adjusted_rate"])
    assert rows["bytes_per_token"].tolist() == pytest.approx([1, 3, 3] * 2, rel=1e-3)


@pytest.mark.slow
def test_the_report_shows_the_vocabulary_as_an_axis(sweep: Path, tmp_path: Path) -> None:
    made = build_report(sweep, tmp_path / "report", formats=("pdf", "md", "html"))
    assert (made.folder / "figures" / "tokenisation.pdf").exists()
    assert not list((made.folder / "figures").glob("*_2.pdf"))  # larger vocabularies have no figures of their own
    text = (made.folder / "report.md").read_text()
    assert "The least adjusted rate of 100 KB is " in text
    rates = pd.read_csv(made.folder / "rates.csv")
    assert set(rates["tokenizer_bytes"]) == {0, 700, 2000}


def test_a_record_without_a_tokenizer_reads_as_bytes(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", [cell("16x2", D, 3e5, of=corpus())])
    runs = load(folder).runs
    assert runs[["vocabulary", "tokenizer_bytes", "n_tokens"]].values.tolist() == [[256, 0, D]]
