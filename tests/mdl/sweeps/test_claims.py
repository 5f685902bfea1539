"""Any number of processes on one folder: none does what another does, none leaves what a dead one did."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mdl.records import RunPaths, read_cell
from mdl.storage import Process, create_once, process_identity, this_process, write_atomically
from mdl.sweeps import claims
from mdl.sweeps.claims import Claims, SupersededError, latest, tidy
from tests.command import leftovers, mdl, records, write_sweep

# A process that goes over all cells in its own order until all are closed, as a driver does. `place` makes it a host
# of its own: then nobody can ask whether it lives, and only its silence counts.
WORKER = """
import random, sys, time
from pathlib import Path
from mdl.storage import process_identity
from mdl.sweeps import claims
from mdl.storage.atomic_files import create_once
from mdl.records.paths import RunPaths
root, seed, place, n_cells = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
process_identity._place = lambda: place
claims.STALE_SECONDS = 1.5
paths, dice = RunPaths(root), random.Random(seed)
cells = [f"cell{i}" for i in range(n_cells)]
while left := [c for c in cells if not paths.record(c).exists()]:
    for cell in dice.sample(left, len(left)):
        with claims.Claims(paths, "test", heartbeat_seconds=0.2) as held:
            if held.take({cell: paths.record(cell)}):
                with open(root / "started.txt", "a") as log:
                    log.write(cell + chr(10))
                time.sleep(dice.random() * 0.01)
                create_once(paths.record(cell), f"{place}-{seed}".encode())
"""


def start(root: Path, seed: int, place: str, n_cells: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, str(root), str(seed), place, str(n_cells)])


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [pytest.param(1, id="one host"), pytest.param(3, id="three hosts")])
def test_every_cell_is_done_once_though_processes_die_and_stall(hosts: int, tmp_path: Path) -> None:
    """Six processes, two killed and one stopped for longer than a claim lasts: no cell is left, and work starts twice
    only where someone died or stood still."""
    paths, n_cells, dice = RunPaths(tmp_path), 120, np.random.default_rng(hosts)
    workers = [start(tmp_path, i, f"{i % hosts:08x}", n_cells) for i in range(6)]
    deadline = time.monotonic() + 30
    while not (tmp_path / "started.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(dice.random() * 0.3)
    for worker in workers[:2]:
        worker.kill()
    workers[2].send_signal(signal.SIGSTOP)
    time.sleep(2)
    workers[2].send_signal(signal.SIGCONT)
    assert [worker.wait(timeout=60) for worker in workers] == [-9, -9, 0, 0, 0, 0]
    started = (tmp_path / "started.txt").read_text().split()
    assert set(started) == {f"cell{i}" for i in range(n_cells)}
    assert len(started) <= n_cells + 3
    time.sleep(0 if hosts == 1 else 2)
    processes_before, claims_before = process_identity._place, claims.STALE_SECONDS
    try:
        process_identity._place, claims.STALE_SECONDS = lambda: f"{0:08x}", 1.5  # type: ignore[assignment]
        tidy(paths)
    finally:
        process_identity._place, claims.STALE_SECONDS = processes_before, claims_before
    # What a process of another host was writing as it died is left for an hour: nobody here can ask whether it lives.
    left = [path.name for path in tmp_path.glob("claims/*") if hosts == 1 or not path.name.endswith(".tmp")]
    assert not left, "claims on closed cells are gone"
    found = {path.name for path in tmp_path.glob("cell*/*") if hosts == 1 or not path.name.endswith(".tmp")}
    assert found == {"record.json"}


def test_a_process_killed_as_it_reads_the_clock_leaves_nothing_for_good(tmp_path: Path) -> None:
    """Its probe of the file server's clock says whose it was, as everything half-written does."""
    paths = RunPaths(tmp_path)
    other(paths, "c")
    script = """
import os, sys
from pathlib import Path
from mdl.sweeps.claims import latest
from mdl.records.paths import RunPaths
Path.unlink = lambda self, missing_ok=False: os._exit(9)
latest(RunPaths(Path(sys.argv[1])))
"""
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)]).returncode == 9
    assert ["clock" in path for path in leftovers(tmp_path)] == [True]
    tidy(paths)
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("write", [create_once, write_atomically])
def test_a_folder_that_others_remove_when_it_is_empty_takes_every_file(
    write: Callable[[Path, bytes], object], tmp_path: Path
) -> None:
    """As `claims/` and `cohorts/` are removed with their last file, by any process at any moment."""
    folder, over = tmp_path / "claims", threading.Event()

    def remove() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                folder.rmdir()
            time.sleep(dice.random() * 2e-4)

    dice = np.random.default_rng(0)
    removing = [threading.Thread(target=remove) for _ in range(2)]
    for thread in removing:
        thread.start()
    try:
        for i in range(400):
            write(folder / f"{i}", b"content")
            assert (folder / f"{i}").read_bytes() == b"content"
            (folder / f"{i}").unlink()
    finally:
        over.set()
        for thread in removing:
            thread.join()


def other(paths: RunPaths, key: str, generation: int = 0, **content: object) -> Path:
    """A claim that another process left."""
    paths.claims.mkdir(parents=True, exist_ok=True)
    path = paths.claims / f"{key}.{generation}"
    path.write_text(json.dumps({"process": "00000000-1-1", "host": "far", "since": "2026-01-01", **content}))
    return path


def take(paths: RunPaths, key: str = "c") -> list[str]:
    with Claims(paths, "test") as held:
        return held.take({key: paths.record(key)})


def test_a_claim_of_another_host_stands_while_it_is_fresh_and_falls_when_it_is_silent(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    path = other(paths, "c")
    assert take(paths) == []
    silent = time.time() - claims.STALE_SECONDS - 1
    os.utime(path, (silent, silent))
    assert take(paths) == ["c"]


def test_a_claim_of_a_dead_process_of_this_host_falls_at_once(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    gone = subprocess.Popen(["true"])
    gone.wait()
    other(paths, "c", process=Process(this_process().place, gone.pid, 1).token)
    assert take(paths) == ["c"]
    other(paths, "d", process=this_process().token)
    assert take(paths, "d") == []
    reused = Process(this_process().place, os.getpid(), this_process().started - 1)
    assert reused.is_dead, "a pid used again is another process"


def test_a_clock_set_back_holds_a_dead_claim_no_longer_than_usual(tmp_path: Path) -> None:
    """A claim from the future counts from when it is first seen."""
    paths = RunPaths(tmp_path)
    path = other(paths, "c")
    os.utime(path, (time.time() + 10_000,) * 2)
    assert take(paths) == []
    assert abs(path.stat().st_mtime - time.time()) < 5


def test_an_earlier_start_of_the_same_slurm_job_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = RunPaths(tmp_path)
    other(paths, "c", slurm=["77", 0])
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert take(paths) == []
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert take(paths) == ["c"]


def test_what_is_given_back_open_may_be_claimed_at_once_and_what_is_closed_leaves_nothing(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    assert take(paths) == ["c"]
    assert latest(paths)["c"].is_stale
    with Claims(paths, "test") as held:
        assert held.take({"c": paths.record("c")}) == ["c"]
        assert latest(paths)["c"].generation == 1
        paths.record("c").parent.mkdir()
        paths.record("c").write_text("{}")
    assert not paths.claims.exists()
    assert take(paths) == []


def test_whoever_was_taken_for_dead_notices_and_beats_no_more(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    with Claims(paths, "test", heartbeat_seconds=0.05) as held:
        assert held.take({"c": paths.record("c")})
        held.check()
        successor = other(paths, "c", 1)
        with pytest.raises(SupersededError, match="c was taken over"):
            held.check()
        os.utime(paths.claims / "c.0", (0, 0))
        time.sleep(0.3)
        assert (paths.claims / "c.0").stat().st_mtime == 0
    assert successor.exists()


# One cohort's worker on a host of its own, whose arithmetic is its own too: `tilt` is added to every weight. It stops
# itself, as a suspended machine does, in the very moment before it calls `at`.
STALLING = """
import json, os, signal, sys
from pathlib import Path
from mdl.storage import process_identity
from mdl.sweeps import claims, worker
from mdl.training import cohort_run, loop, snapshots
from mdl.sweeps.plan import plan_sweep
root, place, tilt, at = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
process_identity._place = lambda: place
claims.STALE_SECONDS = 1.0

def stalls(plain):
    def stopped(*arguments, **settings):
        os.kill(os.getpid(), signal.SIGSTOP)
        return plain(*arguments, **settings)
    return stopped

holder, name = {"weights": (snapshots, "keep_once"), "record": (cohort_run, "write_record"),
                "state": (loop.CheckpointFile, "save_checkpoint"), "": (snapshots, "keep_once")}[at]
setattr(holder, name, stalls(getattr(holder, name)) if at else getattr(holder, name))
trains = cohort_run.train_cohort

def tilted(*arguments, **settings):
    trained = trains(*arguments, **settings)
    for weight in trained.module.parameters():
        weight.data += tilt
    return trained

cohort_run.train_cohort = tilted
plan = plan_sweep(Path("one.yaml"), root)
job = {"kind": "cohort", "configs": [cell.config.flat() for cell in plan.cells], "sweep": "one",
       "root": str(plan.paths.root), "command": ""}
events = sys.stdout  # what is printed there meanwhile becomes a note
worker._serve(job, lambda event, **fields: print(json.dumps({"event": event, **fields}), file=events, flush=True),
              worker.WandbServer())
"""


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize(
    "at",
    [
        pytest.param("record", marks=pytest.mark.slow),
        *(pytest.param(at, marks=pytest.mark.long) for at in ("weights", "state")),
    ],
)
def test_whoever_wakes_up_after_a_takeover_changes_nothing_of_its_successors(
    at: str, tmp_path: Path, text_file: Path
) -> None:
    """Stopped between the last look at its claim and the writing, for longer than a claim lasts."""
    write_sweep(tmp_path, text_file, steps=20, more="  seed: {values: [0, 1]}\n")
    yaml = (tmp_path / "small.yaml").read_text().replace("[4x1, 8x1, 16x1]", "[4x1]").replace("[10KB, 40KB]", "[10KB]")
    (tmp_path / "one.yaml").write_text(yaml)

    def run(place: str, tilt: float, at: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", STALLING, "runs", place, str(tilt), at]
        return subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    first = run("0" * 8, 1e-3, at)
    deadline = time.monotonic() + 200
    while not is_stopped(first.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_stopped(first.pid)
    time.sleep(1.5)
    second = run("1" * 8, 0.0, "")
    said = second.communicate(timeout=200)[0]
    assert '"n_cells": 2, "failed": {}' in said
    root = tmp_path / "runs/one"
    before = {path: path.read_bytes() for path in root.rglob("*") if path.suffix in (".json", ".safetensors")}
    os.kill(first.pid, signal.SIGCONT)
    while is_stopped(first.pid) or first.poll() is None:  # it stops itself before every such call
        os.kill(first.pid, signal.SIGCONT)
        time.sleep(0.05)
    told = first.communicate(timeout=200)[0]
    assert first.returncode == 0, told
    assert '"event": "error"' not in told, told
    after = {path: path.read_bytes() for path in root.rglob("*") if path.suffix in (".json", ".safetensors")}
    assert after == before
    assert len(records(root)) == 2
    for record in map(read_cell, root.glob("*/record.json")):
        for snapshot in record.snapshots:
            content = (root / record.run_id / snapshot.weights_file).read_bytes()
            assert hashlib.sha256(content).hexdigest() == snapshot.weights_sha256
    tidy(RunPaths(root))
    assert leftovers(root) == []
    assert not (root / "claims").exists()


@pytest.mark.slow
def test_two_sweeps_at_once_on_one_folder_together_train_each_cell_once(tmp_path: Path, text_file: Path) -> None:
    write_sweep(tmp_path, text_file, steps=40)
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--workers", "1"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [one.communicate(timeout=200)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert len(records(tmp_path / "runs/small")) == 6
    assert sum(text.count("x1 ×2 done") for text in said) == 3, said
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "runs/small/claims").exists()
    assert "6 done, 0 to do" in mdl("sweep", "small.yaml", cwd=tmp_path).stdout
