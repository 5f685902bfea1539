"""Sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdl.errors import MdlError
from mdl.units import format_bytes, format_seconds, parse_bytes, short_bytes


@pytest.mark.parametrize(
    ("written", "n_bytes"),
    [
        (65536, 65536), (1e6, 10**6), ("1e6", 10**6), ("1e+6", 10**6), ("300KB", 300_000), ("300 kB", 300_000),
        ("64KiB", 65536), ("2MiB", 2 << 20), ("2_000_000", 2_000_000), ("0.57k", 570), ("1.5GB", 1_500_000_000),
        ("7M", 7_000_000), ("12B", 12), (0, 0), ("1e16", 10**16), (1e16, 10**16),
    ],
)  # fmt: skip
def test_forms(written: object, n_bytes: int) -> None:
    assert parse_bytes(written) == n_bytes


@pytest.mark.parametrize(
    "written", ["", "MB", "-1", "1.5", "0.3B", "1XB", "1e", None, True, [1], float("nan"), "1e999"]
)
def test_anything_else_is_refused_in_one_line(written: object) -> None:
    with pytest.raises(MdlError) as caught:
        parse_bytes(written)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 10**15))
def test_a_short_name_is_exact(n_bytes: int) -> None:
    assert parse_bytes(short_bytes(n_bytes)) == n_bytes


@given(st.integers(0, 10**15))
def test_what_is_printed_is_right_to_three_digits(n_bytes: int) -> None:
    assert abs(parse_bytes(format_bytes(n_bytes)) - n_bytes) <= 0.005001 * n_bytes


def test_printed_forms() -> None:
    numbers = [0, 1, 999, 1000, 262144, 999_400, 999_600, 10**6, 1_048_576, 3 * 10**9]
    shown = ["0 B", "1 B", "999 B", "1 KB", "262 KB", "999 KB", "1 MB", "1 MB", "1.05 MB", "3 GB"]
    assert [format_bytes(n) for n in numbers] == shown
    assert [short_bytes(n) for n in (10**6, 300_000, 65536, 0)] == ["1MB", "300KB", "65536B", "0B"]


def test_a_time_is_told_as_people_say_it() -> None:
    assert [format_seconds(s) for s in (0.2, 40, 92, 117, 594, 596, 5000, 20_000, 200_000)] == [
        "1 s", "40 s", "1 min 30 s", "2 min", "9 min 50 s", "10 min", "83 min", "5 h 33 min", "2 days 7 h",
    ]  # fmt: skip
