"""What a word on the command line stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdl.cli.path_resolution import sweep_file
from tests import ROOT
from tests.command import assert_refused_here


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_sweep_that_comes_along_is_named_by_a_bare_word(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever folder, and a file of the user's own stands before it."""
    monkeypatch.chdir(tmp_path)
    assert sweep_file(Path(file.stem)).read_bytes() == file.read_bytes()
    Path(file.stem).write_text("mine")
    assert sweep_file(Path(file.stem)) == Path(file.stem)


def test_a_word_for_no_sweep_is_one_line_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    says = (
        "no sweep file 'quikc', and mdl has none of that name: give the path of a YAML file, or a name "
        "such as quick or grid; did you mean 'quick'?"
    )
    assert_refused_here(["sweep", "quikc"], says, monkeypatch, capsys)
