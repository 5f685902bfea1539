"""Cohorts on lanes: what is foretold, what is cut, and that a cut changes nothing that is recorded."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mdl.config import Cohort
from mdl.models import Shape, parse_size, training_bytes
from mdl.records import RunPaths
from mdl.sweeps import jobs, layout
from mdl.sweeps.backends import local
from mdl.sweeps.backends.registry import Ended, Request
from mdl.sweeps.claims import Claims
from mdl.sweeps.cohort_parts import forget_states, keep_parts, parts_of
from mdl.sweeps.cost_model import H100, CostModel, Spent, Work
from mdl.sweeps.grid import cohorts_of, grid_cells
from mdl.sweeps.hardware import Gpu
from mdl.sweeps.jobs import left_of
from mdl.sweeps.layout import Layout, advice_on_memory, auto_per_gpu
from mdl.sweeps.manifest import open_corpora
from mdl.sweeps.plan import Plan
from mdl.sweeps.progress import Display
from mdl.sweeps.schedule import Place, cut, end_of, turn
from mdl.sweeps.seen_cohorts import remember
from mdl.sweeps.status import status
from mdl.sweeps.worker_pool import SINGLE_THREADED, Job, Lane, Pool
from tests.command import leftovers, mdl, records, write_sweep

WORKS = st.lists(
    st.builds(
        lambda start, training, measuring: Spent(start=start, training=training, measuring=measuring),
        *[st.sampled_from([0.0, 0.5, 1.0, 3.0, 20.0])] * 3,
    ),
    max_size=8,
)
DEVICES = st.lists(st.integers(0, 2), min_size=1, max_size=6)


def on(*devices: int) -> list[Place]:
    """A lane on each."""
    return [Place((str(device),)) for device in devices]


@given(WORKS, DEVICES)
def test_the_end_is_not_before_any_job_and_not_after_all_in_a_row(works: list[Spent], devices: list[int]) -> None:
    end, whole = end_of(works, on(*devices)), sum(one.start + one.at_work for one in works)
    longest = max((one.start + one.at_work for one in works), default=0.0)
    busy = sum(one.at_work for one in works) / len(set(devices))
    assert max(longest, busy) - 1e-9 <= end <= whole + 1e-9


def test_lanes_of_one_gpu_share_it_and_wait_for_their_first_steps_side_by_side() -> None:
    one = Spent(start=2.0, training=3.0, measuring=1.0)
    assert end_of([one, one], on(0)) == pytest.approx(12)
    assert end_of([one, one], on(0, 0)) == pytest.approx(10)
    assert end_of([one, one], on(0, 1)) == pytest.approx(6)


def test_what_wants_several_devices_has_all_of_them_before_others_have_each() -> None:
    """Two cohorts on both GPUs run one after the other, then single ones side by side; a lane more shares its GPU."""
    wide, one = (Spent(start=2.0, training=seconds, measuring=1.0) for seconds in (9.0, 3.0))
    both = Place(("0", "1"), tuple(on(0, 1)))
    assert end_of([wide, one, wide, one], [both], [2, 1, 2, 1]) == pytest.approx(12 + 12 + 6)
    assert end_of([wide], [both, *on(0, 1)], [2]) == pytest.approx(12)
    assert end_of([wide, one], [both, *on(0)], [2, 1]) == pytest.approx(2 + 4 * 2 + 6), "until one of them is done"


SECONDS = st.sampled_from([0.0, 0.5, 1.0, 3.0, 20.0])


@given(st.lists(SECONDS, max_size=8), st.dictionaries(st.sampled_from("abcd"), SECONDS, min_size=1))
def test_what_waits_is_for_the_device_with_the_least_to_do_which_never_waits(
    waiting: list[float], loads: dict[str, float]
) -> None:
    """Of the others one takes the first that would end sooner there, after all that comes before is shared out."""
    turns = {device: turn(device, waiting, loads) for device in loads}
    idlest = min(loads.values())
    assert all(turns[device] == (0 if waiting else None) for device, left in loads.items() if left == idlest)
    for device, i in turns.items():
        if i is not None and loads[device] > idlest:
            assert loads[device] <= min(loads.values()) + sum(waiting[:i])


def test_the_longest_has_its_gpu_for_itself_where_the_others_end_as_soon_on_the_second() -> None:
    def one(seconds: float) -> Spent:
        return Spent(start=1.0, training=seconds, measuring=0.0)

    works = [one(100), one(40), one(20), one(20), one(20)]
    assert end_of(works, on(0, 1, 0, 1)) == pytest.approx(101), "a place beside the longest is free from the start"
    assert end_of(works, on(0, 0)) == pytest.approx(201, abs=2)


@pytest.mark.slow
def test_a_free_lane_beside_the_longest_cohort_takes_nothing_that_another_gpu_ends_sooner(
    tmp_path: Path, text_file: Path
) -> None:
    """Two lanes a device, real processes: three short cohorts go through those of the second."""

    def of(size: str, steps: int) -> Cohort:
        settings: dict[str, tuple[Any, ...]] = {
            "size": (size,), "steps": (steps,), "source": (f"file:{text_file}",), "subset_bytes": ("10KB",),
            "context_bytes": (64,), "heldout_bytes": ("5KB",), "reach_ratio": (1,),
        }  # fmt: skip
        (cohort,) = cohorts_of(grid_cells(settings))
        return cohort

    long, *short = of("16x1", 1500), of("4x1", 50), of("6x1", 50), of("8x1", 50)
    plan = Plan("s", RunPaths(tmp_path / "s"), (long, *short))
    corpora = open_corpora(plan, Console(quiet=True))
    foretold = {c: Spent(start=1.0, training=100.0 if c is long else 5.0, measuring=0.0) for c in plan.cohorts}
    work = [jobs.cohort_job(plan, cohort, "", corpora, foretold=spent) for cohort, spent in foretold.items()]
    lanes = [Lane(frozenset({"cohort"}), SINGLE_THREADED | {"CUDA_VISIBLE_DEVICES": gpu}) for gpu in "0101"]
    log = tmp_path / "log.txt"
    with Display(work, lanes, Console(quiet=True), (0, 4)) as display:
        Pool(lanes, log).run(work, display)
    assert len(records(plan.paths.root)) == 4
    began = [line for line in log.read_text().splitlines() if line.endswith(": training")]
    assert {line.split(" ")[1].split("-")[0]: line[line.index("GPU") :][4] for line in began} == {
        "16x1": "0", "4x1": "1", "6x1": "1", "8x1": "1",
    }  # fmt: skip


def cohorts(**more: Any) -> list[Cohort]:
    settings = {"size": ("4x1", "8x1", "32x2"), "subset_bytes": ("1KB", "2KB", "3KB", "4KB"), "context_bytes": (64,)}
    return cohorts_of(grid_cells({**settings, **more}))


def like(cohort: Cohort) -> Spent:
    """Most of it the wide shape's."""
    return Spent(start=1.0, training=cohort.shape.width * len(cohort.members), measuring=1.0)


@given(DEVICES)
def test_a_cut_keeps_every_cell_and_never_delays_the_end(devices: list[int]) -> None:
    whole = cohorts()
    places = on(*devices)
    parts = cut(whole, like, places, lambda cohort: True)
    assert sorted(i for part in parts for i in part.run_ids) == sorted(i for one in whole for i in one.run_ids)
    before, after = (end_of([like(one) for one in some], places) for some in (sorted_(whole), parts))
    assert after <= before
    assert [like(one).at_work for one in parts] == sorted((like(one).at_work for one in parts), reverse=True)
    if len(parts) > len(whole):
        assert before - after > 1


def sorted_(some: list[Cohort]) -> list[Cohort]:
    return sorted(some, key=lambda one: -like(one).at_work)


def test_the_longest_cohort_is_cut_for_two_gpus_and_none_is_for_one() -> None:
    assert len(cut(cohorts(), like, on(0), lambda cohort: True)) == 3
    assert [len(one.members) for one in cut(cohorts(), like, on(0, 1), lambda cohort: True)][:2] == [2, 2]
    assert len(cut(cohorts(), like, on(0, 1), lambda cohort: False)) == 3


@given(st.integers(1, 3))
def test_no_cohort_is_cut_for_lanes_of_one_device_whatever_its_parts_would_take(n_lanes: int) -> None:
    """Cohorts that share a GPU take as long as one after another; as single members a grid took 1.3 times that."""

    def less_alone(cohort: Cohort) -> Spent:
        return Spent(start=5.0, training=100.0 * len(cohort.members) ** 1.5, measuring=10.0)

    assert len(cut(cohorts(), less_alone, on(*[0] * n_lanes), lambda cohort: True)) == 3
    assert len(cut(cohorts(), less_alone, on(*[0] * n_lanes, 1), lambda cohort: True)) > 3


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


@pytest.mark.parametrize(("until", "expected"), [(0, "about "), (0.01, "at most ")])
def test_what_budgets_may_be_left_out_of_takes_at_most_so_long(
    until: float, expected: str, tmp_path: Path, text_file: Path
) -> None:
    write_sweep(tmp_path, text_file, (60, 120), f"  train.until: {{value: {until}}}")
    request = Request(
        file=tmp_path / "small.yaml", runs=tmp_path, command="", with_baselines=False, retry_failed=False,
        console=Console(quiet=True),
    )  # fmt: skip
    assert f"): {expected}" in local.foretell(request, local.LocalOptions())


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A sweep whose cohort it pays to cut for them."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for module in (layout, local, jobs):
        monkeypatch.setattr(module, "count_gpus", lambda: 2)
    settings = {"size": ("64x4",), "subset_bytes": ("1MB", "2MB", "3MB"), "steps": (10**5,)}
    return Plan("s", RunPaths(tmp_path / "s"), tuple(cohorts_of(grid_cells(settings))))


def laid_out(plan: Plan) -> tuple[Layout, list[Cohort]]:
    corpora = {plan.cells[0].config.corpus.spec(): SimpleNamespace(train=bytes(10**7), heldout=bytes(10**5))}
    made = Layout(plan, corpora, CostModel(H100), on(0, 1))  # type: ignore[arg-type]
    return made, made.cut(left_of(plan, plan.cohorts), keep=True)


def test_a_cohort_that_another_process_has_claimed_is_not_cut(two_gpus: Plan) -> None:
    plan, run_id = two_gpus, two_gpus.cells[1].run_id
    with Claims(plan.paths, "another one") as theirs:
        assert theirs.take({run_id: plan.paths.record(run_id)}) == [run_id]
        assert laid_out(plan)[1] == list(plan.cohorts)
        assert not plan.paths.split(plan.cohorts[0].cohort_id).exists()
    parts = laid_out(plan)[1]
    assert len(parts) == 2
    assert parts_of(plan.cohorts[0], plan.paths) == parts
    assert laid_out(plan)[1] == parts, "and not cut again"


def test_of_two_that_cut_a_cohort_at_once_both_train_the_parts_of_the_first(
    two_gpus: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = two_gpus.cohorts
    theirs = [whole.only(set(whole.run_ids[:2])), whole.only(set(whole.run_ids[2:]))]
    keep = layout.keep_parts

    def second(cohort: Cohort, parts: list[Cohort], paths: RunPaths) -> Any:
        assert parts != theirs
        keep(cohort, theirs, paths)
        return keep(cohort, parts, paths)

    monkeypatch.setattr(layout, "keep_parts", second)
    assert laid_out(two_gpus)[1] == theirs


def test_coders_beside_gpus_are_foretold_where_they_take_longer(
    two_gpus: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight of 1,000 s in two processes; of less it is the training that tells."""
    spec = two_gpus.cells[0].config.corpus.spec()
    corpora = {spec: SimpleNamespace(train=bytes(10**7), heldout=bytes(10**5))}
    monkeypatch.setattr(local, "open_corpora", lambda *_, **__: corpora)
    monkeypatch.setattr(local, "n_cores", lambda: 4)

    def foretold(coder_seconds: float, with_baselines: bool = True) -> float:
        each = Spent(start=0.0, training=0.0, measuring=coder_seconds)
        coders = [Job(f"{i}", {"kind": "baseline"}, 1.0, foretold=each) for i in range(8)]
        monkeypatch.setattr(local, "baseline_jobs", lambda *_: coders)
        request = Request(
            file=Path("s.yaml"), runs=Path(), command="", with_baselines=with_baselines, retry_failed=False,
            console=Console(quiet=True),
        )  # fmt: skip
        object.__setattr__(request, "plan", two_gpus)
        return local.foretold_seconds(request, local.LocalOptions())[0]

    training = foretold(1000, with_baselines=False)
    assert 20 < training < 4000
    assert foretold(1000) == 4000
    assert foretold(1) == training


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
    forget_states([whole], paths)
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
