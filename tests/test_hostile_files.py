"""Claims, weights and terminals that hold anything: the right result or one line, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mdl.compressors import find_by_hash
from mdl.errors import MdlError
from mdl.models import Shape, load_weights, weights_bytes
from mdl.quantization import decode_weights
from mdl.records import RunPaths
from mdl.sweeps.claims import latest
from tests.command import leftovers
from tests.synthetic import cell, grid, write_sweep

SHAPE = Shape(4, 1, 1, context_tokens=16)


def weights() -> dict[str, torch.Tensor]:
    from mdl.models import weight_shapes

    return {name: torch.zeros(shape) for name, shape in weight_shapes(SHAPE).items()}


@pytest.mark.parametrize("content", [
    b"[]", b"5", b"null", b"x", b"[" * 60_000, b'{"process": 5, "host": {}, "slurm": 3, "what": "\\u001b[2J"}', b"",
])  # fmt: skip
def test_a_claim_that_holds_other_json_is_someones_claim(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mdl status` ended in a traceback."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    paths = RunPaths(tmp_path)
    paths.claims.mkdir()
    (paths.claims / "a.0").write_bytes(content)
    claim = latest(paths)["a"]
    assert not claim.is_stale
    assert (claim.host + claim.since + claim.what).isprintable()


def told(changes: dict[str, Any]) -> dict[str, str]:
    return {"mdl": json.dumps({"format": 1, "shape": SHAPE.told() | changes})}


@pytest.mark.parametrize(
    ("metadata", "dtype", "said"),
    [
        (told({"width": 4.0}), torch.float32, "width is a whole number, got 4.0"),
        (told({"context_bytes": 2 * 10**8}), torch.float32, "context of 1 to 1,048,576 bytes, got 200000000"),
        (told({}), torch.float64, "is torch.float64, and mdl writes float32"),
        ({"mdl": "[" * 100_000}, torch.float32, "does not hold weights that mdl wrote"),
    ],
)
def test_weights_that_mdl_did_not_write_are_refused(
    tmp_path: Path, metadata: dict[str, str], dtype: torch.dtype, said: str
) -> None:
    path = tmp_path / "w.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in weights().items()}, path, metadata)
    with pytest.raises(MdlError, match=said):
        load_weights(path)


def test_weights_that_are_no_plain_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(MdlError, match="is not a plain file"):
            load_weights(tmp_path / f"{name}.safetensors")


def test_what_is_called_like_weights_and_is_none_does_not_hide_those_that_are_looked_for(tmp_path: Path) -> None:
    import hashlib

    run = tmp_path / "sweep" / "run"
    (run / "a.safetensors").mkdir(parents=True)
    (run / "b.safetensors").symlink_to(tmp_path / "nowhere")
    os.mkfifo(run / "c.safetensors")
    content = weights_bytes(SHAPE, weights())
    (run / "final.safetensors").write_bytes(content)
    assert find_by_hash(hashlib.sha256(content).hexdigest(), tmp_path) == run / "final.safetensors"


def test_coded_weights_may_not_claim_many_times_their_own_size() -> None:
    """A megabyte took 2.8 GB."""
    with pytest.raises(MdlError, match=r"1,000,000 bytes for .* parameters"):
        decode_weights(Shape(2048, 2, 1, context_tokens=16), bytes([2, 2]) + bytes(999_998))


def command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "mdl.cli", *arguments], cwd=cwd, capture_output=True, env=os.environ | environment
    )


@pytest.mark.slow
def test_a_terminal_of_another_encoding_gets_all_that_is_said(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", grid(["8x1", "16x1"], [10_000]))
    made = command("suggest", "s", cwd=tmp_path, PYTHONIOENCODING="latin-1")
    assert made.returncode == 0, made.stderr
    assert b"Traceback" not in made.stderr
    assert b"\\u2500" in made.stdout


def test_no_escape_of_a_record_reaches_the_terminal(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "\x1b[31mred", [cell("8x1", 10_000, 4e4)])
    path = next(folder.glob("*/record.json"))
    record = json.loads(path.read_text())
    record["corpus"]["source"] = record["provenance"]["command"] = "file:\x1b]0;owned\x07"
    path.write_text(json.dumps(record))
    (tmp_path / "plain").symlink_to(folder)
    shown = command("report", "plain", "--out", "r", "--format", "md", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "\x1b" not in (tmp_path / "r" / "report.md").read_text()
    path.write_text("{")
    refused = command("report", str(folder), cwd=tmp_path)
    assert refused.returncode == 2
    for said in (shown, refused):
        assert b"\x1b" not in said.stdout + said.stderr


@pytest.mark.slow
def test_a_report_that_is_ended_leaves_no_temporaries(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", grid(["8x1", "16x1", "16x2", "32x2"], [10_000, 30_000, 100_000]))
    process = subprocess.Popen(
        [sys.executable, "-m", "mdl.cli", "report", "s", "--out", "r"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list(tmp_path.glob(".r.*/figures/*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert leftovers(tmp_path) == []
