"""The command line's manners: groups, one meaning a name, results for scripts, where a report goes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mdl.cli.app import app
from mdl.cli.command_help import EXAMPLES
from tests.command import TINY, mdl
from tests.conftest import markov_text
from tests.warm_python import COLD

GRID = TINY.format(steps=10)


def commands() -> dict[str, Any]:
    """Name to click command, the hidden ones left out."""
    group: Any = typer.main.get_command(app)
    return {name: command for name, command in group.commands.items() if not command.hidden}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep file, its text and its records."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "text.txt").write_bytes(markov_text(60_000))
    (folder / "tiny.yaml").write_text(GRID)
    done = mdl("sweep", "tiny.yaml", "--no-baselines", "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("columns", [80, 120])
def test_every_command_has_a_whole_line_in_its_group(columns: int) -> None:
    command = [sys.executable, "-m", "mdl.cli", "-h"]
    shown = subprocess.run(command, capture_output=True, text=True, env={"COLUMNS": str(columns)}, check=True).stdout
    for title in ("Size and sweep:", "Report and fit:", "Compress:", "Models:", "Cluster:", "Exit codes:"):
        assert f"\n{title}\n" in shown
    for name, command_of_ours in commands().items():
        first = command_of_ours.help.strip().splitlines()[0]
        assert first.endswith(".")
        assert re.search(rf"^  {name} +{re.escape(first)}$", shown, re.MULTILINE), name
    assert "MDL_CACHE" in shown
    assert max(map(len, shown.splitlines())) <= columns


def test_one_name_has_one_meaning() -> None:
    """-o/--out is what is made, --runs the root of run folders, and what scripts read is --json everywhere."""
    shown = {
        (name, option): parameter
        for name, command in commands().items()
        for parameter in command.params
        if not getattr(parameter, "hidden", False)
        for option in parameter.opts
    }
    for (_, option), parameter in shown.items():
        assert (option == "--out") <= ("-o" in parameter.opts), "whatever is made is -o too"
    roots = {str(shown[key].help) for key in shown if key[1] == "--runs"}
    assert roots == {"Folder of all sweeps' run folders."}
    assert not {("sweep", "--out"), ("run", "--out"), ("status", "--out"), ("baselines", "--bytes")} & set(shown)
    scripted = {"sweep", "status", "report", "suggest", "fit", "inspect", "evaluate", "baselines", "pack", "compress"}
    assert scripted <= {name for name, option in shown if option == "--json"}
    assert {name for name, option in shown if option == "--device"} <= {
        name for name, option in shown if option == "--device" and "auto" in shown[name, option].help
    }


def test_an_options_name_has_one_help_wherever_it_stands() -> None:
    """But for what it is that is made, and a default: a reader of one command knows it in every other."""
    helps: dict[str, set[str]] = {}
    for command in commands().values():
        for parameter in command.params:
            if not getattr(parameter, "hidden", False) and parameter.param_type_name == "option":
                helps.setdefault(parameter.opts[-1], set()).add(str(parameter.help).partition(" Default: ")[0])
    several = {option for option, said in helps.items() if len(said) > 1}
    assert several <= {"--out", "--model", "--n", "--d"}, several


@pytest.mark.slow
def test_a_sweep_file_a_run_folder_and_a_run_are_taken_wherever_they_make_sense(swept: Path) -> None:
    """Each command gives the same answer by either."""
    for command in ("status", "inspect", "suggest", "fit"):
        by_file, by_folder = (mdl(*command.split(), place, cwd=swept) for place in ("tiny.yaml", "runs/tiny"))
        assert by_file.returncode == by_folder.returncode == 0, by_file.stderr + by_folder.stderr
        assert by_file.stdout == by_folder.stdout, command
    (run, *_) = sorted((swept / "runs/tiny").glob("8x1-*"))
    archives = []
    for i, model in enumerate(("tiny.yaml", "runs/tiny")):
        done = mdl("compress", "text.txt", "-o", f"by{i}.mdl", "--model", model, "--json", cwd=swept)
        assert done.returncode == 0, done.stderr
        archives.append((swept / f"by{i}.mdl").read_bytes())
        assert "of tiny, its best for 60 KB" in json.loads(done.stdout)["model"]
    assert len(set(archives)) == 1
    assert mdl("decompress", "by0.mdl", "-o", "back", "--model", "runs/tiny", cwd=swept).returncode == 0
    assert (swept / "back").read_bytes() == (swept / "text.txt").read_bytes()
    told = json.loads(mdl("inspect", run, "--json", cwd=swept).stdout)
    assert (told["run_id"], told["sweep"], told["n_params"]) == (run.name, "tiny", 2840)
    assert all(snapshot["train_bits"] > 0 for snapshot in told["snapshots"])
    words = ["--sizes", "2KB", "--chunk", "512", "--model", "tiny.yaml", "-o", "chunked"]
    table = mdl("baselines", "text.txt", *words, cwd=swept)
    assert "trained on text" in table.stdout, table.stderr
    assert table.stderr == "note: --chunk is called --chunk-bytes now; the old name goes with the next release\n"
    assert "  512  gzip" in table.stdout


@pytest.mark.parametrize("words", [["--watch"], ["--json"], []])
def test_a_former_name_works_with_a_line_that_says_the_new_one(words: list[str], swept: Path) -> None:
    done = mdl("status", "tiny.yaml", "--out", "runs", *words, cwd=swept)
    assert done.returncode == 0
    assert done.stderr == "note: --out is called --runs now; the old name goes with the next release\n"
    assert "6" in done.stdout


RESULTS = {
    "sweep tiny.yaml --dry-run": {"name", "folder", "n_cells", "training_flops", "bytes_seen", "cohorts"},
    "run size=2x1 source=file:text.txt subset_bytes=5KB steps=2 context_bytes=64": {"record", "run_id"},
    "status tiny.yaml": {"name", "n_cells", "done", "left", "failed", "running"},
    "report tiny.yaml --format md,html": {"folder", "documents", "name", "cost", "n_cells", "critical", "laws"},
    "compress text.txt -o text.mdl": {"archive", "n_bytes", "archive_bytes", "gzip_bytes", "xz_bytes", "model"},
    "pack tiny.yaml -o packed.mdl": {"archive", "raw_bytes", "archive_bytes", "rate", "beside"},
    "inspect text.mdl": {"kind", "n_bytes", "archive_bytes", "stream_bytes", "model_sha256", "run"},
    "inspect tiny.yaml": {"kind", "name", "n_cells", "n_done", "subset_bytes", "models"},
    "decompress text.mdl -o again.txt": {"file", "n_bytes", "seconds"},
    "baselines text.txt --sizes 4KB": {"records", "coders", "models"},
    "fit losses.csv": {"E", "A", "alpha", "success", "message"},
    "unpack packed.mdl -o unpacked.txt": {"file", "n_bytes", "seconds"},
    "generate --coder gzip --prompt text.txt --prompt-bytes 100 --length 3": {"written", "text"},
    "suggest tiny.yaml": {"name", "within", "n_cells", "cells", "file", "critical"},
}


@pytest.mark.slow
def test_results_for_scripts_are_one_json_object_and_nothing_else(swept: Path) -> None:
    """One after another: some read what an earlier one made."""
    (swept / "losses.csv").write_text("N,D,loss\n1,2,3\n")
    for words, keys in RESULTS.items():
        done = mdl(*words.split(), "--json", cwd=swept)
        assert done.returncode == 0, (words, done.stderr)
        assert keys <= set(json.loads(done.stdout)), words
    assert (swept / "again.txt").read_bytes() == (swept / "text.txt").read_bytes()


@pytest.mark.slow
def test_a_report_is_written_beside_its_records(swept: Path) -> None:
    """By sweep file, by run folder or by nothing: one folder, and none where the command was given."""
    for words in (["tiny.yaml"], ["runs/tiny"]):
        done = mdl("report", *words, "--format", "md", cwd=swept)
        assert done.returncode == 0, done.stderr
        assert "report: runs/tiny/report/report.md" in done.stdout
    newest = mdl("report", "--format", "md", cwd=swept)
    assert re.search(r"report: runs/\w+/report/report\.md", newest.stdout)
    assert not (swept / "reports").exists()


@pytest.mark.slow
def test_a_report_predicts_the_dataset_sizes_that_are_asked_for(tmp_path: Path) -> None:
    """Those of the grid stand beside them; what is no size is refused before anything is written."""
    records, out = Path(__file__).parents[3] / "reports/quick/records", tmp_path / "out"
    asked = ("report", str(records), "--format", "md", "-o", str(out), "--predict")
    done = mdl(*asked, "1GB,20MB", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout)["predictions"] if row["extrapolated"]]
    assert [row["subset_bytes"] for row in rows] == [2e7, 1e9]
    assert all(row["low"] < row["n_params"] < row["high"] for row in rows)
    assert "| 20 MB |" in (out / "report.md").read_text()
    for wrong, words in (("1XB", "1XB"), ("", "''"), ("0", "a dataset of 0 bytes has no critical size")):
        bad = mdl("report", str(records), "-o", str(tmp_path / "none"), "--predict", wrong, cwd=tmp_path)
        assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
        assert words in bad.stderr
    assert not (tmp_path / "none").exists()


def test_quiet_says_nothing_but_the_result_wherever_it_stands(swept: Path) -> None:
    for words in (["-q", "sweep", "tiny.yaml", "--no-baselines"], ["sweep", "tiny.yaml", "--no-baselines", "--quiet"]):
        done = mdl(*words, cwd=swept)
        assert (done.stdout, done.stderr) == ("records: runs/tiny; next: mdl report runs/tiny\n", "")


def test_a_classical_coder_that_does_better_is_named(swept: Path) -> None:
    done = mdl("compress", "text.txt", "-o", "more.mdl", cwd=swept)
    size = (swept / "more.mdl").stat().st_size
    gzip, xz = (len_of(name, (swept / "text.txt").read_bytes()) for name in ("gzip", "xz"))
    assert ("note: gzip makes" in done.stderr) == (gzip < size)
    assert ("note: xz makes" in done.stderr) == (xz < size)


def len_of(name: str, data: bytes) -> int:
    import mdl as toolkit

    return len(toolkit.compressor(name).compress(data))


@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "words",
    [
        "compress big.txt -o big.mdl",
        pytest.param("baselines big.txt", marks=pytest.mark.slow),
        "size big.txt --budget 10min",
    ],
)
def test_a_command_that_a_signal_stops_ends_with_the_code_that_help_tells(
    words: str, sent: signal.Signals, swept: Path
) -> None:
    (swept / "big.txt").write_bytes(markov_text(100_000) * 300)  # no coder is through it before the signal
    command = [sys.executable, "-m", "mdl.cli", *words.split()]
    with subprocess.Popen(command, cwd=swept, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        time.sleep(3 if os.environ.get(COLD) else 1)  # until it is at work
        started.send_signal(sent)
        _, said = started.communicate(timeout=60)
    assert started.returncode == 128 + sent, said
    assert "Traceback" not in said
    assert str(128 + sent) in mdl("--help", cwd=swept).stdout


def test_every_commands_help_ends_in_examples_that_it_takes() -> None:
    """In lines that a terminal of 80 columns shows whole; and what --json prints stands behind the options."""
    known = commands()
    assert set(known) == set(EXAMPLES)
    with typer.main.get_command(app).make_context("mdl", [], resilient_parsing=True) as outer:
        for name, lines in EXAMPLES.items():
            command = known[name]
            for line in lines:
                assert len(line) <= 78
                program, said, *words = shlex.split(line)
                assert (program, said) == ("mdl", name)
                command.make_context(name, words, parent=outer)
            shown = command.get_help(command.make_context(name, [], parent=outer, resilient_parsing=True))
            assert shown.endswith("\n".join(f"  {line}" for line in lines))
            assert shown.count("--json: ") == 1
            assert shown.index("Options:") < shown.index("--json: ") < shown.index("Examples:")
