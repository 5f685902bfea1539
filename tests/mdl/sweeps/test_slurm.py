"""Slurm's own daemons and programs, two nodes on this machine: submit, throttle, time out, lose a node."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdl.records import read_cell
from tests.command import assert_one_line, leftovers, mdl, records, write_sweep
from tests.mdl.sweeps.test_agents import agent, environment, write
from tests.slurm_cluster import Cluster, cluster, why_not
from tests.wandb_server import serve

needs_slurm = pytest.mark.skipif(bool(why_not()), reason=why_not() or "all is there")
SLURM = ("sweep", "small.yaml", "--backend", "slurm", "--no-baselines")


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("slurm")) as made:
        yield made


def submit(nodes: Cluster, folder: Path, *more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mdl.cli", *SLURM, *more],
        cwd=folder,
        env=nodes.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def queue(nodes: Cluster) -> list[str]:
    return nodes("squeue", "--noheader", "--array", "--format=%K %T %N").splitlines()


def in_flight(folder: Path) -> bool:
    return bool(list(folder.glob("runs/small/cohorts/*.ckpt")))


def finished(folder: Path) -> list[Path]:
    return list(folder.glob("runs/small/*/record.json"))


def log(folder: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(folder.glob("runs/small/slurm/*.log")))


@needs_slurm
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(250, id="one budget", marks=pytest.mark.slow),
        pytest.param((125, 250), id="a trunk", marks=pytest.mark.long),
    ],
)
def test_a_sweep_runs_through_slurm_loses_a_node_and_completes(
    steps: int | tuple[int, ...], nodes: Cluster, tmp_path: Path, text_file: Path
) -> None:
    """The lost task queues again on the other node; submitting meanwhile submits nothing twice."""
    write_sweep(tmp_path, text_file, steps=steps)
    n_cells = 6 if isinstance(steps, int) else 12
    said = submit(nodes, tmp_path, "--max-parallel", "2")
    assert "3 tasks" in said
    again = submit(nodes, tmp_path)
    assert "nothing to submit" in again, again + "\n".join(queue(nodes))
    nodes.until(lambda: in_flight(tmp_path), "checkpoint", 120)
    assert len([line for line in queue(nodes) if "RUNNING" in line]) <= 2
    nodes.kill_node("n1")
    nodes.until(lambda: all("n1" not in line for line in queue(nodes)), "loss of n1 noticed", 60)
    lift_holds(nodes)
    nodes.until(lambda: lift_holds(nodes) or len(finished(tmp_path)) == n_cells, "all records", 300)
    nodes.until(lambda: not queue(nodes), "end of the array", 60)
    assert f"small: {n_cells} cells: {n_cells} done" in mdl("status", "small.yaml", cwd=tmp_path).stdout, log(tmp_path)
    assert leftovers(tmp_path) == []
    whole = mdl("sweep", "small.yaml", "--no-baselines", "--runs", "whole", cwd=tmp_path)
    assert whole.returncode == 0
    assert records(tmp_path / "runs/small") == records(tmp_path / "whole/small")


def lift_holds(nodes: Cluster) -> bool:
    """A job that queues again waits two minutes; nobody here needs to. Always False."""
    for line in nodes("squeue", "--noheader", "--array", "--states=PENDING", "--format=%A").splitlines():
        nodes("scontrol", "update", f"JobId={line.strip()}", "StartTime=now")
    return False


@needs_slurm
@pytest.mark.slow
def test_a_task_whose_time_is_up_saves_and_queues_again(nodes: Cluster, tmp_path: Path, text_file: Path) -> None:
    """And what failed is submitted again only when asked."""
    write_sweep(tmp_path, text_file, steps=600, more="  lr_scale: {values: [1, 1e30]}\n")
    yaml = (tmp_path / "small.yaml").read_text().replace("[4x1, 8x1, 16x1]", "[4x1]").replace("[10KB, 40KB]", "[10KB]")
    (tmp_path / "small.yaml").write_text(yaml)
    submit(nodes, tmp_path)
    nodes.until(lambda: in_flight(tmp_path), "checkpoint", 120)
    nodes("scancel", "--batch", "--signal=USR1", "--name=mdl-small")
    nodes.until(lambda: "queues again" in log(tmp_path), "warning heard", 60)
    time.sleep(5)  # a node does not take a job in the second in which it ended one of that number
    nodes.until(lambda: lift_holds(nodes) or len(finished(tmp_path)) == 2, "two records", 200)
    nodes.until(lambda: not queue(nodes), "end of the array", 60)
    assert "1 done, 0 running, 1 failed, 0 left" in mdl("status", "small.yaml", cwd=tmp_path).stdout, log(tmp_path)
    assert leftovers(tmp_path) == []
    assert "nothing to submit" in submit(nodes, tmp_path)
    assert "1 tasks" in submit(nodes, tmp_path, "--retry-failed")
    nodes.until(lambda: not queue(nodes), "end of the second array", 200)


@needs_slurm
@pytest.mark.slow
def test_slurm_an_agent_and_a_local_sweep_at_once_train_each_cell_once(
    nodes: Cluster, tmp_path: Path, text_file: Path
) -> None:
    """As many cohorts are trained as the records name: none of them twice."""
    sweep_file = write(tmp_path, text_file, logger="csv")
    with serve() as server:
        settings = {"cwd": tmp_path, "env": environment(server.url, "online"), "text": True}
        words = ["sweep", "--project", "mdl", "--entity", "me", str(sweep_file)]
        subprocess.run([sys.executable, "-m", "wandb", *words], check=True, capture_output=True, **settings)
        array = subprocess.run(
            [sys.executable, "-m", "mdl.cli", "sweep", "agents.yaml", "--backend", "slurm", "--no-baselines"],
            cwd=tmp_path, env=nodes.environment, capture_output=True, text=True,
        )  # fmt: skip
        assert "2 tasks" in array.stdout, array.stderr
        one = agent(settings)
        here = mdl("sweep", "agents.yaml", "--no-baselines", cwd=tmp_path)
        said = one.communicate(timeout=240)[0]
    assert (here.returncode, one.returncode) == (0, 0), here.stderr + said
    nodes.until(lambda: not queue(nodes), "end of the array", 120)
    found = [read_cell(path) for path in (tmp_path / "runs/agents").glob("*/record.json")]
    assert len(found) == 4
    logs = [path.read_text() for path in tmp_path.glob("runs/agents/slurm/*.log")]
    trained = sum(len(re.findall(r"×\d+ done\b", text)) for text in (here.stdout, said, *logs))
    assert trained == len({record.cohort_id for record in found}), here.stdout + said
    assert leftovers(tmp_path / "runs/agents") == []
    assert not (tmp_path / "runs/agents/claims").exists()


def test_a_dry_run_prints_a_script_that_a_shell_reads_and_submits_nothing(tmp_path: Path, text_file: Path) -> None:
    write_sweep(tmp_path, text_file)
    wanted = (
        "--partition",
        "gpu",
        "--gpus",
        "1",
        "--time",
        "2:00:00",
        "--max-parallel",
        "8",
        "--sbatch=--mem=16G -A me",
    )
    done = mdl(*SLURM, *wanted, "--dry-run", cwd=tmp_path, PATH="/nowhere")
    assert done.returncode == 0, done.stderr
    script = done.stdout[done.stdout.index("#!/bin/sh") :]
    options = [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")]
    for option in ("--array=0-2%8", "--partition=gpu", "--gres=gpu:1", "--time=2:00:00", "--mem=16G", "-A", "me"):
        assert option in " ".join(options).split(), option
    assert "--signal=B:USR1@120" in options
    assert "--requeue" in options
    assert shlex.quote(str(tmp_path)) in script
    assert subprocess.run(["/bin/sh", "-n"], input=script, text=True).returncode == 0
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_needs_no_queue_that_answers(tmp_path: Path, text_file: Path) -> None:
    """Slurm's programs without a cluster behind: the script is printed; to submit it is another matter."""
    write_sweep(tmp_path, text_file)
    broken = tmp_path / "bin" / "squeue"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no controller >&2; exit 1\n")
    broken.chmod(0o755)
    path = f"{broken.parent}:{os.environ['PATH']}"
    done = mdl(*SLURM, "--dry-run", cwd=tmp_path, PATH=path)
    assert done.returncode == 0, done.stderr
    assert "#SBATCH --array=0-2" in done.stdout
    assert_one_line(mdl(*SLURM, cwd=tmp_path, PATH=path), "squeue refused: no controller")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("--partition", "cpu\ntouch owned"), ("--time", "10\r\ntouch owned"), ("--sbatch", "--mem=1G\ntouch owned"),
        ("--runs", "runs\ntouch owned"), ("--partition", "cpu\x1b[2J"), ("--sbatch", "--mem=1G\u2028touch owned"),
    ],
)  # fmt: skip
def test_what_would_end_a_line_of_the_script_is_refused(word: str, value: str, tmp_path: Path, text_file: Path) -> None:
    """A newline ends the #SBATCH comment: a shell would run what follows it."""
    write_sweep(tmp_path, text_file)
    assert_one_line(mdl(*SLURM, word, value, "--dry-run", cwd=tmp_path), f"{word} holds the control character")
    assert not (tmp_path / "runs").exists()


def test_a_working_directory_with_a_newline_in_its_name_is_refused(tmp_path: Path, text_file: Path) -> None:
    here = tmp_path / "a\ntouch owned"
    here.mkdir()
    write_sweep(here, text_file)
    refused = mdl(*SLURM, "--runs", str(tmp_path / "runs"), "--dry-run", cwd=here)
    assert_one_line(refused, "the working directory holds the control character")


def test_options_of_sbatch_are_quoted_as_they_were_given(tmp_path: Path, text_file: Path) -> None:
    write_sweep(tmp_path, text_file)
    done = mdl(*SLURM, "--sbatch", "--comment='a b; $(c)' --mem=1G", "--dry-run", cwd=tmp_path)
    assert "#SBATCH '--comment=a b; $(c)' --mem=1G\n" in done.stdout
    assert_one_line(mdl(*SLURM, "--sbatch", "--comment='a", "--dry-run", cwd=tmp_path), "close the quotation mark")


def test_without_slurm_it_is_one_line(tmp_path: Path, text_file: Path) -> None:
    write_sweep(tmp_path, text_file)
    environment = {"PATH": "/nowhere"}
    assert_one_line(mdl(*SLURM, cwd=tmp_path, **environment), "sbatch is not on this machine")
    assert_one_line(
        mdl("sweep", "small.yaml", "--backend", "slrm", cwd=tmp_path), "back end 'slrm'; did you mean 'slurm'?"
    )
    assert_one_line(mdl("slurm-task", "none.json", "0", cwd=tmp_path), "submit the sweep again")


def test_a_refusal_of_slurm_is_one_line(tmp_path: Path, text_file: Path) -> None:
    """Programs of that name that refuse stand in for a cluster that is out of order."""
    write_sweep(tmp_path, text_file)
    for name, body in {"squeue": "exit 0", "sbatch": "echo 'sbatch: error: invalid partition' >&2; exit 1"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert_one_line(mdl(*SLURM, cwd=tmp_path, PATH=path), "sbatch refused: sbatch: error: invalid partition")


def test_what_waits_in_the_queue_is_not_submitted_again(tmp_path: Path, text_file: Path) -> None:
    """squeue names tasks by the file that was submitted (%k) and their index (%K)."""
    write_sweep(tmp_path, text_file)
    (tmp_path / "sbatch").write_text("#!/bin/sh\ncat > script\necho '7;cluster'\n")
    (tmp_path / "squeue").write_text("#!/bin/sh\ncat queue 2>/dev/null || true\n")
    for name in ("sbatch", "squeue"):
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    first = mdl(*SLURM, cwd=tmp_path, PATH=path)
    assert "job 7, 3 tasks" in first.stdout, first.stderr
    (made,) = tmp_path.glob("runs/small/slurm/*.json")
    assert len(json.loads(made.read_bytes())["tasks"]) == 3
    (tmp_path / "queue").write_text(f"0|{made}\n2|{made}\nN/A|(null)\n")
    assert "job 7, 1 tasks" in mdl(*SLURM, cwd=tmp_path, PATH=path).stdout
    assert "cells: 0 done, 0 running, 0 failed, 6 left" in mdl("status", "small.yaml", cwd=tmp_path).stdout
