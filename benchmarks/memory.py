"""Resident memory of training on a corpus far larger than it should take: python -m benchmarks.memory [--gigabytes 10]

The corpus is a sparse file of zeros: its pages are read and mapped like any other's. The whole of it is gone over.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import machine
from mdl.config import Recipe
from mdl.data import CorpusSpec, WindowOrder, open_corpus
from mdl.device import resolve_machine
from mdl.models import Shape, parse_size
from mdl.training.cohort_module import CohortModule
from mdl.training.loop import fit
from mdl.training.members import Member

_STEPS = 50


def megabytes() -> dict[str, float]:
    """Resident now, and at its most, in MB (10⁶ bytes)."""
    now = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return {"now": now / 1e6, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}


def told(what: str, started: float) -> None:
    """A line."""
    used = megabytes()
    print(f"{what}: {used['now']:,.0f} MB resident, {used['peak']:,.0f} at the most, {time.time() - started:.0f} s")


def main() -> None:
    """Opening, training, and an epoch's worth of batches and of measuring's reads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--size", default="16x2")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    started, context_bytes, batch_windows = time.time(), 1024, 8
    print(f"{machine.name()}; {machine.versions()}")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "corpus"
        with path.open("wb") as stream:
            stream.truncate(int(chosen.gigabytes * 1e9))
        told("imported", started)
        corpus = open_corpus(
            CorpusSpec(f"file:{path}", shuffle_seed=0, block_bytes=4096, heldout_bytes=None, leak_fraction=0.0),
            Path(name) / "cache",
        )
        told("opened and hashed", started)
        shape, n_bytes = Shape(*parse_size(chosen.size), context_tokens=context_bytes), len(corpus.train)
        recipe = Recipe(
            steps=_STEPS, batch_windows=batch_windows, learning_rate=1e-3, warmup_steps=10, evaluate_every=_STEPS
        )
        module = CohortModule(
            shape, [Member(seed=0, subset_length=n_bytes)], recipe, corpus.heldout.read(0, 8192).reshape(8, 1024)
        )
        fit(module, corpus.train, resolve_machine("auto", "auto"), Path(name) / "c")
        told(f"trained {_STEPS} steps", started)
        order = WindowOrder(0, n_bytes, context_bytes, 4096)
        for step in range(order.n_windows // 4096):
            corpus.train.gather(order.starts(step), context_bytes)
        told("an epoch of windows read", started)
        for start in range(0, n_bytes, 1 << 22):
            corpus.train.read(start, min(start + (1 << 22), n_bytes))
        told("all read in order, as measuring does", started)
        assert np.uint8(corpus.train.read(0, 1)[0]) == 0


if __name__ == "__main__":
    main()
