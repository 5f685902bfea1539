"""Where a training step's time goes on a GPU: its kernels, by what they take.

python -m benchmarks.profile_training [--shapes 64x4,256x4] [--members 7] [--batch 32] [--context 1024] [--top 14]
"""

from __future__ import annotations

import argparse
from collections import Counter

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import machine
from benchmarks.speed_training import Load, train_on_noise

_WARM_STEPS, _STEPS = 10, 5


def kernel_milliseconds(size: str, n_members: int, load: Load) -> Counter[str]:
    """Milliseconds a step of every kernel, by name, over some recorded steps."""
    profiler, n = profile(activities=[ProfilerActivity.CUDA]), 0

    def count() -> None:
        nonlocal n
        n += 1
        if n == _WARM_STEPS:
            machine.wait()
            profiler.start()
        if n == _WARM_STEPS + _STEPS:
            machine.wait()
            profiler.stop()
            raise SystemExit

    train_on_noise(size, n_members, load, count)
    spent: Counter[str] = Counter()
    for event in profiler.events():
        spent[event.name] += event.device_time_total / 1e3 / _STEPS  # type: ignore[assignment]
    return spent


def main(arguments: list[str] | None = None) -> None:
    """A table a shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default="64x4,256x4")
    parser.add_argument("--members", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--top", type=int, default=14)
    chosen = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        raise SystemExit("a profile of kernels wants a GPU")
    print(f"{machine.name()}; {machine.versions()}")
    for size in chosen.shapes.split(","):
        spent = kernel_milliseconds(size, chosen.members, Load(chosen.batch, chosen.context, 0))
        print(f"\n{size}, {chosen.members} members of {chosen.batch} × {chosen.context}: {spent.total():.2f} ms a step")
        for name, milliseconds in spent.most_common(chosen.top):
            print(f"{milliseconds:8.3f}  {name[:110]}", flush=True)


if __name__ == "__main__":
    main()
