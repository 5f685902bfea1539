"""Noise of seeds into intervals: what varies, what is drawn together, what is pooled; and that intervals cover."""

import dataclasses
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.codes import block_codes, online_codes
from analysis.costs import parse_cost
from analysis.critical import (
    Column,
    columns,
    describe,
    estimate_all,
    interval,
    law,
    predictions,
    relative_spread,
    theory,
)
from analysis.critical.resampling import _slope_freedom
from analysis.errors import AnalysisError
from analysis.records import load
from analysis.report.contents import write
from analysis.report.elements import Heading, Text
from analysis.report.figures import draw
from analysis.report.sections.code_comparison import who_wins
from analysis.report.summary import measure, summarise
from analysis.study import Study, study
from benchmarks.coverage_of_critical import run, run_all, share
from benchmarks.simulated_sweeps import SETTINGS
from mdl.records import CellRecord
from tests.synthetic import SIZES, closed_form, corpus, grid, power_law, write_sweep

NAMES = ["4x1", "8x1", "16x1", "16x2", "32x2", "64x2", "64x4", "128x4"]
DATA = [300_000, 1_000_000, 10_000_000]
PRICE = 16.0


def cells(
    seeds: Sequence[int] = (0,), corpora: Sequence[int] = (0,), sd: float = 0.0, column_sd: float = 0.0,
    data: Sequence[int] = DATA, growth: float = 0.0,
) -> pd.DataFrame:  # fmt: skip
    """Chosen cells of the synthetic law; `growth`: its amplitude grows as D^growth, which the theory does not know."""
    rng, rows = np.random.default_rng(1), []
    for d in data:
        for c in corpora:
            shared = rng.normal(0, column_sd)
            for name in NAMES:
                N = SIZES[name]
                for seed in seeds:
                    bits = power_law(N, d) + d * 60 * N**-0.4 * ((d / 1e6) ** growth - 1)
                    noise = math.exp(shared + rng.normal(0, sd))
                    rows.append(("g", d, name, N, seed, c, bits * noise))
    names = ["group", "subset_bytes", "size", "n_params", "seed", "shuffle_seed", "own_bits"]
    return pd.DataFrame(rows, columns=names).assign(bits_per_param=PRICE)


def drawn(column: Column) -> npt.NDArray[np.float64]:
    assert column.draws is not None
    return column.draws


@pytest.mark.parametrize(
    ("seeds", "corpora", "kind"),
    [((0,), (0,), "none"), ((0, 1), (0,), "seeds"), ((0,), (0, 1), "corpus seeds"), ((0, 1), (0, 1), "both")],
)
def test_what_varies_is_said(seeds: Sequence[int], corpora: Sequence[int], kind: str) -> None:
    found = columns(cells(seeds, corpora, 0.01), 10)
    assert {column.kind for column in found} == {kind}
    assert all((column.draws is None) == (kind == "none") for column in found)
    said = describe(estimate_all(found, 10), 10)
    assert said["kind"] == (kind if kind != "none" else "shapes")
    assert ("Every cell was trained once" in str(said["note"])) == (kind == "none")


def test_a_size_with_one_seed_takes_the_noise_of_the_others_relative_to_its_code_length() -> None:
    own = cells(range(40), sd=0.01)
    once = own[(own["seed"] == 0) | ((own["subset_bytes"] == 300_000) & (own["n_params"] < 50_000))]
    found = columns(once, 4000)
    assert {column.kind for column in found} == {"pooled"}
    spread = [np.log(drawn(column)).std(axis=0) for column in found]
    assert spread[0][:5] == pytest.approx(0.01 / math.sqrt(40), rel=0.2), "replicated: of the mean of forty"
    assert spread[0][5:] == pytest.approx(0.01, rel=0.2), "not replicated, beside replicated ones"
    assert spread[1] == pytest.approx(0.01, rel=0.2), "no size of this dataset replicated"


def test_draws_spread_as_the_mean_of_the_seeds_does() -> None:
    (column,) = columns(cells(range(200), sd=0.02, data=DATA[:1]), 20_000)
    assert np.log(drawn(column)).std(axis=0) == pytest.approx(0.02 / math.sqrt(200), rel=0.15)
    assert np.median(drawn(column), axis=0) == pytest.approx(column.mean, rel=1e-3)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_interval_of_one_mean_is_students(n: int) -> None:
    """Golden: mean ± t₀.₉₇₅(n − 1)·s/√n for n draws of the corpus, whatever n; t = 12.71, 4.303, 2.776."""
    own = cells(corpora=range(n), sd=0.0, column_sd=1e-4, data=DATA[:1])
    (column,) = columns(own, 40_000)
    bits = own.loc[own["n_params"] == SIZES["16x1"], "own_bits"]
    half = {2: 12.706, 3: 4.303, 5: 2.776}[n] * bits.std() / math.sqrt(n)
    low, high = interval(drawn(column)[:, NAMES.index("16x1")])
    assert (low, high) == pytest.approx((bits.mean() - half, bits.mean() + half), abs=0.1 * half)


def test_cells_of_one_corpus_seed_are_drawn_together() -> None:
    """Noise that is all the column's leaves every ratio of two sizes' code lengths as it is."""
    for column in columns(cells(corpora=range(3), column_sd=0.05), 200):
        ratios = drawn(column) / drawn(column)[:, :1]
        assert ratios.std(axis=0) == pytest.approx(np.zeros(8), abs=2e-3 * ratios.max())
        assert (drawn(column)[:, 0] / column.mean[0]).std() > 0.01


def test_the_same_seed_gives_the_same_draws_whatever_else_is_in_the_table() -> None:
    own = cells(range(2), sd=0.01)
    alone = own[own["subset_bytes"] == DATA[1]]
    assert (drawn(columns(own, 50)[1]) == drawn(columns(alone, 50)[0])).all()
    assert (drawn(columns(own, 50)[1]) != drawn(columns(own, 50, seed=1)[1])).any()


def test_a_slope_through_all_columns_has_the_freedom_that_satterthwaite_gives() -> None:
    """Golden: five D evenly apart weigh 4, 1, 0, 1, 4, so (4 + 1 + 1 + 4)² / (16 + 1 + 1 + 16) of one column's."""
    assert _slope_freedom(dict.fromkeys((10, 100, 1000, 10_000, 100_000), 3.0)) == pytest.approx(3 * 100 / 34)
    assert _slope_freedom({1000: 7.0}) == 7.0


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-4, 0.02), st.integers(2, 4), st.integers(0, 1000))
def test_an_interval_holds_the_estimate(sd: float, n_seeds: int, seed: int) -> None:
    for estimate in estimate_all(columns(cells(range(n_seeds), sd=sd, data=DATA[1:]), 200, seed), 200):
        low, n, high = (float(str(estimate.row[name])) for name in ("low", "n_params", "high"))
        assert estimate.row["status"] == "bracketed"
        assert low < n < high


def reference(own: pd.DataFrame) -> pd.DataFrame:
    """Of all cells those of the reference study: seed 0 of two corpora, seeds 1 and 2 of corpus 0 beside each N*."""
    truth = own["subset_bytes"].map({d: closed_form(d, PRICE) for d in set(own["subset_bytes"])})
    sizes = np.unique(own["n_params"])
    right = np.searchsorted(sizes, truth).clip(1, len(sizes) - 1)
    beside = (own["n_params"] == sizes[right]) | (own["n_params"] == sizes[right - 1])
    return own[(own["seed"] == 0) | ((own["shuffle_seed"] == 0) & beside)]


def test_extra_training_seeds_of_one_corpus_do_not_pull_the_average_to_it() -> None:
    """Corpora that lie 5 % apart and no other noise: the sizes with four cells average what the others do."""
    own = cells(range(3), range(2), column_sd=0.05)
    once, more = columns(own[own["seed"] == 0], 50), columns(reference(own), 50)
    for alone, with_more in zip(once, more, strict=True):
        assert with_more.n_seeds.max() == 4
        assert with_more.mean == pytest.approx(alone.mean, rel=1e-12)
        ratios = drawn(with_more) / drawn(with_more)[:, :1]
        assert ratios.std(axis=0) == pytest.approx(np.zeros(8), abs=2e-3 * ratios.max())


def test_a_size_that_one_corpus_lacks_is_taken_at_the_level_of_all() -> None:
    own = cells((0,), range(2), column_sd=0.05)
    lacking = own[(own["shuffle_seed"] == 0) | (own["n_params"] != SIZES["32x2"])]
    for whole, part in zip(columns(own, 10), columns(lacking, 10), strict=True):
        assert part.kind == "pooled"
        assert part.mean == pytest.approx(whole.mean, rel=5e-3), "else it would stand out by 2 % and more"


def test_rates_and_who_wins_average_as_the_critical_sizes_do(tmp_path: Path) -> None:
    records = [
        dataclasses.replace(r, corpus=corpus(shuffle_seed=c), run_id=f"{r.run_id}-c{c}")
        for c in (0, 1)
        for r in grid(
            NAMES, DATA[:1], lambda n, d, _, c=c: power_law(n, d) * (1 + 0.04 * c), seeds=(0, 1, 2)[: 3 - 2 * c]
        )
    ]
    found = study(load(write_sweep(tmp_path / "s", records)), parse_cost("float16"))
    assert found.rates["n_seeds"].tolist() == [4] * len(NAMES)
    wanted = [1.02 * power_law(int(n), DATA[0]) for n in found.rates["n_params"]]
    assert found.rates["code_bits"].tolist() == pytest.approx(wanted)
    won = who_wins(found, block_codes(found.table), online_codes(found.table))
    (row,) = won[won["code"] == "float16 two-part"].to_dict("records")
    assert row["total_bits"] == pytest.approx(1.02 * power_law(row["n_params"], DATA[0]) + 16 * row["n_params"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["floor .4, 8 shapes, 3 %, 2x1", "floor .4, 13 shapes, 1.5 %, 2x1"])
def test_intervals_cover_the_truth_where_shapes_scatter(name: str) -> None:
    """15 sweeps of 5 dataset sizes that share their shapes: at 95 % more than 12 of 75 miss with a chance below 1 %."""
    (of,) = [setting for setting in SETTINGS if setting.name == name]
    found = run(of, 15)
    assert sum(one.what == "N*" for one in found) == 75
    assert share(found, "N*") >= 63 / 75
    assert share(found, "gamma") >= 12 / 15
    assert share(found, "predicted") >= 12 / 15


@pytest.mark.slow
def test_coverage_over_processes_is_that_of_one_process_and_stops_in_time() -> None:
    """What several processes count is what one counts; what was not begun in time is left out and no error."""
    of = SETTINGS[0]
    assert run_all([of], 6, 2, 600)[of] == run(of, 6)
    assert len(run_all([of], 10_000, 1, 0)[of]) < 1_000


def test_the_theory_agrees_where_it_is_true_and_not_where_the_amplitude_grows() -> None:
    """With A growing as D^0.2, γ = 1.2/(1 + α), not 1/(1 + α)."""
    for growth, agrees in ((0.0, True), (0.2, False)):
        found = estimate_all(columns(cells(range(3), sd=0.001, growth=growth)))
        fitted, draws = law(found)
        tested = theory(fitted, draws, found)
        assert tested is not None
        assert tested["agrees"] is agrees
        assert tested["alpha"] == pytest.approx(0.4, abs=0.03)
        assert 0 < tested["detectable"] < 0.2, "what it would have found"
        assert fitted.gamma == pytest.approx((1 + growth) / 1.4, abs=0.03)
        assert tested["difference_low"] <= tested["difference"] <= tested["difference_high"]
        told = re.search(r"the difference, (.*) \(95 %: (.*) to (.*)\), is", tested["message"])
        assert told is not None
        ends = [float(end.replace("−", "-")) for end in told.groups()]
        known = [tested["difference"], tested["difference_low"], tested["difference_high"]]
        assert ends == pytest.approx(known, abs=0.006), "two intervals that overlap do not settle it; its own does"


def test_sizes_off_the_line_by_more_than_the_noise_widen_the_laws_interval() -> None:
    """The third of four code lengths' amplitudes is 1.5 times what the law would have: γ is known no better than so."""
    own = cells(range(3), sd=0.001, data=[300_000, 1_000_000, 3_000_000, 10_000_000])
    bent = own.assign(own_bits=own["own_bits"] + np.where(
        own["subset_bytes"] == 3_000_000, 0.5 * own["subset_bytes"] * 60 * own["n_params"] ** -0.4, 0.0))  # fmt: skip
    (straight, _), (off, _) = (law(estimate_all(columns(of))) for of in (own, bent))
    assert straight.gamma_low is not None
    assert straight.gamma_high - straight.gamma_low < 0.1
    assert off.gamma_low < off.gamma - 2 * off.gamma_se
    assert off.gamma_high > off.gamma + 2 * off.gamma_se
    assert straight.gamma_low < 1 / 1.4 < straight.gamma_high


def test_a_law_is_told_without_each_size_and_through_the_second_estimator() -> None:
    found, _ = law(estimate_all(columns(cells(range(3), sd=0.001, data=UNIQUE[1:]))))
    assert found.gamma is not None
    assert found.gamma_least is not None
    assert found.gamma_most is not None
    assert found.gamma_least <= found.gamma <= found.gamma_most
    assert found.gamma_most - found.gamma_least < 0.02
    assert found.gamma_local == pytest.approx(1 / 1.4, abs=0.01)
    assert found.scatter_local == pytest.approx(0, abs=0.02)


def test_two_dataset_sizes_give_no_interval_of_the_exponent_and_no_test() -> None:
    found = estimate_all(columns(cells(range(3), sd=0.001, data=DATA[1:])))
    fitted, draws = law(found)
    assert (fitted.n_points, fitted.gamma_low, fitted.gamma_high, draws) == (2, None, None, None)
    assert "passes through any two dataset sizes" in fitted.message
    tested = theory(fitted, draws, found)
    assert tested is not None
    assert tested["agrees"] is tested["difference_low"] is None
    assert tested["message"] == "this is not tested, because γ has no interval here"


def test_a_prediction_outside_the_grid_says_so() -> None:
    fitted, draws = law(estimate_all(columns(cells(range(3), sd=0.001))))
    inside, beyond = predictions("g", fitted, draws, rates=None, grid_bytes=DATA, asked=[2_000_000, 10**8])
    assert (inside["extrapolated"], beyond["extrapolated"]) == (False, True)
    for row in (inside, beyond):
        truth = closed_form(int(str(row["subset_bytes"])), PRICE)
        assert float(str(row["low"])) <= float(str(row["n_params"])) <= float(str(row["high"]))
        assert float(str(row["n_params"])) == pytest.approx(truth, rel=0.05)


def test_the_spread_of_seeds_is_the_standard_deviation() -> None:
    own = cells(range(3), sd=0.01)
    found = relative_spread(own).set_index(["subset_bytes", "n_params"])
    one = own[(own["subset_bytes"] == DATA[0]) & (own["n_params"] == SIZES["16x1"])]
    row = found.loc[(DATA[0], SIZES["16x1"])]
    assert row["rate_sd"] == pytest.approx(one["own_bits"].std() / (8 * DATA[0]))
    assert row["relative_sd"] == pytest.approx(one["own_bits"].std() / one["own_bits"].mean())
    assert row["pooled_relative_sd"] == pytest.approx(math.sqrt((found["relative_sd"] ** 2).mean()))
    alone = relative_spread(own[own["seed"] == 0])
    assert alone["pooled_relative_sd"].isna().all()


def test_the_spread_of_training_seeds_is_told_from_that_of_corpora() -> None:
    """Training seeds scatter by 0.2 %, corpora by 5 %."""
    found = relative_spread(cells(range(4), range(6), sd=0.002, column_sd=0.05))
    assert found["pooled_training_sd"].to_numpy() == pytest.approx(0.002, rel=0.1)
    assert found["pooled_relative_sd"].iloc[0] > 0.02
    assert relative_spread(cells((0,), range(2), sd=0.01))["pooled_training_sd"].isna().all()


def noisy(n: int, d: int, seed: int) -> float:
    return power_law(n, d) * math.exp(0.002 * np.random.default_rng([n, d, seed]).standard_normal())


def with_flops(records: list[CellRecord], n_passes: int | None = None) -> list[CellRecord]:
    """As many FLOPs as three forward passes of 2·N over every byte seen take: 921,600, or `n_passes` over the data."""
    seen = [r.training.bytes_seen if n_passes is None else n_passes * r.subset_bytes for r in records]
    trained = [
        dataclasses.replace(r.training, bytes_seen=n, flops=6.0 * r.model.n_params * n)
        for r, n in zip(records, seen, strict=True)
    ]
    return [dataclasses.replace(r, training=t) for r, t in zip(records, trained, strict=True)]


@pytest.mark.slow
def test_a_summary_holds_every_number_and_no_nan(tmp_path: Path) -> None:
    table = load(write_sweep(tmp_path / "s", with_flops(grid(NAMES, DATA, noisy, seeds=(0, 1)))))
    summary = summarise(study(table, parse_cost("float16")))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["intervals"]["kind"] == "seeds"
    for row in summary["critical"]:
        truth = closed_form(row["subset_bytes"], PRICE)
        assert row["low"] <= row["n_params"] <= row["high"]
        assert row["n_params"] == pytest.approx(truth, rel=0.05)
        assert row["n_local"] == pytest.approx(truth, rel=0.1)
    (fitted,) = summary["laws"]
    assert fitted["gamma_low"] < fitted["gamma"] < fitted["gamma_high"]
    assert fitted["theory"]["agrees"] in (True, False)
    assert len(summary["crossings"]) == len(NAMES) - 1
    assert [row["subset_bytes"] for row in summary["predictions"]] == [10 * max(DATA)]
    assert len(summary["seeds"]) == len(NAMES) * len(DATA)
    assert len(summary["fit"]["residuals"]) == 2 * len(NAMES) * len(DATA)
    assert summary["compute"] == []
    assert "every cell read the same number of bytes, 922 KB" in summary["compute_not_asked"]
    again = summarise(study(table, parse_cost("float16")))
    assert again == summary, "the same records, the same numbers"


def test_asked_dataset_sizes_are_predicted(tmp_path: Path) -> None:
    table = load(write_sweep(tmp_path / "s", grid(NAMES, DATA, noisy)))
    found = study(table, parse_cost("float16"), predict_bytes=[1e6, 1e9]).predictions
    assert found["subset_bytes"].tolist() == [1e6, 1e9]
    assert found["extrapolated"].tolist() == [False, True]
    assert (found["low"] < found["n_params"]).all()
    with pytest.raises(AnalysisError, match="-5 bytes"):
        study(table, parse_cost("float16"), predict_bytes=[-5])


def test_the_compute_optimal_size_is_the_laws(tmp_path: Path) -> None:
    """6·N FLOPs a byte: N = (α·A/(β·B))^(1/(α+β)) · (C/6)^(β/(α+β)) of L = E + A·N^−α + B·D^−β (Hoffmann et al.)."""
    found = seen(tmp_path, 2)
    assert found.fit is not None
    assert found.compute_not_asked is None
    alpha, beta, A, B = LAW
    assert found.fit["alpha"] == pytest.approx(alpha, rel=1e-3)
    optimal = found.compute[found.compute["kind"] == "compute-optimal"]
    assert len(optimal)
    for row in optimal.itertuples():
        scale = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
        truth = scale * (float(str(row.flops)) / 6) ** (beta / (alpha + beta))
        assert row.n_params == pytest.approx(truth, rel=0.01)
    flops = found.compute["flops"] / found.compute["n_params"] / found.compute["subset_bytes"]
    own = flops[found.compute["kind"] == "MDL-optimal"]
    assert own.tolist() == pytest.approx([6.0 * 2] * len(own)), "the FLOPs that a model of that size takes"


LAW = 0.5, 0.35, 80.0, 30.0  # alpha, beta, A, B
UNIQUE = [30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000]  # enough for a law to be resampled


def seen(folder: Path, n_passes: int | None) -> Study:
    """A study of LAW's losses, with `n_passes` over the data, or as many bytes everywhere."""
    alpha, beta, A, B = LAW
    records = [
        dataclasses.replace(r, snapshots=tuple(_coded(s, r, A, alpha, B, beta) for s in r.snapshots))
        for r in with_flops(grid(NAMES, UNIQUE, power_law), n_passes)
    ]
    return study(load(write_sweep(folder / "s", records)), parse_cost("float16"))


@pytest.mark.parametrize(
    ("n_passes", "why"),
    [
        (None, "every cell read the same number of bytes, 922 KB"),
        pytest.param(40, "cells read their data up to 40 times", marks=pytest.mark.slow),
    ],
)
def test_a_law_of_unique_bytes_is_not_read_as_one_of_bytes_seen(tmp_path: Path, n_passes: int | None, why: str) -> None:
    """Neither rows, nor figure: one line in the place of the section."""
    found = seen(tmp_path, n_passes)
    assert found.compute.empty
    summary = summarise(found)
    pictures = draw(found, measure(found), tmp_path / "figures")
    assert "compute" not in {picture.name for picture in pictures}
    blocks = write(summary, pictures).blocks
    at = next(i for i, block in enumerate(blocks) if getattr(block, "text", "") == "What the compute would buy")
    assert isinstance(blocks[at + 1], Text)
    assert blocks[at + 1].text.startswith("The compute-optimal size is not given, ")
    assert why in blocks[at + 1].text
    assert isinstance(blocks[at + 2], Heading)


def _coded(snapshot: object, record: CellRecord, A: float, alpha: float, B: float, beta: float) -> object:
    """The snapshot with a held-out loss that follows a known law."""
    loss = 1.0 + A * record.model.n_params**-alpha + B * record.subset_bytes**-beta
    segments = tuple(
        dataclasses.replace(s, code_bits=loss * s.end_bytes) if s.part == "heldout" else s for s in snapshot.segments
    )
    return dataclasses.replace(snapshot, segments=segments)


@pytest.mark.slow
def test_corpus_seeds_are_found_in_records(tmp_path: Path) -> None:
    records = [
        dataclasses.replace(r, corpus=corpus(shuffle_seed=s), run_id=f"{r.run_id}-c{s}")
        for s in range(3)
        for r in grid(NAMES, DATA, lambda n, d, _, s=s: noisy(n, d, s))
    ]
    summary = summarise(study(load(write_sweep(tmp_path / "s", records)), parse_cost("float16")))
    assert summary["intervals"]["kind"] == "corpus seeds"
    assert {row["interval"] for row in summary["critical"]} == {"corpus seeds"}
