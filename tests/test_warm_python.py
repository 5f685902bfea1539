"""Commands that are forked from a process that has imported everything do what plain ones do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import mdl
from tests.warm_python import COLD


@pytest.mark.parametrize(
    "words",
    [["--version"], ["status", "nowhere.yaml"], ["sweep"], ["inspect", "there.txt"], ["run", "widht=16"]],
    ids=lambda words: words[0],
)
def test_what_is_said_and_the_status_are_those_of_a_plain_start(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("no archive")
    warm, cold = (mdl(*words, cwd=tmp_path, **environment) for environment in ({}, {COLD: "1"}))
    assert (warm.returncode, warm.stdout, warm.stderr) == (cold.returncode, cold.stdout, cold.stderr)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL], ids=lambda sent: sent.name)
def test_a_command_ends_by_the_signal_that_it_gets(sent: signal.Signals, tmp_path: Path) -> None:
    """A worker waits for its input: whoever holds the other end of its output sees that it is gone."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mdl.sweeps.worker"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    time.sleep(1)
    process.send_signal(sent)
    assert process.stdout.read() == b""
    assert process.wait() == -sent or sent == signal.SIGTERM
    process.stdin.close()
    process.stdout.close()


def test_other_words_and_another_environment_get_the_plain_interpreter(tmp_path: Path) -> None:
    code = "import sys; print('torch' in sys.modules, sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, "a b"], capture_output=True, text=True, check=True)
    assert done.stdout == "False ['a b']\n"
    (tmp_path / "sitecustomize.py").write_text("print('here')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    assert mdl("--version", cwd=tmp_path, PYTHONPATH=path).stdout.startswith("here\n")
