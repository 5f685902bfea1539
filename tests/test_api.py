"""The Python API: every example of a public name is run as it stands, and nothing leaves the axes it was given."""

from __future__ import annotations

import builtins
import dataclasses
import doctest
import inspect
import re
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import analysis
import mdl
from analysis.api import Plots
from mdl.sweeps import speed_trial
from tests import ROOT
from tests.conftest import markov_text

mpl.use("agg")
RECORDS = ROOT / "reports/quick/records"
PUBLIC = [getattr(package, name) for package in (mdl, analysis) for name in package.__all__]
DEAR = ("Study", "Answer", "Measurement", "Plots")  # some seconds each
WITH_EXAMPLES = [*PUBLIC, Plots]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A folder of its own, and what examples name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speed_trial, "_TRIAL_SECONDS", 0.1)  # `mdl.size` tries the machine every time
    for name in ("MDL_PLUGIN", "MDL_PLUGIN_SHA256"):
        monkeypatch.setenv(name, "")  # and as it was again, whatever an example loads
    (N, D) = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e10, 8), np.geomspace(1e9, 1e12, 8)))
    losses = pd.DataFrame({"N": N, "D": D, "loss": 1.69 + 406.4 * N**-0.34 + 410.7 * D**-0.28})
    losses.to_csv("losses.csv", index=False)
    return {
        "mdl": mdl,
        "analysis": analysis,
        "RECORDS": RECORDS,
        "LOSSES": "losses.csv",
        "SWEEPS": ROOT / "sweeps",
        "Path": Path,
        "np": np,
    }


@pytest.mark.parametrize(
    "thing",
    [pytest.param(each, marks=[pytest.mark.slow] * (each.__qualname__ in DEAR)) for each in WITH_EXAMPLES],
    ids=lambda thing: thing.__qualname__,
)
def test_its_examples_are_true(thing: object, place: dict[str, object]) -> None:
    """As printed, but for `...`; a class's with those of its methods."""
    finder = doctest.DocTestFinder()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in finder.find(thing, thing.__name__, globs=place):  # type: ignore[attr-defined]
        runner.run(test)
    assert runner.failures == 0
    assert runner.tries > 0


def sections_of(thing: object) -> dict[str, str]:
    """The text of each numpydoc section of a docstring."""
    parts = re.split(r"^(\w+)\n-+\n", inspect.getdoc(thing) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def methods_of(cls: type) -> list[object]:
    """Public functions that the class itself defines."""
    own = [getattr(cls, name) for name in vars(cls) if not name.startswith("_")]
    return [one for one in own if inspect.isroutine(one) and not isinstance(one, cached_property)]


@pytest.mark.parametrize("thing", [*PUBLIC, Plots], ids=lambda thing: thing.__qualname__)
def test_it_is_documented(thing: type | object) -> None:
    """Of a function each parameter, what comes back and what is raised; of a class all that a user can read off it."""
    functions = methods_of(thing) if inspect.isclass(thing) else [thing]
    for function in functions:
        sections = sections_of(function)
        parameters = [name for name in inspect.signature(function).parameters if name != "self"]  # type: ignore[arg-type]
        assert {"Returns", "Examples"} <= set(sections), function
        assert {*re.findall(r"\w+", sections.get("Parameters", ""))} >= set(parameters), function
        assert inspect.isclass(thing) or "Raises" in sections
    if inspect.isclass(thing):
        sections = sections_of(thing)
        assert "Examples" in sections
        fields = [field.name for field in dataclasses.fields(thing)] if dataclasses.is_dataclass(thing) else []
        seen = [name for name, value in vars(thing).items() if isinstance(value, property | cached_property)]
        told = re.findall(r"^(\w+)$", sections.get("Attributes", "") + sections.get("Parameters", ""), re.MULTILINE)
        assert {name for name in [*fields, *seen] if not name.startswith("_")} <= set(told)


def test_from_ones_own_file_to_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One's own bytes to critical sizes, in one process and by the command line's records."""
    monkeypatch.chdir(tmp_path)
    Path("my.txt").write_bytes(markov_text(60_000))
    grid = {"size": ["2x1", "4x1", "8x1"], "subset_bytes": ["10KB", "30KB"], "steps": 20, "context_bytes": 64}
    sweep = mdl.Sweep(name="mine", source="file:my.txt", heldout_sample_bytes=1024, **grid)
    folder = mdl.run(sweep, out="runs", workers=2, baselines=False)
    again = mdl.run(sweep, out="runs", baselines=False, options={"per_gpu": 2})  # nothing is left to do
    assert again == folder == Path("runs/mine")
    study = analysis.load(folder).study(cost="float16")
    assert study.critical["subset_bytes"].tolist() == [10_000, 30_000]
    assert set(study.rates["size"]) == {"2x1", "4x1", "8x1"}
    coder = mdl.compressor(folder / sweep.cells[0].run_id)
    assert coder.decompress(coder.compress(b"to be")) == b"to be"
    assert (study.report("out", formats=["md"]) / "report.md").stat().st_size > 1000


def test_in_a_notebook_progress_is_lines_of_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one output; not an element of HTML each, and no bar that a terminal would redraw."""
    monkeypatch.chdir(tmp_path)
    Path("my.txt").write_bytes(markov_text(20_000))
    shell = type("ZMQInteractiveShell", (), {})  # by which rich knows a notebook's kernel
    monkeypatch.setattr(builtins, "get_ipython", shell, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)  # as a kernel's does
    sweep = mdl.Sweep(name="n", source="file:my.txt", size="2x1", subset_bytes="5KB", steps=2, heldout_sample_bytes=512)
    mdl.run(sweep, workers=1, baselines=False)
    told = capsys.readouterr().out
    assert "n: 1 cell, 0 done, 1 to do in 1 cohort\n" in told
    assert "1 of 1 cell, 2x1 ×1 done\n" in told
    assert "\x1b" not in told


def test_what_a_user_can_mend_is_an_error_and_never_an_exit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(mdl.MdlError, match="unknown key 'widht'; did you mean 'width'"):
        mdl.Sweep(widht=4, depth=1)
    with pytest.raises(mdl.MdlError, match=r"'train\.steps' is given twice"):
        mdl.Sweep(size="4x1", steps=1, **{"train.steps": 2})
    with pytest.raises(mdl.MdlError, match=r"nowhere\.txt"):
        mdl.run(mdl.Sweep(size="2x1", source="file:nowhere.txt", subset_bytes="1KB"), baselines=False)
    tiny = mdl.Sweep(size="2x1", source="stdlib", subset_bytes="1KB")
    with pytest.raises(mdl.MdlError, match="unknown back end 'slrum'; did you mean 'slurm'"):
        mdl.run(tiny, backend="slrum")
    with pytest.raises(mdl.MdlError, match="back end 'local' has no option 'partition'"):
        mdl.run(tiny, options={"partition": "gpu"})
    with pytest.raises(mdl.MdlError, match="mdl sweep FILE --backend wandb"):
        mdl.run(tiny, backend="wandb")
    with pytest.raises(analysis.AnalysisError, match="no sweep at nowhere"):
        analysis.load("nowhere")
    with pytest.raises(analysis.AnalysisError, match="flaot16"):
        analysis.load(RECORDS).study("flaot16")


def test_several_groups_are_named_where_one_has_to_be_chosen() -> None:
    study = analysis.load(ROOT / "reports/study-other-texts/records").study()
    with pytest.raises(analysis.AnalysisError, match="there are several groups: give group=, one of "):
        _ = study.size_law
    assert len(study.size_laws) > 1
    assert len(repr(study)) < 700


@pytest.mark.parametrize("name", ["adjusted_rate", "raw_rate", "heldout_rate", "critical_size"])
def test_figures_stay_inside_the_axes_they_are_given(name: str) -> None:
    """In a grid of subplots no label of one lies over another; the user's rcParams are as they were."""
    from matplotlib import pyplot as plt

    study = analysis.load(RECORDS).study()
    before = dict(mpl.rcParams)
    figure, axes = plt.subplots(1, 3, figsize=(12, 4))
    returned = getattr(study.plot, name)(ax=axes[1])
    assert returned is axes[1]
    assert dict(mpl.rcParams) == before
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    box = axes[1].get_window_extent(renderer)
    for text in [*axes[1].texts, *(legend.get_texts() if (legend := axes[1].get_legend()) else ())]:
        extent = text.get_window_extent(renderer)
        assert extent.x0 >= box.x0 - 1, text.get_text()
        assert extent.x1 <= box.x1 + 1, text.get_text()
        assert extent.y1 <= box.y1 + 1, text.get_text()
    plt.close(figure)


def test_results_are_short_to_read_and_show_as_html_in_a_notebook() -> None:
    study = analysis.load(RECORDS).study()
    for thing in (analysis.load(RECORDS), study, study.size_law, mdl.Sweep(size=["4x1", "8x1"], subset_bytes="1MB")):
        assert len(repr(thing)) < 200
        assert "\n" not in repr(thing)
        assert thing._repr_html_().startswith("<p>")


def test_importing_the_packages_loads_nothing_heavy() -> None:
    code = "import sys, mdl, analysis; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "numpy", "pandas", "matplotlib", "scipy", "rich", "pydantic"}
