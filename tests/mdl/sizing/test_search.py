"""`mdl size` on real files: in time, to be stopped and gone on with, with nothing hidden from `mdl sweep`."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.errors import AnalysisError
from mdl.config import from_flat
from mdl.data import open_corpus
from mdl.errors import MdlError
from mdl.sizing import ask, look_at
from mdl.sizing.plan import Data, Setting, cell
from mdl.sweeps import cells_text, plan_sweep, read_cells, write_cells
from tests.command import assert_one_line, mdl, records
from tests.conftest import markov_text
from tests.own_architectures import HONEST

SETTING = Setting(context_bytes=64, batch_windows=4, n_workers=2, coded=False)
DATA = Data(
    source="file:x.txt", modality="text", size_bytes=20_000, train_bytes=19_000, heldout_bytes=1000, n_documents=1
)


def test_the_cells_are_a_sweep_file_and_come_back_from_it(tmp_path: Path) -> None:
    """With what varies in lines of their own; another's file is left alone."""
    sizes = [("4x1", 1000, 10), ("8x1", 1000, 10), ("8x1", 2000, 30)]
    cells = [cell(DATA, SETTING, size=size, subset_bytes=d, steps=steps) for size, d, steps in sizes]
    for some in (cells, cells[:1]):
        file = tmp_path / f"{len(some)}.yaml"
        write_cells(cells_text(some, "mine"), "name: mine", file, "mdl size")
        assert [from_flat(one).run_id for one in read_cells(file)] == [from_flat(one).run_id for one in some]
        assert {c.run_id for c in plan_sweep(file, tmp_path).cells} == {from_flat(one).run_id for one in some}
    (tmp_path / "other.yaml").write_text("name: other\n")
    with pytest.raises(MdlError, match="was not written by mdl size and is left as it is"):
        write_cells("", "name: mine", tmp_path / "other.yaml", "mdl size and is left as it is")


def test_an_architecture_without_coded_weights_has_no_such_price(tmp_path: Path, text: Path) -> None:
    how = {"budget": "60s", "within": 1.25, "cost": "coded4", "runs": tmp_path / "runs"}
    assert "own_lstm" in HONEST
    with pytest.raises(MdlError, match="--cost coded4 needs coded weights, which the architecture 'own_lstm' does not"):
        look_at(ask(str(text), **how, architecture="own_lstm"))
    assert look_at(ask(str(text), **how, architecture="mingru")).setting.coded
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "my.txt"
    path.write_bytes(markov_text(30_000))
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("text")
def test_a_dry_run_plans_and_makes_nothing(tmp_path: Path) -> None:
    plan = json.loads(mdl("size", "my.txt", "--dry-run", "--json", cwd=tmp_path).stdout)
    assert plan["subsets"][0] == 25_904  # all but what is held out: a block
    assert list(tmp_path.iterdir()) == [tmp_path / "my.txt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.txt"], "no file or folder at nowhere.txt"),
        (["my.txt", "--budget", "soon"], "'soon' is not a time"),
        (["my.txt", "--budget", "5s"], "a budget of 5 s is too short; give at least 30 s"),
        (["my.txt", "--cost", "flaot16"], "did you mean 'float16'"),
        (["my.txt", "--within", "1"], "above 1"),
        (["my.txt", "--name", "../x"], "cannot be a folder name"),
        (["my.txt", "--within", "inf"], "a number above 1"),
        (["my.txt", "--name", ""], "cannot be a folder name"),
        (["my.txt", "--column", "text"], "no table at my.txt"),
        (["my.txt", "--column", "text", "--any"], "give one of them"),
        (["my.txt", "tiny.txt"], "of several files give the folder, or a glob in quotes, as in '*.txt'; see mdl size"),
        (["two.jsonl"], "has 2 columns of text (a, b); name one, as in mdl size --column a,"),
        (["link"], "link is a link to nowhere, which leads nowhere"),
        (["file:link"], "link is a link to nowhere, which leads nowhere"),
        (["folder"], "no file in folder, hidden ones aside"),
        (["binaries"], "(1 file: 1 no text); image:binaries codes its pictures; mdl size --any, elsewhere bytes:bin"),
        (["my.txt", "--cost", "none"], "free parameters have no critical size"),
        (["my.txt", "--cost", "coded9"], "never coded at 9 bits; --cost takes coded with one of 2, 3, 4"),
        (["my.txt", "--runs", "my.txt", "--dry-run"], "no records can be written to my.txt"),
        (["my.txt", "--runs", "/proc"], "no records can be written to /proc/size-my.txt: nothing can be made there"),
        (["my.txt", "--architecture", "mingrue"], "unknown architecture 'mingrue'; did you mean 'mingru'?"),
        (["tiny.txt"], "a model size needs at least 4,000: give some 8 KB or more in all"),
    ],
)
@pytest.mark.usefixtures("text")
def test_what_cannot_be_answered_is_one_line_and_leaves_nothing(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "tiny.txt").write_bytes(b"x" * 500)
    (tmp_path / "two.jsonl").write_text('{"a": "one", "b": "two"}\n' * 5000)
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("folder", "binaries"):
        (tmp_path / name).mkdir()
    (tmp_path / "binaries/a.png").write_bytes(bytes(5000))
    assert_one_line(mdl("size", *words, "--dry-run", cwd=tmp_path), said)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"budget": math.inf}, "a budget of inf is no time"),
        ({"budget": math.nan}, "a budget of nan is no time"),
        ({"within": math.nan}, "a number above 1 such as 1.25, got nan"),
        ({"workers": 0}, "workers is 0; give a whole number from 1 on"),
        ({"cost": "0"}, "free parameters have no critical size"),
    ],
)
def test_numbers_that_are_none_are_refused_in_python_too(
    tmp_path: Path, text: Path, wrong: dict[str, Any], said: str
) -> None:
    how: dict[str, Any] = {"budget": 60.0, "within": 1.25, "cost": "2", "runs": tmp_path / "runs"}
    with pytest.raises((MdlError, AnalysisError), match=said):
        look_at(ask(str(text), **how | wrong))


@pytest.mark.long
@pytest.mark.usefixtures("text")
def test_an_answer_comes_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """And `mdl sweep` takes the file that it leaves."""
    done = mdl("size", "my.txt", "--budget", "90s", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["folder"] == "runs/size-my.txt"
    assert answer["critical"]
    before = records(tmp_path / "runs/size-my.txt")
    assert len(before) >= 5
    swept = mdl("sweep", "runs/size-my.txt/sweep.yaml", "--no-baselines", "--dry-run", "--json", cwd=tmp_path)
    assert json.loads(swept.stdout)["n_cells"] >= len(before)
    again = mdl("size", "my.txt", "--budget", "40s", cwd=tmp_path)
    assert "going on with the cells of runs/size-my.txt/sweep.yaml" in again.stdout
    assert before.items() <= records(tmp_path / "runs/size-my.txt").items()


@pytest.mark.slow
@pytest.mark.usefixtures("text")
def test_ctrl_c_ends_with_the_best_answer_so_far(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mdl.cli", "size", "my.txt", "--budget", "100s"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while process.poll() is None and len(list(tmp_path.glob("runs/*/*/record.json"))) < 6:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 130, said
    assert "it was stopped; the same command goes on" in said
    assert "Traceback" not in said
    assert (tmp_path / "runs/size-my.txt/sweep.yaml").exists()


@pytest.mark.long
def test_noise_pays_for_no_model(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(30_000))
    done = mdl("size", "noise", "--budget", "90s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "does not pay for any model: with the best model found, code and parameters take 1" in done.stdout


@pytest.mark.parametrize("seed", [0, 7, 9])
def test_of_a_folder_as_much_is_trained_on_as_was_planned(seed: int, tmp_path: Path) -> None:
    """What is held out are whole documents: the cells ask for it as the plan did, not for what it came to."""
    lengths = np.random.default_rng(seed).integers(1, 40_000, 12)
    (tmp_path / "texts").mkdir()
    for i, length in enumerate(lengths):
        (tmp_path / f"texts/{i}.txt").write_bytes(markov_text(int(length), seed=i))
    asked = ask(str(tmp_path / "texts"), budget="60s", within=1.25, cost="2", runs=tmp_path / "runs")
    found = look_at(asked)
    one = from_flat(cell(found.data, found.setting, size="4x1", subset_bytes=found.data.train_bytes, steps=10))
    assert len(open_corpus(one.corpus.spec()).train) == found.data.train_bytes
