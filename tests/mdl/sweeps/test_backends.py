"""Where a sweep's jobs run: a back end of a user's own is one file, its options are words, its dead jobs are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import mdl, records

BACKEND = """
import os
from dataclasses import dataclass
from mdl.sweeps import register_backend, run_sweep

@dataclass(frozen=True)
class Options:
    queue: str
    at_once: int = 1

    def __post_init__(self):
        if self.at_once > 8:
            raise ValueError("8 at once are the most")

class Mine:
    options = Options

    def run(self, request, options):
        print(f"queue {options.queue}, {options.at_once} at once")
        return run_sweep(
            request.plan, request.command, request.console,
            n_workers=options.at_once, with_baselines=request.with_baselines,
        )

    def preview(self, request, options):
        return f"{len(request.plan.cells)} cells would go to queue {options.queue}\\n"

    def incarnation(self):
        return (os.environ["MINE_JOB"], int(os.environ["MINE_START"])) if "MINE_JOB" in os.environ else None

register_backend("mine", Mine())
"""
GRID = """
name: small
parameters:
  source: {value: stdlib}
  size: {values: [2x1, 4x1]}
  subset_bytes: {value: 10KB}
  steps: {value: 5}
  context_bytes: {value: 64}
  heldout_sample_bytes: {value: 512}
"""
MINE = ("sweep", "small.yaml", "--no-baselines", "--plugin", "mine.py", "--backend", "mine")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(BACKEND)
    (tmp_path / "small.yaml").write_text(GRID)
    return tmp_path


@pytest.mark.slow
def test_a_back_end_of_ones_own_makes_a_sweep_with_options_of_its_own(place: Path) -> None:
    shown = mdl(*MINE, "--option", "queue=long", "--dry-run", cwd=place)
    assert shown.stdout.endswith("2 cells would go to queue long\n"), shown.stderr
    assert not (place / "runs").exists()
    done = mdl(*MINE, "--option", "queue=long", "--option", "at_once=2", cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "queue long, 2 at once" in done.stdout
    assert done.stdout.endswith("records: runs/small; next: mdl report runs/small\n")
    assert len(records(place / "runs/small")) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--option", "queue=a"] * 2, "option 'queue' of back end 'mine' is given twice"),
        ([], "back end 'mine' wants option 'queue'; give --option queue=…"),
        (["--option", "quene=a"], "back end 'mine' has no option 'quene'; did you mean 'queue'?"),
        (["--option", "queue=a", "--option", "at_once=some"], "back end 'mine', option 'at_once': input should be a"),
        (["--option", "queue=7", "--option", "at_once=9"], "back end 'mine': 8 at once are the most"),
        (["--option", "queue"], "--option queue: want key=value"),
        (["--option", "queue=a", "--partition", "gpu"], "back end 'mine' has no option 'partition'"),
    ],
)
def test_an_option_that_a_back_end_does_not_take_is_one_line(words: list[str], message: str, place: Path) -> None:
    done = mdl(*MINE, *words, cwd=place)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}"), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (place / "runs").exists()


@pytest.mark.parametrize(
    ("whole", "broken", "message"),
    [
        ("def incarnation", "def other", "back end 'mine' has no incarnation;"),
        ("    options = Options\n", "", "back end 'mine' has no options (a dataclass);"),
        ('("mine"', '("slurm"', "there is a back end 'slurm' already"),
    ],
)
def test_a_back_end_that_leaves_something_unsaid_is_refused(whole: str, broken: str, message: str, place: Path) -> None:
    (place / "mine.py").write_text(BACKEND.replace(whole, broken))
    done = mdl(*MINE, cwd=place)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_job_that_its_own_queue_started_again_takes_over_at_once_what_it_claimed(place: Path) -> None:
    """The holder may be on another host, where nobody sees that it is dead; any other job waits for the heartbeat."""
    (run_id,) = (
        line.split(":")[0].strip()
        for line in mdl(*MINE, "--option", "queue=a", "--dry-run", cwd=place).stdout.splitlines()
        if line.startswith("  2x1")
    )
    claims = place / "runs/small/claims"
    claims.mkdir(parents=True)
    claim = {"process": "elsewhere 1 1", "host": "elsewhere", "incarnations": {"mine": ["7", 0]}}
    (claims / f"{run_id}.0").write_text(json.dumps(claim))
    status = ("status", "small.yaml", "--plugin", "mine.py", "--json")
    outside = json.loads(mdl(*status, cwd=place).stdout)
    first = json.loads(mdl(*status, cwd=place, MINE_JOB="7", MINE_START="0").stdout)
    again = json.loads(mdl(*status, cwd=place, MINE_JOB="7", MINE_START="1").stdout)
    assert [len(told["running"]) for told in (outside, first, again)] == [1, 1, 0]


def test_options_of_another_back_end_are_refused_rather_than_left_out(place: Path) -> None:
    done = mdl("sweep", "small.yaml", "--partition", "gpu", cwd=place)
    assert done.returncode == 2
    assert "back end 'local' has no option 'partition' (it has workers, per_gpu)" in done.stderr
