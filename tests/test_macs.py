"""A laptop that is a Mac: no /proc, no sched_getaffinity, no Slurm, an accelerator without float64."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from mdl.device import choose_device, unused_accelerator
from mdl.errors import MdlError
from mdl.records import provenance
from mdl.sweeps import plan_sweep
from mdl.sweeps.backends import local
from tests import ROOT
from tests.command import leftovers, mdl, records, write_sweep

# Python runs it in every process of a sweep: whoever opens or looks for a file of /proc finds none.
_HIDDEN = """
import builtins, io, os
from tests import ROOT
os.__dict__.pop("sched_getaffinity", None)
def hiding(call):
    def looked(path, *rest, **named):
        if isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory", os.fsdecode(path))
        return call(path, *rest, **named)
    return looked
for name in ("stat", "lstat", "open", "readlink", "listdir", "scandir"):
    setattr(os, name, hiding(getattr(os, name)))
builtins.open = io.open = hiding(io.open)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(_HIDDEN)
    return {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}"}


@pytest.mark.long
def test_a_sweep_without_proc_is_killed_goes_on_and_codes_a_file(
    tmp_path: Path, text_file: Path, environment: dict[str, str]
) -> None:
    """Who died is known without waiting for the claim to grow stale, and the records are those of any machine."""
    code = "import os, pathlib; print(pathlib.Path('/proc/self/stat').exists(), hasattr(os, 'sched_getaffinity'))"
    hidden = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    assert hidden.stdout.split() == ["False", "False"]
    write_sweep(tmp_path, text_file, steps=300)
    command = [sys.executable, "-m", "mdl.cli", "sweep", "small.yaml", "--no-baselines", "--workers", "1"]
    driver = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/small/cohorts/*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert driver.poll() is None, "it was to be killed in the middle"
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    last = mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path, timeout=100, **environment)
    assert last.returncode == 0, last.stdout + last.stderr
    made = records(tmp_path / "runs/small")
    assert len(made) == 6
    for arguments in (
        ("compress", "small.yaml", "--model", f"runs/small/{next(iter(made))}", "-o", "x.mdl"),
        ("decompress", "x.mdl", "-o", "back.yaml"),
    ):
        done = mdl(*arguments, cwd=tmp_path, **environment)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "back.yaml").read_bytes() == (tmp_path / "small.yaml").read_bytes()
    assert leftovers(tmp_path) == []


def test_the_processor_is_named_as_a_mac_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "sysctl"
    tool.write_text('#!/bin/sh\n[ "$*" = "-n machdep.cpu.brand_string" ] && echo "Apple M3 Pro"\n')
    tool.chmod(0o755)
    monkeypatch.setattr(provenance.shutil, "which", lambda name: str(tool) if name == "sysctl" else None)
    monkeypatch.setattr(provenance.Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError))
    assert provenance._processor() == "Apple M3 Pro"


def test_an_accelerator_without_float64_is_not_used_and_that_is_told(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a sweep; `--device mps` is refused in one line, auto is the processor."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert unused_accelerator() is None
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device().type == "cpu"
    with pytest.raises(MdlError, match="'mps' cannot be used"):
        choose_device("mps")
    monkeypatch.setattr(local.sys, "platform", "darwin")
    monkeypatch.setattr(local, "_run_jobs", lambda *_: local.Ended())
    write_sweep(tmp_path, text_file)
    said = StringIO()
    local.run_sweep(plan_sweep(tmp_path / "small.yaml", tmp_path / "runs"), "", Console(file=said, width=200))
    assert said.getvalue().count("this Mac's GPU (MPS) is not used") == 1
