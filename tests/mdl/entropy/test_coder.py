from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mdl.entropy import range_coder
from mdl.errors import MdlError

logits = hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(256)), elements=st.floats(-60, 60))


@given(logits)
@settings(deadline=None)
def test_counts_are_natural_numbers_that_sum_to_the_total(rows: np.ndarray) -> None:
    counts = range_coder.counts(range_coder.to_grid(rows))
    assert counts.min() >= 0
    assert np.all(counts.sum(axis=-1) == range_coder.TOTAL)


@given(logits, st.integers(0, 2**32))
@settings(deadline=None)
def test_what_is_written_is_read_back(rows: np.ndarray, seed: int) -> None:
    counts = range_coder.counts(range_coder.to_grid(rows))
    symbols = np.random.default_rng(seed).integers(0, 256, len(rows)).astype(np.uint8)
    encoder = range_coder.StreamEncoder()
    encoder.write(counts[:3], symbols[:3])
    encoder.write(counts[3:], symbols[3:])
    stream = encoder.finish()
    decoder = range_coder.StreamDecoder(stream)
    assert np.array_equal(np.concatenate([decoder.read(counts[:1]), decoder.read(counts[1:])]), symbols)
    assert len(stream) * 8 <= range_coder.code_bits(counts, symbols) + 64


def test_counts_follow_the_softmax() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 256)) * 3
    counts = range_coder.counts(range_coder.to_grid(rows))
    exact = np.exp(rows - rows.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    divergence = (exact * (np.log2(exact) - np.log2((counts + 1) / 2**24))).sum(axis=1)
    assert divergence.mean() < 5e-5  # bits a byte: the cost of the grid and of 24-bit counts


def test_the_exponential_table_is_exact() -> None:
    table = range_coder.exponential_table()
    with localcontext() as context:
        context.prec = 60
        for j in (0, 1, 64, 700, len(table) - 1):
            assert table[j] == int(2**30 * (-Decimal(j) / 64).exp())
    assert table[-1] == 0
    assert np.all(np.diff(table) <= 0)


def test_golden_bytes_pin_the_stream() -> None:
    grid = (np.arange(8 * 256) * 37 % 513).reshape(8, 256) - 256
    symbols = np.array([1, 20, 255, 0, 77, 78, 79, 128], np.uint8)
    encoder = range_coder.StreamEncoder()
    encoder.write(range_coder.counts(grid), symbols)
    assert encoder.finish().hex() == GOLDEN


def test_logits_that_are_not_finite_are_refused() -> None:
    with pytest.raises(MdlError, match="not finite"):
        range_coder.to_grid(np.array([0.0, np.nan]))
    with pytest.raises(MdlError, match="not finite"):
        range_coder.to_grid(np.array([0.0, np.inf]))


def test_a_stream_cut_within_a_word_is_refused() -> None:
    with pytest.raises(MdlError, match="4-byte words"):
        range_coder.StreamDecoder(b"abc")


GOLDEN = "54d4000070fed21a6fd668ef"
