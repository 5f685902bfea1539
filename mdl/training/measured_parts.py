"""How much of a corpus a cohort looks at while it trains, and how far its code is measured after."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mdl.config import Cohort
from mdl.data import Corpus
from mdl.records import reach


def sample_starts(n: int, T: int, n_wanted: int) -> tuple[npt.NDArray[np.int64], int]:
    """Where windows spread evenly over `n` begin, and their length; where n is less than a window, the whole of it."""
    length = min(T, n)
    n_windows = min(max(1, n_wanted), n // length)
    return np.linspace(0, n - length, n_windows).astype(np.int64), length


def first_windows(cohort: Cohort, corpus: Corpus, m: int) -> npt.NDArray[np.uint8]:
    """The first two windows of a cell's subset, if it has so many, on which a user's own model is tried."""
    return corpus.train.read(0, min(cohort.cells[m].resolved.subset_bytes, 2 * cohort.shape.context_tokens))


def end_bytes(cohort: Cohort, corpus: Corpus, m: int) -> int:
    """How far a cell's code of the training part is measured."""
    config = cohort.cells[m].resolved
    return reach(config.subset_bytes, len(corpus.train), config.measure.reach_ratio)
