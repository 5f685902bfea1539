"""Every command, file and line of Python in README, documentation and notebooks runs, and prints what is shown.

They run over one small sweep that is made once. What needs a GPU, a network, a cluster or a model says so beside it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from mdl.sweeps import speed_trial
from tests import ROOT
from tests.command import mdl
from tests.conftest import markov_text
from tests.documents import Block, Runner, blocks, cells, is_of_shape

MARKDOWN = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
DOCUMENTS = [*MARKDOWN, *NOTEBOOKS]
HOWTO = ROOT / "docs/howto"  # many, of whole commands
# Named quick, as in the documents, and with their keys, but smaller.
QUICK = """
name: quick
parameters:
  corpus.source: {value: "file:my.txt"}
  subset_bytes: {values: [5KB, 10KB, 20KB]}
  model.size: {values: [2x1, 4x1]}
  model.context_bytes: {value: 64}
  train.recipe: {value: 2}
  train.steps: {value: 20}
  train.heldout_sample_bytes: {value: 512}
  measure.reach_ratio: {value: 1}
  measure.coded_weights: {value: true}
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it: the checkout's sweeps and examples, data, and a sweep that was run. Made once."""
    session = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # all workers of a session share it
        session = session.parent
    with (session / "documents.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (session / "documents/made").exists():
            _make(session / "documents")
            (session / "documents/made").touch()
    return session / "documents"


def _make(folder: Path) -> None:
    for name in ("sweeps", "examples"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copytree(ROOT / "reports/quick", folder / "reports/quick")
    for file in (folder / "sweeps").glob("*.yaml"):
        file.write_text(file.read_text().replace("{value: stdlib}", '{value: "file:my.txt"}'))
    (folder / "sweeps/quick.yaml").write_text(QUICK)
    (folder / "my.txt").write_bytes(markov_text(1_500_000))
    (folder / "book.txt").write_bytes(markov_text(3000, seed=1))
    lines = markov_text(150_000, seed=2).decode()
    rows = [{"id": n, "body": lines[at : at + 150]} for n, at in enumerate(range(0, len(lines), 150))]
    (folder / "my.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    _tables(folder)
    done = mdl("sweep", "sweeps/quick.yaml", "--workers", "1", cwd=folder, MDL_CACHE=str(folder / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr


def _tables(folder: Path) -> None:
    (n, d) = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e10, 5), np.geomspace(1e9, 1e12, 5)))
    losses = pd.DataFrame({"N": n, "D": d, "loss": 1.69 + 406.4 * n**-0.34 + 410.7 * d**-0.28, "passes": 1.0})
    losses.to_csv(folder / "losses.csv", index=False)
    sizes = np.geomspace(1e3, 1e5, 9)
    tables = [pd.DataFrame({"N": sizes.round(), "D": d, "code_bits": d * (2 + 60 * sizes**-0.5)}) for d in (1e5, 1e6)]
    pd.concat(tables).to_csv(folder / "table.csv", index=False)


def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A copy for one document, and what runs it there."""
    mpl.use("agg")
    folder = shutil.copytree(made, tmp_path / "reader")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MDL_CACHE", str(folder / "cache"))
    monkeypatch.setattr(speed_trial, "_TRIAL_SECONDS", 0.1)  # `mdl size` tries the machine every time
    return Runner(folder, next((folder / "runs/quick").glob("4x1-20KB-*")).name, monkeypatch)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(path, marks=[pytest.mark.slow] * (path.parent == HOWTO or path.name == "extending.md"))
        for path in DOCUMENTS
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_what_it_shows_is_true(document: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = document.read_text()
    shown = list(cells(text) if document.suffix == ".ipynb" else blocks(text))
    if not any(block.kind in ("bash", "python") for block in shown):
        return  # nothing to run: what a page says by itself
    runner = place(made, tmp_path, monkeypatch)
    for block in shown:
        runner.run(block)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_one_of_format_4_without_outputs(notebook: Path) -> None:
    content = json.loads(notebook.read_text())
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"]) > 5
    for cell in content["cells"]:
        assert isinstance(cell["source"], list)
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_what_is_printed_is_compared_by_words_and_the_places_of_numbers() -> None:
    shown = "dataset  N*\n───────  ───\n1 MB     22,000 (18.9 K to 2.1 M)\n…\nreport: a.pdf\n"
    printed = "dataset   N*\n────────  ──\n300 KB    8.71 K (7 to 9)\nnote: one\nnote: two\nreport: a.pdf\n"
    assert is_of_shape(printed, shown)
    assert is_of_shape(printed.replace("note: one\nnote: two\n", ""), shown)
    assert not is_of_shape(printed.replace("8.71 K", "not known"), shown)
    assert not is_of_shape(printed.replace("dataset", "data"), shown)
    assert not is_of_shape(printed + "more\n", shown)
    assert is_of_shape("7 of them (4x1, 8x1, 20x3), about 1,236", "9 of them (4x1, 6x1, 8x1, 8x2), about 2")
    assert not is_of_shape("7 of them (4x1, 8x1, x)", "9 of them (4x1, 6x1, 8x1)")


def test_a_block_that_fails_or_prints_something_else_is_found(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check can fail: on a wrong command, a line that no test can run, an exception, another output."""
    runner = place(made, tmp_path, monkeypatch)
    for text, why in (("mdl status nowhere\n", "nowhere"), ("wandb sweep a.yaml\n", "say what this needs")):
        with pytest.raises(AssertionError, match=why):
            runner.run(Block("bash", text, follows=False))
    with pytest.raises(ZeroDivisionError):
        runner.run(Block("python", "1 / 0\n", follows=False))
    runner.run(Block("python", "print('a 1')\n", follows=False))
    with pytest.raises(AssertionError, match="is shown as"):
        runner.run(Block("text", "b 1\n", follows=True))
