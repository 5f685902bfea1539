"""A cohort whose batches two processes share: the cohort of one, within rounding; and who ends with whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdl.config import from_flat
from mdl.models import training_bytes
from mdl.sweeps.grid import cohorts_of, grid_cells
from mdl.training import data_parallel
from mdl.training.data_parallel import Ranks, usable
from tests import ROOT
from tests.command import leftovers, mdl, records, write_sweep
from tests.warm_python import COLD


def small(folder: Path, text: Path, more: str = "", steps: int | Sequence[int] = 60) -> None:
    """Two members, 4 windows a batch."""
    write_sweep(folder, text, steps=steps, more=more + "  evaluate_every: {value: 20}\n")
    yaml = (folder / "small.yaml").read_text().replace("[4x1, 8x1, 16x1]", "[16x1]")
    (folder / "small.yaml").write_text(yaml)


@pytest.mark.parametrize(
    ("objective", "recipe", "steps"),
    [
        pytest.param("subset", 1, 60, id="recipe 1", marks=pytest.mark.long),
        pytest.param("subset", 2, 60, id="recipe 2", marks=pytest.mark.slow),
        pytest.param("prequential", 1, 400, id="online", marks=pytest.mark.long),
        pytest.param("subset", 1, (30, 60), id="a trunk", marks=pytest.mark.slow),
    ],
)
def test_two_processes_train_a_cohort_as_one_does(
    objective: str, recipe: int, steps: int | tuple[int, ...], tmp_path: Path, text_file: Path
) -> None:
    """The same curve and code lengths within 1e-3 bits a byte, records once, under the same names."""
    more = f"  objective: {{value: {objective}}}\n  recipe: {{value: {recipe}}}\n  logger: {{value: csv}}\n"
    small(tmp_path, text_file, more, steps)
    one = mdl("sweep", "small.yaml", "--no-baselines", "--runs", "one", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    small(tmp_path, text_file, more + "  devices: {value: 2}\n", steps)
    two = mdl("sweep", "small.yaml", "--no-baselines", "--runs", "two", cwd=tmp_path)
    assert two.returncode == 0, two.stdout + two.stderr + (tmp_path / "two/small/log.txt").read_text()
    mine, theirs = records(tmp_path / "one/small"), records(tmp_path / "two/small")
    assert list(mine) == list(theirs)
    assert len(mine) == (2 if isinstance(steps, int) else 4)
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
            if b"mdl.training.companion" in path.read_bytes() and _parent(_parent(int(path.parent.name))) == pid:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def until(true: Callable[[], bool], what: str, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def newest_state(folder: Path) -> int:
    return max((p.stat().st_mtime_ns for p in folder.glob("runs/small/cohorts/*.ckpt")), default=0)


def started(folder: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    """A driver on two processes, as a user starts it."""
    command = [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--no-baselines", *more]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, COLD: "1", **environment},
    )


def stop(folder: Path, victim: str, sent: int) -> str:
    """Signal a driver, its worker (rank 0) or the process that trains along, once a state is saved; what it said."""
    process = started(folder)
    before = newest_state(folder)
    until(lambda: newest_state(folder) > before or process.poll() is not None, "checkpoint")
    (other,) = companions_of(process.pid)
    worker = _parent(other)
    os.kill({"driver": process.pid, "worker": worker, "companion": other}[victim], sent)
    began = time.monotonic()
    said = process.communicate(timeout=120)[0]
    assert time.monotonic() - began < 30, said
    assert process.returncode == (128 + sent if victim == "driver" else 2), said
    for pid in (other, worker):
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), f"end of {pid}")  # type: ignore[misc]
    assert newest_state(folder), "a checkpoint to go on from"
    return said


@pytest.mark.slow
def test_a_stop_is_saved_and_a_loss_is_told(tmp_path: Path, text_file: Path) -> None:
    """SIGTERM to the driver, and then kill -9 of the process that trains along."""
    small(tmp_path, text_file, "  devices: {value: 2}\n", steps=400)
    assert "stopped; " in stop(tmp_path, "driver", signal.SIGTERM)
    (line,) = failures(stop(tmp_path, "companion", signal.SIGKILL))
    assert line.endswith("rank 1 of 2 was ended by signal 9; the last checkpoint is kept, "
                         "the same command goes on from it\n")  # fmt: skip


@pytest.mark.long
def test_after_every_stop_and_loss_the_end_is_that_of_an_unbroken_run(tmp_path: Path, text_file: Path) -> None:
    """SIGTERM to the driver; kill -9 and SIGSTOP of the process that trains along, and of rank 0; then to the end."""
    small(tmp_path, text_file, "  devices: {value: 2}\n", steps=400)
    assert "stopped; " in stop(tmp_path, "driver", signal.SIGTERM)
    kept = "; the last checkpoint is kept, the same command goes on from it\n"
    (line,) = failures(stop(tmp_path, "companion", signal.SIGKILL))
    assert line.endswith("rank 1 of 2 was ended by signal 9" + kept)
    (line,) = failures(stop(tmp_path, "companion", signal.SIGSTOP))
    assert line.endswith("rank 1 of 2 gave no sign of life for 20 s" + kept)
    (line,) = failures(stop(tmp_path, "worker", signal.SIGSTOP))
    assert "its process was ended by signal 9" in line
    assert "rank 0, process " in (tmp_path / "runs/small/log.txt").read_text()
    last = mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path)
    assert last.returncode == 0, last.stdout
    whole = mdl("sweep", "small.yaml", "--no-baselines", "--runs", "whole", cwd=tmp_path)
    assert whole.returncode == 0
    assert records(tmp_path / "runs/small") == records(tmp_path / "whole/small")
    assert leftovers(tmp_path) == []


def failures(said: str) -> list[str]:
    """The lines that tell of a job's end."""
    return [line for line in said.splitlines(keepends=True) if line.startswith("failed: ")]


# Python runs it in every process of the sweep: what NCCL does on two GPUs, and a companion that misbehaves at the end.
_NCCL_LIKE = """
import sys
if "mdl" in " ".join(sys.orig_argv):
    from torch import distributed
    destroy, aborted = distributed.destroy_process_group, []
    distributed.ProcessGroup.abort = lambda group: aborted.append(group)
    distributed.destroy_process_group = lambda: (aborted or distributed.barrier(), destroy())
"""
_AT_THE_END = """
import sys
from tests import ROOT
if "mdl.training.companion" in sys.orig_argv:
    import os, signal
    from mdl.training.cohort_module import CohortModule
    from mdl.training.data_parallel import Ranks
    as_first, met = Ranks.as_first, []
    def last(self, *flags, device):
        said = as_first(self, *flags, device=device)
        met.append(1)
        if len(met) == 60:
            {deed}
        return said
    Ranks.as_first = last
"""


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(_NCCL_LIKE, id="leaving a group waits for all ranks", marks=pytest.mark.slow),
        *(
            pytest.param(_AT_THE_END.format(deed=deed), id=f"{name} after the last step", marks=pytest.mark.long)
            for name, deed in {
                "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
                "fails": "raise RuntimeError('late')",
                "gone": "os._exit(3)",
            }.items()
        ),
    ],
)
def test_a_finished_training_is_recorded_however_its_companion_leaves(
    behaviour: str, tmp_path: Path, text_file: Path
) -> None:
    small(tmp_path, text_file, "  devices: {value: 2}\n", steps=60)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(behaviour)
    path = f"{tmp_path / 'site'}{os.pathsep}{ROOT}"
    process = started(tmp_path, PYTHONPATH=path)
    said = process.communicate(timeout=200)[0]
    assert process.returncode == 0, said
    assert [record["status"] for record in records(tmp_path / "runs/small").values()] == ["ok", "ok"]
    assert leftovers(tmp_path) == []


@pytest.mark.slow
def test_the_error_of_a_process_that_trains_along_is_told(tmp_path: Path, text_file: Path) -> None:
    """Not its number alone; and what it makes rank 0 meet, a broken connection, is not taken for the cause."""
    small(tmp_path, text_file, "  devices: {value: 2}\n", steps=60)
    (tmp_path / "site").mkdir()
    middle = _AT_THE_END.format(deed="raise ValueError('no such share')").replace("== 60", "== 20")
    (tmp_path / "site/sitecustomize.py").write_text(middle)
    path = f"{tmp_path / 'site'}{os.pathsep}{ROOT}"
    process = started(tmp_path, PYTHONPATH=path)
    (line,) = failures(process.communicate(timeout=200)[0])
    assert "rank 1 of 2 ended with status 1 (ValueError: no such share); the last checkpoint is kept" in line


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
