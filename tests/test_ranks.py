"""A cohort whose batches two processes share: the cohort of one, within rounding; and who ends with whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdl.config import from_flat
from mdl.models import training_bytes
from mdl.sweeps.grid import cohorts_of, grid_cells
from mdl.training import data_parallel
from mdl.training.data_parallel import Ranks, usable
from tests.test_cli import leftovers, mdl, records, write_sweep


def small(folder: Path, text: Path, more: str = "", steps: int = 60) -> None:
    """Two members, 4 windows a batch."""
    write_sweep(folder, text, steps=steps, more=more + "  evaluate_every: {value: 20}\n")
    yaml = (folder / "small.yaml").read_text().replace("[4x1, 8x1, 16x1]", "[16x1]")
    (folder / "small.yaml").write_text(yaml)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["subset", "prequential"])
def test_two_processes_train_a_cohort_as_one_does(objective: str, tmp_path: Path, text_file: Path) -> None:
    """The same curve and code lengths within 1e-3 bits a byte, records once, under the same names."""
    more, steps = (
        f"  objective: {{value: {objective}}}\n  logger: {{value: csv}}\n",
        60 if objective == "subset" else 400,
    )
    small(tmp_path, text_file, more, steps)
    one = mdl("sweep", "small.yaml", "--no-baselines", "--runs", "one", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    small(tmp_path, text_file, more + "  devices: {value: 2}\n", steps)
    two = mdl("sweep", "small.yaml", "--no-baselines", "--runs", "two", cwd=tmp_path)
    assert two.returncode == 0, two.stdout + two.stderr + (tmp_path / "two/small/log.txt").read_text()
    mine, theirs = records(tmp_path / "one/small"), records(tmp_path / "two/small")
    assert list(mine) == list(theirs)
    assert len(mine) == 2
    for run_id, record in mine.items():
        other = theirs[run_id]
        assert other["config"]["train.devices"] == 2
        for a, b in zip(record["training"]["curve"], other["training"]["curve"], strict=True):
            assert a["step"] == b["step"]
            assert abs(a["code_bits"] - b["code_bits"]) <= 1e-3 * a["n_bytes"]
        for a, b in zip(record["snapshots"][0]["segments"], other["snapshots"][0]["segments"], strict=True):
            assert abs(a["code_bits"] - b["code_bits"]) <= 1e-3 * (a["end_bytes"] - a["start_bytes"])
        for a, b in zip(record["prequential"], other["prequential"], strict=True):
            assert abs(a["code_bits"] - b["code_bits"]) <= 1e-3 * a["end_bytes"]
    assert leftovers(tmp_path) == []


def companions_of(pid: int) -> list[int]:
    """The processes that train along with any worker of this driver."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"mdl.training.companion" in path.read_bytes() and _grandparent(int(path.parent.name)) == pid:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def _grandparent(pid: int) -> int:
    for _ in range(2):
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def until(true: Callable[[], bool], what: str, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def newest_state(folder: Path) -> int:
    return max((p.stat().st_mtime_ns for p in folder.glob("runs/small/cohorts/*.ckpt")), default=0)


def stop(process: subprocess.Popen[str], victim: str, folder: Path) -> None:
    """Once it has saved a state: SIGTERM to the driver, or SIGKILL to the process that trains along."""
    before = newest_state(folder)
    until(lambda: newest_state(folder) > before or process.poll() is not None, "checkpoint")
    (other,) = companions_of(process.pid)
    of_driver = victim == "driver"
    os.kill(process.pid if of_driver else other, signal.SIGTERM if of_driver else signal.SIGKILL)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == (130 if of_driver else 2), said
    assert of_driver == ("stopped; " in said), said
    until(lambda: not Path(f"/proc/{other}").exists(), "end of the process that trained along")


@pytest.mark.slow
def test_a_stop_is_saved_and_a_death_is_noticed_and_the_end_is_that_of_an_unbroken_run(
    tmp_path: Path, text_file: Path
) -> None:
    """SIGTERM to the driver; then kill -9 of the process that trains along; then to the end."""
    small(tmp_path, text_file, "  devices: {value: 2}\n", steps=400)
    command = [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--no-baselines"]
    for victim in ("driver", "companion"):
        stop(
            subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True),
            victim,
            tmp_path,
        )
    last = mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path)
    assert last.returncode == 0, last.stdout
    whole = mdl("sweep", "small.yaml", "--no-baselines", "--runs", "whole", cwd=tmp_path)
    assert whole.returncode == 0
    assert records(tmp_path / "runs/small") == records(tmp_path / "whole/small")
    assert leftovers(tmp_path) == []


def test_the_ranks_share_a_batch_and_every_window_is_read_once() -> None:
    batch = np.arange(24).reshape(3, 8)
    for n in (1, 2, 4):
        parts = [Ranks(rank, n).share(batch) for rank in range(n)]
        assert sorted(np.concatenate(parts, axis=1).ravel()) == list(range(24))
        assert {part.shape for part in parts} == {(3, 8 // n)}


def test_no_more_devices_than_there_are_and_no_share_larger_than_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_parallel.torch.cuda, "device_count", lambda: 3)

    def run_on(n_devices: int, batch_windows: int, accelerator: str, *, asked: bool) -> int:
        config = from_flat({"size": "4x1", "batch_windows": batch_windows})
        execution = replace(config.resolved.execution, n_devices=n_devices, devices_were_asked=asked)
        return usable(execution, batch_windows, accelerator)

    assert run_on(4, 8, "cuda", asked=True) == 2
    assert run_on(3, 6, "cuda", asked=False) == 3
    assert run_on(2, 5, "cuda", asked=True) == 1
    assert run_on(2, 4, "cpu", asked=True) == 2
    assert run_on(8, 8, "cpu", asked=False) == 1, "an estimate of GPU memory"


def test_a_member_too_large_for_one_gpu_asks_for_as_many_as_it_needs() -> None:
    settings = {"size": "64x2", "context_bytes": 256, "batch_windows": 16, "subset_bytes": "1MB"}
    shape = from_flat(settings).resolved.shape
    assert from_flat(settings).resolved.execution.n_devices == 1
    tight = {**settings, "memory_bytes": training_bytes(shape, 4)}
    assert from_flat(tight).resolved.execution.n_devices == 4
    assert from_flat({**tight, "devices": 2}).resolved.execution.n_devices == 2
    assert from_flat({**tight, "memory_bytes": 1000}).resolved.execution.n_devices == 1, "no number of GPUs would do"
    plain, wide = from_flat(settings), from_flat({**settings, "devices": 2})
    assert plain.run_id == wide.run_id
    both = grid_cells(
        {
            **{k: (v,) for k, v in settings.items()},
            "seed": (0, 1),
            "memory_bytes": (training_bytes(shape, 8) * 2,),
            "devices": (2,),
        }
    )
    assert len(cohorts_of(both)) == 1, "each of two devices holds half of the windows of two members"
