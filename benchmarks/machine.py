"""What the machine can do, measured: the floor under every other figure."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def name() -> str:
    """For people."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"


def versions() -> str:
    """Of Python and torch."""
    return f"Python {platform.python_version()}, torch {torch.__version__}"


def wait() -> None:
    """Until the device has done all that was launched."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def forget_peak() -> None:
    """Let `peak_bytes` count from here on, where that can be told."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_bytes() -> int:
    """Memory at its most: of the device, or resident in this process since it began."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def seconds_of(work: Callable[[], object], least_seconds: float = 0.5) -> float:
    """Seconds a call, over as many calls as take `least_seconds`, after one to warm up."""
    work()
    wait()
    n, started = 0, time.perf_counter()
    while time.perf_counter() - started < least_seconds:
        work()
        wait()
        n += 1
    return (time.perf_counter() - started) / n


@dataclass(frozen=True)
class Floor:
    """Measured rates of the machine."""

    matmul_flops_per_second: float  # bf16 on a GPU, float32 on a CPU
    bytes_per_second: float  # read and written by a copy


def floor() -> Floor:
    """A large square product, and a large copy."""
    on, dtype = device(), torch.bfloat16 if torch.cuda.is_available() else torch.float32
    n = 8192 if on.type == "cuda" else 1024
    a, b = (torch.randn(n, n, device=on, dtype=dtype) for _ in range(2))
    source = torch.empty(2**28 if on.type == "cuda" else 2**26, dtype=torch.uint8, device=on)
    target = torch.empty_like(source)
    return Floor(2 * n**3 / seconds_of(lambda: a @ b), 2 * source.numel() / seconds_of(lambda: target.copy_(source)))
