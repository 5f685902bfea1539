"""The scaling law: the optimum of the stated objective, its uncertainty, its held-out test, and when there is none."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from analysis.errors import AnalysisError
from analysis.records import load
from analysis.scaling import fit_report
from analysis.scaling.bootstrap import NAMES, bootstrap
from analysis.scaling.fit_json import fit_content, parameters_of
from analysis.scaling.holdout import Cut, held_out_tests, nearest
from analysis.scaling.huber import Rows, derivatives, huber, minimise, objective
from analysis.scaling.initial_values import spread_starts
from analysis.scaling.law import Fit, fit_scaling_law, locate
from analysis.scaling.measurements import Measurements, from_records, read_csv
from tests.analysis.scaling.rows import measurements
from tests.synthetic import SIZES, cell, corpus, write_sweep

Floats = npt.NDArray[np.float64]
TRUTH = {"E": 1.82, "A": 482.0, "B": 2085.0, "alpha": 0.348, "beta": 0.366}


def law(N: npt.ArrayLike, D: npt.ArrayLike) -> Floats:
    N, D = np.asarray(N, np.float64), np.asarray(D, np.float64)
    return np.asarray(TRUTH["E"] + TRUTH["A"] * N ** -TRUTH["alpha"] + TRUTH["B"] * D ** -TRUTH["beta"])


def table(n_rows: int = 240, noise: float = 0.01, seed: int = 0) -> Measurements:
    """Models of 44M to 16B parameters at 1e18 to 3e21 FLOPs; heavy-tailed noise."""
    rng = np.random.default_rng(seed)
    C = 10 ** rng.uniform(18, np.log10(3e21), n_rows)
    N = np.clip(np.sqrt(C / 120) * np.exp(rng.normal(0, 1, n_rows)), 44e6, 16e9)
    D = C / (6 * N)
    return measurements(N, D, law(N, D) * np.exp(noise * rng.standard_t(4, n_rows)), flops=C)


def parameters(fit: Fit) -> dict[str, float]:
    return parameters_of(fit)


@pytest.mark.parametrize("delta", [1e-3, 1e-1, None])
def test_the_truth_is_recovered_without_noise(delta: float | None) -> None:
    fit = fit_scaling_law(table(noise=0), delta)
    assert fit.success
    assert parameters(fit) == pytest.approx(TRUTH, rel=1e-6)
    assert fit.objective == pytest.approx(0, abs=1e-12)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.integers(12, 80), st.sampled_from([1e-3, 1e-2]))
def test_no_other_optimiser_finds_a_lower_objective(seed: int, n_rows: int, delta: float) -> None:
    at = locate(table(n_rows, seed=seed), delta)
    one = np.ones((1, n_rows))

    def value(theta: Floats) -> tuple[float, Floats]:
        gradient, _, _ = derivatives(at.rows, theta[None], delta, one)
        return float(objective(at.rows, theta[None], delta, one)[0]) / delta**2, gradient[0]

    bounds = list(at.rows.bounds().T)
    found = [minimize(value, s, jac=True, bounds=bounds).fun for s in spread_starts(at.rows, 2)]
    if at.fit.objective is not None:
        assert at.fit.objective <= min(found) * delta**2 * (1 + 1e-6) + 1e-12


def test_gradient_and_hessian_are_those_of_the_objective() -> None:
    measured = table(60)
    rows = locate(measured, 0.02).rows
    theta = spread_starts(rows, 5)
    one = np.ones((5, 60))
    gradient, hessian, bound = derivatives(rows, theta, 0.02, one)
    for k, step in enumerate(1e-6 * np.eye(5)):
        up, down = (objective(rows, theta + sign * step, 0.02, one) for sign in (1, -1))
        assert gradient[:, k] == pytest.approx((up - down) / 2e-6 / 0.02**2, rel=1e-5, abs=1e-3)
        ahead, behind = (derivatives(rows, theta + sign * step, 0.02, one)[0] for sign in (1, -1))
        assert hessian[:, k] == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-2)
    assert np.linalg.eigvalsh(bound).min() > 0


def test_the_objective_is_the_sum_of_huber_terms_of_log_residuals() -> None:
    measured = table()
    fit = fit_scaling_law(measured, 1e-3)
    residuals = np.log(fit.predict(measured.n_params, measured.data)) - np.log(measured.loss)
    size = np.abs(residuals)
    terms = np.where(size <= 1e-3, residuals**2 / 2, 1e-3 * (size - 1e-3 / 2))
    assert fit.objective == pytest.approx(terms.sum(), rel=1e-10)
    assert huber(residuals, 1e-3) == pytest.approx(terms)


@given(st.floats(1e-3, 1e3), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
@settings(max_examples=4, deadline=None)
def test_units_change_only_the_parameters_that_carry_them(of_loss: float, of_n: float, of_d: float) -> None:
    measured = table(50)
    fit = fit_scaling_law(measured)
    scaled = fit_scaling_law(
        replace(measured, loss=measured.loss * of_loss, n_params=measured.n_params * of_n, data=measured.data * of_d)
    )
    p = parameters(fit)
    p["E"], p["A"], p["B"] = (
        p["E"] * of_loss,
        p["A"] * of_loss * of_n ** p["alpha"],
        p["B"] * of_loss * of_d ** p["beta"],
    )
    assert parameters(scaled) == pytest.approx(p, rel=1e-5)


def test_a_row_given_twice_counts_twice_and_a_weight_is_a_repetition() -> None:
    measured = table(40)
    once, twice = fit_scaling_law(measured), fit_scaling_law(measured.where(np.repeat(np.arange(40), 2)))
    assert parameters(twice) == pytest.approx(parameters(once), rel=1e-6)
    assert twice.objective == pytest.approx(2 * float(once.objective or 0), rel=1e-9)
    at = locate(measured, 1e-2)
    counts = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40))
    weighted = minimise(at.rows, at.theta[None], 1e-2, counts[None].astype(float))
    repeated = minimise(Rows(*(np.repeat(column, counts) for column in at.rows)), at.theta[None], 1e-2)
    assert weighted.theta == pytest.approx(repeated.theta, rel=1e-6)
    assert weighted.converged.all()


def test_delta_from_the_residuals_is_1345_of_their_robust_scale() -> None:
    measured = table(noise=0.02)
    fit = fit_scaling_law(measured, None)
    residuals = np.log(fit.predict(measured.n_params, measured.data)) - np.log(measured.loss)
    assert fit.delta == pytest.approx(1.345 * np.median(np.abs(residuals)) / 0.6745, rel=1e-3)


def grid(n_sizes: int, n_data: int) -> Measurements:
    N, D = (a.ravel() for a in np.meshgrid(np.geomspace(1e6, 1e9, n_sizes), np.geomspace(1e8, 1e11, n_data)))
    return measurements(N, D, law(N, D))


UNIDENTIFIED = {
    "2 usable rows": table().where(np.arange(2)),
    "2 distinct model sizes": grid(2, 6),
    "1 distinct model size,": grid(1, 8),
    "2 distinct dataset sizes": grid(6, 2),
    "log D is a linear function of log N": replace(table(), data=20 * table().n_params),
    "the loss does not fall with model size": replace(table(), loss=np.full(240, 3.0)),
}


@pytest.mark.parametrize("why", UNIDENTIFIED)
def test_what_is_not_identified_says_why_and_gives_no_number(why: str) -> None:
    measured = UNIDENTIFIED[why]
    at = locate(measured, 1e-3)
    assert not at.fit.success
    assert why in at.fit.message
    assert set(parameters(at.fit).values()) == {None}
    assert bootstrap(measured, at).se == {}
    with pytest.raises(AnalysisError, match=why):
        at.fit.predict(1e9, 1e9)


def test_a_law_without_a_floor_has_floor_0_and_says_so() -> None:
    measured = grid(6, 6)
    measured = replace(measured, loss=measured.loss - TRUTH["E"])
    fit = fit_scaling_law(measured)
    assert fit.params.E is not None
    assert fit.params.E < 1e-4
    assert fit.params.alpha == pytest.approx(TRUTH["alpha"], rel=1e-3)
    falls_faster = replace(measured, loss=np.exp(1.5 * np.log(measured.loss)) / measured.n_params**0.05)
    assert "E is 0" in fit_scaling_law(falls_faster).message


@pytest.mark.parametrize("delta", [0.0, -1.0, math.nan, math.inf])
def test_a_delta_that_is_no_threshold_is_refused(delta: float) -> None:
    with pytest.raises(AnalysisError, match="want a number above 0"):
        fit_scaling_law(table(20), delta)


@pytest.mark.slow
def test_standard_errors_are_the_spread_of_fits_to_fresh_tables() -> None:
    """Within 40 %, which is what 40 tables can tell."""
    fits = [fit_scaling_law(table(120, seed=seed), 1e-2) for seed in range(40)]
    found = bootstrap(table(120), locate(table(120), 1e-2), n_replicates=300)
    spread = {name: np.std([getattr(fit.params, name) for fit in fits]) for name in ("E", "alpha", "beta")}
    spread["log_A"] = np.std([math.log(fit.params.A or 0) for fit in fits])
    for name, sd in spread.items():
        assert found.se[name] == pytest.approx(sd, rel=0.4)
    assert found == bootstrap(table(120), locate(table(120), 1e-2), n_replicates=300)
    assert "300 bootstrap replicates of 120 rows" in found.message


def test_intervals_contain_the_estimate_and_logarithms_agree() -> None:
    measured = table()
    at = locate(measured, 1e-3)
    found = bootstrap(measured, at, n_replicates=400)
    assert set(found.se) == set(found.ci95) == set(NAMES)
    for name in TRUTH:
        low, high = found.ci95[name]
        assert low < getattr(at.fit.params, name) < high
    assert found.ci95["log_A"] == pytest.approx(np.log(found.ci95["A"]), rel=1e-3)


def columns_with_common_noise(n_seeds: int) -> Measurements:
    measured = grid(6, 6)
    rng = np.random.default_rng(1)
    many = measured.where(np.tile(np.arange(36), n_seeds))
    column = np.repeat(np.arange(n_seeds), 36) * 6 + np.unique(many.data, return_inverse=True)[1]
    noise = rng.normal(0, 0.01, n_seeds * 6)[column] + rng.normal(0, 0.001, column.size)
    return replace(many, loss=many.loss * np.exp(noise), clusters=column)


def test_noise_shared_by_a_column_widens_the_interval() -> None:
    measured = columns_with_common_noise(4)
    at = locate(measured, None)
    by_column = bootstrap(measured, at, n_replicates=200)
    by_row = bootstrap(replace(measured, clusters=np.arange(144)), at, n_replicates=200)
    assert by_column.se["B"] > 1.5 * by_row.se["B"]
    assert "200 bootstrap replicates of 24 groups" in by_column.message


def test_too_few_columns_give_no_interval_and_say_so() -> None:
    measured = grid(6, 4)
    measured = replace(measured, clusters=np.unique(measured.data, return_inverse=True)[1])
    assert "only 4 independent groups" in bootstrap(measured, locate(measured, 1e-3)).message
    measured = grid(6, 5)
    measured = replace(measured, clusters=np.unique(measured.data, return_inverse=True)[1])
    found = bootstrap(measured, locate(measured, 1e-3))
    assert found.ci95 == {}
    assert "replicates do not identify the parameters" in found.message


@pytest.mark.slow
def test_of_many_rows_the_sandwich_agrees_with_the_bootstrap() -> None:
    many = table(20_001)
    at = locate(many, 1e-2)
    found = bootstrap(many, at)
    assert "sandwich" in found.message
    fewer = many.where(np.arange(1000))
    small = bootstrap(fewer, locate(fewer, 1e-2), n_replicates=300)
    for name in ("E", "alpha", "beta", "log_A", "log_B"):
        assert found.se[name] * math.sqrt(20.001) == pytest.approx(small.se[name], rel=0.25)


def test_a_noise_free_law_predicts_what_it_has_not_seen() -> None:
    measured = table(noise=0)
    splits = held_out_tests(measured, 1e-3, ["C>1e21", "N >= 5e9"])
    assert [s.held_out for s in splits] == ["largest N", "largest D", "C>1e21", "N>=5e9"]
    assert [s.cut for s in splits] == [None, None, Cut("C", ">", 1e21), Cut("N", ">=", 5e9)]
    assert [s.name for s in splits] == ["largest N", "largest D", "C > 1e21", "N >= 5e9"]
    for split in splits:
        assert split.error == pytest.approx(0, abs=1e-8)
        assert split.n_kept + split.n_held_out == 240
        assert split.last_value_error is not None
        assert split.last_value_error > 1e-3
    assert splits[2].n_held_out == (measured.flops > 1e21).sum()


def test_baselines_are_the_largest_kept_run_and_the_nearest_kept_run() -> None:
    N, D, loss = np.array([1e6, 1e7, 1e8]), np.array([1e9, 1e9, 1e9]), np.array([4.0, 3.0, 2.0])
    split = held_out_tests(measurements(N, D, loss), 1e-3, ["C>1e17"])[2]
    assert split.last_value_error == split.nearest_error == 0.5
    assert split.error is None
    assert "five parameters" in split.message
    kept = measurements(N[[0, 2]], D[[0, 2]], loss[[0, 2]], flops=np.array([1.0, 9.0]))
    middle = measurements(N[[1]], D[[1]], loss[[1]], flops=np.ones(1))
    assert nearest(kept, middle) == [2.0]  # equally far: the one of more compute


def test_without_a_cut_the_rows_of_most_compute_are_held_out() -> None:
    assert held_out_tests(table(), 1e-3)[2].n_held_out == 24
    even = replace(table(30), flops=np.repeat([1e18, 1e19, 1e20], 10))
    split = held_out_tests(even, 1e-3)[2]
    assert (split.held_out, split.n_held_out) == ("C>1e+19", 10)


@pytest.mark.parametrize("condition", ["C", "C=1", "X>1", "C>1.2.3", "", "C>1e21; rm"])
def test_a_condition_that_cannot_be_read_is_refused(condition: str) -> None:
    with pytest.raises(AnalysisError, match="is not a condition"):
        held_out_tests(table(20), 1e-3, [condition])


def write_csv(path: Path, rows: list[str], header: str = "N,D,loss") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_rows_without_a_positive_number_are_dropped_named_and_counted(tmp_path: Path) -> None:
    rows = ["1e6,1e9,3", ",1e9,3", "1e6,1e9,oops", "1e6,1e9,-1", "1e6,inf,3", "1e6,1e9,nan", "1e6,1e9,3", "1e6,0,3"]
    measured = read_csv(write_csv(tmp_path / "t.csv", rows))
    assert measured.loss.tolist() == [3, 3]
    assert {(d.reason, d.n_rows, d.lines) for d in measured.dropped} == {
        ("N is missing or NaN", 1, (2,)), ("loss is not a number", 1, (3,)), ("loss is not above 0", 1, (4,)),
        ("D is infinite", 1, (5,)), ("loss is missing or NaN", 1, (6,)), ("D is not above 0", 1, (8,)),
    }  # fmt: skip
    assert measured.notes == ("1 rows repeat another; each is kept",)


def test_missing_data_follows_from_compute_and_missing_compute_from_data(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", ["10,,1200,2", "10,30,,2"], "size,D,FLOP,loss")
    measured = read_csv(path, n="size", c="FLOP")
    assert measured.data.tolist() == [20, 30]
    assert measured.flops.tolist() == [1200, 1800]
    assert read_csv(write_csv(tmp_path / "u.csv", ["10,1200,2"], "N,C,loss")).data.tolist() == [20]


def test_clusters_are_rows_with_equal_values(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", ["1,1,1,a", "2,1,1,b", "3,1,1,a"], "N,D,loss,seed")
    assert read_csv(path, clusters=("seed",)).clusters.tolist() == [0, 1, 0]


def mdl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mdl.cli", *arguments], capture_output=True, text=True, check=False)


BAD = {
    "": "is not a CSV",
    "N,D,loss\n": "has no usable row: it has only a header",
    "N,D\n1,2\n": "has no column 'loss'; it has N, D; see --n, --d, --loss, --c",
    "N,loss\n1,2\n": "has no column 'D'",
    "N,D,loss\n1,2,x\n1,2,y\n": "has no usable row: loss is not a number in 2 rows",
    "N,D,loss\n1,2,-3\n": "has no usable row: loss is not above 0 in 1 row",
    "N,D,loss\n1,2\n1,2,3,4,5\n": "line 3 has 5 fields, the header 3",
}


@pytest.mark.parametrize("content", BAD)
def test_a_table_that_cannot_be_read_is_one_clear_error(content: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(AnalysisError) as caught:
        fit_report.read_measurements(path, {"n": "N", "d": "D", "loss": "loss", "c": "C"})
    assert BAD[content] in str(caught.value)


def test_the_command_prints_json_with_the_stated_keys(tmp_path: Path) -> None:
    measured = table(60)
    columns = (measured.n_params.tolist(), measured.flops.tolist(), measured.loss.tolist())
    path = write_csv(tmp_path / "t.csv", [f"{n!r},{c!r},{x!r}" for n, c, x in zip(*columns, strict=True)], "size,F,l")
    run = mdl("fit", str(path), "--n", "size", "--c", "F", "--loss", "l", "--holdout", "C>1e21", "--json")
    assert (run.returncode, run.stderr) == (0, "")
    made = json.loads(run.stdout)
    keys = {"E", "A", "B", "alpha", "beta", "se", "ci95", "objective", "n_points", "success", "message"}
    assert keys <= set(made)
    direct = fit_scaling_law(measured)
    assert {name: made[name] for name in TRUTH} == pytest.approx(parameters(direct), rel=1e-6)
    assert made["n_points"] == 60
    assert set(TRUTH) <= set(made["se"]) & set(made["ci95"])
    assert [split["held_out"] for split in made["held_out"]] == ["largest N", "largest D", "C>1e21"]


def test_the_command_answers_bad_input_with_one_line_and_2(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", ["1,2,x"])
    for arguments in ([str(path)], [str(tmp_path / "none")], [str(path), "--delta", "x"]):
        run = mdl("fit", *arguments)
        assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
        assert run.stderr.startswith("error: ")


def test_text_and_json_say_that_two_rows_are_no_law(tmp_path: Path) -> None:
    measured = read_csv(write_csv(tmp_path / "t.csv", ["1e6,1e9,3", "1e7,1e9,2"]))
    made = fit_report.fit_report_of(measured, 1e-3)
    assert fit_report.fit_to_text(made).startswith("no law: 2 usable rows; five parameters need at least 6\n")
    content = json.loads(json.dumps(fit_content(made), allow_nan=False))
    assert (content["success"], content["E"], content["se"], content["ci95"]) == (False, None, {}, {})


@pytest.mark.parametrize("text", ["x", "0", "-1", "nan", "inf", ""])
def test_a_delta_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(AnalysisError, match="--delta is"):
        fit_report.parse_delta(text, 1e-3)
    assert fit_report.parse_delta("auto", 1e-3) is None
    assert fit_report.parse_delta(None, 1e-3) == 1e-3


def sweep(folder: Path, n_seeds: int = 2) -> Path:
    """Held-out losses that follow a law of N and unique bytes, in bits per byte."""
    cells = []
    for seed in range(n_seeds):
        for size, N in SIZES.items():
            for D in (10**5, 10**6, 10**7, 10**8):
                rate = (1.5 + 60 * N**-0.4 + 20 * D**-0.3) / 8
                cells.append(cell(size, D, 3.0 * D, heldout_rate=rate, of=corpus(shuffle_seed=seed)))
    return write_sweep(folder, cells)


def test_a_sweeps_held_out_law_is_recovered_in_bits_a_byte_over_unique_bytes(tmp_path: Path) -> None:
    measured, usual = fit_report.read_measurements(
        sweep(tmp_path / "grid"), {"n": "N", "d": "D", "loss": "loss", "c": "C"}
    )
    assert usual is None
    fit = fit_scaling_law(measured, usual)
    assert parameters(fit) == pytest.approx({"E": 1.5, "A": 60, "B": 20, "alpha": 0.4, "beta": 0.3}, rel=1e-5)
    assert len(set(measured.clusters.tolist())) == 8
    assert "over corpus seeds and dataset sizes" in measured.varies
    assert "Muennighoff" in fit.notes[0]


def test_one_corpus_seed_is_said_to_be_one(tmp_path: Path) -> None:
    measured = from_records(load(sweep(tmp_path / "grid", n_seeds=1)))
    assert "does not cover another sample of the corpus" in measured.varies


def test_several_corpora_are_not_mixed(tmp_path: Path) -> None:
    cells = [cell("8x1", 10**5, 3e5, of=corpus(source)) for source in ("file:/a.txt", "file:/b.txt")]
    with pytest.raises(AnalysisError, match=r"has the groups .*a\.txt, .*b\.txt; choose one with --group"):
        from_records(load(write_sweep(tmp_path / "grid", cells)))


def test_a_csv_of_code_lengths_has_no_held_out_loss_to_fit(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", ["1,2,3"], "N,D,code_bits")
    with pytest.raises(AnalysisError, match="held-out part was coded"):
        from_records(load(path))
