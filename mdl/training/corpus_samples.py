"""How much of a corpus a cohort looks at while it trains, and how far its code is measured after."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mdl.config import Cohort
from mdl.data import Corpus
from mdl.models import Sample, trial_windows
from mdl.records import reach


def sample_starts(n: int, T: int, n_wanted: int) -> tuple[npt.NDArray[np.int64], int]:
    """Where windows spread evenly over `n` begin, and their length; where n is less than a window, the whole of it."""
    length = min(T, n)
    n_windows = min(max(1, n_wanted), n // length)
    return np.linspace(0, n - length, n_windows).astype(np.int64), length


def sample_to_train(cohort: Cohort, corpus: Corpus, m: int) -> Sample:
    """Of a cell's subset, on which a user's own model is tried before it trains."""
    return _sample(cohort, corpus, m, cohort.recipe.steps * cohort.recipe.batch_windows)


def sample_to_measure(cohort: Cohort, corpus: Corpus, m: int) -> Sample:
    """The same before it is measured."""
    return _sample(cohort, corpus, m, end_bytes(cohort, corpus, m) // cohort.shape.context_tokens)


def _sample(cohort: Cohort, corpus: Corpus, m: int, n_windows: int) -> Sample:
    n_bytes = cohort.cells[m].resolved.subset_bytes
    return trial_windows(corpus.train, n_bytes, cohort.shape.context_tokens, n_windows)


def end_bytes(cohort: Cohort, corpus: Corpus, m: int) -> int:
    """How far a cell's code of the training part is measured."""
    config = cohort.cells[m].resolved
    return reach(config.subset_bytes, len(corpus.train), config.measure.reach_ratio)
