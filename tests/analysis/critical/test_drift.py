"""An exponent that drifts over log N, and what that makes of code lengths and exponents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.critical import columns
from analysis.critical.exponent_drift import bend, mean_drift, steps_between, with_drift
from analysis.critical.group_fit import fit_group
from analysis.critical.smooth_law import SmoothLaw, smooth_law
from tests.analysis.critical.test_smooth_law import PRICE, SHAPES, cells

FINE = np.linspace(np.log(200), np.log(5e6), 40_001)


def law(exponent: float = 0.3) -> SmoothLaw:
    bits = 1e6 * (1.2 + 20 * SHAPES**-exponent)
    return smooth_law(SHAPES, bits, np.full(SHAPES.size, PRICE))


def integral(values: np.ndarray, middle: float) -> np.ndarray:
    whole = np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2 * np.diff(FINE))])
    return np.asarray(whole - np.interp(middle, FINE, whole))


@settings(max_examples=20, deadline=None)
@given(at=st.floats(0.2, 0.8), exponent=st.floats(0.2, 0.6))
def test_a_step_of_the_walk_bends_the_code_as_an_exponent_that_steps_does(at: float, exponent: float) -> None:
    """The slope of the code is s·e^(−∫ a) for any exponent a(x): here one that steps by a little."""
    own = law(exponent)
    steps = steps_between(float(SHAPES[0]), float(SHAPES[-1]))
    k, little = int(at * steps.size), 1e-3
    own = with_drift(own, steps)
    walked = np.clip((FINE - steps[k]) / (steps[1] - steps[0]), 0.0, 1.0)  # linear between the places
    walked = walked - np.interp(own.middle, FINE, walked)
    slopes = [
        -own.slope * np.exp(-integral(np.full(FINE.size, own.exponent) + less * walked, own.middle))
        for less in (0.0, little)
    ]
    straight, bent = (integral(slope, own.middle) for slope in slopes)
    expected = np.interp(own.places, FINE, bent - straight)
    found = own.drift_bits * little / np.sqrt(steps[1] - steps[0])
    assert found[:, k] == pytest.approx(expected, abs=0.02 * np.abs(found).max())


def test_a_drift_counts_from_the_middle_of_the_shapes() -> None:
    """There neither the code length nor its slope changes; and the mean of the exponent's drift there is none."""
    steps = steps_between(float(SHAPES[0]), float(SHAPES[-1]))
    own = with_drift(law(), steps)
    near = np.abs(own.places - own.middle) < 0.05
    assert np.abs(own.drift_bits[near]).max() < 1e-3 * np.abs(own.drift_bits).max()
    assert mean_drift(own, steps, own.middle, own.middle) == pytest.approx(0, abs=1e-12)
    assert bend(own, 0.2) == pytest.approx(2 * bend(own, 0.1))
    assert bend(own, 0.0) == 0


def test_the_exponent_is_that_of_the_critical_sizes() -> None:
    """Of a law with an exponent of 0.4 it is that, with seeds that scatter by 0.1 %."""
    found = [fit_group(columns(cells(seeds=2, trial=trial), 10)).alpha for trial in range(6)]
    assert np.median(found) == pytest.approx(0.4, abs=0.02)
