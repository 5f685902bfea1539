"""What tests share: one thread, a private cache, small data made on the spot."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
if not Path("/dev/nvidiactl").exists():  # without a GPU Triton's kernels are interpreted; it looks when it is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")

# A busy machine is no bug: what is timed lies in benchmarks/.
settings.register_profile("mdl", deadline=None)
settings.load_profile("mdl")

# A shell's background job ignores Ctrl-C, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or leaves anything in the user's cache."""
    monkeypatch.setenv("MDL_CACHE", str(tmp_path_factory.mktemp("cache")))


def markov_text(n_bytes: int, seed: int = 0) -> bytes:
    """Text with structure that a small model learns: words of a small vocabulary in a random order."""
    generator = np.random.default_rng(seed)
    words = [bytes(generator.integers(97, 123, size=generator.integers(2, 9)).tolist()) for _ in range(200)]
    weights = 1 / np.arange(1, 201)
    chosen = generator.choice(200, size=n_bytes // 3 + 1, p=weights / weights.sum())
    return b" ".join(words[i] for i in chosen)[:n_bytes]


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """200 KB of such text."""
    path = tmp_path / "text.txt"
    path.write_bytes(markov_text(200_000))
    return path
