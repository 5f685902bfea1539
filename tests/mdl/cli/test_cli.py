"""The command itself, as a process, on real files: what a user sees, what is left behind, what it exits with."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdl.compressors import chunk_lengths, coders_for
from mdl.config import full_key
from mdl.errors import MdlError
from tests.command import assert_one_line, leftovers, mdl, records, write_sweep
from tests.conftest import markov_text


@pytest.fixture
def folder(tmp_path: Path, text_file: Path) -> Path:
    write_sweep(tmp_path, text_file)
    return tmp_path


@pytest.mark.slow
def test_a_sweep_runs_is_reported_and_then_has_nothing_to_do(folder: Path) -> None:
    first = mdl("sweep", "small.yaml", cwd=folder)
    assert first.returncode == 0, first.stderr
    assert "small: 6 cells, 0 done, 6 to do in 3 cohorts" in first.stdout
    made = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*.json") if path.name != "sweep.json"}
    assert len(records(folder / "runs/small")) == 6
    assert len([path for path in made if path.parent.name == "baselines"]) == 4 * sum(
        len(chunk_lengths(coder, 64)) for coder in coders_for("text")
    )
    again = mdl("sweep", "small.yaml", cwd=folder)
    assert again.returncode == 0
    assert "6 done, 0 to do" in again.stdout
    assert made == {p: p.stat().st_mtime_ns for p in (folder / "runs").rglob("*.json") if p.name != "sweep.json"}
    report = mdl("report", cwd=folder)
    assert report.returncode == 0, report.stderr
    assert "critical" in report.stdout
    assert (folder / "runs/small/report/report.pdf").read_bytes().startswith(b"%PDF")
    assert leftovers(folder) == []


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_ends_with_the_same_records(folder: Path, text_file: Path) -> None:
    """kill -9 at a first checkpoint and a first record; the same command then makes the records of an unbroken run."""
    write_sweep(folder, text_file, steps=250)
    whole = mdl("sweep", "small.yaml", "--runs", "whole", "--no-baselines", cwd=folder)
    assert whole.returncode == 0, whole.stderr
    for sign in ("cohorts/*.ckpt", "*/record.json"):
        process = subprocess.Popen(
            [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--runs", "broken", "--no-baselines"],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not list(folder.glob(f"broken/small/{sign}")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = mdl("sweep", "small.yaml", "--runs", "broken", "--no-baselines", cwd=folder)
    assert last.returncode == 0, last.stderr
    assert records(folder / "broken/small") == records(folder / "whole/small")
    assert leftovers(folder / "broken") == []


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(folder: Path, text_file: Path) -> None:
    write_sweep(folder, text_file, steps=5000)
    process = subprocess.Popen(
        [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--no-baselines"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(folder.glob("runs/small/cohorts/*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "run the same command to go on" in errors
    assert list(folder.glob("runs/small/cohorts/*.ckpt"))


@pytest.mark.slow
def test_a_failed_cell_is_reported_and_retried_only_when_asked(folder: Path, text_file: Path) -> None:
    write_sweep(folder, text_file, more="  lr_scale: {values: [1, 1e30]}\n")
    first = mdl("sweep", "small.yaml", "--no-baselines", cwd=folder)
    assert first.returncode == 2
    assert "loss is not finite" in first.stdout
    assert first.stderr.count("\n") == 1
    assert sorted(r["status"] for r in records(folder / "runs/small").values()) == ["failed"] * 6 + ["ok"] * 6
    again = mdl("sweep", "small.yaml", "--no-baselines", cwd=folder)
    assert "12 done, 0 to do" in again.stdout
    assert "6 done, 6 to do" in mdl("sweep", "small.yaml", "--no-baselines", "--retry-failed", cwd=folder).stdout
    report = mdl("report", cwd=folder)
    assert report.returncode == 0, report.stderr
    assert "failed" in report.stdout


def test_one_cell_runs_from_words(folder: Path, text_file: Path) -> None:
    words = [f"source=file:{text_file}", "width=16", "depth=2", "subset_bytes=10KB", "steps=20", "context_bytes=64"]
    done = mdl("run", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    (record,) = records(folder / "runs/single").values()
    assert record["model"]["size"] == "16x2"


def test_a_dry_run_says_what_it_would_do_and_does_nothing(folder: Path) -> None:
    done = mdl("sweep", "small.yaml", "--dry-run", cwd=folder)
    assert done.returncode == 0
    assert "6 cells in 3 cohorts" in done.stdout
    assert "2,840 parameters" in done.stdout
    assert "training FLOPs" in done.stdout
    assert "note:" not in done.stdout
    assert not (folder / "runs").exists()


@pytest.mark.slow
def test_the_first_dry_run_tries_how_fast_this_machine_is_and_notes_it(folder: Path) -> None:
    """For some seconds; later ones, and those of other sweeps, have it from the cache."""
    cache = folder / "another-cache"
    told = [mdl("sweep", "small.yaml", "--dry-run", cwd=folder, MDL_CACHE=str(cache)).stdout for _ in range(2)]
    assert "foretold by a trial of some seconds" in told[0]
    assert told[0] == told[1]
    assert len(list((cache / "speed-trial").iterdir())) == 1


@pytest.mark.parametrize(
    "arguments",
    [["sweep"], ["sweep", "--bogus"], ["frobnicate"], ["report", "a", "b"], ["sweep", "--per-gpu", "0", "x"]],
)
def test_a_command_line_that_is_none_is_one_line_and_2(tmp_path: Path, arguments: list[str]) -> None:
    """Options, arguments and commands that are not there: what, and whose help tells more."""
    done = mdl(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: [^\n]+; see [^\n]+ --help\n", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("corpus.source", "file:nope.txt"),
        ("corpus.source", "image:none,scale=0.5"),
        ("corpus.source", "enwiki8"),
        ("corpus.heldout_bytes", "170KB"),
        ("subset_bytes", "2MB"),
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses_in_the_same_words(folder: Path, key: str, value: str) -> None:
    """After the plan, which may be of use on another machine; and nothing is made of either."""
    path = folder / "small.yaml"
    path.write_text(re.sub(rf"({re.escape(key)}): .*", rf'\1: {{value: "{value}"}}', path.read_text()))
    tried = mdl("sweep", "small.yaml", "--dry-run", cwd=folder)
    ran = mdl("sweep", "small.yaml", "--no-baselines", cwd=folder)
    assert (tried.returncode, tried.stderr) == (ran.returncode, ran.stderr)
    assert_one_line(tried, "")
    assert "training FLOPs" in tried.stdout
    assert records(folder / "runs/small") == {}


def test_a_dry_run_does_not_fetch_a_corpus(folder: Path) -> None:
    path = folder / "small.yaml"
    path.write_text(re.sub(r"(corpus.source): .*", r'\1: {value: "hf:no/such"}', path.read_text()))
    tried = mdl("sweep", "small.yaml", "--dry-run", cwd=folder, HF_ENDPOINT="http://127.0.0.1:9")
    assert (tried.returncode, tried.stderr) == (0, "")
    assert "corpus hf:no/such: fetched by the run" in tried.stdout


@pytest.mark.slow
def test_a_corpus_that_changed_is_refused(folder: Path, text_file: Path) -> None:
    assert mdl("sweep", "small.yaml", "--no-baselines", cwd=folder).returncode == 0
    before = records(folder / "runs/small")
    text_file.write_bytes(markov_text(200_000, seed=1))
    refused = mdl("sweep", "small.yaml", "--no-baselines", cwd=folder)
    assert_one_line(refused, "is not what runs/small was made from")
    assert records(folder / "runs/small") == before


def test_bad_corpora_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "ten").write_bytes(b"0123456789")
    (tmp_path / "short").write_bytes(markov_text(30_000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/binary").write_bytes(bytes(1000))
    for name, words in {
        "empty": "byte",
        "ten": "10",
        "short": "40,000",
        "missing": "no file at",
        "folder": "no text",
    }.items():
        write_sweep(tmp_path, tmp_path / name)
        assert_one_line(mdl("sweep", "small.yaml", "--runs", "out", cwd=tmp_path), words)
        assert not list((tmp_path).glob("out/**/*.json")), name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sweep", "missing.yaml"], "no sweep file"),
        (["run", "widht=16"], "did you mean 'width'"),
        (["run", "width"], "is not key=value"),
        (["run", "size=16x2", "source=stdlb"], "did you mean 'stdlib'"),
        (["run", "size=16x2", "--sweep", "../x"], "cannot be a folder name"),
        (["report"], "no sweep in runs/"),
        (["report", "nowhere"], "nowhere"),
    ],
)
def test_bad_words_are_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    assert_one_line(mdl(*arguments, cwd=tmp_path), words)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_no_half_record(folder: Path) -> None:
    """A limit on the size of a file stands in for the disk: the weights and checkpoints do not fit."""
    script = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (4000, 4000)); from mdl.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "sweep", "small.yaml", "--no-baselines"],
        cwd=folder, capture_output=True, text=True, timeout=120,
        env={k: v for k, v in os.environ.items() if not k.startswith("COV")},  # its data would not fit either
    )  # fmt: skip
    assert_one_line(done, "File too large")
    assert "failed" not in done.stdout
    assert records(folder / "runs/small") == {}
    assert leftovers(folder) == []


@pytest.mark.parametrize("more", ["--dry-run", "--no-baselines"])
def test_a_read_only_folder_is_one_line(folder: Path, more: str) -> None:
    """/proc takes no files, whoever asks. A dry run says so, too."""
    assert_one_line(mdl("sweep", "small.yaml", "--runs", "/proc/nothing", more, cwd=folder), "/proc/nothing")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_after_the_last_word_ends_the_process_and_shows_no_traceback(number: signal.Signals) -> None:
    """While libraries clean up behind a command that has done its work."""
    script = (
        f"import atexit, os, sys\natexit.register(os.kill, os.getpid(), {int(number)})\n"
        "from mdl.cli import main\nsys.argv = ['mdl', '--version']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-number, "")


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys\nsys.argv = ['mdl', '--help']\nfrom mdl.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pydantic', 'wandb', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "sweep" in done.stdout


def test_planning_a_sweep_does_not_import_torch(folder: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom mdl.sweeps import describe_plan, plan_sweep\n"
        "describe_plan(plan_sweep(Path('small.yaml'), Path('runs')))\n"
        "heavy = {'torch', 'pytorch_lightning', 'wandb', 'datasets', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_error_names_the_cause_and_the_remedy() -> None:
    with pytest.raises(MdlError, match="did you mean"):
        full_key("train.sede")
