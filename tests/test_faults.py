"""What goes wrong on real machines, and what a user then sees and has."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import pickle
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from mdl.records import RunPaths
from mdl.sweeps import plan_sweep, worker
from mdl.training import WandbServer, stop_signal
from mdl.training.cohort_module import CohortModule
from tests.command import assert_one_line, leftovers, mdl, records, write_sweep
from tests.kills import kill_at_random, whole


def started(folder: Path, *more: str) -> subprocess.Popen[str]:
    """A sweep that has just saved its first checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--no-baselines", *more],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(folder.glob("runs/small/cohorts/*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


@pytest.mark.long
@pytest.mark.parametrize("steps", [250, (70, 140, 280)], ids=["one budget", "a trunk"])
def test_twenty_kills_at_random_moments_change_no_record_and_leave_nothing(
    steps: int | tuple[int, ...], tmp_path: Path, text_file: Path
) -> None:
    """Of the driver or of a worker; benchmarks/kills.py does a hundred."""
    seconds = whole(tmp_path, text_file, steps=steps)
    kill_at_random(tmp_path, n_kills=20, within_seconds=seconds, seed=7)


@pytest.mark.parametrize(
    "which",
    [pytest.param(signal.SIGINT, marks=pytest.mark.slow), pytest.param(signal.SIGTERM, marks=pytest.mark.long)],
)
def test_a_stop_keeps_the_work_says_how_to_go_on_and_frees_the_cells(
    which: signal.Signals, tmp_path: Path, text_file: Path
) -> None:
    write_sweep(tmp_path, text_file, steps=500)
    process = started(tmp_path)
    process.send_signal(which)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + which
    assert errors == "stopped; what is finished is recorded, run the same command to go on\n"
    assert "0 running" in mdl("status", "small.yaml", cwd=tmp_path).stdout
    kept = list(tmp_path.glob("runs/small/cohorts/*.ckpt"))
    assert kept
    damaged = kept[0].read_bytes()
    kept[0].write_bytes(damaged[:1000] + bytes([damaged[1000] ^ 1]) + damaged[1001:])
    again = mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "is damaged; training again from the start" in again.stdout
    straight = mdl("sweep", "small.yaml", "--no-baselines", "--runs", "straight", cwd=tmp_path)
    assert straight.returncode == 0
    assert records(tmp_path / "runs/small") == records(tmp_path / "straight/small")
    assert leftovers(tmp_path) == []


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def test_a_checkpoint_cannot_run_code(tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even with the right hash before it: it is not loaded, and the cohort is trained from the start."""
    monkeypatch.chdir(tmp_path)
    write_sweep(tmp_path, text_file, steps=20)
    plan = plan_sweep(Path("small.yaml"), Path("runs"))
    plan.paths.cohorts.mkdir(parents=True)
    buffer = io.BytesIO()
    torch.save({"state_dict": Evil()}, buffer, pickle_module=pickle)
    content = buffer.getvalue()
    plan.paths.checkpoint(plan.cohorts[0].cohort_id).write_bytes(hashlib.sha256(content).digest() + content)
    events = serve(plan.cohorts[0].run_ids, plan.paths, Path("small.yaml"))
    assert any("cannot be read" in event.get("message", "") for event in events)
    assert events[-1]["event"] == "done"
    assert not (tmp_path / "pwned").exists()


def serve(run_ids: list[str], paths: RunPaths, file: Path) -> list[dict[str, Any]]:
    """What a worker answers to the job of these cells, in this process."""
    cells = [cell for cell in plan_sweep(file, paths.root.parent).cells if cell.run_id in run_ids]
    job = {"kind": "cohort", "configs": [c.config.flat() for c in cells], "sweep": "s", "root": str(paths.root),
           "command": ""}  # fmt: skip
    events: list[dict[str, Any]] = []
    worker._serve(job, lambda event, **fields: events.append({"event": event, **fields}), WandbServer())
    return events


def test_a_cohort_too_large_for_the_gpu_is_trained_in_halves_and_that_is_said(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that fits two members and no third: four members end as two and two, with the records of one cohort."""
    write_sweep(tmp_path, text_file, steps=20, more="  seed: {values: [0, 1]}\n")
    plan = plan_sweep(tmp_path / "small.yaml", tmp_path / "a")
    cohort = plan.cohorts[0]
    assert len(cohort.cells) == 4
    done = serve(cohort.run_ids, plan.paths, tmp_path / "small.yaml")[-1]
    assert done.pop("spent")["measuring"] > 0
    assert done == {"event": "done", "n_cells": 4, "failed": {}}
    step = CohortModule.training_step
    largest = 2

    def small_step(self: CohortModule, windows: torch.Tensor) -> torch.Tensor:
        if len(self.members) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, windows)

    monkeypatch.setattr(CohortModule, "training_step", small_step)
    paths = RunPaths(tmp_path / "b/small")
    events = serve(cohort.run_ids, paths, tmp_path / "small.yaml")
    assert {name: events[-1][name] for name in done} == done
    notes = [event["message"] for event in events if event["event"] == "note"]
    assert notes == [f"{cohort.cohort_id}: out of GPU memory with 4 members; training them in two halves"]
    assert without_company(records(paths.root)) == without_company(records(plan.paths.root))
    largest = 0
    alone = serve(cohort.run_ids[:1], RunPaths(tmp_path / "c/small"), tmp_path / "small.yaml")
    assert "does not fit into the GPU's memory; lower train.batch_windows" in alone[-1]["message"]


def without_company(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {run_id: {k: v for k, v in record.items() if k != "cohort_id"} for run_id, record in found.items()}


def limited(folder: Path, n_bytes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that may write no file larger than this, as on a disk that is full."""
    script = f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({n_bytes},) * 2); from mdl.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=folder, capture_output=True, text=True, timeout=120,
        env={k: v for k, v in os.environ.items() if not k.startswith("COV")},  # its data would not fit either
    )  # fmt: skip


def test_no_space_for_the_cache_is_one_line_and_leaves_no_part_of_it(tmp_path: Path, text_file: Path) -> None:
    packed = tmp_path / "text.xz"
    packed.write_bytes(lzma.compress(text_file.read_bytes()))
    write_sweep(tmp_path, packed)
    assert_one_line(limited(tmp_path, 100_000, "sweep", "small.yaml"), "free some space or set MDL_CACHE")
    assert leftovers(Path(os.environ["MDL_CACHE"])) == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_no_space_for_a_record_keeps_the_training_and_the_next_run_writes_it(tmp_path: Path, text_file: Path) -> None:
    """A look after every step makes the record larger than the checkpoint."""
    write_sweep(
        tmp_path, text_file, steps=1200, more="  evaluate_every: {value: 1}\n  heldout_sample_bytes: {value: 64}\n"
    )
    yaml = (tmp_path / "small.yaml").read_text().replace("[4x1, 8x1, 16x1]", "[4x1]").replace("[10KB, 40KB]", "[10KB]")
    (tmp_path / "small.yaml").write_text(yaml)
    full = limited(tmp_path, 97_000, "sweep", "small.yaml", "--no-baselines")
    assert_one_line(full, "File too large")
    assert records(tmp_path / "runs/small") == {}
    assert list(tmp_path.glob("runs/small/*/final.safetensors")), "all but the record was written"
    assert list(tmp_path.glob("runs/small/cohorts/*.ckpt"))
    assert mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path).returncode == 0
    assert len(records(tmp_path / "runs/small")) == 1
    assert leftovers(tmp_path) == []


@pytest.mark.slow
def test_no_secret_is_written_anywhere_and_files_have_the_users_mask(tmp_path: Path, text_file: Path) -> None:
    secret = "5ec4e7" * 6 + "abcd"
    write_sweep(tmp_path, text_file, steps=20, more="  logger: {value: wandb}\n")
    before = os.umask(0o027)
    try:
        done = mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path, WANDB_MODE="offline", WANDB_API_KEY=secret)
        assert done.returncode == 0, done.stderr
        assert mdl("report", cwd=tmp_path, WANDB_API_KEY=secret).returncode == 0
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 12
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert secret not in done.stdout + done.stderr
    ours = [*tmp_path.glob("runs/small/*/record.json"), *tmp_path.glob("runs/small/*/*.safetensors")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in ours} == {0o640}
    assert stat.S_IMODE((tmp_path / "runs/small").stat().st_mode) == 0o750


def test_a_request_to_stop_waits_within_training_and_ends_everything_else_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop_signal.install()
    try:
        with stop_signal.StopSignal() as stop:
            assert not stop.requested
            signal.raise_signal(signal.SIGTERM)
            assert stop.requested
        with stop_signal.StopSignal() as stop:
            assert not stop.requested  # that was another training
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
