"""Cohorts on lanes: what is foretold, what is cut, and that a cut changes nothing that is recorded."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mdl.config import Cohort
from mdl.models import Shape, parse_size, training_bytes
from mdl.records import RunPaths
from mdl.sweeps import layout
from mdl.sweeps.backends import local
from mdl.sweeps.backends.registry import Ended, Request
from mdl.sweeps.cohort_parts import forget_parts, keep_parts, parts_of
from mdl.sweeps.cost_model import Spent, Work
from mdl.sweeps.grid import cohorts_of, grid_cells
from mdl.sweeps.hardware import Gpu
from mdl.sweeps.layout import advice_on_memory, auto_per_gpu
from mdl.sweeps.plan import Plan
from mdl.sweeps.schedule import cut, end_of
from mdl.sweeps.seen_cohorts import remember
from mdl.sweeps.status import status
from tests.command import leftovers, mdl, records, write_sweep

WORKS = st.lists(
    st.builds(
        lambda start, training, measuring: Spent(start=start, training=training, measuring=measuring),
        *[st.sampled_from([0.0, 0.5, 1.0, 3.0, 20.0])] * 3,
    ),
    max_size=8,
)
DEVICES = st.lists(st.integers(0, 2), min_size=1, max_size=6)


@given(WORKS, DEVICES)
def test_the_end_is_not_before_any_job_and_not_after_all_in_a_row(works: list[Spent], devices: list[int]) -> None:
    end, whole = end_of(works, devices), sum(one.start + one.at_work for one in works)
    longest = max((one.start + one.at_work for one in works), default=0.0)
    busy = sum(one.at_work for one in works) / len(set(devices))
    assert max(longest, busy) - 1e-9 <= end <= whole + 1e-9


def test_lanes_of_one_gpu_share_it_and_wait_for_their_first_steps_side_by_side() -> None:
    one = Spent(start=2.0, training=3.0, measuring=1.0)
    assert end_of([one, one], [0]) == pytest.approx(12)
    assert end_of([one, one], [0, 0]) == pytest.approx(10)
    assert end_of([one, one], [0, 1]) == pytest.approx(6)


def cohorts(**more: Any) -> list[Cohort]:
    settings = {"size": ("4x1", "8x1", "32x2"), "subset_bytes": ("1KB", "2KB", "3KB", "4KB"), "context_bytes": (64,)}
    return cohorts_of(grid_cells({**settings, **more}))


def like(cohort: Cohort) -> Spent:
    """Most of it the wide shape's."""
    return Spent(start=1.0, training=cohort.shape.width * len(cohort.members), measuring=1.0)


@given(DEVICES)
def test_a_cut_keeps_every_cell_and_never_delays_the_end(devices: list[int]) -> None:
    whole = cohorts()
    parts = cut(whole, like, devices, lambda cohort: True)
    assert sorted(i for part in parts for i in part.run_ids) == sorted(i for one in whole for i in one.run_ids)
    before, after = (end_of([like(one) for one in some], devices) for some in (sorted_(whole), parts))
    assert after <= before
    assert [like(one).at_work for one in parts] == sorted((like(one).at_work for one in parts), reverse=True)
    if len(parts) > len(whole):
        assert before - after > 1


def sorted_(some: list[Cohort]) -> list[Cohort]:
    return sorted(some, key=lambda one: -like(one).at_work)


def test_the_longest_cohort_is_cut_for_two_gpus_and_none_is_for_one() -> None:
    assert len(cut(cohorts(), like, [0], lambda cohort: True)) == 3
    assert [len(one.members) for one in cut(cohorts(), like, [0, 1], lambda cohort: True)][:2] == [2, 2]
    assert len(cut(cohorts(), like, [0, 1], lambda cohort: False)) == 3


@given(st.integers(1, 3))
def test_no_cohort_is_cut_for_lanes_of_one_device_whatever_its_parts_would_take(n_lanes: int) -> None:
    """Cohorts that share a GPU take as long as one after another; as single members a grid took 1.3 times that."""

    def less_alone(cohort: Cohort) -> Spent:
        return Spent(start=5.0, training=100.0 * len(cohort.members) ** 1.5, measuring=10.0)

    assert len(cut(cohorts(), less_alone, [0] * n_lanes, lambda cohort: True)) == 3
    assert len(cut(cohorts(), less_alone, [0] * n_lanes + [1], lambda cohort: True)) > 3


def test_as_many_cohorts_share_a_gpu_as_its_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    for memory, n_cores, expected in ((80e9, 16, 3), (80e9, 2, 2), (80e9, 1, 1), (1e6, 16, 1)):
        monkeypatch.setattr(layout, "gpu_models", lambda memory=memory: [Gpu("a GPU", int(memory))])
        assert auto_per_gpu(cohorts(), 1, n_cores) == expected
    monkeypatch.setattr(layout, "gpu_models", list)
    assert auto_per_gpu(cohorts(), 1, 16) == 1, "of unknown memory"


def test_a_cohort_that_is_split_though_a_gpu_would_hold_it_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what it needs: with that it is whole. Not where parts keep GPUs busy, nothing fits, or the sweep has begun."""

    def told(n_gpus: int, memory: int, limit: int | str) -> str:
        plan = Plan("s", RunPaths(tmp_path / "s"), tuple(cohorts_of(grid_cells({**grid, "memory_bytes": (limit,)}))))
        monkeypatch.setattr(layout, "count_gpus", lambda: n_gpus)
        monkeypatch.setattr(layout, "gpu_models", lambda: [Gpu("a GPU", memory)])
        return advice_on_memory(plan)

    each = training_bytes(Shape(*parse_size("64x4"), context_tokens=1024), 32)
    grid: dict[str, tuple[Any, ...]] = {
        "size": ("64x4", "32x2", "8x1"), "subset_bytes": ("1MB", "2MB", "3MB", "4MB"),
        "context_bytes": (1024,), "batch_windows": (32,), "steps": (100, 200),
    }  # fmt: skip
    assert told(0, 6 * each, each) == "", "training goes to the processor"
    assert told(1, each, each // 3) != "", "the narrower shapes"
    assert told(1, 6 * each, 3 * each).startswith("train.memory_bytes splits 64x4 ×4 in 2 cohorts; a GPU here")
    assert told(2, 6 * each, 3 * each) == "", "one for each GPU"
    assert told(2, 6 * each, each) != ""
    enough = told(1, 6 * each, each).rpartition(" ")[2].rstrip("}")
    assert told(1, 6 * each, enough) == ""
    (tmp_path / "s").mkdir()
    assert told(1, 6 * each, 3 * each) == ""


def test_advice_stands_before_the_time_in_a_dry_run_and_at_the_start(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(tmp_path, text_file)
    monkeypatch.setattr(local, "advice_on_memory", lambda plan: f"advice on {plan.name}")
    monkeypatch.setattr(local, "run_sweep", lambda *_, **__: Ended())
    told = io.StringIO()
    request = Request(
        file=tmp_path / "small.yaml", runs=tmp_path, command="", with_baselines=False, retry_failed=False,
        console=Console(file=told),
    )  # fmt: skip
    lines = local.LocalBackend().preview(request, local.LocalOptions()).splitlines()
    assert lines[0] == "advice on small"
    assert lines[1].startswith("here, on ")
    local.LocalBackend().run(request, local.LocalOptions())
    assert told.getvalue().strip() == "advice on small"


def test_a_cut_is_written_down_and_what_it_leaves_out_is_a_part_too(tmp_path: Path) -> None:
    paths, whole = RunPaths(tmp_path), cohorts()[0]
    assert parts_of(whole, paths) == [whole]
    keep_parts(whole, whole.halves, paths)
    keep_parts(whole, [whole], paths)  # whoever was first is right
    assert parts_of(whole, paths) == list(whole.halves)
    more = cohorts(subset_bytes=("1KB", "2KB", "3KB", "4KB", "5KB"))[0]
    paths.split(whole.cohort_id).rename(paths.split(more.cohort_id))
    assert sorted(i for part in parts_of(more, paths) for i in part.run_ids) == sorted(more.run_ids)
    for damaged in (b"", b"[[1]]", b"{}", b"[" * 10**5, json.dumps([whole.run_ids, whole.run_ids]).encode()):
        paths.split(whole.cohort_id).write_bytes(damaged)
        assert parts_of(whole, paths) == [whole]
    forget_parts([whole], paths)
    assert paths.split(whole.cohort_id).exists(), "its cells are not recorded"


SWEEP = """
name: one
parameters:
  source: {{value: "file:{text}"}}
  size: {{value: 8x1}}
  heldout_bytes: {{value: 5KB}}
  subset_bytes: {{values: [10KB, 20KB]}}
  seed: {{values: [0, 1]}}
  context_bytes: {{value: 64}}
  steps: {{values: {steps}}}
  checkpoint_seconds: {{value: 0.1}}
  reach_ratio: {{value: 1}}
"""


def slow_machine() -> None:
    """One on which every cut pays."""
    work = Work(n_steps=10**4, n_bytes=10**7, measured_bytes=10**7, flops_per_byte=1e4)
    remember(work, Spent(start=0.1, training=1e6, measuring=1e6), share=1.0, on_gpu=False)


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["[400]", "[100, 300]"])
def test_a_cut_cohort_has_the_same_records_to_the_bit_also_where_it_is_killed(
    steps: str, tmp_path: Path, text_file: Path
) -> None:
    (tmp_path / "one.yaml").write_text(SWEEP.format(text=text_file, steps=steps))
    command = ["sweep", "one.yaml", "--no-baselines", "--runs"]
    assert mdl(*command, "whole", "--workers", "1", cwd=tmp_path).returncode == 0
    slow_machine()
    process = subprocess.Popen(
        [sys.executable, "-m", "mdl.cli", *command, "cut", "--workers", "2"], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    there = tmp_path / "cut" / "one"
    while process.poll() is None and len(list(there.glob("cohorts/*.ckpt"))) < 2:
        time.sleep(0.05)
    assert len(list(there.glob("cohorts/*.split.json"))) == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    from mdl.sweeps import plan_sweep

    (part, other) = parts_of(*plan_sweep(tmp_path / "one.yaml", tmp_path / "cut").cohorts, RunPaths(there))
    found = {half.cohort_id for half in status(plan_sweep(tmp_path / "one.yaml", tmp_path / "cut")).half_trained}
    assert found <= {part.cohort_id, other.cohort_id}
    done = mdl(*command, "cut", "--workers", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert records(there) == records(tmp_path / "whole" / "one")
    assert len(records(there)) == 4 * len(json.loads(steps))
    sizes = {json.loads(path.read_bytes())["provenance"]["cohort_size"] for path in there.glob("*/record.json")}
    assert sizes == {2}, "what trained together is recorded"
    assert leftovers(there) == []
    assert not (there / "cohorts").exists()
