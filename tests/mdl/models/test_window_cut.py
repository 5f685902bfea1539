"""The second code length, of overlapping windows, against windows that are sliced by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mdl.models import Shape, StackedTransformer, code_length, code_lengths
from mdl.models.window_cut import WindowCut
from mdl.records import ladder
from tests.arrays import ArrayView
from tests.conftest import markov_text

T = 32
VIEW = ArrayView(markov_text(2_500))
MODELS = {
    block: StackedTransformer(Shape(16, 2, 1, context_tokens=T, block=block), [0, 1, 2]).requires_grad_(False)
    for block in (1, 2)
}


def plain_bits(model: StackedTransformer, member: int, end: int, stride: int) -> np.ndarray:
    """−log2 p of every byte, each window sliced and coded by itself, its new bytes kept."""
    bits: list[float] = []
    start = 0
    while len(bits) < end:
        window = torch.from_numpy(VIEW.read(start, min(start + T, end)))
        p = torch.log_softmax(model(window.expand(3, 1, -1))[member, 0].double(), dim=-1)
        of_window = [-float(p[t, b]) / np.log(2) for t, b in enumerate(window.tolist())]
        bits += of_window[len(bits) - start :]
        start += stride
    return np.array(bits)


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("stride", [1, 7, 16, 31, 32])
def test_every_byte_is_coded_once_in_the_window_that_counts_it(block: int, stride: int) -> None:
    """Segment by segment; members with unequal ends do not disturb each other, nor one that ends in a first window."""
    model, ends, subsets = MODELS[block], [2_500, 1_203, 20], [1_700, 500, 20]
    if stride == 1:  # a window a byte
        ends, subsets = [800, 403, 20], [500, 200, 20]
    measured = code_lengths(model, VIEW, "train", ends, subset_ends=subsets, stride=stride)
    for m, (end, D) in enumerate(zip(ends, subsets, strict=True)):
        bits = plain_bits(model, m, end, stride)
        assert [s.end_bytes for s in measured[m].segments] == sorted({*ladder(end), D, end})
        for segment in measured[m].segments:
            assert segment.code_bits == pytest.approx(bits[segment.start_bytes : segment.end_bytes].sum(), rel=1e-6)
        assert measured[m].bits_by_position.sum() == pytest.approx(bits.sum(), rel=1e-6)
        assert measured[m].bytes_by_position.sum() == end


def test_a_stride_of_the_context_is_the_first_code_length() -> None:
    plain, strided = (code_lengths(MODELS[1], VIEW, "heldout", [2_500] * 3, stride=s) for s in (None, T))
    assert [lengths.segments for lengths in plain] == [lengths.segments for lengths in strided]


@pytest.mark.parametrize("n_windows", [1, 2, 5, 1000])
def test_how_many_windows_a_call_has_changes_nothing(n_windows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = code_lengths(MODELS[2], VIEW, "heldout", [2_500, 900, 333], stride=5)
    monkeypatch.setattr(code_length, "windows_a_call", lambda model: n_windows)
    found = code_lengths(MODELS[2], VIEW, "heldout", [2_500, 900, 333], stride=5)
    for one, other in zip(expected, found, strict=True):
        for a, b in zip(one.segments, other.segments, strict=True):
            assert a.code_bits == pytest.approx(b.code_bits, rel=1e-7)


def test_a_long_part_is_read_a_few_windows_at_a_time() -> None:
    """However long it is: no more than a call's windows are asked for at once."""
    asked: list[int] = []

    class Watched(ArrayView):
        def read(self, start: int, end: int) -> np.ndarray:
            asked.append(end - start)
            return super().read(start, end)

    model = StackedTransformer(Shape(8, 1, 1, context_tokens=T), [0])
    most = code_length.windows_a_call(model) * 3 + T
    code_lengths(model, Watched(markov_text(5_000) * 4), "heldout", [20_000], stride=3)
    assert sum(asked) >= 20_000
    assert max(asked) <= most < 20_000


def test_progress_tells_of_the_windows_that_were_computed() -> None:
    told: list[int] = []
    code_lengths(MODELS[1], VIEW, "heldout", [2_500] * 3, stride=8, progress=told.append)
    assert sum(told) == pytest.approx(3 * 2_500 * T / 8, rel=0.02)


@given(st.integers(2, 40), st.data())
def test_a_byte_is_counted_at_the_same_place_wherever_the_data_end(context: int, data: st.DataObject) -> None:
    """`counts` and `edge` against a list of who counts what."""
    stride, n = data.draw(st.integers(1, context)), data.draw(st.integers(1, 200))
    cut = WindowCut(context, stride)
    places = [i if i < context else context - stride + (i - context) % stride for i in range(n)]
    assert cut.counts(n).tolist() == np.bincount(places, minlength=context).tolist()
    edges = [0, *range(context, n + 1, stride)]
    assert cut.edge(n) == max(edges)
