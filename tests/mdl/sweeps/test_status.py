"""`mdl status`, and what a folder says of itself while others still work on it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdl.errors import MdlError
from mdl.records import RunPaths, read_cell, read_ending, read_manifest
from mdl.storage import this_process
from mdl.sweeps import Plan, plan_sweep
from mdl.sweeps.claims import Claims, tidy
from mdl.sweeps.driver_status import DriverStatus, drivers
from mdl.sweeps.manifest import write_manifest
from mdl.sweeps.status import folder_status, lines, status
from tests.command import assert_one_line, leftovers, mdl, records, write_sweep


def small(folder: Path, text: Path) -> Plan:
    write_sweep(folder, text, steps=20, more="  lr_scale: {values: [1, 1e30]}\n")
    yaml = (folder / "small.yaml").read_text().replace("[4x1, 8x1, 16x1]", "[4x1]")
    (folder / "small.yaml").write_text(yaml)
    return plan_sweep(folder / "small.yaml", folder / "runs")


def test_status_tells_done_running_failed_and_left_with_the_reason(tmp_path: Path, text_file: Path) -> None:
    plan = small(tmp_path, text_file)
    assert lines(status(plan)) == ["small: 4 cells: 0 done, 0 running, 0 failed, 4 left"]
    assert mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path).returncode == 2
    for place in ("small.yaml", "runs/small", None):
        over = mdl("status", *[place] * (place is not None), "--watch", cwd=tmp_path)
        assert over.returncode == 0, over.stderr
        assert "small: 4 cells: 2 done, 0 running, 2 failed, 0 left" in over.stdout
    assert "and 1 more: the loss is not finite from step" in over.stdout
    for path in plan.paths.root.glob("*/record.json"):
        assert read_ending(path) == (read_cell(path).status, read_cell(path).reason)
    first, second = plan.cells[0].run_id, plan.cells[1].run_id
    for run_id in (first, second):
        plan.paths.record(run_id).unlink()
    with Claims(plan.paths, "4x1-cohort") as held:
        held.take({first: plan.paths.record(first)})
        now = status(plan)
        assert set(now.running) == {first}
        assert now.left == (second,)
        assert "running: 4x1-cohort (1 cell) on " in "\n".join(lines(now))
        assert not now.is_over
    assert status(plan).left == (first, second)


def test_a_driver_tells_its_time_left_and_a_dead_one_nothing(tmp_path: Path, text_file: Path) -> None:
    """From any process; cells that no driver has before it are told as such."""
    plan = small(tmp_path, text_file)
    plan.paths.root.mkdir(parents=True)
    with DriverStatus(plan.paths) as telling:
        telling(["4x1 ×2 training 40 %"], 100.0, 3)
        telling(["4x1 ×2 training 41 %"], 99.0, 3)  # at once: a disk is not written that often
        state = status(plan)
        assert state.seconds_left == pytest.approx(100, abs=3)
        assert lines(state)[1] == "time left: about 1 min 40 s; no process has 1 of the cells before it yet"
        assert lines(state)[2].startswith("now: 4x1 ×2 training 40 % (")
        told = json.loads(mdl("status", "small.yaml", "--json", cwd=tmp_path).stdout)
        assert told["seconds_left"] == pytest.approx(100, abs=20)
    assert not plan.paths.drivers.exists()
    assert status(plan).seconds_left is None


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"host": 1}', "[" * 100_000, '{"running": []}'])
def test_what_no_driver_wrote_is_passed_over(content: str, tmp_path: Path) -> None:
    """And what a driver left that was killed goes with the next tidying."""
    paths = RunPaths(tmp_path)
    paths.drivers.mkdir()
    alive, dead = this_process(), dataclasses.replace(this_process(), started=1)
    for process in (alive, dead):
        (paths.drivers / f"{process.token}.json").write_text(content)
    (paths.drivers / "notes.json").write_text("mine")
    assert drivers(paths) == []
    tidy(paths)
    assert {path.name for path in paths.drivers.iterdir()} == {f"{alive.token}.json", "notes.json"}


def test_watching_ends_when_nothing_is_left_and_ctrl_c_is_no_error(tmp_path: Path, text_file: Path) -> None:
    small(tmp_path, text_file)
    with subprocess.Popen(
        [sys.executable, "-m", "mdl.cli", "status", "small.yaml", "--watch"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as watching:  # fmt: skip
        assert watching.stdout is not None
        assert watching.stdout.readline() == "small: 4 cells: 0 done, 0 running, 0 failed, 4 left\n"
        time.sleep(0.2)
        watching.send_signal(2)
        assert watching.wait(timeout=10) == 130


def test_a_record_of_a_future_schema_is_refused_by_name(tmp_path: Path, text_file: Path) -> None:
    plan = small(tmp_path, text_file)
    path = plan.paths.record(plan.cells[0].run_id)
    path.parent.mkdir(parents=True)
    future = {"run_id": "x", "status": "ok", "reason": None, "kind": "cell", "schema_version": 99}
    path.write_text(json.dumps(future, indent=1) + "\n")
    for command in ("status", "sweep"):
        assert_one_line(mdl(command, "small.yaml", cwd=tmp_path), "schema version 99, this mdl reads up to")
    path.write_text(json.dumps(future, indent=1)[:40])
    with pytest.raises(MdlError, match="is not a record"):
        read_ending(path)


def test_an_agents_cell_joins_the_manifest_of_its_sweep_and_changes_nothing_else(
    tmp_path: Path, text_file: Path
) -> None:
    plan = small(tmp_path, text_file)
    write_manifest(plan, [], "mdl sweep small.yaml", whole=True)
    before = read_manifest(plan.paths)
    known = Plan("small", plan.paths, (plan.cohorts[0].only({plan.cells[2].run_id}),))
    write_manifest(known, [], "mdl run", whole=False)
    assert read_manifest(plan.paths) == before
    assert RunPaths.newest(tmp_path / "runs") == plan.paths.root
    write_sweep(tmp_path, text_file, steps=30)
    other = plan_sweep(tmp_path / "small.yaml", tmp_path / "runs")
    write_manifest(other, [], "mdl run", whole=False)
    after = read_manifest(plan.paths)
    assert after["run_ids"] == [cell.run_id for cell in (*plan.cells, *other.cells)]
    assert (after["command"], after["n_cells"]) == ("mdl sweep small.yaml", 10)
    write_manifest(other, [], "mdl sweep again", whole=True)
    assert len(read_manifest(plan.paths)["run_ids"]) == 6, "a sweep file that was changed says what the sweep is now"


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_damaged_manifest_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(MdlError, match="delete it to have it made again"):
        read_manifest(RunPaths(tmp_path))


def test_after_a_stop_the_half_trained_cells_and_their_step_are_told(tmp_path: Path, text_file: Path) -> None:
    """Ctrl-C saves a checkpoint; a damaged one is said to be none."""
    write_sweep(tmp_path, text_file, steps=4000)
    yaml = (tmp_path / "small.yaml").read_text().replace("[4x1, 8x1, 16x1]", "[4x1]")
    (tmp_path / "small.yaml").write_text(yaml)
    plan = plan_sweep(tmp_path / "small.yaml", tmp_path / "runs")
    checkpoint = plan.paths.checkpoint(plan.cohorts[0].cohort_id)
    with subprocess.Popen(
        [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--no-baselines", "--workers", "1"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as sweeping:  # fmt: skip
        deadline = time.monotonic() + 90
        while not checkpoint.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        sweeping.send_signal(2)
        assert sweeping.wait(timeout=60) == 130
    (half,) = status(plan).half_trained
    assert half.step is not None
    assert (half.n_steps, len(half.run_ids)) == (4000, 2)
    assert 0 < half.step < 4000
    (same,) = folder_status(plan.paths).half_trained
    assert (same.step, set(same.run_ids)) == (half.step, set(half.run_ids)), "the folder alone tells it too"
    told = "\n".join(lines(status(plan)))
    assert f"half trained: 2 cells, step {half.step:,} of 4,000 ({checkpoint.name})" in told
    checkpoint.write_bytes(b"x" * 100)
    assert "whose checkpoint cannot be read" in "\n".join(lines(status(plan)))


@pytest.mark.slow
def test_budgets_that_share_a_training_are_recorded_one_by_one_and_half_trained_together(
    tmp_path: Path, text_file: Path
) -> None:
    """Stopped once the first is recorded; steps are told of all of them, and the same command goes on to the end."""
    write_sweep(tmp_path, text_file, steps=(60, 200, 800))
    yaml = (tmp_path / "small.yaml").read_text().replace("[4x1, 8x1, 16x1]", "[4x1]")
    (tmp_path / "small.yaml").write_text(yaml)
    plan = plan_sweep(tmp_path / "small.yaml", tmp_path / "runs")
    (cohort,) = plan.cohorts
    command = [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--no-baselines", "--workers", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sweeping:
        deadline = time.monotonic() + 120
        while len(status(plan).done) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        sweeping.terminate()
        assert sweeping.wait(timeout=60) == 143
    state = status(plan)
    assert set(state.done) >= set(cohort.branches[0].run_ids)
    assert not state.running
    (half,) = state.half_trained
    assert set(half.run_ids) == set(state.left)
    assert half.step is not None
    assert half.n_steps == cohort.trained_steps == 400 + 30 + 100 + 400
    assert 60 <= half.step < half.n_steps
    again = mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"6 cells, {len(state.done)} done" in again.stdout
    straight = mdl("sweep", "small.yaml", "--no-baselines", "--runs", "straight", cwd=tmp_path)
    assert straight.returncode == 0, straight.stderr
    assert records(tmp_path / "runs/small") == records(tmp_path / "straight/small")
    assert leftovers(tmp_path) == []
