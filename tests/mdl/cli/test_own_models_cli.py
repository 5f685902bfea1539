"""py:NAME, a model that a plugin registers, in evaluate, baselines and generate: real processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from analysis.records import load
from mdl.cli.app import app
from mdl.records import read_cell, read_transfer
from tests.command import assert_one_line, mdl
from tests.conftest import markov_text

PLUGIN = """
import mdl, numpy as np, torch
from safetensors.numpy import load_file

def order_1():
    table = load_file("order_1.safetensors")["table"]          # logits (256, 256) of the next byte
    return mdl.Predictor(lambda windows: table[windows], n_params=table.size, predicts="next", returns="logits")

class Repeats(torch.nn.Module):
    context_bytes = 300
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([3.0]))
    def forward(self, windows):                                # row t: the byte before it again, likely
        before = torch.nn.functional.one_hot(windows, 256).float().roll(1, 1)
        before[:, 0] = 0
        return torch.log_softmax(self.scale * before, -1)

def peeks():
    return mdl.Predictor(lambda windows: np.eye(256)[windows] * 0.9 + 0.1 / 256, n_params=1)

mdl.register_model("order-1", order_1, files=["order_1.safetensors"])
mdl.register_model("repeats", Repeats)
mdl.register_model("peeks", peeks)
mdl.register_model("broken", lambda: open("nowhere.pt"))
mdl.register_model("wordy", lambda: "an LSTM")
"""
TEXT = markov_text(6000)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "my.txt").write_bytes(TEXT)
    pairs = np.zeros((256, 256), np.float32)
    np.add.at(pairs, (np.frombuffer(TEXT, np.uint8)[:-1], np.frombuffer(TEXT, np.uint8)[1:]), 1)
    save_file({"table": np.log(pairs + 0.01)}, tmp_path / "order_1.safetensors")
    return tmp_path


def bits_of(folder: Path, name: str) -> dict[int, float]:
    found = [read_cell(path) for path in folder.glob(f"{name}-*/record.json")]
    return {r.subset_bytes: sum(s.code_bits for s in r.snapshots[0].segments) for r in found}


@pytest.mark.slow
def test_evaluate_records_it_with_its_plugin_once_and_anew_when_either_file_changes(place: Path) -> None:
    arguments = ("evaluate", "py:order-1", "my.txt", "--sizes", "1KB,5KB", "--context", "64", "--no-baselines")
    done = mdl(*arguments, "--plugin", "mine.py", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "first byte of each window is coded uniformly, 8 bits" in done.stdout
    table = np.fromfile(place / "order_1.safetensors", np.float32)[-65536:].reshape(256, 256).astype(float)
    log_p = table - np.log(np.exp(table).sum(1, keepdims=True))
    nats = [np.log(1 / 256) if i % 64 == 0 else log_p[TEXT[i - 1], TEXT[i]] for i in range(5000)]
    found = bits_of(place / "runs/evaluate", "order-1")
    assert found[5000] == pytest.approx(-sum(nats) / np.log(2), rel=1e-6)
    assert found[1000] == pytest.approx(-sum(nats[:1000]) / np.log(2), rel=1e-6)
    paths = {path: path.stat().st_mtime_ns for path in place.glob("runs/evaluate/*/record.json")}
    record = read_cell(next(iter(paths)))
    assert len(record.plugins["model"]) == 64
    assert record.model.file_bytes == (place / "order_1.safetensors").stat().st_size
    assert record.is_pretrained

    again = mdl(*arguments, "--plugin", "mine.py", cwd=place)
    assert again.stdout == done.stdout
    assert {path: path.stat().st_mtime_ns for path in place.glob("runs/evaluate/*/record.json")} == paths
    (place / "mine.py").write_text(PLUGIN + "\n# changed\n")
    assert mdl(*arguments, "--plugin", "mine.py", cwd=place).returncode == 0
    assert len(list(place.glob("runs/evaluate/*/record.json"))) == 4
    save_file({"table": np.zeros((256, 256), np.float32)}, place / "order_1.safetensors")
    assert mdl(*arguments, "--plugin", "mine.py", cwd=place).returncode == 0
    assert len(list(place.glob("runs/evaluate/*/record.json"))) == 6


@pytest.mark.slow
def test_a_module_is_measured_beside_the_coders_and_reported(place: Path) -> None:
    done = mdl("evaluate", "py:Repeats", "py:order-1", "my.txt", "--plugin", "mine.py", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["records"]
    assert [row["model"] for row in told] == ["Repeats", "order-1"], (
        "a function or class of a plugin need not be registered"
    )
    assert [row["n_params"] for row in told] == [1, 65536]
    assert len(load(place / "runs/evaluate").baselines)
    report = mdl("report", "runs/evaluate", "--format", "md", cwd=place)
    assert report.returncode == 0, report.stderr


@pytest.mark.slow
def test_baselines_puts_it_beside_the_coders(place: Path) -> None:
    options = ("--model", "py:repeats", "--sizes", "5KB", "--chunk", "100", "--plugin", "mine.py")
    done = mdl("baselines", "my.txt", *options, cwd=place)
    assert done.returncode == 0, done.stderr
    records = [read_transfer(path) for path in place.glob("runs/baselines/transfer/*.json")]
    assert {record.chunk_bytes for record in records} == {None, 100}
    for record in records:
        assert len(record.plugin_sha256 or "") == 64
        assert record.model.n_params == 1
        T = record.chunk_bytes or 300
        data = TEXT[: record.sample_bytes]
        likely = np.log2(np.exp(3) + 255)
        wanted = [
            8 if i % T == 0 else likely - (3 / np.log(2) if data[i] == data[i - 1] else 0) for i in range(len(data))
        ]
        assert record.code_bits == pytest.approx(sum(wanted), rel=1e-6)
    again = mdl("baselines", "my.txt", *options, cwd=place)
    assert again.returncode == 0
    assert len(list(place.glob("runs/baselines/transfer/*.json"))) == 2


def test_generate_draws_from_it_the_same_every_time(place: Path) -> None:
    options = ("--prompt", "my.txt", "--prompt-bytes", "50", "--length", "400", "--plugin", "mine.py")
    made = [mdl("generate", "--coder", "py:order-1", *options, "-o", f"{i}.txt", cwd=place) for i in range(2)]
    assert [done.returncode for done in made] == [0, 0], made[0].stderr
    content = (place / "0.txt").read_bytes()
    assert content == (place / "1.txt").read_bytes()
    pairs = {TEXT[i : i + 2] for i in range(len(TEXT) - 1)}
    seen = sum(content[i : i + 2] in pairs for i in range(399))
    assert seen > 350, "an order-1 model writes pairs that it has seen"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("py:peeks", "row 1,024 changes with byte 1,024"),
        ("py:order1", "unknown model 'order1'; did you mean 'order-1'?"),
        ("py:broken", "py:broken cannot be loaded (FileNotFoundError"),
        ("py:wordy", "what load of py:wordy returns is a str; want a mdl.Predictor or a torch.nn.Module"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_line_by_every_door(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("MDL_PLUGIN", "mine.py")
    monkeypatch.setenv("MDL_PLUGIN_SHA256", "")
    doors = (("evaluate", name, "my.txt"), ("baselines", "my.txt", "--model", name))
    for arguments in (*doors, ("generate", "--coder", name, "--prompt", "my.txt")):
        error = str(CliRunner().invoke(app, arguments).exception)
        assert (words.replace("1,024", "128") if arguments[0] == "generate" else words) in error
        assert "\n" not in error
    assert not list(place.glob("runs/**/*.json"))


def test_what_a_plugin_prints_is_no_part_of_the_json(place: Path) -> None:
    """Found by use: a program that read it met the plugin's words."""
    (place / "talks.py").write_text(
        f"{PLUGIN}\nprint('imported')\nmdl.register_model('talks', lambda: (print(1), Repeats())[1])"
    )
    sizes = ("--sizes", "2KB", "--context", "64", "--no-baselines", "--json")
    done = mdl("evaluate", "py:talks", "my.txt", *sizes, "--plugin", "talks.py", cwd=place)
    assert json.loads(done.stdout)["records"][0]["model"] == "talks"
    assert "imported\n1\n" in done.stderr


EXITS = {
    "when it is imported": ("import sys\nsys.exit('no file')\n", "line 2", "'no file'"),
    "when it is loaded": ("import mdl, sys\ndef f():\n    sys.exit()\nmdl.register_model('m', f)\n", "line 3", None),
    "when it is asked": (
        "import mdl, sys\ndef ask(windows):\n    sys.exit(0)\n"
        "mdl.register_model('m', lambda: mdl.Predictor(ask, n_params=1))\n", "line 3", 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("when", EXITS)
def test_code_of_a_users_own_that_ends_the_process_is_no_success(when: str, tmp_path: Path) -> None:
    """It would end with status 0, no record, and no word."""
    code, line, status = EXITS[when]
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "my.txt").write_bytes(TEXT)
    done = mdl("evaluate", "py:m", "my.txt", "--sizes", "2KB", "--plugin", "mine.py", cwd=tmp_path)
    assert_one_line(done, f"mine.py, {line}: it calls sys.exit({status})")


def test_without_a_plugin_the_way_is_told(place: Path) -> None:
    assert_one_line(mdl("evaluate", "py:order-1", "my.txt", cwd=place), "--plugin my_models.py")
    assert_one_line(mdl("compress", "my.txt", "--model", "order_1.safetensors", cwd=place), "py:NAME with --plugin")
