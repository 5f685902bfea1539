"""The real `wandb sweep` and `wandb agent`, as processes, against a loopback stand-in for their server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mdl.records import RunPaths, read_cell, read_manifest
from mdl.sweeps.backends.wandb import command_of
from mdl.training.loggers import summary
from tests.command import assert_one_line, leftovers, mdl, records
from tests.wandb_server import serve

SWEEP = """
name: agents
method: grid
command: ["${{env}}", "{python}", "-m", mdl.cli, run, --sweep, agents, "${{args_no_hyphens}}"]
parameters:
  corpus.source: {{value: "file:{text}"}}
  corpus.heldout_bytes: {{value: 20KB}}
  subset_bytes: {{values: [10KB, 40KB]}}
  size: {{values: [4x1, 8x1]}}
  context_bytes: {{value: 64}}
  steps: {{value: 40}}
  evaluate_every: {{value: 20}}
  logger: {{value: {logger}}}
"""


def environment(url: str, mode: str) -> dict[str, str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    return {**keep, "WANDB_BASE_URL": url, "WANDB_API_KEY": "0" * 40, "WANDB_MODE": mode, "WANDB_SILENT": "false"}


def write(folder: Path, text: Path, logger: str) -> Path:
    path = folder / "agents.yaml"
    path.write_text(SWEEP.format(python=sys.executable, text=text, logger=logger))
    return path


@pytest.mark.parametrize(
    "mode", [pytest.param("online", marks=pytest.mark.slow), pytest.param("offline", marks=pytest.mark.long)]
)
def test_two_agents_share_a_grid_and_leave_the_records_of_mdl_sweep(mode: str, tmp_path: Path, text_file: Path) -> None:
    sweep_file = write(tmp_path, text_file, logger="wandb")
    with serve() as server:
        settings = {"cwd": tmp_path, "env": environment(server.url, mode), "text": True}
        made = subprocess.run(
            [sys.executable, "-m", "wandb", "sweep", "--project", "mdl", "--entity", "me", str(sweep_file)],
            capture_output=True, timeout=60, **settings,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        assert re.search(r"wandb agent me/mdl/abcd1234", made.stdout + made.stderr)
        agents = [
            subprocess.Popen(
                [sys.executable, "-m", "wandb", "agent", "me/mdl/abcd1234"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **settings,
            )
            for _ in range(2)
        ]  # fmt: skip
        outputs = [agent.communicate(timeout=240)[0] for agent in agents]
        assert [agent.returncode for agent in agents] == [0, 0], outputs
        assert len(server.handed_out) == 4
        assert server.agents == 2
        summaries, configs = server.summaries(), server.configs
    by_agents = {r.run_id: r for r in map(read_cell, (tmp_path / "runs/agents").glob("*/record.json"))}
    assert len(by_agents) == 4, "\n".join(outputs)
    if mode == "online":
        assert sorted(s["n_params"] for s in summaries) == [1228, 1228, 2840, 2840]
        assert all(s["final/own_bits_per_byte"] > 0 and s["status"] == "ok" for s in summaries)
        assert len(configs) == 4
    here = mdl("sweep", "agents.yaml", "--runs", "here", "--no-baselines", cwd=tmp_path, WANDB_MODE="disabled")
    assert here.returncode == 0, here.stderr
    for run_id, record in records(tmp_path / "here/agents").items():
        theirs = by_agents[run_id]
        for mine, other in zip(record["snapshots"], theirs.snapshots, strict=True):
            for a, b in zip(mine["segments"], other.segments, strict=True):
                assert abs(a["code_bits"] - b.code_bits) <= 1e-4 * (b.end_bytes - b.start_bytes)


def agent(settings: dict[str, Any]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "wandb", "agent", "me/mdl/abcd1234"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **settings,
    )  # fmt: skip


@pytest.mark.slow
def test_mdl_sweep_wandb_registers_runs_and_logs_what_is_on_disk_and_what_fails(
    tmp_path: Path, text_file: Path
) -> None:
    """Two agents here. A cell that is on disk is logged from its record and not trained; a failing one stops nobody."""
    sweep_file = write(tmp_path, text_file, logger="wandb")
    sweep_file.write_text(sweep_file.read_text().replace("size: {values: [4x1, 8x1]}", "size: {value: 4x1}"))
    with sweep_file.open("a") as text:
        text.write("  lr_scale: {values: [1, 1e30]}\n")
    words = [f"source=file:{text_file}", "heldout_bytes=20KB", "subset_bytes=10KB", "size=4x1", "context_bytes=64",
             "steps=40", "evaluate_every=20"]  # fmt: skip
    there = mdl("run", "--sweep", "agents", *words, cwd=tmp_path)
    assert there.returncode == 0, there.stderr
    (made,) = (tmp_path / "runs/agents").glob("*/record.json")
    before = made.stat().st_mtime_ns
    with serve() as server:
        done = subprocess.run(
            [sys.executable, "-m", "mdl.cli", "sweep", "agents.yaml", "--backend", "wandb", "--workers", "2"],
            cwd=tmp_path, env=environment(server.url, "online"), capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        summaries = server.summaries()
    assert "wandb agent" in done.stdout
    assert made.stat().st_mtime_ns == before
    found = {r.run_id: r for r in map(read_cell, (tmp_path / "runs/agents").glob("*/record.json"))}
    assert sorted(r.status for r in found.values()) == ["failed", "failed", "ok", "ok"]
    assert sorted(s["status"] for s in summaries) == ["failed", "failed", "ok", "ok"]
    known = summary(read_cell(made))
    assert any(all(sent.get(key) == pytest.approx(value) for key, value in known.items()) for sent in summaries)
    assert set(read_manifest(RunPaths(tmp_path / "runs/agents"))["run_ids"]) == set(found)
    assert "4 done, 0 to do" in mdl("sweep", "agents.yaml", "--no-baselines", cwd=tmp_path).stdout


@pytest.mark.slow
def test_an_agent_that_is_killed_and_started_again_leaves_no_cell_undone(tmp_path: Path, text_file: Path) -> None:
    """A local sweep on the same folder at the same time does what the dead one had been given."""
    sweep_file = write(tmp_path, text_file, logger="none")
    with serve() as server:
        settings = {"cwd": tmp_path, "env": environment(server.url, "online"), "text": True}
        made = subprocess.run(
            [sys.executable, "-m", "wandb", "sweep", "--project", "mdl", "--entity", "me", str(sweep_file)],
            capture_output=True, timeout=60, **settings,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        first = agent({**settings, "start_new_session": True})
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("runs/agents/claims/*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(first.pid, signal.SIGKILL)  # the agent and the cell that it runs
        first.communicate()
        second = agent(settings)
        here = mdl("sweep", "agents.yaml", "--no-baselines", cwd=tmp_path)
        said = second.communicate(timeout=200)[0]
        assert second.returncode == 0, said
    assert here.returncode == 0, here.stderr
    assert len(list((tmp_path / "runs/agents").glob("*/record.json"))) == 4
    assert leftovers(tmp_path / "runs/agents") == []
    assert "4 done, 0 to do" in mdl("sweep", "agents.yaml", "--no-baselines", cwd=tmp_path).stdout


def test_a_sweep_on_wandb_without_its_server_is_one_line(tmp_path: Path, text_file: Path) -> None:
    write(tmp_path, text_file, logger="none")
    done = mdl("sweep", "agents.yaml", "--backend", "wandb", cwd=tmp_path, WANDB_MODE="offline")
    assert_one_line(done, "needs W&B's server")


def test_agents_run_the_files_command_in_the_run_folder_that_was_asked_for() -> None:
    usual = ["${env}", "mdl", "run", "--sweep", "s", "${args_no_hyphens}"]
    assert command_of({}, "s", Path("runs")) == usual
    own = ["${env}", "mdl", "run", "--sweep", "s", "${args_no_hyphens}"]
    assert command_of({"command": own}, "s", Path("/far/runs")) == [
        "${env}", "mdl", "run", "--runs", "/far/runs", "--sweep", "s", "${args_no_hyphens}"
    ]  # fmt: skip
    assert own == usual, "the file's own list is left as it is"
