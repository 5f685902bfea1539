"""Where jobs run, and what a driver does when its processes end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from mdl.sweeps import jobs
from mdl.sweeps.backends import local
from mdl.sweeps.backends.local import _lanes, _Places
from mdl.sweeps.grid import cohorts_of, grid_cells
from mdl.sweeps.progress import Display
from mdl.sweeps.worker_pool import Job, Lane, Outcome, Pool


def places(n_workers: int | None = None, per_gpu: int = 1) -> _Places:
    return _Places(n_workers=n_workers, per_gpu=per_gpu, wait=True)


def gpus_of(lanes: list[Lane]) -> list[str]:
    return [lane.environment["CUDA_VISIBLE_DEVICES"] for lane in lanes if "cohort" in lane.kinds]


def test_cohorts_go_to_every_gpu_one_process_each_or_as_many_as_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for n in (1, 2, 8):
        monkeypatch.setattr(local, "count_gpus", lambda n=n: n)
        assert gpus_of(_lanes(places(), 100)) == [str(i) for i in range(n)]
        assert len(local.gpu_places()) == n
    monkeypatch.setattr(local, "count_gpus", lambda: 2)
    assert gpus_of(_lanes(places(per_gpu=2), 100)) == ["0", "1", "0", "1"]
    assert gpus_of(_lanes(places(n_workers=1), 100)) == ["0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-abc")
    assert gpus_of(_lanes(places(), 100)) == ["5", "GPU-abc"], "only what the user, or Slurm, gave"
    assert all("cohort" not in lane.kinds for lane in _lanes(places(), 100)[2:]), "baselines run beside, without a GPU"


def test_a_cohort_too_large_for_one_gpu_gets_as_many_as_it_asks_for_and_then_they_are_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def all_of(lanes: tuple[Lane, ...] | list[Lane]) -> list[tuple[int, str]]:
        own = [(lane.n_devices, lane.environment["CUDA_VISIBLE_DEVICES"]) for lane in lanes if "cohort" in lane.kinds]
        return own + [inner for lane in lanes for inner in all_of(lane.parts)]

    monkeypatch.setattr(local, "count_gpus", lambda: 5)
    singles = [(1, str(i)) for i in range(5)]
    assert sorted(all_of(_lanes(places(), 100, {1, 2}))) == [*singles, (2, "0,1"), (2, "2,3")]
    assert sorted(all_of(_lanes(places(), 100, {2, 4}))) == [*singles, (2, "0,1"), (2, "2,3"), (4, "0,1,2,3")]
    assert all_of(_lanes(places(), 100, {5}))[0] == (5, "0,1,2,3,4")
    wide = [cohorts_of(grid_cells({"size": ("8x1",), "devices": (n,), "batch_windows": (64,)}))[0] for n in (1, 4, 64)]
    corpora = {wide[0].cells[0].config.corpus.spec(): SimpleNamespace(train=bytes(10**6), heldout=bytes(10**5))}
    for n_gpus, expected in ((5, [1, 4, 5]), (0, [1, 1, 1])):
        monkeypatch.setattr(jobs, "count_gpus", lambda n=n_gpus: n)
        assert [jobs.cohort_work(cohort, corpora).n_devices for cohort in wide] == expected  # type: ignore[arg-type]


def test_a_wide_lane_does_its_own_jobs_and_then_falls_into_single_ones(tmp_path: Path) -> None:
    """Jobs that end at once, in an error: all of them are taken by someone."""
    asked = [Job(f"{n}-{i}", {"kind": "cohort", "configs": [{}]}, 1.0, n_devices=n) for n in (1, 2) for i in range(2)]
    cohort = frozenset({"cohort"})
    console = Console(width=200, file=(tmp_path / "out").open("w"))
    lanes = [Lane(cohort, n_devices=2, parts=(Lane(cohort), Lane(cohort)))]
    with Display(asked, lanes, console, (0, 4)) as display:
        Pool(lanes, tmp_path / "log.txt").run(asked, display)
    console.file.close()
    assert [job.name for job in display.given_up[:2]] == ["2-0", "2-1"]
    assert sorted(job.name for job in display.given_up) == ["1-0", "1-1", "2-0", "2-1"]


def test_without_a_gpu_it_is_a_single_threaded_process_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "count_gpus", lambda: 0)
    assert local.gpu_places() == []
    lanes = _lanes(places(n_workers=3), 100)
    assert len(lanes) == 3
    assert all(lane.environment["OMP_NUM_THREADS"] == "1" for lane in lanes)
    assert len(_lanes(places(n_workers=3), 2)) == 2


def test_a_worker_that_cannot_do_its_job_ends_that_job_alone(tmp_path: Path) -> None:
    """A job of no kind there is, and one whose folder is not there: two errors in one line each, no more."""
    jobs = [
        Job("bad", {"kind": "cohort", "configs": [{"size": "4x1", "source": "file:/nowhere", "subset_bytes": "1KB"}],
                    "sweep": "s", "root": str(tmp_path), "command": ""}, 1.0),
        Job("worse", {"kind": "cohort", "configs": [{"siz": 1}]}, 2.0),
    ]  # fmt: skip
    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    lanes = [Lane(frozenset({"cohort"}))]
    with Display(jobs, lanes, console, (0, 2)) as display:
        Pool(lanes, tmp_path / "log.txt").run(jobs, display)
    console.file.close()
    assert sorted(job.name for job in display.given_up) == ["bad", "worse"]
    text = (tmp_path / "out").read_text()
    assert "failed: bad: " in text
    assert "no file at" in text
    assert "failed: worse: unknown key 'siz'" in text


def test_what_a_process_recorded_before_it_died_is_counted(tmp_path: Path) -> None:
    """Two of three budgets of a trunk; it can tell nothing of them itself."""
    records = {key: tmp_path / key / "record.json" for key in "abc"}
    job = Job("8x1 ×3", {"kind": "cohort"}, 1.0, n_bytes=1_000_000, records=records)
    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    with Display([job], [Lane(frozenset({"cohort"}))], console, (0, 3)) as display:
        display.started(job)
        for key in "ab":
            records[key].parent.mkdir()
            records[key].write_text("{}")
        display.outcome(Outcome(job, "its process was ended by signal 9", {}))
    console.file.close()
    text = (tmp_path / "out").read_text()
    assert "failed: 8x1 ×3: its process was ended by signal 9; 2 of its 3 cells stand" in text
    assert (display.n_made, display.n_done, display.failures) == (2, 2, 1)


def test_the_display_tells_cells_share_time_left_and_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("mdl.sweeps.progress.time.monotonic", lambda: now[0])
    first, second = (Job("8x1 ×4", {"kind": "cohort"}, 1.0, n_bytes=1_000_000, records={}) for _ in range(2))
    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    lanes = [Lane(frozenset({"cohort"}))]
    with Display([first, second], lanes, console, (2, 10)) as display:
        display.started(first)
        display.progress(first, "training", 0.5)  # went on from a checkpoint
        now[0] = 20.0
        display.progress(first, "training", 0.9)
        display.note(first, "something")
        now[0] = 40.0
        display.outcome(Outcome(first, None, {"n_cells": 4, "failed": {"x": "why"}}))
        display.outcome(Outcome(second, "broken", {}))
    console.file.close()
    text = (tmp_path / "out").read_text()
    assert "after 20 s: 27 %, 2 of 10 cells, about 55 s left: 8x1 ×4 training 90 %" in text
    assert "after 40 s: 6 of 10 cells, 8x1 ×4 done" in text
    assert "8x1 ×4: something" in text
    assert "failed: x: why" in text
    assert (display.n_made, display.failures, display.given_up) == (4, 2, [second])


def test_what_both_parts_of_a_cohort_have_to_say_is_said_once(tmp_path: Path) -> None:
    jobs = [Job("own-8x1 ×1", {"kind": "cohort"}, 1.0) for _ in range(2)]
    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    with Display(jobs, [Lane(frozenset({"cohort"}))], console, (0, 2)) as display:
        for job in jobs:
            display.note(job, "members train one after another")
        display.note(jobs[1], "out of memory")
    console.file.close()
    told = (tmp_path / "out").read_text()
    assert told.count("own-8x1 ×1: members train one after another") == 1
    assert "out of memory" in told
