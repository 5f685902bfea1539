"""Ladders on the lower envelope: as many shapes as asked for, between the ends, evenly spread."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdl.errors import MdlError
from mdl.models import ENVELOPE, Shape, count_params, ladder_of, parse_size


def n_params(size: str) -> int:
    return count_params(Shape(*parse_size(size), context_tokens=2, block=2))["total"]


def test_the_envelope_ascends() -> None:
    counts = [n_params(size) for size in ENVELOPE]
    assert counts == sorted(set(counts))


@given(st.integers(0, len(ENVELOPE) - 2), st.integers(2, len(ENVELOPE)), st.integers(2, len(ENVELOPE)))
def test_a_ladder_has_what_was_asked_for(first: int, n_inside: int, n: int) -> None:
    """So many different shapes, ascending, the smallest and the largest that lie between the ends among them."""
    inside = ENVELOPE[first : first + n_inside]
    asked = f"ladder({n_params(inside[0])}, {n_params(inside[-1])}, {n})"
    if n > len(inside):
        with pytest.raises(MdlError, match=f"there are {len(inside)} shapes"):
            ladder_of(asked)
        return
    found = ladder_of(asked)
    assert found is not None
    assert len(set(found)) == n
    assert (found[0], found[-1]) == (inside[0], inside[-1])
    assert list(found) == [size for size in inside if size in found]


def test_steps_of_a_ladder_are_alike() -> None:
    """From 2 K to 1 M in eight shapes: each step within a third, in log, of the mean one."""
    found = ladder_of("ladder(2K, 1M, 8)")
    assert found is not None
    steps = [math.log(n_params(b) / n_params(a)) for a, b in itertools.pairwise(found)]
    mean = sum(steps) / len(steps)
    assert all(abs(step - mean) < mean / 3 for step in steps), steps


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ladder(2K, 1M)", "is not a ladder; write ladder(FEWEST, MOST, SHAPES), such as ladder(2K, 1M, 8)"),
        ("ladder(two, 1M, 8)", "'two' is not a number of parameters; write 2000, 2K or 1.5M"),
        ("ladder(1M, 2K, 8)", "1M is not below 2K"),
        ("ladder(1K, 2K, 100)", "there are 2 shapes (4x1, 6x1); ask for no more"),
        ("ladder(2K, 1M, 1)", "SHAPES is '1'; give a whole number from 2 on"),
        ("ladder(2K, 1M, 2.5)", "SHAPES is '2.5'; give a whole number from 2 on"),
        ("ladder(2K, 1M, -3)", "SHAPES is '-3'; give a whole number from 2 on"),
        ("ladder(0, 1M, 3)", "'0' is not a number of parameters"),
    ],
)
def test_a_ladder_that_cannot_be_had_is_one_line(text: str, said: str) -> None:
    with pytest.raises(MdlError) as caught:
        ladder_of(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_sizes_are_no_ladder() -> None:
    assert ladder_of("16x2") is None
    assert ladder_of("paper-200k") is None
