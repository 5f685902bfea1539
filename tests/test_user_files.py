"""Nothing of the user's is lost: what a command did not write it neither deletes nor overwrites, by no link either."""

import json
import shutil
from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from analysis.report import build_report
from mdl.cli import generate
from mdl.errors import MdlError
from mdl.generation import Sampling
from mdl.storage import remove_dead_temporaries, remove_own, set_aside
from tests.synthetic import cell, corpus, write_sweep


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("runs") / "small", [cell("8x1", 10**6, 9e6)])


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report has a figure that the report of `small` has not."""
    records = [cell("8x1", 10**6, 9e6), cell("8x1", 10**6, 9e6, of=corpus("b"))]
    return write_sweep(tmp_path_factory.mktemp("runs") / "large", records)


@pytest.fixture(scope="module")
def reports(small: Path, large: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of both, as they were made."""
    folder = tmp_path_factory.mktemp("reports")
    for sweep in (small, large):
        build_report(sweep, folder / sweep.name)
    return folder


@pytest.fixture
def of_small(reports: Path, tmp_path: Path) -> Path:
    return shutil.copytree(reports / "small", tmp_path / "r")


@pytest.fixture
def of_large(reports: Path, tmp_path: Path) -> Path:
    return shutil.copytree(reports / "large", tmp_path / "r")


@pytest.mark.slow
def test_a_report_leaves_what_it_did_not_write(small: Path, large: Path, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    mine = [out / "figures" / "my_photo.jpg", out / "notes.txt", out / "figures" / "old.pdf"]
    (out / "figures").mkdir(parents=True)
    for path in mine:
        path.write_text("mine")
    build_report(large, out)
    gone = out / "figures" / "adjusted_rate_2.pdf"
    assert gone.exists()
    changed = out / "figures" / "adjusted_rate_2.svg"
    changed.write_text("drawn anew by hand")
    build_report(small, out)
    assert not gone.exists(), "an earlier report wrote it, and this one did not"
    assert changed.read_text() == "drawn anew by hand"
    assert [path.read_text() for path in mine] == ["mine"] * 3


@pytest.mark.parametrize("name", ["report.pdf", "summary.json", "rates.csv", "figures/adjusted_rate.pdf"])
def test_a_report_overwrites_no_file_of_the_users(small: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "thesis" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(AnalysisError, match=f"{name} was not written by mdl report"):
        build_report(small, tmp_path / "thesis")
    assert [p for p in (tmp_path / "thesis").rglob("*") if p.is_file()] == [path]
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["figures", "report.pdf", "figures/adjusted_rate.pdf", "report_files.json"])
def test_a_report_writes_through_no_link(small: Path, of_small: Path, tmp_path: Path, name: str) -> None:
    out, elsewhere = of_small, tmp_path / "elsewhere"
    (out / name).rename(elsewhere)
    (out / name).symlink_to(elsewhere)
    before = {p: p.read_bytes() for p in [elsewhere, *elsewhere.rglob("*")] if p.is_file()}
    with pytest.raises(AnalysisError, match=f"{name} is (a link|not a plain file)"):
        build_report(small, out)
    assert {p: p.read_bytes() for p in before} == before
    assert (out / name).is_symlink()


@pytest.mark.slow
def test_a_report_of_before_is_replaced_and_nothing_in_its_folder_is_deleted(
    small: Path, of_large: Path, reports: Path
) -> None:
    """It left no list of its files."""
    (of_large / "report_files.json").unlink()
    build_report(small, of_large)
    assert (of_large / "figures" / "adjusted_rate_2.pdf").exists()
    assert (of_large / "summary.json").read_bytes() == (reports / "small/summary.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../mine.txt", "figures/../../mine.txt", "/mine.txt", "figures/sub/mine.txt"])
def test_a_list_of_names_reaches_nothing_outside_the_report(
    small: Path, of_small: Path, tmp_path: Path, name: str
) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    sha256 = "ee4b26c8de0b6e3e7b0fc3ee5fc0b0c7c5d1a9f1b0d8ba0f5c2f31c6e7e6a0d1"
    (of_small / "report_files.json").write_text(json.dumps({"files": {name: sha256}}))
    build_report(small, of_small)
    assert mine.read_text() == "mine"


@pytest.mark.slow
def test_a_report_that_was_cut_short_is_made_again(small: Path, of_large: Path) -> None:
    """The list is written before the first file is moved."""
    (of_large / "report.pdf").unlink()
    (of_large / "rates.csv").unlink()
    build_report(small, of_large)
    assert not (of_large / "figures" / "adjusted_rate_2.pdf").exists()


def test_nothing_is_removed_through_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "final.safetensors").write_text("theirs")
    (tmp_path / "linked").symlink_to(real)
    (tmp_path / "file").symlink_to(real / "final.safetensors")
    assert not remove_own(tmp_path / "linked" / "final.safetensors")
    assert not remove_own(tmp_path / "file")
    assert (real / "final.safetensors").read_text() == "theirs"
    assert (tmp_path / "file").is_symlink()
    assert remove_own(real / "final.safetensors")
    assert remove_own(real / "final.safetensors"), "what is not there is gone"


def test_what_is_set_aside_keeps_every_earlier_one(tmp_path: Path) -> None:
    for content in ("a", "b", "c"):
        (tmp_path / "x.ckpt").write_text(content)
        set_aside(tmp_path / "x.ckpt")
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"x.ckpt.damaged": "a", "x.ckpt.damaged-2": "b", "x.ckpt.damaged-3": "c"}


def test_only_temporaries_of_this_package_are_swept_up(tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in (".notes.tmp", "x.tmp", ".a.00000000-1.tmp", ".my.00000000-x-1.tmp")]
    for path in theirs:
        path.touch()
    remove_dead_temporaries(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(theirs)


def test_the_record_beside_a_figure_overwrites_none_but_its_own(tmp_path: Path) -> None:
    """Its name is made up by the program."""
    mine = tmp_path / "thesis.json"
    mine.write_text('{"chapters": 7}')
    with pytest.raises(MdlError, match=r"thesis\.json was not written by mdl generate"):
        generate.run(generate.Wanted(("gzip",), ("text",)), Sampling(), None, tmp_path / "thesis.pdf")
    assert mine.read_text() == '{"chapters": 7}'
