"""Codes side by side: prices by name, block-prequential and online codes, leaks, and who wins."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.codes import block_codes
from analysis.codes.prequential_codes import Chain, Seen, best_so_far, chains, chosen
from analysis.costs import known_costs, parse_cost
from analysis.critical import critical_size, marginal_price
from analysis.critical.interpolation import price_at
from analysis.errors import AnalysisError
from analysis.records import Table, load
from analysis.report import build_report
from analysis.report.contents import write
from analysis.report.elements import Grid, Text
from analysis.report.sections.parameter_costs import cost_laws, cost_models, shifted
from analysis.report.sections.parameter_costs import write as costs
from analysis.report.summary import summarise
from analysis.study import Study, study
from mdl.records import BaselineRecord, CellRecord, CodedWeights, CorpusInfo, Segment
from tests.synthetic import SIZES, baseline, cell, closed_form, corpus, grid, power_law, write_sweep

NAMES = ["4x1", "8x1", "16x1", "16x2", "32x2", "64x2", "64x4", "128x4"]
DATA = [300_000, 1_000_000, 3_000_000]


def coded(record: CellRecord, precisions: Sequence[tuple[int, float, float]]) -> CellRecord:
    """A record whose snapshots were measured at (bits, bits a parameter, factor on the code length)."""
    own = sum(
        s.code_bits for s in record.snapshots[0].segments if s.part == "train" and s.end_bytes <= record.subset_bytes
    )
    rows = tuple(
        CodedWeights(bits=b, coder="order0", model_bits=round(a * record.model.n_params), data_bits=f * own)
        for b, a, f in precisions
    )
    return dataclasses.replace(
        record, snapshots=tuple(dataclasses.replace(snapshot, coded=rows) for snapshot in record.snapshots)
    )


def chain_cell(
    size: str, d: int, next_bits: float, end: int, *, seed: int = 0, of: CorpusInfo | None = None
) -> CellRecord:
    """A cell that codes its own subset for nothing, and the block up to `end` in `next_bits`."""
    of = of or corpus()
    segments = [
        Segment(part="train", start_bytes=0, end_bytes=d, code_bits=1.0),
        Segment(part="train", start_bytes=d, end_bytes=end, code_bits=next_bits),
        Segment(
            part="heldout",
            start_bytes=0,
            end_bytes=of.heldout_bytes,
            code_bits=8 * of.heldout_bytes * next_bits / (8 * (end - d)),
        ),
    ]
    return cell(size, d, 1.0, seed=seed, segments=segments, of=of)


def table_of(tmp_path: Path, records: Sequence[CellRecord | BaselineRecord]) -> Table:
    return load(write_sweep(tmp_path / "s", records))


def study_of(tmp_path: Path, records: Sequence[CellRecord | BaselineRecord], cost: str = "float16") -> Study:
    return study(table_of(tmp_path, records), parse_cost(cost))


# ---- prices


@settings(deadline=None)
@given(st.floats(0.5, 40), st.integers(100_000, 30_000_000))
def test_one_price_for_all_sizes_is_the_same_as_one_a_size(price: float, d: int) -> None:
    """To the bit: the general price has no special case."""
    n = [SIZES[name] for name in NAMES]
    bits = [power_law(size, d) for size in n]
    assert critical_size(n, bits, price) == critical_size(n, bits, [price] * len(n))


@settings(deadline=None)
@given(st.floats(2, 20), st.floats(-0.3, 0.3))
def test_a_price_that_is_a_power_law_of_n_is_recovered_between_sizes(at_1000: float, s: float) -> None:
    """Bits of all parameters a·N^(1+s): the marginal price is (1+s) times the average one; N* is where dT/dN = 0."""
    sizes = np.geomspace(1000, 1_000_000, 13)
    price = at_1000 * (sizes / 1000) ** s
    assert price_at(sizes, price, 5432.1) == pytest.approx(at_1000 * 5.4321**s)
    assert marginal_price(sizes, price, 5432.1) == pytest.approx((1 + s) * at_1000 * 5.4321**s)
    d, alpha, capacity = 3_000_000, 0.4, 60.0
    found = critical_size(sizes, d * (1.5 + capacity * sizes**-alpha), price)
    expected = (alpha * capacity * d / ((1 + s) * at_1000 * 1000**-s)) ** (1 / (1 + alpha + s))
    if sizes[1] < expected < sizes[-2]:
        assert found.n_params == pytest.approx(expected, rel=0.02)


def test_every_named_price_finds_its_own_closed_form(tmp_path: Path) -> None:
    """float32, float16, ½·log₂ D and capacity on a noise-free law; none has no least, coded was not measured."""
    rows = cost_models(study_of(tmp_path, grid(NAMES, DATA)))
    assert {row["cost"] for row in rows} == {"float32", "float16", "logn", "capacity", "none"}
    for row in rows:
        d = row["subset_bytes"]
        c = {"float32": 32.0, "float16": 16.0, "logn": 0.5 * math.log2(d), "capacity": 3.6}.get(row["cost"])
        if row["status"] == "bracketed":
            assert c is not None
            assert row["bits_per_param"] == pytest.approx(c)
            assert row["n_params"] == pytest.approx(closed_form(d, c), rel=0.05)
            assert row["n_predicted"] == pytest.approx(row["n_params"], rel=0.06)
    assert {row["cost"] for row in rows if row["status"] == "above"} >= {"none"}
    assert {c.name for c in known_costs() if not c.is_code} == {"capacity", "none"}


def test_every_price_has_its_exponent_beneath_its_sizes(tmp_path: Path) -> None:
    """On the noise-free law each is 1/(1 + α); where parameters are free there is none."""
    rows = cost_models(study_of(tmp_path, grid(NAMES, DATA)))
    laws = {law["cost"]: law for law in cost_laws(rows)}
    assert laws["float16"]["gamma"] == pytest.approx(1 / 1.4, abs=0.03)
    assert laws["none"]["gamma"] is None
    rates = [{"group": row["group"], "subset_bytes": row["subset_bytes"], "n_params": 1} for row in rows]
    table = costs({"costs": rows, "cost_laws": cost_laws(rows), "rates": rates})[2]
    assert isinstance(table, Grid)
    last = dict(zip(table.header, table.rows[-1], strict=True))
    assert last["dataset"] == "γ"
    assert last["float16, 2 B"].startswith("0.7")
    assert last["none, 0 B"] == "–"


def test_the_shift_of_the_price_is_the_closed_forms() -> None:
    assert shifted(1000.0, 0.5, 2.0) == pytest.approx(1000 * 8 ** (2 / 3))


def test_coded_weights_are_priced_as_measured(tmp_path: Path) -> None:
    """5 bits a parameter and 1 % on the data: N* is the closed form's of that price, worse precisions do not count."""
    precisions = [(4, 3.0, 2.0), (6, 5.0, 1.01), (8, 7.5, 1.001), (32, 32.0, 1.0)]
    records = [coded(record, precisions) for record in grid(NAMES, DATA)]
    explained = study_of(tmp_path, records, "coded")
    assert explained.rates["bits_per_param"].to_numpy() == pytest.approx(5.0, abs=1e-3)
    for row in explained.critical.to_dict("records"):
        assert row["status"] == "bracketed"
        assert row["n_params"] == pytest.approx(closed_form(int(1.01 * row["subset_bytes"]), 5.0), rel=0.05)
    measured = {(r["subset_bytes"], r["cost"]): r["n_params"] for r in cost_models(explained)}
    assert measured[10**6, "coded"] == explained.critical["n_params"].tolist()[1]
    assert measured[10**6, "coded"] > measured[10**6, "float16"]


def test_a_critical_size_by_the_law_of_the_price_beyond_the_grid_is_marked() -> None:
    """No measured one can be equal to it: 100 and 1000 parameters were run."""
    row = {"group": "g", "subset_bytes": 1000, "cost": "coded", "label": "coded", "is_coded": True,
           "status": "bracketed", "n_params": 500.0, "grid_best": 100, "bits_per_param": 4.0}  # fmt: skip
    rates = [{"group": "g", "subset_bytes": 1000, "n_params": n} for n in (100, 1000)]
    for n_predicted, said in ((600.0, "600"), (1200.0, "1.2 K †"), (90.0, "90 †")):
        blocks = costs({"costs": [row | {"n_predicted": n_predicted}], "cost_laws": [], "rates": rates})
        text, grid = blocks[-2:]
        assert isinstance(grid, Grid)
        assert grid.rows[0][4] == said
        assert isinstance(text, Text)
        assert ("†" in text.text) == ("†" in said)


def test_without_coded_weights_their_price_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"no coded weights; run the sweep with measure\.coded_weights: true"):
        study_of(tmp_path, grid(NAMES, [10**6]), "coded")


@pytest.mark.slow
def test_a_report_takes_any_price_by_name(tmp_path: Path) -> None:
    """The subtitle says which, and the page of prices holds them all side by side."""
    table = table_of(tmp_path, [coded(r, [(6, 5.0, 1.01)]) for r in grid(NAMES[::2], [300_000])])
    said = {
        "logn": "costs ½·log₂ D bits", "capacity:3.8": "costs 3.8 bits (capacity: a bound, not a code)",
        "none": "costs 0 bytes (none)", "coded": "the actual size of the coded weights",
    }  # fmt: skip
    for cost, words in said.items():
        explained = study(table, parse_cost(cost))
        document = write(summarise(explained), [])
        assert words in document.subtitle
        (prices,) = (b for b in document.blocks if isinstance(b, Grid) and "float32, 4 B" in b.header)
        own = {"capacity, 3.8 bits"} if cost == "capacity:3.8" else set()
        assert set(prices.header) - own == {
            "dataset", "float32, 4 B", "float16, 2 B", "½·log₂ D bits", "coded", "capacity, 3.6 bits", "none, 0 B",
        }  # fmt: skip


# ---- block-prequential codes


def test_the_sums_are_those_of_the_segments(tmp_path: Path) -> None:
    """[0, 10 KB) uniform, then blocks by the models before; one size, or the best of each block."""
    blocks = {
        ("8x1", 10_000): 70_000.0,
        ("8x1", 30_000): 300_000.0,
        ("16x2", 10_000): 90_000.0,
        ("16x2", 30_000): 200_000.0,
    }
    ends = {10_000: 30_000, 30_000: 90_000, 90_000: 100_000}
    records = [chain_cell(s, d, bits, ends[d]) for (s, d), bits in blocks.items()]
    records += [chain_cell(s, 90_000, 1.0, 100_000) for s in ("8x1", "16x2")]
    table = table_of(tmp_path, records)
    table = dataclasses.replace(table, curves=table.curves.iloc[:0])  # no sample: no best snapshots
    found = block_codes(table).set_index(["code", "subset_bytes"])
    assert set(found["snapshot"]) == {"final"}
    assert found.loc[("fixed", 90_000), ["code_bits", "n_params"]].tolist() == [80_000 + 90_000 + 200_000 + 1, 10_320]
    assert found.loc[("fixed", 30_000), ["code_bits", "n_params"]].tolist() == [80_000 + 70_000 + 1, 2840]
    assert found.loc[("switching", 90_000), "code_bits"] == 80_000 + 70_000 + 200_000 + 2
    assert found.loc[("leader", 90_000), "code_bits"] == 80_000 + 70_000 + 300_000 + 1


CHAIN = Chain(
    group="g",
    snapshot="final",
    edges=(10, 20, 30, 40),
    n_params=(100, 200),
    bits=np.array([[5.0, 9.0, 1.0], [6.0, 3.0, 8.0]]),
    heldout=np.ones((2, 4)),
    first_bits=80.0,
    first_coder="uniform",
    validation_bits=0.0,
)


def test_a_selection_by_bytes_not_yet_coded_fails() -> None:
    """The best of the block itself, unannounced, is cheating; the best of the block before is not."""

    def cheat(seen: Seen) -> int:
        return int(seen.bits(seen.n_blocks).argmin())

    with pytest.raises(AnalysisError, match="block 1 is not decoded when block 1 begins"):
        chosen(CHAIN, cheat)
    assert chosen(CHAIN, best_so_far) == [0, 1]


@given(st.integers(0, 2**32 - 1))
def test_a_selection_does_not_depend_on_what_is_not_yet_coded(seed: int) -> None:
    """Whatever the rest turns out to be, the decoder picks the same."""
    rng = np.random.default_rng(seed)
    bits = rng.uniform(1, 9, (4, 6))
    later = bits.copy()
    later[:, 3:] = rng.uniform(1, 9, (4, 3))
    one, other = (dataclasses.replace(CHAIN, bits=b) for b in (bits, later))
    assert chosen(one, best_so_far)[:3] == chosen(other, best_so_far)[:3]


def test_a_best_snapshot_pays_for_the_sample_that_chose_it(tmp_path: Path) -> None:
    """16,384 held-out bytes at 8 bits; where no record says how large the sample was there is no such code."""
    records = [chain_cell("8x1", 10_000, 70_000.0, 30_000), chain_cell("8x1", 30_000, 1.0, 40_000)]
    table = table_of(tmp_path, records)
    found = block_codes(table).set_index(["code", "snapshot"])
    assert found.loc[("fixed", "best"), "code_bits"] == 80_000 + 70_000 + 8 * 16_384 + 1
    assert found.loc[("fixed", "final"), "code_bits"] == 80_000 + 70_000 + 1
    assert not list(chains(dataclasses.replace(table, curves=table.curves.iloc[:0]), "best"))


def test_of_several_recipes_the_shorter_is_announced(tmp_path: Path) -> None:
    one, other = (chain_cell("8x1", 10_000, bits, 30_000) for bits in (70_000.0, 60_000.0))
    records = [one, dataclasses.replace(other, run_id="other"), chain_cell("8x1", 30_000, 1.0, 40_000)]
    (chain,) = chains(table_of(tmp_path, records))
    assert chain.bits.tolist() == [[60_001.0]]


def test_of_two_budgets_the_longer_codes_even_where_it_is_worse(tmp_path: Path) -> None:
    """Blocks and two parts alike: half of the training beside it changes nothing."""
    whole = [chain_cell(s, d, 9.0 * d, 3 * d) for s in ("8x1", "16x2") for d in (10_000, 30_000, 90_000)]
    half = [
        dataclasses.replace(
            chain_cell(r.model.size, r.subset_bytes, 5.0 * r.subset_bytes, 3 * r.subset_bytes),
            run_id=f"{r.run_id}-half", training=dataclasses.replace(r.training, n_steps=450, bytes_seen=450 * 1024),
        )
        for r in whole
    ]  # fmt: skip
    alone, both = (summarise(study_of(tmp_path / name, own)) for name, own in (("w", whole), ("b", whole + half)))
    assert [row["subset_bytes"] for row in both["prequential"]] == [30_000] * 6 + [90_000] * 6
    assert (both["prequential"], both["who_wins"]) == (alone["prequential"], alone["who_wins"])


def test_the_first_block_may_be_a_classical_coders_in_the_same_order(tmp_path: Path) -> None:
    """The contiguous order is of other bytes and does not count; the name of the coder is announced."""
    records: list[CellRecord | BaselineRecord] = [
        chain_cell("8x1", 10_000, 70_000.0, 30_000), chain_cell("8x1", 30_000, 1.0, 40_000),
        baseline("xz", 10_000, 0.3), baseline("xz", 10_000, 0.2, order="contiguous"), baseline("gzip", 10_000, 0.4),
        baseline("zstd", 10_000, 0.5), baseline("gzip", 10_000, 0.1, chunk_bytes=256),
    ]  # fmt: skip
    (chain,) = chains(table_of(tmp_path, records))
    assert (chain.first_coder, chain.first_bits) == ("xz", 8 * 3000 + 2)


def test_on_random_bytes_no_code_is_under_8_bits_a_byte(tmp_path: Path) -> None:
    """Models that know their random subset by heart code it for nothing, and the next block at 8.01 bits a byte."""
    edges = [10_000, 30_000, 90_000, 100_000]
    of = corpus("random:2MB")
    records: list[CellRecord | BaselineRecord] = [
        chain_cell(size, d, 8.01 * (end - d) * (1 + 0.001 * i), end, of=of)
        for i, size in enumerate(NAMES[:4])
        for d, end in itertools.pairwise(edges)
    ]
    records += [
        baseline("xz", 10_000, 1.002, of=of),
        dataclasses.replace(records[0], run_id="online", subset_bytes=30_000),
    ]
    found = block_codes(table_of(tmp_path, records))
    assert set(found["code"]) == {"fixed", "leader", "switching"}
    assert set(found["snapshot"]) == {"final", "best"}
    assert (found["code_bits"] >= 8 * found["subset_bytes"]).all()


def test_coarseness_is_what_falling_loss_within_a_block_could_save(tmp_path: Path) -> None:
    """Unseen bytes cost 3.5 bits at the block's start and 2.8 at its end: at most a fifth of the block."""
    records = [chain_cell("8x1", 10_000, 70_000.0, 30_000), chain_cell("8x1", 30_000, 28_000.0, 40_000)]
    found = block_codes(table_of(tmp_path, records))
    assert found["excess_bits"].to_numpy() == pytest.approx(14_000.0)


# ---- online codes


def online(size: str, d: int, final: float, learned: float) -> CellRecord:
    """A record with a cumulative code final·n + learned·(1 − exp(−20 n/D)) bits."""
    raw = cell(size, d, 1.0)
    ends = sorted({round(d * x) for x in np.geomspace(0.001, 1, 60)})
    points = [{"end_bytes": n, "code_bits": final * n + learned * (1 - math.exp(-20 * n / d))} for n in ends]
    return dataclasses.replace(raw, run_id=f"online-{size}-{d}", prequential=_points(points))


def _points(points: list[dict[str, Any]]) -> Any:
    from mdl.records.schema import PrequentialPoint

    return tuple(PrequentialPoint(**point) for point in points)


def test_the_area_above_the_loss_at_the_end_is_recovered(tmp_path: Path) -> None:
    made = build_report(
        write_sweep(tmp_path / "s", [online("8x1", 10**6, 2.5, 4e5), online("16x2", 10**6, 2.4, 6e5)]), tmp_path / "r",
        formats=("md",),
    )  # fmt: skip
    rows = {row["size"]: row for row in made.summary["online"]}
    assert rows["8x1"]["final_bits_per_byte"] == pytest.approx(2.5, rel=1e-3)
    assert rows["8x1"]["area_bits"] == pytest.approx(4e5, rel=1e-3)
    (won,) = made.summary["who_wins"]
    assert (won["code"], won["n_params"]) == ("prequential online", SIZES["8x1"])
    assert won["total_bits"] == pytest.approx(2.5e6 + 4e5 + 1, rel=1e-6)
    assert (made.folder / "figures" / "online.svg").exists()
    assert "Every cell is an online run" in (made.folder / "report.md").read_text()


def test_an_online_run_is_no_cell_of_the_grid(tmp_path: Path) -> None:
    """Its weights were trained in one pass: they make no critical size, and it is not missing either."""
    table = table_of(tmp_path, [*grid(NAMES, [10**6]), online("8x1", 10**6, 2.5, 4e5)])
    assert len(table.cells) == 2 * len(NAMES)
    assert table.runs["is_online"].sum() == 1


@pytest.mark.usefixtures("blank_figures")
def test_an_online_run_that_stopped_early_codes_nothing(tmp_path: Path) -> None:
    record = online("8x1", 10**6, 2.5, 4e5)
    made = build_report(
        write_sweep(tmp_path / "s", [dataclasses.replace(record, prequential=record.prequential[:-1])]),
        tmp_path / "r", formats=("md",),
    )  # fmt: skip
    assert made.summary["online"] == []


# ---- leaks


def leaky(leak: float) -> list[CellRecord]:
    """Two sizes on 300 KB; the larger learns what leaked by heart."""
    of = dataclasses.replace(corpus(), leak_fraction=leak)
    found = []
    for size in ("8x1", "64x2"):
        raw = cell(
            size, 300_000, power_law(SIZES[size], 300_000), of=of, heldout_rate=0.4 - 0.3 * leak * (size == "64x2")
        )
        found.append(dataclasses.replace(raw, run_id=f"{size}-leak{leak}"))
    return found


def test_leaks_are_not_mixed_and_make_one_figure(tmp_path: Path) -> None:
    records = [record for leak in (0.0, 0.1, 0.5) for record in leaky(leak)]
    made = build_report(write_sweep(tmp_path / "s", records), tmp_path / "r", formats=("md",))
    assert {row["group"] for row in made.summary["rates"]} == {
        "file:book.txt", "file:book.txt, 10 % leaked", "file:book.txt, 50 % leaked",
    }  # fmt: skip
    rows = pd.DataFrame(made.summary["contamination"])
    large = rows[rows["size"] == "64x2"]
    assert large["raw_rate"].to_numpy() == pytest.approx([0.4, 0.37, 0.25])
    assert large["adjusted_rate"].to_numpy() == pytest.approx(large["raw_rate"] + 2 * SIZES["64x2"] / 50_000)
    assert set(rows["evaluation_bytes"]) == {50_000}
    assert large["leaked_bytes"].tolist() == [0, 30_000, 150_000]
    names = {path.stem for path in (made.folder / "figures").glob("*.svg")}
    assert "contamination" in names
    assert not any(name.endswith("_2") for name in names)
    assert "the raw rate falls for 1 of 2 models" in (made.folder / "report.md").read_text()


@pytest.mark.usefixtures("blank_figures")
def test_leaks_stand_in_the_order_of_their_size(tmp_path: Path) -> None:
    records = [record for leak in (0.5, 0.05, 0.0, 0.125) for record in leaky(leak)]
    made = build_report(write_sweep(tmp_path / "s", records), tmp_path / "r", formats=("md",))
    groups = [" ".join(row["group"].split()) for row in made.summary["critical"]]
    assert groups == ["file:book.txt", *(f"file:book.txt, {leak} % leaked" for leak in ("5", "12.5", "50"))]
    assert "on file:book.txt; file:book.txt, 5 % leaked; file" in (made.folder / "report.md").read_text()


def test_a_record_without_a_leak_is_of_a_clean_corpus(tmp_path: Path) -> None:
    """Records of before, without the field."""
    folder = write_sweep(tmp_path / "s", [cell("8x1", 10_000, 4e4)])
    (path,) = folder.glob("*/record.json")
    content = json.loads(path.read_text())
    for key in ("leak_fraction",):
        content["corpus"].pop(key)
    content.pop("prequential")
    path.write_text(json.dumps(content))
    table = load(folder)
    assert table.runs["leak_fraction"].tolist() == [0.0]
    assert table.runs["group"].tolist() == ["file:book.txt"]
    assert table.online.empty


@pytest.mark.usefixtures("blank_figures")
def test_what_records_know_of_copies_is_told_and_a_corpus_without_them_is_another(tmp_path: Path) -> None:
    """Of one sweep whose first cell was recorded before they were counted."""
    counted = dataclasses.replace(corpus(), heldout_copied_bytes=1_600)
    without = dataclasses.replace(corpus(), heldout_copied_bytes=0, deduplicated_bytes=2_000_000)
    records = [
        dataclasses.replace(cell(size, 300_000, power_law(SIZES[size], 300_000), of=of), run_id=f"{size}-{i}")
        for i, of in enumerate((corpus(), counted, without))
        for size in (("4x1",) if i == 0 else ("8x1", "64x2"))
    ]
    made = build_report(write_sweep(tmp_path / "s", records), tmp_path / "r", formats=("md",))
    assert {row["group"] for row in made.summary["rates"]} == {"file:book.txt", "file:book.txt, without copies"}
    plain, other = sorted(made.summary["corpora"], key=lambda each: str(each["corpus"]))
    assert (plain["heldout_copied_bytes"], other["deduplicated_bytes"]) == (1_600, 2_000_000)
    text = " ".join((made.folder / "report.md").read_text().split())
    assert "50,000 held out, of which 3.2 % also occur in the training part" in text
    assert "of which 0.0 % also occur in the training part; 2,000,000 bytes left out as copies" in text


# ---- who wins


@pytest.mark.usefixtures("blank_figures")
def test_who_wins_counts_everything_and_marks_the_shortest(tmp_path: Path) -> None:
    data = [300_000, 900_000]
    records: list[CellRecord | BaselineRecord] = [coded(r, [(6, 5.0, 1.01)]) for r in grid(NAMES, data)]
    records += [baseline("xz", d, 0.29 if d < 900_000 else 0.6) for d in data]
    records.append(dataclasses.replace(baseline("mine", 900_000, 0.55), decoder_bytes=1_200_000))
    records.append(online("8x1", 900_000, 2.0, 1e5))
    made = build_report(write_sweep(tmp_path / "s", records), tmp_path / "r", formats=("md",))
    rows = pd.DataFrame(made.summary["who_wins"]).set_index(["subset_bytes", "code"])
    assert set(rows.loc[900_000].index) == {
        "float16 two-part", "coded two-part", "prequential block", "prequential online", "best classical coder",
    }  # fmt: skip
    n = {d: min((SIZES[s] for s in NAMES), key=lambda n: power_law(n, d) + 16 * n) for d in data}
    for d in data:
        two_part = rows.loc[(d, "float16 two-part")]
        assert two_part["n_params"] == n[d]
        assert two_part["total_bits"] == pytest.approx(power_law(n[d], d) + 16 * n[d])
        assert rows.loc[(d, "coded two-part"), "total_bits"] < two_part["total_bits"]
        own = rows.loc[d]
        assert own.loc[own["shortest"], "rate"].tolist() == [own["rate"].min()]
    assert rows.loc[(900_000, "prequential online"), "shortest"]
    assert rows.loc[(300_000, "best classical coder"), "shortest"]
    first = 8 * round(0.29 * 300_000) + 1  # xz, and which of two coders
    largest = 2.2 * power_law(SIZES["128x4"], 300_000)
    said = {"size": 3, "snapshots": 1, "variant": math.log2(3)}
    assert rows.loc[(900_000, "prequential block"), "total_bits"] == pytest.approx(first + largest + sum(said.values()))
    text = (made.folder / "report.md").read_text()
    assert "No decoder's program is counted" in text
    assert "xz 190 KB and mine 1.2 MB. A model's decoder is this package and torch." in text
