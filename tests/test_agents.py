"""The real `wandb sweep` and `wandb agent`, as processes, against a loopback stand-in for their server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mdl.results import load_cell
from tests.test_cli import mdl, records
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


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "offline"])
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
    by_agents = {r.run_id: r for r in map(load_cell, (tmp_path / "runs/agents").glob("*/record.json"))}
    assert len(by_agents) == 4, "\n".join(outputs)
    if mode == "online":
        assert sorted(s["n_params"] for s in summaries) == [1228, 1228, 2840, 2840]
        assert all(s["final/adjusted_rate"] > 0 and s["status"] == "ok" for s in summaries)
        assert len(configs) == 4
    here = mdl("sweep", "agents.yaml", "--out", "here", "--no-baselines", cwd=tmp_path, WANDB_MODE="disabled")
    assert here.returncode == 0, here.stderr
    for run_id, record in records(tmp_path / "here/agents").items():
        theirs = by_agents[run_id]
        for mine, other in zip(record["snapshots"], theirs.snapshots, strict=True):
            for a, b in zip(mine["segments"], other.segments, strict=True):
                assert abs(a["code_bits"] - b.code_bits) <= 1e-4 * (b.end_bytes - b.start_bytes)
