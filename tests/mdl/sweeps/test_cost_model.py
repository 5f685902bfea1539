"""What a cohort will take: by a rule, by what is remembered of others, and what of these is remembered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mdl.models import Shape, forward_flops_per_byte, parse_size
from mdl.records import RunPaths, read_ending
from mdl.sweeps import Plan, open_corpora, speed_trial, worker
from mdl.sweeps.cost_model import H100, USUAL_CORE, CostModel, Rule, Spent, Work, core
from mdl.sweeps.device_shares import DeviceShares, Share
from mdl.sweeps.jobs import cohort_job
from mdl.sweeps.phase_clock import PhaseClock
from mdl.sweeps.seen_cohorts import cost_model, remember
from mdl.training import WandbServer
from tests.command import write_sweep
from tests.mdl.training.test_trunk import grid

SHAPES = st.builds(
    lambda steps, each, coded, flops: Work(
        n_steps=steps, n_bytes=steps * each, measured_bytes=coded, flops_per_byte=flops
    ),
    st.integers(10, 5000), st.integers(100, 10**6), st.integers(10**4, 10**8), st.floats(1e3, 1e8),
)  # fmt: skip


@given(st.lists(SHAPES, min_size=3, max_size=8), st.floats(0.1, 10), st.sampled_from([H100, USUAL_CORE]))
def test_a_machine_that_is_some_times_as_fast_is_foretold_within_half(
    works: list[Work], times: float, rule: Rule
) -> None:
    """Once cohorts ran there, those are; a like one that did not as well."""
    slow = {work: rule.seconds(work) for work in works}
    ran = [(w, Spent(start=5.0, training=s.training * times, measuring=s.measuring * times)) for w, s in slow.items()]
    model = CostModel(rule, tuple(ran))
    for work, spent in ran:
        if min(slow[work].training, spent.training) > 0.1:  # of less the first steps are all that is seen
            assert 1 / 1.5 < model.seconds(work).training / spent.training < 1.5


@given(st.floats(0, 0.1), st.floats(1e-13, 1e-9), st.integers(64, 10**5))
def test_the_trial_of_a_core_finds_what_a_step_and_an_operation_take(step: float, flop: float, n_bytes: int) -> None:
    """From the seconds of two shapes' steps: the same rule foretells `mdl size` and `mdl sweep --dry-run`."""
    shapes = [Shape(*parse_size(size), context_tokens=256) for size in ("8x1", "32x2")]
    steps = [
        Work(n_steps=1, n_bytes=n_bytes, measured_bytes=0, flops_per_byte=forward_flops_per_byte(s)) for s in shapes
    ]
    small, large = (core(step, flop, "known").seconds(work).training for work in steps)
    found = speed_trial.line_through(shapes, (small, large), n_bytes)
    assert (found.step, found.flop) == (pytest.approx(step, rel=1e-6, abs=1e-9), pytest.approx(flop, rel=1e-6))


def test_what_ran_is_remembered_by_kind_of_machine_and_the_newest_of_like_work_stays() -> None:
    work = Work(n_steps=100, n_bytes=10**6, measured_bytes=10**5, flops_per_byte=1e4)
    usual = cost_model(on_gpu=False).seconds(work).training
    for times in (50.0, 8.0):
        spent = Spent(start=1.0, training=2 * times * usual, measuring=1.0)
        remember(work, spent, share=0.5, on_gpu=False)
    model = cost_model(on_gpu=False)
    assert len(model.seen) == 1
    assert model.seconds(work).training == pytest.approx(8 * usual, rel=0.15), "of two that shared a device half"
    assert "1 cohort that ran here" in model.source


def test_a_cohort_of_two_steps_says_nothing_of_how_fast_others_train() -> None:
    """Its seconds are those of recording a step: a grid of a minute was once foretold to take twenty."""
    short = Work(n_steps=2, n_bytes=65_536, measured_bytes=10**7, flops_per_byte=1e6)
    long = Work(n_steps=700, n_bytes=92 * 10**6, measured_bytes=2 * 10**8, flops_per_byte=1e6)
    seen = ((short, Spent(start=20.0, training=0.4, measuring=0.1)),)
    assert CostModel(H100, seen).seconds(long).training == H100.seconds(long).training


@pytest.fixture
def clock_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets time.monotonic()."""
    now = 0.0

    def put(to: float) -> None:
        nonlocal now
        now = to

    monkeypatch.setattr(time, "monotonic", lambda: now)
    return put


def test_a_cohort_is_remembered_by_the_pace_of_its_later_steps(
    clock_at: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A first step of 4 s, and 3 s until a graph is captured, are of its start, in each of two parts with a budget."""
    clock = PhaseClock("a cohort", 0.0)
    clock("compiling")
    for began, done_before in ((0.0, 0), (20.0, 1005)):
        for at, done in ((4.0, 1), (7.0, 5), (9.5, 255), (12.0, 505), (14.5, 755), (17.0, 1005)):
            clock_at(began + at)
            clock("training", done_before + done, 2010)
        clock("measuring")
        clock_at(began + 20.0)
        clock("compiling")
    spent = Spent(start=pytest.approx(34.0 - 20.1), training=pytest.approx(20.1), measuring=pytest.approx(6.0))
    assert clock.spent() == spent
    assert capsys.readouterr().err.count("a cohort (process") == 8, "each change of phase is in the log"


def test_what_passes_at_a_step_is_none_of_the_pace(
    clock_at: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """After the last one the state is saved: 3 s, where twenty steps take 2."""
    clock = PhaseClock("a cohort", 0.0)
    for at, done in ((4.0, 1), (4.5, 5), (5.0, 10), (6.0, 20), (9.0, 20)):
        clock_at(at)
        clock("training", done, 20)
    clock("measuring")
    clock_at(10.0)
    assert clock.spent().training == pytest.approx(2.0)
    assert "training" in capsys.readouterr().err


def test_of_a_few_steps_no_pace_is_known(clock_at: Callable[[float], None]) -> None:
    """And so no training: two steps of seven members once foretold 28 minutes for a grid of four."""
    clock = PhaseClock("a cohort", 0.0)
    for at, done in ((4.0, 1), (7.0, 2)):
        clock_at(at)
        clock("training", done, 2)
    clock("measuring")
    clock_at(8.5)
    spent = clock.spent()
    assert spent == Spent(start=4.0, training=0.0, measuring=1.5)
    short = Work(n_steps=2, n_bytes=458_752, measured_bytes=10**7, flops_per_byte=7e6)
    long = Work(n_steps=3500, n_bytes=803 * 10**6, measured_bytes=2 * 10**8, flops_per_byte=7e6)
    assert CostModel(H100, ((short, spent),)).seconds(long).training == H100.seconds(long).training


def test_a_cohort_has_an_nth_of_a_device_while_n_are_there(clock_at: Callable[[float], None]) -> None:
    """Work of 60 s beside two others for the first 30 s ends after 80, and is remembered as 60."""
    clock_at(0.0)
    shares = DeviceShares()

    def begin(*devices: str) -> Share:
        share = shares.of(devices)
        share.begin()
        return share

    def average(share: Share) -> float:
        share.end()
        return share.average

    three, elsewhere = [begin("0") for _ in range(3)], begin("1")
    clock_at(30.0)
    assert (average(three.pop()), average(three.pop())) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    clock_at(80.0)
    assert average(three.pop()) * 80.0 == pytest.approx(60.0)
    both = begin("0", "1")
    clock_at(160.0)
    assert (average(both), average(elsewhere)) == (pytest.approx(1 / 2), pytest.approx(3 / 4))
    assert average(begin()) == 1.0, "a core is one's own"


def test_a_cohort_takes_a_share_from_its_first_step_on(clock_at: Callable[[float], None]) -> None:
    """Beside one that trains for 80 s another one's 40 s of imports leave it the device; both then have half."""
    clock_at(0.0)
    shares = DeviceShares()
    one, other, none = (shares.of(["0"]) for _ in range(3))
    one.begin()
    clock_at(40.0)
    other.begin()
    clock_at(60.0)
    other.begin()  # told of every progress
    clock_at(80.0)
    for share in (one, other, none):
        share.end()
    assert (one.average, other.average, none.average) == (pytest.approx(3 / 4), pytest.approx(1 / 2), 1.0)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 10**5, b"null", b'{"work": [], "spent": []}'])
def test_a_damaged_note_of_what_a_cohort_took_is_none(content: bytes) -> None:
    work = Work(n_steps=100, n_bytes=10**6, measured_bytes=10**5, flops_per_byte=1e4)
    remember(work, Spent(start=1.0, training=100.0, measuring=1.0), share=1.0, on_gpu=False)
    (note,) = (Path(os.environ["MDL_CACHE"]) / "cohorts-alone").glob("*/*.json")
    sound = note.read_bytes()
    assert len(cost_model(on_gpu=False).seen) == 1
    damaged = [sound.replace(b"100.0", value) for value in (b"null", b'"1"', b"NaN", b"Infinity", b"-1", b"1" * 400)]
    for bad in (content, *damaged):
        note.write_bytes(bad)
        assert cost_model(on_gpu=False).seen == ()


def test_work_on_several_devices_is_foretold_by_what_ran_on_as_many_or_fewer() -> None:
    """Of a machine three times as slow as the rule: what took 300 s on four GPUs takes some 1,150 s on one."""
    alone = Work(n_steps=1000, n_bytes=10**9, measured_bytes=10**8, flops_per_byte=1e7)
    wide = replace(alone, n_devices=4)
    taken = H100.seconds(wide)
    slow = Spent(start=5.0, training=3 * taken.training, measuring=3 * taken.measuring)
    model = CostModel(H100, ((wide, slow),))
    assert model.seconds(wide).training == pytest.approx(slow.training, rel=0.1)
    assert 3.5 < model.seconds(alone).training / model.seconds(wide).training < 4


@pytest.mark.parametrize(("more", "expected"), [({}, True), ({"steps": "auto(10, 40)", "until": 0.5}, False)])
def test_a_cohort_that_left_budgets_out_is_not_remembered_as_one_that_did_not(
    more: dict[str, Any], expected: bool, text_file: Path, tmp_path: Path
) -> None:
    cohort = grid(text_file, **{"steps": (10, 20), "price": 0.01, **more})
    plan = Plan("s", RunPaths(tmp_path / "s"), (cohort,))
    job = cohort_job(plan, cohort, "", open_corpora(plan, Console(quiet=True)))
    answer = worker._cohort(job.request, lambda event, **fields: None, WandbServer())
    assert (answer["spent"] is not None) == expected
    assert answer["n_cells"] == len(cohort.cells)
    left_out = [r for r in map(plan.paths.record, cohort.run_ids) if read_ending(r)[0] == "needless"]
    assert bool(left_out) != expected


@pytest.mark.slow
def test_every_cohort_that_trains_as_one_is_remembered(tmp_path: Path, text_file: Path) -> None:
    """Of two budgets, too; not one that was stopped and goes on."""
    write_sweep(tmp_path, text_file, steps=(1000, 2000))

    def sweep(runs: str, cache: str, stop: bool = False) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--no-baselines", "--runs", runs]
        command += ["--workers", "1"]  # no cohort is cut
        environment = {**os.environ, "MDL_CACHE": str(tmp_path / cache)}
        driver = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
        log = tmp_path / runs / "small" / "log.txt"
        while stop and driver.poll() is None:
            if log.exists() and ": training" in log.read_text():
                driver.send_signal(signal.SIGTERM)
                break
            time.sleep(0.05)
        assert driver.wait(300) == (143 if stop else 0)
        notes = (tmp_path / cache / "cohorts-alone").glob("*/*.json")
        return [json.loads(note.read_bytes())["spent"] for note in notes]

    spent = sweep("runs", "cache")
    assert len(spent) == 3
    assert all(min(one.values()) > 0 for one in spent)
    assert sweep("stopped", "other", stop=True) == []
    assert len(sweep("stopped", "other")) < 3
