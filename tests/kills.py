"""A sweep that is killed again and again, and what must be true of its folder afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.command import leftovers, mdl, records, write_sweep
from tests.warm_python import COLD

COMMAND = [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--no-baselines", "--runs"]


def whole(folder: Path, text: Path, steps: int | Sequence[int]) -> float:
    """An unbroken run into `whole`; its seconds."""
    write_sweep(folder, text, steps=steps)
    started = time.monotonic()
    done = mdl("sweep", "small.yaml", "--runs", "whole", "--no-baselines", cwd=folder)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - started


def kill_at_random(folder: Path, n_kills: int, within_seconds: float, seed: int) -> None:
    """Start the sweep into `broken` and kill -9 it, or one of its workers, `n_kills` times.

    Once it has come to its end it begins anew, so that every kill has something to hit.
    """
    dice, killed, done = random.Random(seed), 0, 0  # noqa: S311 - moments, not secrets
    while killed < n_kills:
        process = subprocess.Popen([*COMMAND, f"broken{done}"], cwd=folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env={**os.environ, COLD: "1"})  # fmt: skip
        try:
            process.wait(timeout=dice.uniform(0, within_seconds))
        except subprocess.TimeoutExpired:
            workers = _children(process.pid)
            os.kill(dice.choice([process.pid, *workers]), signal.SIGKILL)
            killed += 1
            if process.poll() is None and dice.random() < 0.5:
                time.sleep(dice.random())
            process.kill()
            process.wait()
        else:
            _check(folder, f"broken{done}")
            done += 1
    last = mdl("sweep", "small.yaml", "--runs", f"broken{done}", "--no-baselines", cwd=folder)
    assert last.returncode == 0, last.stdout + last.stderr
    _check(folder, f"broken{done}")


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in text.read_text().split()] if text.exists() else []


def _check(folder: Path, out: str) -> None:
    """The records of an unbroken run, and nothing else."""
    assert records(folder / out / "small") == records(folder / "whole/small")
    assert leftovers(folder / out) == []
    assert not (folder / out / "small/claims").exists()
    assert not (folder / out / "small/cohorts").exists()
