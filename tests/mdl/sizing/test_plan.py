"""What is trained first: all of the data if there is time for it, in a share of the budget, near the forecast."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdl.config import Cell, Cohort, from_flat
from mdl.errors import MdlError
from mdl.models import Shape, count_params, parse_size
from mdl.optimizers import make_optimizer
from mdl.sizing import name_of, parse_seconds, plan_lines
from mdl.sizing.forecast import forecast_of
from mdl.sizing.plan import FIRST_SHARE, WITH_HALF, Data, Setting, SizePlan, first_plan, round_seconds
from mdl.sweeps import Work, speed_trial, waits
from mdl.sweeps.cost_model import H100, USUAL_CORE, core
from tests import ROOT
from tests.own_architectures import HONEST

SETTING = Setting(context_bytes=256, batch_windows=8, n_workers=2, coded=False)
A_STEP = Work(n_steps=1, n_bytes=128, measured_bytes=0, flops_per_byte=1e4)


def data_of(n_bytes: int, modality: str = "text") -> Data:
    heldout = min(n_bytes // 20, 1 << 16)
    return Data(
        source="x",
        modality=modality,
        size_bytes=n_bytes,
        train_bytes=n_bytes - heldout,
        heldout_bytes=heldout,
        n_documents=1,
    )


@pytest.mark.parametrize(("version", "optimizer"), [(1, "adamw"), (2, "muon")])
def test_the_trial_of_the_machine_steps_by_the_recipe(
    version: int, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its optimizer is that which the cells will have: its time is part of a step."""
    made: list[str] = []

    def noted(name: str, *arguments: Any) -> Any:
        made.append(name)
        return make_optimizer(name, *arguments)

    monkeypatch.setattr(speed_trial, "_TRIAL_SECONDS", 0.05)
    monkeypatch.setattr(speed_trial, "make_optimizer", noted)
    found = speed_trial.try_speed(64, 2, device="cpu", recipe=version)
    assert set(made) == {optimizer}
    assert found.seconds(A_STEP).training > 0


@pytest.mark.parametrize("name", ["mingru", "own_lstm"])
def test_another_architecture_is_sized_by_its_own_parameters(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell is one that a sweep takes; the trial of the machine steps it; the Transformer goes without saying."""
    monkeypatch.setattr(speed_trial, "_TRIAL_SECONDS", 0.01)
    assert name in (*HONEST, "mingru")
    setting = replace(SETTING, architecture=name)
    tried = speed_trial.try_speed(64, 2, device="cpu", recipe=2, architecture=name)
    assert tried.seconds(A_STEP).training > 0
    plan = first_plan(data_of(300_000), setting, USUAL_CORE, 600)
    cells = [from_flat(cell) for cell in plan.cells]
    assert {cell.model.architecture for cell in cells} == {name}
    counted = [count_params(cell.resolved.shape)["total"] for cell in cells if cell.subset_bytes == plan.subsets[0]]
    assert list(dict.fromkeys(counted)) == [setting.n_params(size) for size in plan.sizes]
    assert "model.architecture" not in first_plan(data_of(300_000), SETTING, USUAL_CORE, 600).cells[0]


def test_an_architecture_of_one_size_is_one_line() -> None:
    with pytest.raises(MdlError, match=r"'own_order_0' has no 3 sizes that differ in .*: 10x2 has 256, "):
        first_plan(data_of(300_000), replace(SETTING, architecture="own_order_0"), USUAL_CORE, 600)


def params_of(plan: SizePlan) -> list[int]:
    return [count_params(Shape(*parse_size(size), context_tokens=2, block=2))["total"] for size in plan.sizes]


@given(st.integers(10_000, 10**10), st.floats(60, 3600), st.sampled_from(["text", "image", "audio", "bytes"]))
def test_the_first_round_keeps_to_its_share_of_the_budget(n_bytes: int, budget: float, modality: str) -> None:
    """Every cell of it is one that a sweep takes, of shapes in order and subsets that the data have."""
    plan = first_plan(data_of(n_bytes, modality), SETTING, USUAL_CORE, budget)
    assert plan.seconds <= 1.6 * FIRST_SHARE * budget  # a minute is too short for the least that some data want
    assert plan.passes >= (0.25 if budget < 150 else 0.6)
    assert len(plan.sizes) >= 5
    assert params_of(plan) == sorted(params_of(plan))
    assert plan.data.train_bytes >= plan.subsets[0]
    assert list(plan.subsets) == sorted(set(plan.subsets), reverse=True)
    assert plan.subsets[0] == plan.data.train_bytes or len(plan.subsets) == 3  # a law carries a part on to the whole
    n_cells = 2 * len(plan.sizes) * len(plan.subsets)
    assert len({from_flat(cell).run_id for cell in plan.cells}) == len(plan.cells) == n_cells


def test_every_cell_stands_beside_half_of_its_training_which_is_the_beginning_of_the_whole() -> None:
    """So that it costs `WITH_HALF` of the whole alone, and tells how far endless training is."""
    plan = first_plan(data_of(300_000), SETTING, USUAL_CORE, 180)
    members = Cohort(tuple(Cell("x", from_flat(cell)) for cell in plan.cells if cell["model.size"] == "8x1")).members
    assert [[cell.config.train.steps for cell in budgets] for budgets in members] == [[plan.steps // 2, plan.steps]]
    cohort = Cohort(members[0])
    assert cohort.trained_steps == pytest.approx(WITH_HALF * plan.steps, abs=2)
    assert all("\n" not in line for line in plan_lines(plan))


def test_more_time_means_all_of_the_data_and_more_training() -> None:
    plans = [first_plan(data_of(3_000_000), SETTING, USUAL_CORE, budget) for budget in (60, 600, 6000)]
    assert plans[0].subsets[0] < plans[1].subsets[0] <= plans[2].subsets[0] == 2_934_464
    assert plans[1].bytes_seen < plans[2].bytes_seen


@pytest.mark.parametrize("off_by", [0.1, 1.0, 10.0])
def test_the_shapes_lie_about_the_forecast(off_by: float) -> None:
    plan = first_plan(data_of(300_000), SETTING, USUAL_CORE, 600, off_by=off_by)
    assert plan.expected == pytest.approx(off_by * 0.473 * 285_000**0.778)
    assert params_of(plan)[0] < plan.expected < params_of(plan)[-1]


@pytest.mark.parametrize("n_bytes", [20_000, 100_000, 200_000])
def test_small_data_are_trained_on_whole_however_slow_the_machine(n_bytes: int) -> None:
    """Parts of them would take as many steps of more members, and of two parts no law carries a size on."""
    plan = first_plan(data_of(n_bytes), SETTING, core(0.08, 4e-10, "a slow core"), 60)
    assert plan.subsets == (plan.data.train_bytes,)


@pytest.mark.parametrize("n_bytes", [300_000, 400_000, 1_000_000, 30_000_000])
@pytest.mark.parametrize("budget", [60, 180])
def test_parts_for_a_law_pay_for_more_than_the_smallest_model(n_bytes: int, budget: float) -> None:
    """Of a part that pays for less no size is found, and a law carries on from three."""
    plan = first_plan(data_of(n_bytes), SETTING, core(0.01, 3e-11, "a busy core"), budget)
    parts = plan.subsets if len(plan.subsets) > 1 else ()
    assert len(parts) in (0, 3)
    times = 0.85 * (2.2 if plan.steps > 80 else 4.5)
    assert all(forecast_of("text").n_params(part) >= times * SETTING.n_params("2x1") for part in parts)


def test_too_few_bytes_are_refused_with_both_numbers() -> None:
    with pytest.raises(
        MdlError, match="leaves 1,900 of its 2,000 bytes to train on; a model size needs at least 4,000"
    ):
        first_plan(data_of(2000), SETTING, USUAL_CORE, 600)


@pytest.mark.parametrize(("study", "modality"), [("text", "text"), ("images", "image"), ("speech", "audio")])
def test_the_forecast_is_the_committed_studys_law(study: str, modality: str) -> None:
    """Within a fifth over the sizes that were measured: the table is to begin with, not to answer."""
    laws = json.loads((ROOT / f"reports/study-{study}/summary.json").read_bytes())["laws"]
    (law,) = [law for law in laws if law["gamma"] is not None]
    for subset_bytes in (1e5, 1e6, 1e7):
        told = law["k"] * subset_bytes ** law["gamma"]
        assert forecast_of(modality).n_params(subset_bytes) == pytest.approx(told, rel=0.2)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10min", 600),
        ("1h", 3600),
        ("1h 30min", 5400),
        ("1.5 min", 90),
        ("5minutes", 300),
        ("2 hours", 7200),
    ],
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10 parsecs", "min", "1:30", "-5s", "5 6", "inf", "nan"])
def test_what_is_no_time_is_one_line(text: str) -> None:
    with pytest.raises(MdlError, match="is not a time; write 90s, 10min or 1h"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("my.txt", "size-my.txt"),
        ("/a/b/my file.txt", "size-my-file.txt"),
        ("rows:/a/x.jsonl,column=text", "size-x.jsonl"),
        ("folder/", "size-folder"),
        ("hf:me/data", "size-data"),
        ("stdlib", "size-stdlib"),
        ("../..", "size-data"),
    ],
)
def test_a_run_folder_is_named_after_the_file(source: str, name: str) -> None:
    assert name_of(source) == name


def test_processes_that_wait_for_their_cores_are_planned_with_less_to_do() -> None:
    """One process is tried; as many as there are cores train, beside whatever else runs here."""
    assert waits(0.0, 2, 2) == 1.0
    assert waits(1.0, 2, 2) == pytest.approx(1.5)  # alone it had a core for itself
    assert waits(2.0, 2, 2) == pytest.approx(4 / 3)  # it waited too
    assert waits(0.0, 8, 2) == 4.0
    assert waits(100.0, 2, 64) < 1.02  # of a whole machine, of which two cores are ours
    alone, busy = (first_plan(data_of(300_000), SETTING, USUAL_CORE.waiting(times), 180) for times in (1.0, 1.5))
    assert busy.steps * len(busy.sizes) < alone.steps * len(alone.sizes)
    assert busy.seconds <= 1.1 * FIRST_SHARE * 180


def test_cohorts_that_share_a_gpu_compile_beside_each_other_and_take_turns() -> None:
    """Three at once spare two thirds of the waits for kernels, and none of the training."""
    rule = replace(H100, next_start=12.0)
    alone = replace(SETTING, context_bytes=1024, batch_windows=32, n_workers=1, n_gpus=1)
    plan = first_plan(data_of(80_000_000), alone, rule, 600.0)
    kept = {"data": plan.data, "subsets": plan.subsets, "sizes": plan.sizes, "expected": plan.expected}
    one, three = (
        round_seconds(SizePlan(**kept, setting=setting, steps=plan.steps, seconds=0.0, budget_seconds=600.0), rule)
        for setting in (alone, replace(alone, n_workers=3))
    )
    starts = len(plan.sizes) * rule.next_start
    assert one - starts <= three < one
