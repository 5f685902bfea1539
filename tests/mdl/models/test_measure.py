from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mdl.entropy import range_coder
from mdl.models import Shape, StackedTransformer, code_lengths, position_bins, stream_sample
from mdl.models.code_length import window_logits
from mdl.records import ladder, reach
from tests.arrays import ArrayView
from tests.conftest import markov_text

T = 32
VIEW = ArrayView(markov_text(12_345))
MODEL = StackedTransformer(Shape(16, 1, 1, context_tokens=T), [0, 1, 2])


def plain_bits(member: int, end: int) -> np.ndarray:
    """−log2 p of every byte, window by window, written the obvious way."""
    bits = []
    for start in range(0, end, T):
        window = torch.from_numpy(VIEW.read(start, min(start + T, end)))[None, None]
        with torch.no_grad():
            logits = MODEL(window.expand(3, 1, -1))[member, 0].double()
        p = torch.log_softmax(logits, dim=-1)
        bits += [-float(p[t, b]) / np.log(2) for t, b in enumerate(window[0, 0].long().tolist())]
    return np.array(bits)


def test_segments_are_the_sums_of_plain_code_lengths() -> None:
    """Every byte is coded, the last partial window included; members with unequal ends do not disturb each other."""
    ends, subsets = [12_345, 3_000, 1_000], [5_000, 2_500, 1_000]
    measured = code_lengths(MODEL, VIEW, "train", ends, subset_ends=subsets)
    for m, (end, D) in enumerate(zip(ends, subsets, strict=True)):
        bits = plain_bits(m, end)
        bounds = [0, *sorted({*ladder(end), D, end})]
        assert [s.end_bytes for s in measured[m].segments] == bounds[1:]
        assert [s.start_bytes for s in measured[m].segments] == bounds[:-1]
        for segment in measured[m].segments:
            assert segment.code_bits == pytest.approx(bits[segment.start_bytes : segment.end_bytes].sum(), rel=1e-5)


@pytest.mark.parametrize("stride", [None, 8])
def test_devices_share_the_windows_and_find_the_same_lengths(stride: int | None) -> None:
    """Two copies of the model take windows in turn; members end apart, one of them within a window."""
    ends = [12_345, 6_400, 1_000]
    alone, shared = (code_lengths(MODEL, VIEW, "train", ends, stride=stride, n_devices=n) for n in (1, 2))
    for one, two in zip(alone, shared, strict=True):
        assert [s.end_bytes for s in one.segments] == [s.end_bytes for s in two.segments]
        assert [s.code_bits for s in one.segments] == pytest.approx([s.code_bits for s in two.segments], rel=1e-12)
        assert one.bits_by_position == pytest.approx(two.bits_by_position, rel=1e-12)


def test_positions_count_every_byte_once() -> None:
    lengths = code_lengths(MODEL, VIEW, "heldout", [5_001] * 3)[1]
    bins = position_bins(lengths)
    bits = plain_bits(1, 5_001)
    assert sum(b.n_bytes for b in bins) == 5_001
    assert [(b.start, b.end) for b in bins] == [(0, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 32)]
    assert bins[2].code_bits == pytest.approx(sum(bits[2::T].tolist()) + sum(bits[3::T].tolist()), rel=1e-5)


def test_the_ladder_does_not_depend_on_the_sweep() -> None:
    assert ladder(100_001) == [1_000, 3_000, 10_000, 30_000, 100_000]


@given(st.integers(1, 10**8), st.integers(1, 10**9), st.floats(1, 100))
def test_reach_is_at_least_the_subset_and_within_the_part(D: int, extra: int, ratio: float) -> None:
    end = reach(D, D + extra, ratio)
    assert D <= end <= D + extra
    assert end == D + extra or ratio <= 1 or end >= ratio * D


def test_reach_goes_to_the_end_of_the_decade_after_the_subset() -> None:
    assert reach(100_000, 10**9, 10) == 1_000_000
    assert reach(65_536, 10**9, 10) == 1_000_000
    assert reach(100_000, 700_000, 10) == 700_000
    assert reach(100_000, 700_000, 1) == 100_000


def test_a_real_stream_is_as_long_as_the_ideal_one_says_and_decodes() -> None:
    """At most 0.05 % + 64 bits apart; the bytes come back from the stream and the logits."""
    model = StackedTransformer(Shape(16, 1, 1, context_tokens=T), [4])
    sample = stream_sample(model, VIEW, 9_999)
    assert abs(8 * sample.stream_bytes - sample.ideal_bits) <= 0.0005 * sample.ideal_bits + 64
    counts = range_coder.counts(range_coder.to_grid(window_logits(model, VIEW.read(0, 9_999))))
    encoder = range_coder.StreamEncoder()
    encoder.write(counts, VIEW.read(0, 9_999))
    stream = encoder.finish()
    assert len(stream) == sample.stream_bytes
    assert np.array_equal(range_coder.StreamDecoder(stream).read(counts), VIEW.read(0, 9_999))
