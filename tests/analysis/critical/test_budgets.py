"""Critical sizes at the whole and at half the training budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.costs import PAPER
from analysis.critical.convergence import COLUMNS, convergence_table
from analysis.records import halved, load, longest
from analysis.report.contents import write
from analysis.report.summary import summarise
from analysis.study import study
from mdl.records import CellRecord
from tests.synthetic import SIZES, closed_form, corpus, grid, power_law, write_sweep

SUBSETS = (300_000, 3_000_000)
LADDER = [size for size in SIZES if size != "256x4"]


def trained(records: list[CellRecord], share: float) -> list[CellRecord]:
    """The same cells after a share of the training."""
    return [
        replace(
            record, run_id=f"{record.run_id}-{share}",
            training=replace(record.training, n_steps=int(900 * share), bytes_seen=int(900 * 1024 * share)),
        )
        for record in records
    ]  # fmt: skip


def noisy(n_params: int, subset_bytes: int, seed: int, alpha: float = 0.4) -> float:
    return power_law(n_params, subset_bytes, seed, alpha) * (1 + 2e-3 * (seed - 0.5))


def sweep(folder: Path, half_alpha: float, seeds: tuple[int, ...] = (0, 1)) -> Path:
    """The whole training follows α = 0.4, half of it another α."""
    whole = grid(LADDER, SUBSETS, noisy, seeds=seeds)
    half = grid(LADDER, SUBSETS, lambda n, d, s: noisy(n, d, s, half_alpha) * 1.01, seeds=seeds)
    return write_sweep(folder, [*trained(whole, 1), *trained(half, 0.5)])


def test_the_report_is_of_the_longest_training_whatever_else_is_in_the_folder(tmp_path: Path) -> None:
    both = study(load(sweep(tmp_path / "both", 0.5)), PAPER)
    alone = study(load(write_sweep(tmp_path / "alone", trained(grid(LADDER, SUBSETS, noisy, seeds=(0, 1)), 1))), PAPER)
    assert both.critical.equals(alone.critical)
    assert both.rates.equals(alone.rates)
    assert len(alone.convergence) == 0


def test_a_longer_code_after_longer_training_is_not_swapped_for_the_shorter(tmp_path: Path) -> None:
    """A budget is a recipe, not a choice: even where half of the training codes better."""
    records = [*trained(grid(LADDER, SUBSETS), 1), *trained(grid(LADDER, SUBSETS, lambda *a: 0.9 * power_law(*a)), 0.5)]
    found = study(load(write_sweep(tmp_path / "s", records)), PAPER)
    assert found.rates["code_bits"].tolist() == pytest.approx(
        [power_law(n, d) for d in SUBSETS for n in sorted(SIZES[s] for s in LADDER)]
    )


def test_the_size_at_half_is_that_of_halfs_own_law_and_judged_by_the_wholes_interval(tmp_path: Path) -> None:
    same = study(load(sweep(tmp_path / "same", 0.4)), PAPER).convergence
    moved = study(load(sweep(tmp_path / "moved", 0.25)), PAPER).convergence
    assert same["verdict"].tolist() == ["converged", "converged"]
    assert moved["verdict"].tolist() == ["unconverged", "unconverged"]
    for frame, alpha in ((same, 0.4), (moved, 0.25)):
        for row in frame.itertuples():
            truth = closed_form(row.subset_bytes, 16 / 1.01, alpha)
            assert row.n_params_half == pytest.approx(truth, rel=0.12)
            assert row.ratio == pytest.approx(row.n_params / row.n_params_half)


def test_both_budgets_are_of_the_shapes_that_both_have(tmp_path: Path) -> None:
    """N* moves with the shapes that were run: one more at the whole budget alone takes no part beside the half's."""
    some = [size for size in LADDER if size != "32x2"]
    half = trained(grid(some, SUBSETS, noisy, seeds=(0, 1)), 0.5)
    more = [*trained(grid(LADDER, SUBSETS, noisy, seeds=(0, 1)), 1), *half]
    same = [*trained(grid(some, SUBSETS, noisy, seeds=(0, 1)), 1), *half]
    found, alone = (study(load(write_sweep(tmp_path / n, of)), PAPER) for n, of in (("more", more), ("same", same)))
    assert found.convergence.equals(alone.convergence)
    assert not found.critical["n_params"].equals(alone.critical["n_params"])
    assert (found.convergence["ratio"] == 1).all()


def test_half_budgets_without_the_price_are_set_beside_nothing(tmp_path: Path) -> None:
    """Weights coded after the whole training alone: `mdl report --cost coded` has no half to compare."""
    table = load(sweep(tmp_path / "s", 0.4))
    most = table.cells["bytes_seen"].max()
    of_whole = longest(table.cells)
    shorter = list(halved(table.cells))
    assert shorter
    found = convergence_table(of_whole, shorter, lambda some: some[some["bytes_seen"] == most].assign(bits_per_param=4))
    assert list(found.columns) == COLUMNS
    assert found.empty


def test_the_ratio_is_judged_by_itself_and_needs_no_replicates(tmp_path: Path) -> None:
    """What shapes are off is the same at both budgets: 3 % a shape leave N* open by far more than its ratio."""
    effect = {SIZES[s]: 0.03 * np.random.default_rng(SIZES[s]).standard_normal() for s in LADDER}

    def off(n: int, d: int, seed: int) -> float:
        return noisy(n, d, seed) * float(np.exp(effect[n]))

    whole, half = (grid(LADDER, SUBSETS, lambda *a, k=k: off(*a) * k, seeds=(0,)) for k in (1.0, 1.01))
    found = study(load(write_sweep(tmp_path / "s", [*trained(whole, 1), *trained(half, 0.5)])), PAPER)
    for row in found.convergence.to_dict("records"):
        assert row["verdict"] == "converged"
        assert row["ratio"] == pytest.approx(1.01 ** (-1 / 1.4), rel=0.02)
        assert np.log(row["ratio_high"] / row["ratio_low"]) < 0.5 * np.log(row["high"] / row["low"])
        assert row["points"] > 0
    lead = repr(write(summarise(found), []).blocks[0])
    assert "points lower" in lead
    assert "times as large (95 %: " in lead
    assert summarise(found)["not_evaluated"] == [], "half budgets are not left out, they stand beside"


def test_what_moved_by_less_than_the_margin_is_not_also_called_moved(tmp_path: Path) -> None:
    """Without noise the interval leaves out 1 however near it lies; the words of one verdict exclude the other."""
    whole, half = (grid(LADDER, SUBSETS, lambda *a, k=k: power_law(*a) * k, seeds=(0,)) for k in (1.0, 1.02))
    found = study(load(write_sweep(tmp_path / "s", [*trained(whole, 1), *trained(half, 0.5)])), PAPER)
    assert (found.convergence["ratio_high"] < 1).all()
    words = repr(write(summarise(found), []))
    assert "less than × 1.1" in words
    assert "yes: unconverged" not in words
    assert f"N* moved by less than that factor at {len(SUBSETS)} of {len(SUBSETS)} dataset sizes." in words


@pytest.mark.slow
def test_the_table_says_why_a_size_is_not_judged_and_that_one_is_outside(tmp_path: Path) -> None:
    moved = study(load(sweep(tmp_path / "moved", 0.25)), PAPER)
    assert "yes: unconverged" in repr(write(summarise(moved), []))
    whole, half = grid(LADDER, SUBSETS, noisy, seeds=(0, 1)), grid(LADDER[:4], SUBSETS, noisy, seeds=(0, 1))
    short = study(load(write_sweep(tmp_path / "s", [*trained(whole, 1), *trained(half, 0.5)])), PAPER)
    text = repr(write(summarise(short), []))
    assert "above its grid" in text
    assert "not judged: not bracketed" in text


def test_the_reference_studys_replicates_are_judged_by_the_wholes_interval(tmp_path: Path) -> None:
    """Two corpora a percent apart at both budgets, extra training seeds of the first at the whole budget alone."""

    def of(c: int, alpha: float, share: float, seeds: tuple[int, ...]) -> list[CellRecord]:
        made = grid(LADDER, SUBSETS, lambda n, d, s: noisy(n, d, s, alpha) * (1 + 0.01 * c), seeds=seeds)
        return [replace(r, run_id=f"{r.run_id}-c{c}", corpus=corpus(shuffle_seed=c)) for r in trained(made, share)]

    for alpha, verdict in ((0.4, "converged"), (0.25, "unconverged")):
        extra = [r for r in of(0, 0.4, 1, (1, 2)) if r.model.size in ("16x2", "32x2")]
        records = [
            *of(0, 0.4, 1, (0,)),
            *of(1, 0.4, 1, (0,)),
            *extra,
            *of(0, alpha, 0.5, (0,)),
            *of(1, alpha, 0.5, (0,)),
        ]
        found = study(load(write_sweep(tmp_path / verdict, records)), PAPER)
        assert found.rates["n_seeds"].max() == 4
        assert set(found.critical["interval"]) == {"both"}
        assert found.convergence["verdict"].tolist() == [verdict] * len(SUBSETS)


def test_whether_training_converged_is_judged_by_half_of_it_not_by_a_quarter(tmp_path: Path) -> None:
    same = [r for share in (1, 0.5) for r in trained(grid(LADDER, SUBSETS, noisy, seeds=(0, 1)), share)]
    quarter = trained(grid(LADDER, SUBSETS, lambda n, d, s: noisy(n, d, s, 0.25) * 1.01, seeds=(0, 1)), 0.25)
    found = study(load(write_sweep(tmp_path / "s", [*same, *quarter])), PAPER)
    assert set(found.convergence["verdict"]) == {"converged", "unconverged"}
    words = repr(write(summarise(found), []))
    assert "N* moved by less than that factor at 2 of 2 dataset sizes" in words
    assert "had not converged" not in words


def test_budgets_are_told_apart_cell_by_cell(tmp_path: Path) -> None:
    """Larger models may train longer than smaller ones; a third of the training is still no half."""
    records = [*trained(grid(["8x1"], SUBSETS), 1), *trained(grid(["16x2"], SUBSETS), 3),
               *trained(grid(["16x2"], SUBSETS), 1), *trained(grid(["16x2"], SUBSETS), 2.5)]  # fmt: skip
    cells = load(write_sweep(tmp_path / "s", records)).cells
    assert dict(longest(cells).groupby("size")["step"].count()) == {"8x1": 4, "16x2": 4}
    assert set(longest(cells)["bytes_seen"]) == {900 * 1024, 3 * 900 * 1024}
    assert [set(less["bytes_seen"]) for less in halved(cells)] == [{900 * 1024}]


def test_several_budgets_have_a_row_each_and_the_limit_is_told_with_what_is_not_known(tmp_path: Path) -> None:
    """A law whose A falls as b^−0.7 to a limit: the extrapolated N* and rate of the limit hold the true ones."""
    limit, shares = 0.8, (1.0, 0.5, 0.25)

    def of_share(share: float) -> list[CellRecord]:
        return trained(grid(LADDER, SUBSETS, lambda n, d, _: _bits(n, d, limit + 0.1 * share**-0.7)), share)

    table = load(write_sweep(tmp_path / "s", [record for share in shares for record in of_share(share)]))
    found = study(table, PAPER)
    rows = found.convergence.to_dict("records")
    assert [row["half_bytes_seen"] / row["bytes_seen"] for row in rows] == pytest.approx(
        [0.5, 0.5, 0.25, 0.25], rel=0.01
    )
    for row in rows[:2]:
        n = row["n_params"] * row["limit_low"], row["n_params"] * row["limit_high"]
        true = (0.4 * 40 * limit * row["subset_bytes"] / 16) ** (1 / 1.4)
        assert n[0] < true * 1.005
        assert n[1] > true * 0.995
        rate = float(found.critical.set_index("subset_bytes")["adjusted_rate"][row["subset_bytes"]])
        least = (_bits(true, row["subset_bytes"], limit) + 16 * true) / (8 * row["subset_bytes"])
        assert rate - row["points_most"] - 1e-4 < least < rate - row["points_least"] + 1e-4
    words = str(write(summarise(found), []).blocks)
    assert "less training" in words
    assert "extrapolated" in words


def _bits(n_params: float, subset_bytes: int, A: float) -> float:
    return float(subset_bytes * (1.5 + 40 * A * n_params**-0.4))
