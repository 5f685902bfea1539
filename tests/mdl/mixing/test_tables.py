"""The mixer's tables, and what it is given of a model's."""

from __future__ import annotations

import math

import numpy as np
import torch

from mdl.entropy import counts
from mdl.mixing import chances_of
from mdl.mixing.tables import LIMIT, first_chances, next_history, reciprocals, squash, stretch


def test_squash_takes_back_what_stretch_did() -> None:
    """To within a step of the log-odds, away from the ends; both rise, and are symmetric about a half."""
    x = stretch()
    assert x.size == 65536
    assert np.all(np.diff(x) >= 0)
    assert np.array_equal(x, -x[::-1])
    assert np.all(np.diff(squash()) >= 0)
    middle = np.arange(500, 65036)
    error = squash()[x[middle] + LIMIT + 1] / 65536 - (middle + 0.5) / 65536
    assert np.abs(error).max() < 0.25 / 256
    odds = [math.log((i + 0.5) / (65535.5 - i)) for i in (1, 100, 40_000, 65_000)]
    assert [int(x[i]) for i in (1, 100, 40_000, 65_000)] == [max(-LIMIT, round(256 * each)) for each in odds]


def test_a_history_counts_to_fifteen_and_forgets_after_a_surprise() -> None:
    after, history = next_history(), 0
    for _ in range(20):
        history = int(after[2 * history + 1])
    assert (history >> 4, history & 15) == (0, 15)
    history = int(after[2 * history])
    assert (history >> 4, history & 15) == (1, 7)
    assert first_chances()[15] > 0.9 * 65536 > 0.5 * 65536 == first_chances()[0]
    assert np.all(np.diff(reciprocals()) < 0)


def test_the_chances_of_the_bits_multiply_to_that_of_the_byte() -> None:
    """As the coder's table has it, to the 16 bits that a chance is given in."""
    generator = np.random.default_rng(0)
    grid = generator.integers(-600, 600, (200, 256))
    symbols = generator.integers(0, 256, 200)
    chances = chances_of(torch.from_numpy(grid), torch.from_numpy(symbols)).numpy()
    bits = np.unpackbits(symbols.astype(np.uint8)[:, None], axis=1)
    ideal = -np.log2(np.where(bits, chances, 65536 - chances) / 65536).sum(1)
    table = 24 - np.log2(np.take_along_axis(counts(grid), symbols[:, None], axis=1)[:, 0] + 1.0)
    likely = table < 12
    assert likely.sum() > 50
    assert np.abs(ideal - table)[likely].max() < 0.3
    assert np.abs(ideal - table)[likely].mean() < 0.02
