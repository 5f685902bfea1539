"""What a model has to beat: classical coders on the subsets, as the models see them, in the seconds there are."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mdl.data import Corpus
from mdl.evaluation import BaselineJob, baseline_path, run_baseline
from mdl.records import RunPaths

_COST_PER_SECOND = 1e11  # of the registry's cost per byte, on a usual core


def run_coders(corpus: Corpus, subsets: Sequence[int], paths: RunPaths, seconds: float) -> bool:
    """The quickest first, on the first subset before the next; what has a record is not run. Was any?"""
    from mdl.compressors import REGISTRY, coders_for

    ends, is_any = time.monotonic() + seconds, False
    names = sorted(coders_for(corpus.info.modality), key=lambda name: REGISTRY[name].cost_per_byte)
    for subset_bytes in subsets:
        for name in names:
            job = BaselineJob(coder=name, subset_bytes=subset_bytes, order="shuffled", chunk_bytes=None)
            foretold = REGISTRY[name].cost_per_byte * subset_bytes / _COST_PER_SECOND
            # By the clock: an unpacker to be made, or a busy machine, takes longer than was foretold.
            if time.monotonic() + foretold <= ends and not baseline_path(corpus, job, paths).exists():
                run_baseline(corpus, job, paths)
                is_any = True
    return is_any
