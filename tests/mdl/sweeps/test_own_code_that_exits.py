"""Code of a user's own that calls sys.exit, or raises what is no Exception, in the processes of a sweep."""

from __future__ import annotations

import re
from pathlib import Path

from tests.command import TINY, mdl, records
from tests.conftest import markov_text

PLUGIN = '''\
import os, signal, sys, time
import torch
import mdl
from mdl.compressors import ANY, ClassicalCoder, register_coder

os.environ.setdefault("DRIVER", str(os.getpid()))  # which loads this first

class Quit(BaseException):
    pass

def leave():
    sys.exit(0)

def quit_it():
    raise Quit("enough")

def be_stopped():
    os.kill(int(os.environ["DRIVER"]), signal.SIGTERM)
    time.sleep(20)

class Trained(torch.nn.Module):
    """Is a model of order 0 but in a process that trains or measures."""

    def __init__(self, deed, in_training):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(256))
        self.deed, self.in_training = deed, in_training

    def forward(self, windows):
        if sys.argv[0].endswith("worker.py") and self.training == self.in_training:
            self.deed()
        return self.logits.expand(*windows.shape, 256)

for name, deed, in_training in (
    ("leaving", leave, True), ("quitting", quit_it, True), ("late", leave, False), ("stopped", be_stopped, True),
):
    mdl.register_architecture(name, lambda shape, deed=deed, when=in_training: Trained(deed, when))

register_coder(
    "leaver",
    lambda chunk_bytes: ClassicalCoder(
        name="leaver", settings="", version="1", pack=lambda data: sys.exit(3), unpack=bytes),
    modalities=(ANY,), cost_per_byte=1.0, decoder_bytes=None)
'''
LEAVES = PLUGIN.splitlines().index("    sys.exit(0)") + 1
QUITS = PLUGIN.splitlines().index('    raise Quit("enough")') + 1
IN_A_WORKER = "import os, sys\nif os.environ.get('MDL_PLUGIN_SHA256'):\n    sys.exit(4)\n"


def write(folder: Path, *architectures: str) -> None:
    (folder / "text.txt").write_bytes(markov_text(60_000))
    (folder / "mine.py").write_text(PLUGIN)
    sweep = TINY.format(steps=20).replace("[2x1, 4x1, 8x1]", "[4x1]").replace("[10KB, 20KB]", "[10KB]")
    own = f"  recipe: {{value: 2}}\n  architecture: {{values: [{', '.join(architectures)}]}}\n"
    (folder / "tiny.yaml").write_text(sweep + own)


def test_each_is_a_line_with_its_file_and_line_and_the_others_go_on(tmp_path: Path) -> None:
    """In training, in measuring, in a coder."""
    write(tmp_path, "transformer", "leaving", "quitting", "late")
    done = mdl("sweep", "tiny.yaml", "--plugin", "mine.py", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    failed = dict(re.findall(r"^failed: (\S+).*?: (plugin .*)$", done.stdout, re.MULTILINE))
    exits, file = "it calls sys.exit({}); raise an error, or return", tmp_path / "mine.py"
    assert failed["leaving-4x1"] == failed["late-4x1"] == f"plugin {file}, line {LEAVES}: {exits.format(0)}"
    assert failed["quitting-4x1"] == f"plugin {file}, line {QUITS}: Quit: enough"
    assert failed["leaver"].endswith(exits.format(3))
    assert [record["config"]["model.architecture"] for record in records(tmp_path / "runs/tiny").values()] == [
        "transformer"
    ]
    assert list((tmp_path / "runs/tiny/baselines").glob("*gzip*.json")), "the other coders"


def test_a_plugin_that_exits_where_a_worker_loads_it_is_told_for_every_job(tmp_path: Path) -> None:
    write(tmp_path, "transformer")
    (tmp_path / "mine.py").write_text(IN_A_WORKER)
    done = mdl("sweep", "tiny.yaml", "--no-baselines", "--plugin", "mine.py", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"failed: 4x1 ×1: plugin {tmp_path / 'mine.py'}, line 3: it calls sys.exit(4)" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_stop_that_meets_a_users_code_is_no_fault_of_it(tmp_path: Path) -> None:
    """The worker leaves without a word."""
    write(tmp_path, "stopped")
    done = mdl("sweep", "tiny.yaml", "--no-baselines", "--plugin", "mine.py", cwd=tmp_path, timeout=60)
    assert done.returncode == 143, done.stdout + done.stderr
    assert "failed" not in done.stdout + done.stderr
    assert "Traceback" not in (tmp_path / "runs/tiny/log.txt").read_text()
