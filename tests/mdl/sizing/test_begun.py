"""The same question goes on with its run folder, however the data are spelled; another one is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mdl.config import from_flat
from mdl.errors import MdlError
from mdl.models import register_architecture
from mdl.records import SEARCHED, RunPaths, from_plugin
from mdl.sizing import Question, ask, going_on_lines, look_at
from mdl.sizing.deadline import Deadline
from mdl.sizing.plan import Data, Setting, cell
from mdl.sizing.search import Search
from mdl.storage import ChangedError
from mdl.sweeps import cells_text
from tests.command import assert_one_line, mdl
from tests.conftest import markov_text
from tests.own_architectures import Order0
from tests.synthetic import grid, write_sweep

SETTING = Setting(context_bytes=64, batch_windows=4, n_workers=2, coded=False)
DATA = Data(
    source="file:x.txt", modality="text", size_bytes=20_000, train_bytes=19_000, heldout_bytes=1000, n_documents=1
)


def begin(folder: Path, own: dict[str, Any]) -> None:
    """As a search leaves it that was stopped before its first cell had ended."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.yaml").write_text(f"{SEARCHED}\n{cells_text([own], folder.name)}")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "my.txt"
    path.write_bytes(markov_text(30_000))
    return path


@pytest.mark.parametrize("recipe", [1, 2])
def test_a_folder_goes_on_with_the_recipe_that_it_was_begun_with(recipe: int, tmp_path: Path, text: Path) -> None:
    """Where a cell says none it is the first one; a new folder has the second."""
    data, setting = replace(DATA, source=str(text)), replace(SETTING, recipe=recipe)
    own = cell(data, setting, size="4x1", subset_bytes=1000, steps=10)
    if recipe == 1:
        del own["train.recipe"]
    begin(tmp_path / "runs/begun", own)
    asked = ask(str(text), budget="60s", within=1.25, cost="2", runs=tmp_path / "runs", name="begun")
    assert look_at(asked).setting.recipe == recipe
    assert look_at(replace(asked, name="new")).setting.recipe == 2


def test_a_folder_of_one_architecture_is_not_gone_on_with_by_another(tmp_path: Path, text: Path) -> None:
    """The Transformer's folder keeps its name, another's has its own; one begun by hand is refused by name."""
    own = cell(replace(DATA, source=str(text)), SETTING, size="4x1", subset_bytes=1000, steps=10)
    begin(tmp_path / "runs/begun", own)
    how = {"budget": "60s", "within": 1.25, "cost": "2", "runs": tmp_path / "runs", "architecture": "mingru"}
    assert ask(str(text), **how).name == "size-my.txt-mingru"
    assert look_at(ask(str(text), **how)).setting.architecture == "mingru"
    with pytest.raises(MdlError, match=r"begun was begun with the architecture 'transformer'; give --name another"):
        look_at(ask(str(text), **how, name="begun"))


def test_a_folder_of_one_plugin_is_not_gone_on_with_by_an_edited_one(tmp_path: Path, text: Path) -> None:
    """Found by use: sizes that only the older version had made stood beside those of the newer, in one answer."""
    folder = tmp_path / "runs/mine"
    with from_plugin(lambda: "b" * 64):
        register_architecture("edited", lambda shape: Order0(shape.width))
    setting = replace(SETTING, architecture="edited")
    own = cell(replace(DATA, source=str(text)), setting, size="4x1", subset_bytes=1000, steps=10)
    write_sweep(folder, [replace(grid(["4x1"], [1000])[0], plugins={"model.architecture": "b" * 64})])
    begin(folder, own)
    how = {"budget": "60s", "within": 1.25, "cost": "2", "runs": tmp_path / "runs", "architecture": "edited"}
    assert look_at(ask(str(text), **how, name="mine")).setting.architecture == "edited"
    write_sweep(folder, [replace(grid(["8x1"], [1000])[0], plugins={"model.architecture": "a" * 64})])
    said = "has cells of the architecture 'edited' of plugin aaaaaaaaaaaa…, and bbbbbbbbbbbb… is loaded.*give --name"
    with pytest.raises(MdlError, match=said):
        look_at(ask(str(text), **how, name="mine"))


def test_a_folder_of_one_file_is_not_gone_on_with_by_another_of_its_name(tmp_path: Path) -> None:
    for seed, place in enumerate(("a", "b")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "my.txt").write_bytes(markov_text(30_000, seed=seed))
    own = cell(replace(DATA, source="a/my.txt"), SETTING, size="4x1", subset_bytes=1000, steps=10)
    begin(tmp_path / "runs/size-my.txt", own)
    said = "runs/size-my.txt was begun with 'a/my.txt', not with 'b/my.txt'; give --name another word"
    assert_one_line(mdl("size", "b/my.txt", cwd=tmp_path), said)


def begun_with(source: str, folder: Path) -> Question:
    """A question about a folder whose search was begun with that spelling, and stopped after its plan was recorded."""
    asked = ask(source, budget="60s", within=1.25, cost="2", runs=folder, name="begun")
    own = cell(replace(DATA, source=source), SETTING, size="4x1", subset_bytes=1000, steps=10)
    begin(folder / "begun", own)
    sha256 = look_at(asked).corpus.info.sha256
    RunPaths(folder / "begun").manifest.write_text(json.dumps({"corpora": {source: sha256}}))
    return asked


def test_the_same_file_under_another_spelling_goes_on_and_its_cells_stay_the_same(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another path, through a link, with its kind, and as a copy elsewhere."""
    monkeypatch.chdir(tmp_path)
    asked = begun_with("my.txt", tmp_path / "runs")
    Path("link.txt").symlink_to(text)
    Path("copy.txt").write_bytes(text.read_bytes())
    for spelled in ("./my.txt", str(text), "file:my.txt", "runs/../my.txt", "link.txt", "copy.txt", "bytes:my.txt"):
        assert look_at(replace(asked, source=spelled)).data.source == "my.txt"


def test_another_file_or_an_edited_one_is_refused_under_any_spelling(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = begun_with("my.txt", tmp_path / "runs")
    Path("other.txt").write_bytes(markov_text(30_000, seed=1))
    with pytest.raises(MdlError, match=r"begun with 'my.txt', not with 'other.txt'; give --name another word"):
        look_at(replace(asked, source="other.txt"))
    text.write_bytes(markov_text(30_001))
    for spelled in ("my.txt", "./my.txt", str(text)):
        with pytest.raises(ChangedError, match=r"is not what .* was made from"):
            look_at(replace(asked, source=spelled))
    text.unlink()
    with pytest.raises(MdlError, match=r"begun with 'my.txt', which is not here; call from the same folder as then"):
        look_at(replace(asked, source="other.txt"))


def test_the_library_which_goes_without_saying_goes_on_too(tmp_path: Path) -> None:
    """Found by use: what has its default is not in the cells, and the second call ended in a KeyError."""
    asked = begun_with("stdlib", tmp_path / "runs")
    assert look_at(asked).data.source == "stdlib"


def test_a_sweep_file_of_another_hand_is_refused_before_anything_is_trained(tmp_path: Path, text: Path) -> None:
    """Also by a dry run, and whatever it leaves out."""
    (tmp_path / "runs/size-my.txt").mkdir(parents=True)
    file = tmp_path / "runs/size-my.txt/sweep.yaml"
    file.write_text("name: mine\nparameters: {model.size: {value: 8x1}}\n")
    said = "was not written by mdl size and is left as it is; give --name another word"
    assert_one_line(mdl("size", text.name, "--dry-run", cwd=tmp_path), said)


def test_what_was_begun_is_told_as_a_plan_with_how_much_of_it_is_done(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a dry run, which tries no machine then; a new folder has a first plan."""
    monkeypatch.chdir(tmp_path)
    asked = begun_with("my.txt", tmp_path / "runs")
    found = look_at(asked).going_on(asked)
    assert found is not None
    lines = going_on_lines(found)
    assert "models   1 of 1,236 to 1,236 parameters (4x1)" in lines
    assert "training up to 10 steps; 0 of 1 cell done, the rest comes first" in lines
    done = going_on_lines(replace(found, n_done=1))
    assert "training up to 10 steps; 1 of 1 cell done, others follow where they narrow the answer" in done
    assert look_at(replace(asked, name="new")).going_on(asked) is None
    told = mdl("size", text.name, "--name", "begun", "--dry-run", "--json", cwd=tmp_path)
    plan = json.loads(told.stdout)
    assert (plan["n_cells"], plan["n_done"], plan["sizes"]) == (1, 0, ["4x1"])
    assert {key for key, value in plan.items() if value is None} == set(plan["unknown"])


def test_of_two_that_begin_a_folder_at_once_both_work_on_all_cells_of_one_spelling(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by use: one search showed the same subsets twice, of two corpora, and lost the cells of the other."""
    monkeypatch.chdir(tmp_path)
    data = replace(DATA, source=text.name)
    own, others = (cell(data, SETTING, size=size, subset_bytes=1000, steps=10) for size in ("4x1", "8x1"))
    search = Search(
        data=data, setting=SETTING, first=list, anew=lambda *_: [], paths=RunPaths(tmp_path / "runs/both"),
        cost="2", within=1.25, command="", console=Console(quiet=True), deadline=Deadline(0.0, with_report=False),
    )  # fmt: skip
    assert search._of_others([own]) == []
    begin(tmp_path / "runs/both", others)
    assert [from_flat(one).model.size for one in search._of_others([own])] == ["8x1"]
    assert search._of_others([own, others]) == []
    with pytest.raises(MdlError, match=r"was begun with 'my.txt' by another process in this moment; the same command"):
        replace(search, data=replace(data, source="./my.txt"))._of_others([own])
