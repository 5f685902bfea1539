"""`train.steps: auto`: doublings until one is foretold to gain too little; what is trained equals separate runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdl.config import Cohort, budgets
from mdl.errors import MdlError
from mdl.records import CellRecord, RunPaths, read_cell, write_record
from mdl.sweeps.grid import cells_of
from mdl.sweeps.jobs import missing
from mdl.sweeps.sweep_file import load_sweep
from mdl.training import run_cohort
from mdl.training.checkpoint import CheckpointFile, kept_members
from mdl.training.cohort_module import CohortModule
from mdl.training.longer_training import foretold, two_part_bits
from mdl.training.progress import Watch, tell_loss
from mdl.training.shared_steps import Trunk
from tests.command import leftovers
from tests.mdl.training.test_trunk import grid, same, separately
from tests.warm_python import COLD

STEPS = (10, 20, 40, 80)
UNTIL = 0.14


def auto(text: Path, **more: Any) -> Cohort:
    """Members of 100 bytes, that a model soon knows by heart, and of 10 KB; at a price that leaves most in the data."""
    return grid(text, **({"steps": "auto(10, 80)", "until": UNTIL, "price": 0.01} | more))


def of_budgets(records: list[CellRecord]) -> dict[int, dict[int, CellRecord]]:
    """By subset size and steps."""
    found: dict[int, dict[int, CellRecord]] = {}
    for record in records:
        found.setdefault(record.subset_bytes, {})[record.config["train.steps"]] = record
    return found


@given(st.floats(0.1, 1.5), st.floats(0, 10), st.integers(2, 6))
def test_gains_that_fall_evenly_are_foretold_exactly(exponent: float, floor: float, n: int) -> None:
    """L = floor + steps^-p, for p from ½·½ to 1: a doubling gains 2^-p of what the one before did."""
    exponent = min(1.0, exponent)
    steps = [100 * 2**k for k in range(n + 1)]
    lengths = [floor + (s / 100) ** -exponent for s in steps]
    gain = foretold(steps, lengths[:-1])
    if n == 2:
        assert gain == pytest.approx((lengths[0] - lengths[1]) * 0.5**0.5 / lengths[1])
    else:
        assert gain == pytest.approx((lengths[-2] - lengths[-1]) / lengths[-2], rel=1e-6)


def test_budgets_that_are_no_doublings_are_foretold_by_their_distance() -> None:
    steps = [1000, 3000, 9000, 30_000]
    lengths = [5 + s**-0.5 for s in steps]
    assert foretold(steps, lengths[:3]) == pytest.approx((lengths[2] - lengths[3]) / lengths[2], rel=0.02)


def test_too_few_budgets_or_a_failed_one_foretell_nothing_and_a_loss_no_gain() -> None:
    assert foretold([1, 2], [3.0]) is None
    assert foretold([1, 2, 4], [float("inf"), 3.0]) is None
    assert foretold([1, 2, 4, 8], [3.0, 2.0, 2.5]) == 0


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ("auto", (1500, 3000, 6000, 12_000, 24_000)),
        ("auto(100, 399)", (100, 200)),
        ("auto( 1_000 , 4000 )", (1000, 2000, 4000)),
    ],
)
def test_auto_names_doublings_up_to_the_limit(steps: str, wanted: tuple[int, ...]) -> None:
    found = budgets({"train.steps": steps})
    assert tuple(one["train.steps"] for one in found) == wanted
    assert {one["train.until"] for one in found} == {0.005}
    assert {one["train.until"] for one in budgets({"train.steps": steps, "train.until": 0.1})} == {0.1}


@pytest.mark.parametrize("steps", ["auto(1)", "auto(0, 9)", "auto(5, 9)", "automatic", "auto(10, 5)"])
def test_any_other_auto_is_refused_with_what_is_wanted(steps: str) -> None:
    with pytest.raises(MdlError, match=r"^train\.steps: .*auto\(FIRST, LIMIT\).*got"):
        budgets({"train.steps": steps})


def test_run_ids_are_those_of_separate_runs(text_file: Path) -> None:
    fixed = grid(text_file, steps=STEPS)
    assert set(auto(text_file).run_ids) == set(fixed.run_ids)
    assert set(auto(text_file, until=0.3, price=2).run_ids) == set(fixed.run_ids)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"recipe": 2},
        pytest.param({"lr_scale": (1.0, 1e30)}, marks=pytest.mark.slow),
        pytest.param({"vocabulary": 300, "price": 1}, marks=pytest.mark.slow),
    ],
)
def test_what_is_trained_equals_separate_runs_and_the_rest_says_why_not(
    more: dict[str, Any], text_file: Path, tmp_path: Path
) -> None:
    """To the bit, though members leave the trunk as their further budgets are left out."""
    cohort, paths = auto(text_file, **more), RunPaths(tmp_path / "auto")
    records = run_cohort(cohort, "s", paths)
    assert sorted(record.run_id for record in records) == sorted(cohort.run_ids)
    alone = separately(grid(text_file, steps=STEPS, **more), RunPaths(tmp_path / "alone"))
    left_out = [record for record in records if record.status == "needless"]
    assert left_out
    for record in records:
        if record in left_out:
            assert record.budget is not None
            assert record.budget.foretold is not None
            assert record.budget.foretold < UNTIL
            assert record.training.n_steps == 0 == len(record.snapshots)
            assert "less than train.until, 14.00%" in (record.reason or "")
        else:
            twin = alone[record.run_id]
            asked = {"config": twin.config, "requested": twin.requested, "cohort_id": twin.cohort_id}
            assert same(replace(record, budget=None, **asked), twin)
    assert not paths.cohorts.exists()


def test_what_was_foretold_and_what_came_are_recorded(text_file: Path, tmp_path: Path) -> None:
    records = run_cohort(auto(text_file), "s", RunPaths(tmp_path))
    for by_steps in of_budgets(records).values():
        done = [by_steps[n] for n in STEPS if by_steps[n].status == "ok"]
        lengths = [two_part_bits(record, 0.01) for record in done]
        for k, record in enumerate(done):
            assert record.budget is not None
            assert record.budget.foretold == foretold(STEPS[: k + 1], lengths[:k])
            came = None if k == 0 else 1 - lengths[k] / lengths[k - 1]
            assert record.budget.came == came
        for n in STEPS[len(done) :]:
            budget = by_steps[n].budget
            assert budget is not None
            assert budget.foretold == foretold(STEPS[: len(done) + 1], lengths)


def test_a_budget_that_loses_is_recorded_and_read_and_foretells_no_gain(text_file: Path, tmp_path: Path) -> None:
    """Found where a model of 200 K parameters had 100 KB by heart: a gain below 0 made a record that did not read."""
    cohort, paths = auto(text_file, subset_bytes="10KB"), RunPaths(tmp_path)
    first = run_cohort(cohort.branches[0], "s", paths)[0]
    file = paths.record(first.run_id)
    segments = tuple(replace(segment, code_bits=1.0) for segment in first.snapshots[0].segments)
    file.unlink()
    write_record(replace(first, snapshots=(replace(first.snapshots[0], segments=segments),)), file)
    second, *left_out = run_cohort(cohort, "s", paths)
    assert read_cell(paths.record(second.run_id)) == second
    assert second.budget is not None
    assert second.budget.came is not None
    assert second.budget.came < 0
    assert [record.status for record in left_out] == ["needless", "needless"]


def test_the_price_decides_too(text_file: Path, tmp_path: Path) -> None:
    """At 1,000 bytes a parameter the data hardly count, and nothing gains."""
    records = run_cohort(auto(text_file, price=1000), "s", RunPaths(tmp_path))
    assert [r.config["train.steps"] for r in records if r.status == "ok"] == [10, 10, 20, 20]


def test_coded_weights_are_a_price(text_file: Path, tmp_path: Path) -> None:
    cohort = auto(text_file, price="coded", coded_weights=True, subset_bytes="10KB")
    records = run_cohort(cohort, "s", RunPaths(tmp_path))
    first, second = (r for r in records if r.config["train.steps"] in STEPS[:2])
    best = [min(code.total_bits for code in r.snapshots[0].coded) for r in (first, second)]
    assert second.budget is not None
    assert second.budget.came == 1 - best[1] / best[0]
    with pytest.raises(MdlError, match=r"measure\.coded_weights"):
        auto(text_file, price="coded")


def test_a_cohort_that_was_stopped_anywhere_goes_on_to_the_same_records(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at every fifth step there is, until it is done."""
    more = {"checkpoint_seconds": 1e-9, "evaluate_every": 1}
    cohort, paths = auto(text_file, **more), RunPaths(tmp_path / "a")
    whole = {record.run_id: record for record in run_cohort(cohort, "s", RunPaths(tmp_path / "b"))}
    look, taken = CohortModule.after_step, 0

    def stopped(self: CohortModule) -> None:
        nonlocal taken
        look(self)
        taken += 1
        if taken % 5 == 0:
            raise SystemExit

    monkeypatch.setattr(CohortModule, "after_step", stopped)
    for _ in range(200):
        try:
            run_cohort(cohort, "s", paths)
            break
        except SystemExit:
            continue
    assert all(
        same(replace(read_cell(paths.record(i)), cohort_id=whole[i].cohort_id), whole[i]) for i in cohort.run_ids
    )
    assert not paths.cohorts.exists()


def test_a_trunk_of_other_members_is_not_gone_on_from(text_file: Path, tmp_path: Path) -> None:
    """As many of them as a changed `train.until` lets go on: their state is no state of these."""
    cohort, paths = auto(text_file, until=1e-9), RunPaths(tmp_path / "a")
    trunk, watch = Trunk(whole=cohort, left=cohort, paths=paths), Watch(lambda *_: None, lambda: None, tell_loss)
    trunk.begin(cohort.branches[0], watch)
    one, other = ({cell.run_id for cell in budgets[1:]} for budgets in cohort.members)
    trunk.going_on(one)
    assert kept_members(trunk.state) == [cohort.members[0][-1].run_id]
    mine = Trunk(whole=cohort, left=cohort.only(other), paths=paths)
    mine.begin(mine.left.branches[0], watch)
    alone = RunPaths(tmp_path / "b")
    twin = Trunk(whole=mine.left, left=mine.left, paths=alone)
    twin.begin(mine.left.branches[0], watch)
    found, expected = (
        CheckpointFile().load_checkpoint(each.checkpoint(mine.left.branches[0].cohort_id)) for each in (paths, alone)
    )
    for name, weight in expected["state_dict"].items():
        assert weight.equal(found["state_dict"][name])


def test_a_smaller_share_or_none_makes_what_was_left_out(text_file: Path, tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    left_out = {r.run_id for r in run_cohort(auto(text_file), "s", paths) if r.status == "needless"}
    assert missing(auto(text_file), paths) is None
    assert missing(auto(text_file, until=0.5), paths) is None
    for asked in (grid(text_file, steps=STEPS), auto(text_file, until=1e-6), auto(text_file, price=0.02)):
        left = missing(asked, paths)
        assert left is not None
        assert set(left.run_ids) == left_out


@pytest.mark.parametrize("first", [{"steps": "auto(10, 20)"}, {"steps": "auto(10, 40)"}])
def test_a_limit_that_is_put_off_knows_what_is_recorded(text_file: Path, tmp_path: Path, first: dict[str, Any]) -> None:
    """What was foretold, what came, and what is left out are those of a sweep that was asked so from the start."""
    at_once, later = RunPaths(tmp_path / "at_once"), RunPaths(tmp_path / "later")
    run_cohort(auto(text_file), "s", at_once)
    run_cohort(auto(text_file, **first), "s", later)
    left = missing(auto(text_file), later)
    assert left is not None
    run_cohort(left, "s", later)
    for run_id in auto(text_file).run_ids:
        mine, theirs = (read_cell(paths.record(run_id)) for paths in (later, at_once))
        assert (mine.status, mine.budget) == (theirs.status, theirs.budget), run_id


@pytest.mark.parametrize("written", ["auto(20, 80)", "{value: 'auto(20, 80)'}", '{value: "auto(20, 80)"}'])
def test_a_sweep_file_says_auto_with_or_without_quotes(written: str, tmp_path: Path) -> None:
    """In braces YAML ends a value at its comma, which the message tells."""
    path = tmp_path / "a.yaml"
    path.write_text(f"parameters:\n  size: {{value: 4x1}}\n  train.steps: {written}\n")
    cells = cells_of(load_sweep(path))
    assert [cell.config.train.steps for cell in cells] == [20, 40, 80]
    path.write_text("parameters:\n  size: {value: 4x1}\n  train.steps: {value: auto(20, 80)}\n")
    with pytest.raises(MdlError, match="in quotes, or leave out the braces"):
        load_sweep(path)


def sweep_file(text: Path, tmp_path: Path, until: float) -> Path:
    """Of `auto`, with the same settings."""
    settings = {key: value for key, value in auto(text).cells[0].config.requested().items() if value is not None}
    settings |= {"model.size": "4x1", "train.until": until, "train.steps": "auto(10, 80)"}
    for key in ("model.width", "model.depth", "model.heads", "logger"):
        settings.pop(key, None)
    parameters: dict[str, Any] = {key: {"value": value} for key, value in settings.items()}
    parameters["subset_bytes"] = {"values": [100, 10_000]}
    path = tmp_path / "auto.yaml"
    path.write_text(json.dumps({"name": "auto", "parameters": parameters}))
    return path


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """A real one."""
    return subprocess.run(
        [sys.executable, "-m", "mdl.cli", *map(str, words)], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_sweep_counts_leaves_out_and_reports_what_is_needless(text_file: Path, tmp_path: Path) -> None:
    """Dry run, sweep, status and report; a smaller share afterwards trains more."""
    file, runs = sweep_file(text_file, tmp_path, UNTIL), tmp_path / "runs"
    told = command("sweep", file, "--runs", runs, "--dry-run")
    assert "at most 8 cells" in told.stdout
    assert command("sweep", file, "--runs", runs, "--no-baselines").returncode == 0
    state = json.loads(command("status", file, "--runs", runs, "--json").stdout)
    assert state["needless"]
    assert len(state["needless"]) + len(state["done"]) == 8
    report = command("report", runs / "auto", "-o", tmp_path / "report")
    assert report.returncode == 0, report.stderr
    assert "not recorded" not in report.stdout
    n_done = len(state["done"])
    file = sweep_file(text_file, tmp_path, 1e-9)
    assert command("sweep", file, "--runs", runs, "--no-baselines").returncode == 0
    state = json.loads(command("status", file, "--runs", runs, "--json").stdout)
    assert len(state["done"]) > n_done
    assert not leftovers(runs / "auto")


def test_one_run_with_auto_steps_trains_until_it_is_enough(text_file: Path, tmp_path: Path) -> None:
    """As W&B's agents start it: its record is of the longest that was trained."""
    words = [f"source=file:{text_file}", "size=4x1", "steps=auto(10, 80)", "subset_bytes=10KB", "context_bytes=64"]
    words += ["until=0.3", "heldout_bytes=5KB", "block_bytes=512"]
    told = command("run", *words, "--runs", tmp_path, "--no-baselines", "--json")
    assert told.returncode == 0, told.stderr
    records = [read_cell(path) for path in (tmp_path / "single").glob("*/record.json")]
    assert len(records) == 4
    longest = max((r for r in records if r.status == "ok"), key=lambda r: r.training.n_steps)
    assert json.loads(told.stdout)["run_id"] == longest.run_id
    assert longest.training.n_steps < 80


@pytest.mark.long
def test_a_sweep_killed_over_and_over_makes_the_records_of_one_that_was_not(text_file: Path, tmp_path: Path) -> None:
    file = sweep_file(text_file, tmp_path, UNTIL)
    assert command("sweep", file, "--runs", tmp_path / "b", "--no-baselines").returncode == 0
    words = [sys.executable, "-m", "mdl.cli", "sweep", str(file), "--runs", str(tmp_path / "a"), "--no-baselines"]
    for seconds in (3, 5, 7, 9):
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, COLD: "1"},  # so that moments are those that they were chosen for
        )  # fmt: skip
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert command("sweep", file, "--runs", tmp_path / "a", "--no-baselines").returncode == 0
    paths = [RunPaths(tmp_path / name / "auto") for name in "ab"]
    run_ids = [path.parent.name for path in paths[1].root.glob("*/record.json")]
    mine, theirs = ({i: read_cell(p.record(i)) for i in run_ids} for p in paths)
    assert all(same(replace(mine[i], cohort_id=theirs[i].cohort_id), theirs[i]) for i in run_ids)
    assert not leftovers(paths[0].root)
