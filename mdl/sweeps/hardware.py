"""What this machine has, by name: its processor, and its GPUs as the driver tells them, without asking torch."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import runpy
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


class Gpu(NamedTuple):
    """As the driver tells it."""

    name: str
    memory_bytes: int


def _may_have_gpus() -> bool:
    """False: none that torch uses, by NVIDIA's driver."""
    return Path("/proc/driver/nvidia/gpus").exists() or platform.system() != "Linux"


@lru_cache(maxsize=1)
def gpu_models() -> Sequence[Gpu]:
    """Each GPU that the driver knows; asking torch would take a part of that memory."""
    if not _may_have_gpus():
        return ()
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        told = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout
        rows = [line.rpartition(",") for line in told.splitlines() if line.strip()]
        return tuple(Gpu(name.strip(), int(memory) << 20) for name, _, memory in rows)
    return ()


def count_gpus() -> int:
    """How many GPUs torch uses here.

    The driver says so in a moment; torch, whose import takes two seconds, is asked where that leaves it open.
    """
    if not _may_have_gpus():
        return 0
    visible, n_known = os.environ.get("CUDA_VISIBLE_DEVICES"), len(gpu_models())
    if n_known and _torch_has_cuda():
        if visible is None:
            return n_known
        indices = visible.split(",")
        if len(set(indices)) == len(indices) and all(i.isdigit() and int(i) < n_known for i in indices):
            return len(indices)
    import torch

    return torch.cuda.device_count()


@lru_cache(maxsize=1)
def _torch_has_cuda() -> bool:
    """Whether the torch that is installed was built for GPUs; False: that is not known without importing it."""
    found = importlib.util.find_spec("torch")
    if not found or not found.origin:
        return False
    with contextlib.suppress(Exception):  # whatever that file is in another version
        return bool(runpy.run_path(str(Path(found.origin).with_name("version.py"))).get("cuda"))
    return False


def n_cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def this_machine(*, on_gpu: bool) -> str:
    """Its kind, by which cohorts are remembered: the GPU's model, or the processor's."""
    if not on_gpu:
        return _processor()
    gpus = gpu_models()
    return gpus[0].name if gpus else "GPU"


def load_average() -> float:
    """How many processes ran or waited for a core, on average over the last minute; 0 where no system tells."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0


def waits(load: float, n_processes: int, n_cores: int) -> float:
    """How many times as long each of several processes takes as one of them alone, beside a load of others."""
    return max(1.0, (load + n_processes) / n_cores) / max(1.0, (load + 1) / n_cores)


def _processor() -> str:
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{name} ({platform.machine()})"
