"""`mdl suggest --run`: a round of suggested cells by itself, in one file, and what the answer became."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mdl.records import RunPaths, read_manifest
from mdl.sweeps import plan_sweep
from tests.command import TINY, assert_one_line, mdl, records
from tests.conftest import markov_text

GRID = TINY.format(steps=30)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep file, its text and its records."""
    folder = tmp_path_factory.mktemp("rounds")
    (folder / "text.txt").write_bytes(markov_text(60_000))
    (folder / "tiny.yaml").write_text(GRID)
    assert mdl("sweep", "tiny.yaml", "--no-baselines", "-q", cwd=folder).returncode == 0
    return folder


@pytest.mark.slow
def test_a_round_is_one_file_its_cells_are_recorded_and_the_new_answer_is_told(swept: Path, tmp_path: Path) -> None:
    """Its cells join the sweep's; a second round is a second file."""
    shutil.copytree(swept, tmp_path, dirs_exist_ok=True)
    folder, before = tmp_path / "runs/tiny", len(records(tmp_path / "runs/tiny"))
    done = mdl("suggest", "tiny.yaml", "--run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    planned = {cell.run_id for cell in plan_sweep(folder / "suggested-1.yaml", tmp_path / "runs").cells}
    assert len(records(folder)) == before + len(planned)
    assert planned <= set(records(folder))
    named = read_manifest(RunPaths(folder))["run_ids"]
    assert len(named) == before + len(planned), "the sweep's own cells are still named"
    assert f"runs/tiny/suggested-1.yaml: {len(planned)} cells" in done.stdout
    assert "critical size" in done.stdout
    assert ", was " in done.stdout
    assert not list((folder / "baselines").glob("*")), "the sweep had asked for no coders"
    again = mdl("suggest", "tiny.yaml", "--run", "--within", "1.01", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert Path(told["file"]).name == "suggested-2.yaml"
    assert len(records(folder)) == before + len(planned) + told["n_cells"]


def test_what_cannot_be_run_is_one_line_and_writes_nothing(swept: Path, tmp_path: Path) -> None:
    shutil.copytree(swept, tmp_path, dirs_exist_ok=True)
    (tmp_path / "table.csv").write_text("N,D,code_bits\n1000,100000,4e5\n2000,100000,3e5\n4000,100000,2.9e5\n")
    before = sorted(tmp_path.rglob("*"))
    assert_one_line(mdl("suggest", "table.csv", "--run", cwd=tmp_path), "no cell whose settings are recorded")
    assert_one_line(mdl("suggest", "tiny.yaml", "--run", "-o", "tiny.yaml", cwd=tmp_path), "not written by mdl suggest")
    assert_one_line(mdl("suggest", "nowhere.yaml", "--run", cwd=tmp_path), "no sweep file at nowhere.yaml")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_cell_is_a_value_that_sets_several_keys(tmp_path: Path) -> None:
    """Such a sweep is no grid, and what is wrong with one is told by key."""

    def plan(parameters: str) -> list[str]:
        (tmp_path / "cells.yaml").write_text(f"name: tiny\nparameters:\n  steps: {{value: 30}}\n  {parameters}\n")
        return [cell.run_id for cell in plan_sweep(tmp_path / "cells.yaml", tmp_path).cells]

    own = "cell: {values: [{size: 4x1, subset_bytes: 10KB}, {size: 8x1, subset_bytes: 20KB}]}"
    grid = ("size: {value: 4x1}\n  subset_bytes: {value: 10KB}", "size: {value: 8x1}\n  subset_bytes: {value: 20KB}")
    assert plan(own) == [run_id for one in grid for run_id in plan(one)]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("cell: {values: [4x1]}", "parameter 'cell': want values such as {size: 8x1, subset_bytes: 1MB}, got '4x1'"),
        ("cell: {value: {}}", "want values such as"),
        ("cell: {min: 1.5, max: 2.5}", "want values such as"),
        ("cell: {values: [{sise: 4x1}]}", "unknown key 'sise'; did you mean"),
        ("cell: {values: [{size: 4x1, steps: 3}]}", "'steps' and 'steps' are both train.steps"),
        ("cell: {values: [{size: 4x1, model.size: 8x1}]}", "'size' and 'model.size' are both model.size"),
        ("cell: {values: [{size: [4x1]}]}", "size: want one number or word"),
    ],
)
def test_a_cell_that_is_none_is_one_line(parameters: str, said: str, tmp_path: Path) -> None:
    text = f"name: tiny\nparameters:\n  steps: {{value: 30}}\n  {parameters}\n"
    (tmp_path / "cells.yaml").write_text(text)
    assert_one_line(mdl("sweep", "cells.yaml", "--dry-run", cwd=tmp_path), said)


def test_an_agent_gives_a_cell_as_one_word(swept: Path, tmp_path: Path) -> None:
    """W&B writes a mapping as Python does."""
    words = ["steps=3", "source=file:text.txt", "cell={'size': '2x1', 'subset_bytes': '5KB', 'context_bytes': 64}"]
    done = mdl("run", *words, "--runs", tmp_path, cwd=swept)
    assert done.returncode == 0, done.stderr
    (record,) = records(tmp_path / "single").values()
    assert (record["model"]["size"], record["subset_bytes"]) == ("2x1", 5000)
