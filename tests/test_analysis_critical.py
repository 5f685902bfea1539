from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline

from analysis import AnalysisError
from analysis.critical import critical_size, fit_power_law, slopes

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
    """N* = (α·A·n/c)^(1/(1+α)) at every dataset size whose best cell is inside the grid."""
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
    assert small.message == "not bracketed, extend the grid below 1.23 K parameters"
    assert (large.status, large.n_params, large.grid_best) == ("above", None, 115008)
    assert large.message == "not bracketed, extend the grid above 115 K parameters"


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
    assert "no standard error" in two.message
    one = fit_power_law([1e5, 1e6], [1e3, float("nan")])
    assert one.gamma is None
    assert "only 100 KB" in one.message
    with pytest.raises(AnalysisError, match="two dataset sizes"):
        one.predict(1e6)
    assert "none has one" in fit_power_law([1e5], [float("nan")]).message
