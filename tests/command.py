"""The command itself as a process: how tests call it and what they ask of its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mdl.cli import app
from mdl.records import read_cell

SWEEP = """
parameters:
  corpus.source: {{value: "file:{text}"}}
  corpus.heldout_bytes: {{value: 20KB}}
  subset_bytes: {{values: [10KB, 40KB]}}
  size: {{values: [4x1, 8x1, 16x1]}}
  context_bytes: {{value: 64}}
  steps: {{values: {steps}}}
  checkpoint_seconds: {{value: 0.2}}
  reach_ratio: {{value: 1}}
{more}"""


# Six cells of seconds, for {steps} steps, of a text.txt beside.
TINY = """
name: tiny
parameters:
  source: {{value: "file:text.txt"}}
  size: {{values: [2x1, 4x1, 8x1]}}
  subset_bytes: {{values: [10KB, 20KB]}}
  steps: {{value: {steps}}}
  context_bytes: {{value: 64}}
  heldout_sample_bytes: {{value: 512}}
"""


def mdl(
    *arguments: str | Path, cwd: Path, timeout: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mdl.cli", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=timeout, env={**os.environ, **environment},
    )  # fmt: skip


def write_sweep(folder: Path, text: Path, steps: int | Sequence[int] = 60, more: str = "") -> None:
    budgets = [steps] if isinstance(steps, int) else list(steps)
    (folder / "small.yaml").write_text(SWEEP.format(text=text, steps=budgets, more=more))


def records(folder: Path) -> dict[str, dict[str, Any]]:
    """Every record without what may differ between two runs of the same cell."""
    found = {}
    for path in sorted(folder.glob("*/record.json")):
        read_cell(path)
        record = json.loads(path.read_bytes())
        del record["provenance"]
        found[record["run_id"]] = record
    return found


def leftovers(folder: Path) -> list[str]:
    return [
        str(p.relative_to(folder)) for p in folder.rglob("*") if p.name.startswith(".") or p.suffix in (".tmp", ".ckpt")
    ]


def comes_back(content: bytes, folder: Path, model: Path, *options: str) -> str:
    """What `mdl compress` says of book.txt, made book.mdl; `mdl decompress` gives it back as again.txt."""
    (folder / "book.txt").write_bytes(content)
    with_model = ["--model", model, "--device", "cpu"]
    packed = mdl("compress", "book.txt", *options, "-o", "book.mdl", *with_model, cwd=folder)
    assert packed.returncode == 0, packed.stderr
    unpacked = mdl("decompress", "book.mdl", "-o", "again.txt", *with_model, cwd=folder)
    assert unpacked.returncode == 0, unpacked.stderr
    assert (folder / "again.txt").read_bytes() == content
    return packed.stdout


def assert_one_line(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def assert_refused_here(
    arguments: Sequence[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command, in this process, ends with 2 and one line that says so."""
    monkeypatch.setattr(sys, "argv", ["mdl", *arguments])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    told = capsys.readouterr()
    assert stopped.value.code == 2
    assert says in told.err
    assert len((told.out + told.err).splitlines()) == 1
