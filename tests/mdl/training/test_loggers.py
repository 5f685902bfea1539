"""The real wandb library, offline: no account, no server, a run a member."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mdl.records import read_cell
from mdl.training.loggers import summary
from tests.command import mdl, write_sweep


def inspect(run: Path, part: str) -> dict[str, object]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", f"--{part}", "--json", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    content: dict[str, object] = json.loads(done.stdout)
    return content


@pytest.mark.slow
def test_wandb_offline_gets_a_run_a_cell_with_config_curves_and_final_figures(tmp_path: Path, text_file: Path) -> None:
    write_sweep(tmp_path, text_file, more="  logger: {value: wandb}\n  evaluate_every: {value: 20}\n")
    done = mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path, WANDB_MODE="offline", WANDB_API_KEY="")
    assert done.returncode == 0, done.stdout + done.stderr
    records = {r.run_id: r for r in map(read_cell, (tmp_path / "runs/small").glob("*/record.json"))}
    runs = sorted((tmp_path / "runs/small/wandb").glob("offline-run-*/*.wandb"))
    assert len(runs) == len(records) == 6
    seen = set()
    for run in runs:
        content = inspect(run, "summary")
        config, figures = content["config"], content["summary"]
        assert isinstance(config, dict)
        assert isinstance(figures, dict)
        (record,) = (r for r in records.values() if r.config == {k: v for k, v in config.items() if k in r.config})
        seen.add(record.run_id)
        assert figures["heldout/bits_per_byte"] > 0
        for key, value in summary(record).items():
            assert figures[key] == pytest.approx(value), key
    assert seen == set(records)
