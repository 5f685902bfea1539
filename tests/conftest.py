"""What tests share: one thread, a private cache, small data made on the spot."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from mdl.storage import note
from mdl.sweeps.hardware import this_machine
from tests import warm_python

_SCRIPT = pytest.StashKey[str]()

for _library in ("OMP", "MKL", "OPENBLAS"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
if not Path("/dev/nvidiactl").exists():  # without a GPU Triton's kernels are interpreted; it looks when it is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")

# A busy machine is no bug: what is timed lies in benchmarks/.
# `.ci/run --full` tries as many examples as hypothesis does by itself.
settings.register_profile("mdl", deadline=None, max_examples=40)
settings.register_profile("full", deadline=None)
settings.load_profile("mdl")

# A shell's background job ignores Ctrl-C, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Commands that tests start share one interpreter that has imported everything: see `tests/warm_python.py`."""
    workers = getattr(config, "workerinput", None)
    if workers is None:  # where tests run on several processes, the one that hands them out
        folder = tempfile.TemporaryDirectory(prefix="mdl-tests-")
        config.add_cleanup(folder.cleanup)
        script = warm_python.install(Path(folder.name))
        config.stash[_SCRIPT] = script
        if not getattr(config.option, "numprocesses", None):
            sys.executable = script
    else:
        sys.executable = workers["python"]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of tests which interpreter its commands are to have."""
    node.workerinput["python"] = node.config.stash[_SCRIPT]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or leaves anything in the user's cache; its own tells a machine's speed, which a trial would."""
    cache = tmp_path_factory.mktemp("cache")
    note(cache, "speed-trial", this_machine(on_gpu=False), [4e-3, 1.8e-11])  # as `mdl.sweeps.cost_model.USUAL_CORE`
    monkeypatch.setenv("MDL_CACHE", str(cache))


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are made as ever, with figures that show nothing (40 % of the time): for claims of words and numbers."""

    def save(_plot: Any, path: Path, _width_inches: float | None = None) -> None:
        path.write_bytes(b"%PDF-1.4\n")
        path.with_suffix(".svg").write_text("<svg/>")

    monkeypatch.setattr("analysis.report.figures.save_figure", save)


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
