"""The adjusted rate at the critical size falls as the price of the parameters does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from analysis.critical import Column, Estimate, RateLaw, law_of_rates
from analysis.critical.size import fit_power_law
from analysis.critical.size_law import LawDraws
from analysis.types import Floats

ALPHA, FLOOR, SLOPE, PRICE = 0.4, 0.15, 3.0, 2.0  # code of a byte: FLOOR + SLOPE·N^−ALPHA, bytes; PRICE a parameter
DATA = [10.0**e for e in range(5, 10)]
GAMMA = 1 / (1 + ALPHA)
_ONE = np.ones(1)
_COLUMN = Column(group="g", subset_bytes=1, sizes=_ONE, mean=_ONE, n_seeds=_ONE, price=_ONE, kind="none")


def total(d: float) -> tuple[float, float]:
    """N* and the rate there, by minimizing over N."""
    found = minimize_scalar(
        lambda u: FLOOR + SLOPE * np.exp(-ALPHA * u) + PRICE * np.exp(u) / d,
        bounds=(0, 25),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(np.exp(found.x)), float(found.fun)


def fitted(
    data: list[float], *, noise: Floats | float = 0.0, off: float = 0.0, status: str = "bracketed"
) -> RateLaw | None:
    """Rates that are off by `noise` and a γ that is `off`, known to .01."""
    x, (n, rates) = np.log(data), np.array([total(d) for d in data]).T
    rows = [
        {"subset_bytes": d, "n_params": n_d, "adjusted_rate": rate, "status": status}
        for d, n_d, rate in zip(data, n, rates * np.exp(noise), strict=True)
    ]
    gammas = GAMMA + off + 0.01 * np.random.default_rng(0).standard_normal(1000)
    middle = np.full(1000, np.log(n).mean())
    draws = LawDraws(
        log_k=middle - gammas * x.mean(),
        gamma=gammas,
        drifting=gammas,
        center=float(x.mean()),
        curves=np.stack([middle, gammas, np.zeros(1000)]),
    )
    found = fit_power_law(np.array(data), n * np.exp(off * (x - x.mean())))
    return law_of_rates(found, draws, [Estimate(row, _COLUMN) for row in rows])


def test_the_least_rate_of_a_power_law_is_recovered_far_beyond_the_grid() -> None:
    """A model's code of E + A·N^−α a byte has the least rate E + s·D^(γ−1), and the slope is the price."""
    law = fitted(DATA)
    assert law is not None
    assert np.median(law.lines, axis=1) == pytest.approx([total(DATA[0])[1], PRICE], rel=2e-3)
    k = total(DATA[-1])[0] / DATA[-1] ** GAMMA
    assert total(1e12)[1] == pytest.approx(FLOOR + PRICE * k / (1 - GAMMA) * 1e12 ** (GAMMA - 1), rel=1e-4)
    rate, low, high = law.predict(1e12)
    assert rate == pytest.approx(total(1e12)[1], rel=1e-3)
    assert low < rate < high


def test_the_interval_holds_the_truth_of_noisy_rates() -> None:
    """Rates that scatter by 1 % and a γ known to .01, predicted at ten times the data: 90 to 99 % of 300 hold."""
    rng = np.random.default_rng(1)
    truth, inside = total(10 * DATA[-1])[1], 0
    for _ in range(300):
        law = fitted(DATA, noise=0.01 * rng.standard_normal(len(DATA)), off=0.01 * rng.standard_normal())
        assert law is not None
        _, low, high = law.predict(10 * DATA[-1])
        inside += low <= truth <= high
    assert 0.90 <= inside / 300 <= 0.99


def test_three_sizes_or_sizes_at_an_edge_give_no_law() -> None:
    assert fitted(DATA[:3]) is None
    assert fitted(DATA, status="above") is None
