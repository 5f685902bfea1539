"""A user's own code: one file, named on the command line, and its hash in whatever depends on it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.command import mdl, records

SOURCE = """
import random
from mdl.data import cached, register_source

def open_coin(rest, cache, progress):
    toss = random.Random(int(rest))
    return cached(cache, f"coin-{rest}", lambda: [[bytes(toss.choice(b"ht") for _ in range(60_000))]], "text")

register_source("coin", open_coin, form="coin:SEED", modality="text", needs_network=False)
"""
CODER = """
import zlib
from mdl.compressors import ANY, ClassicalCoder, register_coder

def fast(chunk_bytes):
    return ClassicalCoder(
        name="zlib-1",
        settings="-1",
        version=zlib.ZLIB_VERSION,
        pack=lambda data: zlib.compress(data, 1),
        unpack=zlib.decompress,
    )

register_coder("zlib-1", fast, modalities=(ANY,), cost_per_byte=1e4, decoder_bytes=None)
"""
OPTIMIZER = """
import torch
from mdl.optimizers import register_optimizer

class SignSGD(torch.optim.Optimizer):
    def __init__(self, weights, lr, decay):
        super().__init__(weights, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for weight in group["params"]:
                mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
                mean.mul_(0.9).add_(weight.grad)
                weight.sub_(group["lr"] * (mean.sign() + group["decay"] * weight))
        return loss

def make(weights, settings):
    return SignSGD(weights.values(), settings.learning_rate, settings.weight_decay)

register_optimizer("sign", make, learning_rate=lambda width, depth, recipe: 0.1 / width, weight_decay=0.03)
"""
GRID = """
name: tossed
parameters:
  source: {value: "coin:7"}
  size: {values: [2x1, 4x1]}
  subset_bytes: {value: 10KB}
  steps: {value: 5}
  context_bytes: {value: 64}
  heldout_sample_bytes: {value: 512}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "coin.py").write_text(SOURCE)
    (tmp_path / "zlib_1.py").write_text(CODER)
    (tmp_path / "tossed.yaml").write_text(GRID)
    return tmp_path


@pytest.mark.slow
def test_a_source_of_ones_own_is_swept_by_workers_and_names_its_runs(place: Path) -> None:
    """The driver's workers load it too; another text of it makes other runs; without it the sweep is refused."""
    done = mdl("sweep", "tossed.yaml", "--plugin", "coin.py", "--no-baselines", cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    first = records(place / "runs/tossed")
    assert len(first) == 2
    told = [json.loads(path.read_bytes()) for path in (place / "runs/tossed").glob("*/record.json")]
    assert {len(record["plugins"]["corpus.source"]) for record in told} == {64}
    again = mdl("sweep", "tossed.yaml", "--no-baselines", cwd=place, MDL_PLUGIN="coin.py")
    assert "2 done, 0 to do" in again.stdout
    (place / "coin.py").write_text(SOURCE + "\n# changed\n")
    changed = mdl("sweep", "tossed.yaml", "--no-baselines", "--plugin=coin.py", cwd=place)
    assert "0 done, 2 to do" in changed.stdout
    assert len(records(place / "runs/tossed")) == 4
    without = mdl("sweep", "tossed.yaml", "--no-baselines", cwd=place)
    assert without.returncode == 2
    assert "unknown corpus 'coin:7'" in without.stdout + without.stderr


@pytest.mark.slow
def test_a_coder_of_ones_own_stands_in_baselines_in_sweeps_and_in_the_report(place: Path) -> None:
    (place / "book.txt").write_bytes(b"to be or not to be, that is the question. " * 2000)
    shown = mdl("baselines", "book.txt", "--plugin", "zlib_1.py", cwd=place)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("zlib-1") == 2
    (place / "s.yaml").write_text(GRID.replace("tossed", "s").replace("coin:7", "file:book.txt"))
    swept = mdl("sweep", "s.yaml", "--plugin", "zlib_1.py", cwd=place)
    assert swept.returncode == 0, swept.stdout + swept.stderr
    coded = [json.loads(path.read_bytes()) for path in (place / "runs/s/baselines").glob("*.json")]
    own = [record for record in coded if record["coder"] == "zlib-1"]
    assert own
    assert {len(record["plugin_sha256"]) for record in own} == {64}
    assert {record["plugin_sha256"] for record in coded if record["coder"] == "gzip"} == {None}
    reported = mdl("report", "s.yaml", "--format", "md", cwd=place)  # which needs no plugin: it reads records
    assert reported.returncode == 0, reported.stderr
    assert "zlib-1" in (place / "runs/s/report/report.md").read_text()


@pytest.mark.slow
def test_an_optimizer_of_ones_own_trains_and_names_its_runs(place: Path) -> None:
    """With the rate and the decay that it says; members' factors too; without it the sweep is refused by name."""
    (place / "book.txt").write_bytes(b"to be or not to be, that is the question. " * 2000)
    (place / "sign.py").write_text(OPTIMIZER)
    own = "  optimizer: {value: sign}\n  lr_scale: {values: [1, 0.5]}\n"
    (place / "s.yaml").write_text(GRID.replace("tossed", "s").replace("coin:7", "file:book.txt").replace(
        "{value: 5}", "{value: 60}") + own)  # fmt: skip
    swept = mdl("sweep", "s.yaml", "--plugin", "sign.py", "--no-baselines", cwd=place)
    assert swept.returncode == 0, swept.stdout + swept.stderr
    told = [json.loads(path.read_bytes()) for path in (place / "runs/s").glob("*/record.json")]
    assert len(told) == 4
    for record in told:
        assert record["status"] == "ok"
        assert [*record["plugins"]] == ["train.optimizer"]
        width, config = record["model"]["width"], record["config"]
        assert config["train.optimizer"] == record["requested"]["train.optimizer"] == "sign"
        assert (config["train.learning_rate"], config["train.weight_decay"]) == (0.1 / width, 0.03)
        looks = record["training"]["curve"]
        assert looks[-1]["code_bits"] < 8 * looks[-1]["n_bytes"], "it learned"
    (place / "sign.py").write_text(OPTIMIZER + "\n# changed\n")
    changed = mdl("sweep", "s.yaml", "--plugin", "sign.py", "--dry-run", cwd=place)
    assert changed.returncode == 0
    assert not [record["run_id"] for record in told if record["run_id"] in changed.stdout]
    without = mdl("sweep", "s.yaml", cwd=place)
    assert without.returncode == 2
    assert "train.optimizer: unknown optimizer 'sign'" in without.stderr
    reported = mdl("report", "s.yaml", "--format", "md", cwd=place)
    assert reported.returncode == 0, reported.stderr
    assert "sign, 60 steps" in (place / "runs/s/report/report.md").read_text()


BROKEN = {
    "no_such.py": (None, "cannot read plugin .*no_such.py: No such file or directory"),
    "typo.py": ("def f(:\n", r"plugin .*typo\.py, line 1: SyntaxError"),
    "fails.py": ("\n\nraise ValueError('bad day')\n", r"plugin .*fails\.py, line 3: ValueError: bad day"),
    "taken.py": (CODER.replace('"zlib-1"', '"gzip"'), r"plugin .*taken\.py: there is a coder 'gzip' already"),
    "negative.py": (
        OPTIMIZER.replace("0.1 /", "-1 /"),
        r"plugin .*negative\.py: optimizer 'sign': want a learning_rate above 0 .*; got -0\.0625",
    ),
    "silent.py": (
        CODER.replace(", cost_per_byte=1e4", ""),
        rf"plugin .*silent\.py, line {len(CODER.splitlines())}: TypeError: .*cost_per_byte",
    ),
    "other.py": (
        SOURCE.replace('form="coin:SEED"', 'form="dice:N"'),
        r"plugin .*other\.py: .*its form begins with its name",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_plugin_that_cannot_be_loaded_is_one_line(name: str, tmp_path: Path) -> None:
    import re

    content, says = BROKEN[name]
    if content is not None:
        (tmp_path / name).write_text(content)
    done = mdl("status", "x.yaml", "--plugin", name, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert re.match(f"error: {says}", done.stderr), done.stderr


def test_a_plugin_that_changes_while_it_is_in_use_is_refused_by_name(place: Path) -> None:
    """As a queued task finds it, or a worker that starts late: the environment has the hash it was loaded with."""
    told = {"MDL_PLUGIN": str(place / "coin.py"), "MDL_PLUGIN_SHA256": "0" * 64}
    done = mdl("sweep", "tossed.yaml", "--dry-run", cwd=place, **told)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: plugin {place / 'coin.py'} was changed while in use (00000000… is ")


def test_no_file_can_ask_for_code(place: Path) -> None:
    """A sweep file that names a plugin is refused; nothing is imported."""
    (place / "evil.py").write_text(f"open({str(place / 'ran')!r}, 'w')\n")
    (place / "t.yaml").write_text(GRID + "plugin: evil.py\n")
    done = mdl("sweep", "t.yaml", "--dry-run", cwd=place)
    assert done.returncode == 2
    assert "unknown key 'plugin'" in done.stderr
    assert not (place / "ran").exists()
    assert "MDL_PLUGIN" not in os.environ


@pytest.mark.parametrize(
    ("was", "is_now", "told"),
    [
        ("def fast(chunk_bytes)", "def fast()", r"TypeError: fast\(\) takes 0 .*mine\.py registers may take"),
        ("zlib.compress(data, 1)", "zlib.compress(data, 99)", r"plugin \S*mine\.py, line 10: error: Bad compression"),
    ],
)
def test_an_error_in_a_users_own_code_is_one_line_that_names_the_file(
    was: str, is_now: str, told: str, text_file: Path, tmp_path: Path
) -> None:
    """Its traceback comes when it is asked for."""
    (tmp_path / "mine.py").write_text(CODER.replace(was, is_now))
    words = ("baselines", text_file, "--plugin", "mine.py", "--sizes", "10KB")
    ended = mdl(*words, cwd=tmp_path)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert re.search(told, ended.stderr)
    assert "Traceback" in mdl(*words, cwd=tmp_path, MDL_TRACEBACK="1").stderr
