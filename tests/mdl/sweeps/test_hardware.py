"""How many GPUs there are is known before torch is imported, and a sweep's own process never imports it."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from mdl.sweeps import hardware
from mdl.sweeps.hardware import Gpu, count_gpus

ASKED = 7  # what torch answers here where it is asked


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the driver, and a torch that was built for them."""
    monkeypatch.setattr(hardware, "_may_have_gpus", lambda: True)
    monkeypatch.setattr(hardware, "_torch_has_cuda", lambda: True)
    monkeypatch.setattr(hardware, "gpu_models", lambda: (Gpu("H", 80 << 30),) * 4)
    cuda = types.SimpleNamespace(device_count=lambda: ASKED)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))  # type: ignore[arg-type]


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("visible", "n"),
    [(None, 4), ("0", 1), ("3,1", 2), ("", ASKED), ("4", ASKED), ("0,0", ASKED), ("GPU-abc", ASKED), ("-1", ASKED)],
)
def test_the_driver_counts_the_gpus_that_a_process_sees(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, n: int
) -> None:
    """Torch is asked where the words are no plain numbers of GPUs that there are."""
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus() == n


@pytest.mark.usefixtures("four_gpus")
def test_a_torch_without_cuda_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It trains on the processor, whatever the machine has."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(hardware, "_torch_has_cuda", lambda: False)
    assert count_gpus() == ASKED


def test_how_torch_was_built_is_read_as_torch_tells_it() -> None:
    import torch

    assert hardware._torch_has_cuda() == (torch.version.cuda is not None)


def test_the_command_that_starts_workers_imports_no_torch(tmp_path: Path, text_file: Path) -> None:
    """Its import takes as long as the workers' own, which they have still before them."""
    words = ["mdl", "run", "size=2x1", "subset_bytes=10KB", "steps=2", "context_bytes=64", f"source=file:{text_file}"]
    script = (
        f"import sys\nsys.argv = {[*words, '--no-baselines']!r}\nfrom mdl.cli import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "heavy = {'torch', 'pandas', 'scipy', 'matplotlib', 'pytorch_lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("runs/single/*/record.json"))
