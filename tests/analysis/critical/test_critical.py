from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import isotonic_regression, minimize_scalar

from analysis.critical import Column, critical_size, crossing, crossings, estimate_all, fit_power_law, minima
from analysis.critical.interpolation import non_increasing, slopes, total_between
from analysis.errors import AnalysisError
from analysis.report.elements import Grid, Text
from analysis.report.sections.crossovers import write as crossings_page
from analysis.report.sections.size_law import estimates as estimates_page

Floats = npt.NDArray[np.float64]
GRIDS = {
    "six": (1228, 2840, 7216, 10320, 32928, 115008),
    "eight": (2840, 7216, 10320, 32928, 115008, 213568, 820352, 3213568),
    "ratio 3.5": tuple(1000 * 3.5**k for k in range(7)),
    "ratio 2": tuple(1000 * 2**k for k in range(8)),
    "three": (1000, 3500, 12250),
}
C = 16.0  # bits a parameter


def code_bits(sizes: Sequence[float], subset_bytes: float, alpha: float, A: float, E: float = 1.5) -> Floats:
    """n·L(N, D), the law's form of Hoffmann et al. 2022, B·D^−β a constant within E at one D."""
    rates: Floats = E + 20 * subset_bytes**-0.3 + A * np.asarray(sizes, np.float64) ** -alpha
    return subset_bytes * rates


@pytest.mark.parametrize("alpha", [0.2, 0.3, 0.4, 0.5, 0.6])
@pytest.mark.parametrize("grid", GRIDS)
def test_the_closed_form_is_recovered_within_three_per_cent_without_noise(grid: str, alpha: float) -> None:
    """N* = (α·A·n/c)^(1/(1+a)) at every dataset size whose best cell is inside the grid."""
    sizes, n_bracketed = GRIDS[grid], 0
    A = 5 * 1000**alpha
    for subset_bytes in np.geomspace(1e3, 1e10, 120):
        truth = (alpha * A * subset_bytes / C) ** (1 / (1 + alpha))
        found = critical_size(sizes, code_bits(sizes, subset_bytes, alpha, A), C)
        if found.n_params is not None:
            n_bracketed += 1
            assert found.n_params == pytest.approx(truth, rel=0.03)
            assert found.total_bits == pytest.approx(found.code_bits + C * found.n_params)
            assert found.n_pooled == 0
    assert n_bracketed >= 8


def test_the_best_cell_at_an_end_is_not_a_critical_size() -> None:
    sizes = GRIDS["six"]
    small = critical_size(sizes, code_bits(sizes, 1e3, 0.4, 60), C)
    large = critical_size(sizes, code_bits(sizes, 1e9, 0.4, 60), C)
    assert (small.status, small.n_params, small.grid_best) == ("below", None, 1228)
    assert small.message == "not bracketed; extend the grid below 1.23 K parameters"
    assert (large.status, large.n_params, large.grid_best) == ("above", None, 115008)
    assert large.message == "not bracketed; extend the grid above 115 K parameters"


def test_free_parameters_have_no_critical_size() -> None:
    sizes = GRIDS["eight"]
    assert critical_size(sizes, code_bits(sizes, 1e6, 0.4, 60), 0.0).status == "above"


@pytest.mark.parametrize("n_sizes", [1, 2])
def test_two_sizes_bracket_nothing(n_sizes: int) -> None:
    found = critical_size([1000, 2000][:n_sizes], [9e5, 8e5][:n_sizes], C)
    assert found.status == "too few sizes"
    assert "at least 3" in found.message


def test_seeds_of_one_size_are_averaged() -> None:
    sizes = GRIDS["six"]
    bits = code_bits(sizes, 3e5, 0.4, 60)
    once = critical_size(sizes, bits, C)
    thrice = critical_size(np.tile(sizes, 3), np.concatenate([bits, bits * 1.01, bits * 0.99]), C)
    assert thrice.n_params == pytest.approx(once.n_params)
    assert thrice.n_sizes == 6


def test_a_code_length_that_rises_with_size_is_pooled_and_said() -> None:
    found = critical_size([1000, 2000, 4000, 8000], [9e5, 7e5, 7.1e5, 7e5], C)
    assert found.status == "bracketed"
    assert found.n_pooled == 2
    assert "rose with N" in found.message


@given(
    drops=st.lists(st.floats(0, 1e6), min_size=3, max_size=8),
    price=st.floats(0.5, 64),
    factor=st.floats(1.1, 8),
)
def test_a_dearer_parameter_never_makes_the_model_larger(drops: list[float], price: float, factor: float) -> None:
    sizes = [1000 * 2**k for k in range(len(drops))]
    bits = np.cumsum(drops[::-1])[::-1] + 1e5
    cheap, dear = critical_size(sizes, bits, price), critical_size(sizes, bits, price * factor)
    assert dear.grid_best <= cheap.grid_best
    if cheap.n_params is not None and dear.n_params is not None:
        assert dear.n_params <= cheap.n_params * (1 + 1e-6)


@given(
    alpha=st.floats(0.2, 0.7), A=st.floats(20, 200), grid=st.sampled_from(["six", "eight", "ratio 2"]),
    subset_bytes=st.floats(1e4, 1e8), factor=st.floats(1.05, 10),
)  # fmt: skip
def test_more_data_never_makes_the_model_smaller(
    alpha: float, A: float, grid: str, subset_bytes: float, factor: float
) -> None:
    sizes = GRIDS[grid]
    less = critical_size(sizes, code_bits(sizes, subset_bytes, alpha, A), C)
    more = critical_size(sizes, code_bits(sizes, subset_bytes * factor, alpha, A), C)
    assert more.grid_best >= less.grid_best
    if less.n_params is not None and more.n_params is not None:
        assert more.n_params >= less.n_params


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.floats(0.9, 1.1), min_size=6, max_size=6), min_size=1, max_size=5),
    st.lists(st.integers(1, 5), min_size=6, max_size=6),
)
def test_many_draws_at_once_are_each_what_scipy_finds_alone(noise: list[list[float]], n_seeds: list[int]) -> None:
    """Isotonic regression, then Brent's method on the same spline, agree with the vectorised path to 1e-6."""
    sizes, weights = np.array(GRIDS["six"], np.float64), np.array(n_seeds, np.float64)
    bits = code_bits(sizes, 3e5, 0.4, 60) * np.array(noise)
    found = minima(sizes, bits, weights, C)
    for row, n, code, best in zip(bits, found.n_params, found.code_bits, found.best, strict=True):
        smooth = isotonic_regression(row, weights=weights, increasing=False).x
        assert non_increasing(row[None], weights)[0] == pytest.approx(smooth, rel=1e-12)
        assert best == (row + C * sizes).argmin()
        if 0 < best < 5:
            spline = CubicHermiteSpline(np.log(sizes), smooth, slopes(np.log(sizes), smooth))
            grid = np.linspace(*np.log(sizes[[best - 1, best + 1]]), 5001)
            k = int((spline(grid) + C * np.exp(grid)).argmin())
            near = grid[max(k - 1, 0)], grid[min(k + 1, 5000)]
            least = minimize_scalar(
                lambda x, spline=spline: spline(x) + C * np.exp(x), bounds=near, method="bounded",
                options={"xatol": 1e-10},
            )  # fmt: skip
            assert code + C * n == pytest.approx(float(least.fun), rel=1e-9)
            at = np.exp(grid[:: 5000 // 50])
            assert total_between(sizes, row, weights, C, at) == pytest.approx(spline(np.log(at)) + C * at, rel=1e-9)
        else:
            assert n == sizes[best]


def test_sizes_near_the_least_are_within_a_hundredth_of_it() -> None:
    """By brute force on a curve of which the closed form is known; at an edge of the sizes the edge."""
    sizes = np.array(GRIDS["six"], np.float64)
    bits = code_bits(sizes, 3e5, 0.4, 60)
    column = Column(
        group="g",
        subset_bytes=300_000,
        sizes=sizes,
        mean=bits,
        n_seeds=np.ones(6),
        price=np.full(6, float(C)),
        kind="none",
    )
    row = estimate_all([column])[0].row
    low, high = row["near_low"], row["near_high"]
    fine = np.geomspace(sizes[0], sizes[-1], 20_001)
    total = code_bits(fine, 3e5, 0.4, 60) + C * fine
    inside = fine[total <= 1.01 * total.min()]
    assert (low, high) == pytest.approx((inside[0], inside[-1]), rel=0.1)


@given(alpha=st.floats(0.2, 0.8), A=st.floats(5, 500), ratio=st.floats(1.2, 4), small=st.floats(1e3, 1e5))
def test_two_sizes_cross_where_the_law_says(alpha: float, A: float, ratio: float, small: float) -> None:
    """n = c·(N2 − N1)/(l1 − l2): exact, for what a byte saves does not depend on D in L(N, D)."""
    saved_a_byte = A * (small**-alpha - (ratio * small) ** -alpha)
    price = C * (ratio - 1) * small
    truth = price / saved_a_byte
    data = truth * np.array([0.01, 0.2, 0.9, 3.0, 40.0])
    found = crossing(data, (data * saved_a_byte)[None], price)
    assert found.crossed[0]
    assert found.subset_bytes[0] == pytest.approx(truth, rel=1e-9)


def test_sizes_that_do_not_cross_in_the_grid_stand_at_its_edge() -> None:
    data = np.array([1e5, 1e6, 1e7])
    never, always, twice = (
        crossing(data, np.array([row]) * data, 1e6) for row in ([0.01, 0.01, 0.01], [20, 20, 20], [20, 0.5, 20])
    )
    assert (never.crossed[0], never.above[0], never.subset_bytes[0]) == (False, True, 1e7)
    assert (always.crossed[0], always.above[0], always.subset_bytes[0]) == (False, False, 1e5)
    assert twice.crossed[0]
    assert 1e6 < twice.subset_bytes[0] < 1e7, "the last crossing, from which on the larger pays"


def column(subset_bytes: int, saved_a_byte: float, draws_saved: Sequence[float]) -> Column:
    """Two sizes, 100,000 parameters apart: `saved_a_byte` bits by the larger on average, and in each draw."""
    small = 8.0 * subset_bytes
    draws = np.array([[small, small - subset_bytes * saved] for saved in draws_saved])
    mean = np.array([small, small - subset_bytes * saved_a_byte])
    two = np.array([100_000.0, 200_000.0])
    return Column(
        group="a",
        subset_bytes=subset_bytes,
        sizes=two,
        mean=mean,
        n_seeds=np.ones(2),
        price=np.full(2, C),
        kind="seeds",
        draws=draws,
    )


LOSES = 0.1  # bits saved a byte; 1.6 pays for 100,000 parameters at 1 MB


@pytest.mark.parametrize(
    ("mean", "draws", "beats", "between"),
    [
        (1.5, [1.5] * 60 + [1.62] * 40, "not up to 1 MB", "from "),
        (1.5, [1.5] * 100, "not up to 1 MB", "–"),
        (1.8, [2.0] * 60 + [1.5] * 40, "", "from "),
        (1.8, [2.0] * 60 + [1.7] * 40, "", " to "),
    ],
)
def test_an_interval_never_excludes_its_estimate(mean: float, draws: list[float], beats: str, between: str) -> None:
    """An end at the edge of the grid is where measurements end: it is left open."""
    columns = [column(100_000, LOSES, [LOSES] * 100), column(1_000_000, mean, draws)]
    (row,) = crossings(columns).astype(object).where(lambda frame: frame.notna(), None).to_dict("records")
    assert row["low"] is None or row["low"] < 1e6
    assert row["high"] is None or row["subset_bytes"] <= row["high"]
    other = {"group": "a", "n_small": 1, "n_large": 2, "subset_bytes": 1e5, "low": 1e5, "high": 1e5, "message": ""}
    told, grid = crossings_page({"crossings": [row, other], "least": []})
    assert isinstance(told, Text)
    assert ("Not up to:" in told.text) == bool(beats)
    assert ("only one end" in told.text) == (between == "from ")
    assert isinstance(grid, Grid)
    assert grid.rows[0][2].startswith(beats)
    assert between in grid.rows[0][3]


@given(drops=st.lists(st.floats(1, 1e6), min_size=3, max_size=8), scale=st.floats(1e-3, 1e3))
def test_units_and_order_do_not_matter(drops: list[float], scale: float) -> None:
    sizes = np.array([1000.0 * 3**k for k in range(len(drops))])
    bits = np.cumsum(drops[::-1])[::-1] + 1e5
    one, other = critical_size(sizes, bits, C), critical_size(sizes[::-1], scale * bits[::-1], scale * C)
    assume(one.grid_best == other.grid_best)  # a tie may fall either way in the last digit
    assert one.status == other.status
    if one.n_params is not None:
        assert one.total_bits == pytest.approx(other.total_bits / scale, rel=1e-6)


@given(
    st.lists(st.tuples(st.floats(0.1, 3), st.floats(0, 100)), min_size=3, max_size=10),
)
def test_the_interpolant_never_rises_and_passes_through_the_measurements(steps: list[tuple[float, float]]) -> None:
    x = np.cumsum([step[0] for step in steps])
    y = 1000 - np.cumsum([step[1] for step in steps])
    curve = CubicHermiteSpline(x, y, slopes(x, y))
    fine = np.linspace(x[0], x[-1], 400)
    assert np.diff(curve(fine)).max() <= 1e-6
    assert curve(x) == pytest.approx(y)


@given(st.lists(st.floats(0.8, 1.2), min_size=6, max_size=6))
def test_a_located_size_lies_beside_the_best_measured_one(noise: list[float]) -> None:
    sizes = GRIDS["six"]
    found = critical_size(sizes, code_bits(sizes, 3e5, 0.4, 60) * np.array(noise), C)
    if found.n_params is not None:
        best = sizes.index(found.grid_best)
        assert sizes[best - 1] <= found.n_params * (1 + 1e-9)
        assert found.n_params <= sizes[best + 1] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("sizes", "bits", "price", "message"),
    [
        ([1, 2], [1.0], C, "2 sizes and 1 lengths"),
        ([], [], C, "0 sizes"),
        ([0, 1, 2], [1.0, 1.0, 1.0], C, "at least 1"),
        ([1, 2, 3], [1.0, float("nan"), 1.0], C, "finite"),
        ([1, 2, 3], [1.0, -1.0, 1.0], C, "at least 0 bits"),
        ([1, 2, 3], [3.0, 2.0, 1.0], -1.0, "cannot cost"),
    ],
)
def test_what_is_no_measurement_is_refused(sizes: list[int], bits: list[float], price: float, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        critical_size(sizes, bits, price)


@given(k=st.floats(1e-3, 1e2), gamma=st.floats(0.1, 1.2), n=st.integers(3, 8))
def test_an_exact_power_law_is_recovered(k: float, gamma: float, n: int) -> None:
    d = np.geomspace(1e5, 1e8, n)
    law = fit_power_law(d, k * d**gamma)
    assert law.gamma == pytest.approx(gamma, abs=1e-6)
    assert law.predict(1e6) == pytest.approx(k * 1e6**gamma, rel=1e-6)
    assert law.gamma_se == pytest.approx(0, abs=1e-5)
    assert law.scatter == pytest.approx(0, abs=1e-5)
    assert (law.left_out_bytes, law.left_out_ratio) == (pytest.approx(1e8), pytest.approx(1, rel=1e-5))


def test_the_law_without_the_largest_dataset_says_how_far_it_is_off_there() -> None:
    """N* = D^0.5 up to 1 MB, and half as many at 10 MB as that."""
    d = np.array([1e4, 1e5, 1e6, 1e7])
    law = fit_power_law(d, np.sqrt(d) * [1, 1, 1, 0.5])
    assert (law.left_out_bytes, law.left_out_ratio) == (1e7, pytest.approx(2.0))


def test_the_standard_error_is_that_of_least_squares() -> None:
    """Golden: textbook formula s / sqrt(Sxx) with n − 2 degrees of freedom."""
    d, n = np.array([1e5, 3e5, 1e6, 3e6]), np.array([3e3, 8e3, 1.8e4, 6e4])
    x, y = np.log(d), np.log(n)
    fitted = np.polyval(np.polyfit(x, y, 1), x)
    expected = np.sqrt(((y - fitted) ** 2).sum() / 2 / ((x - x.mean()) ** 2).sum())
    assert fit_power_law(d, n).gamma_se == pytest.approx(expected)


def test_the_law_through_two_points_has_no_error_and_through_one_is_none() -> None:
    two = fit_power_law([1e5, 1e6, 1e7], [1e3, 1e4, float("nan")])
    assert two.gamma == pytest.approx(1)
    assert two.gamma_se is None
    assert "no interval" in two.message
    one = fit_power_law([1e5, 1e6], [1e3, float("nan")])
    assert one.gamma is None
    assert "only 100 KB" in one.message
    with pytest.raises(AnalysisError, match="two dataset sizes"):
        one.predict(1e6)
    assert "none has one" in fit_power_law([1e5], [float("nan")]).message


def test_how_far_estimators_lie_apart_is_told_of_every_corpus() -> None:
    """Two corpora of the same dataset sizes: the one that is farther apart is named, not the last."""
    known = {"status": "bracketed", "low": 900.0, "high": 1100.0, "local_low": 1400.0, "local_high": 1600.0,
             "subset_bytes": 10**6, "n_params": 1000.0}  # fmt: skip
    apart = known | {"group": "file:a", "n_local": 1500.0}
    near = known | {"group": "file:b", "n_local": 1010.0, "local_low": 950.0}
    nothing = {"predictions": [], "groups": []}
    text = str(estimates_page({"critical": [apart, near], **nothing})[0])
    assert "a factor of at most 1.50, at 1 MB of file:a" in text
    assert "At 1 MB of file:a the local estimate lies outside the interval" in text
    alone = str(estimates_page({"critical": [apart], **nothing})[0])
    assert "at 1 MB. At 1 MB the local estimate" in alone
