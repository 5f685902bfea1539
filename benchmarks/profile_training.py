"""Where a training step's time goes on a GPU: its kernels, by what they take.

python -m benchmarks.profile_training [--shapes 64x4,256x4] [--members 7] [--batch 32] [--context 1024] [--top 14]
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import machine
from benchmarks.speed_training import Noise
from mdl.cohort import CohortModule, Member, Recipe
from mdl.machine import resolve_machine
from mdl.recipe import learning_rate
from mdl.shapes import Shape, parse_size
from mdl.train import Watcher, fit

_WARM_STEPS, _STEPS = 10, 5


def kernel_milliseconds(size: str, n_members: int, batch: int, context: int) -> Counter[str]:
    """Milliseconds a step of every kernel, by name, over some recorded steps."""
    shape = Shape(*parse_size(size), context)
    source = Noise(200 * batch * context)
    rate = learning_rate(shape.width, shape.depth)
    recipe = Recipe(10**6, batch, rate, 0.01, 1.0, 50, 0.5, 0.05, 10**6)
    members = [Member(seed, 200 * batch * context) for seed in range(n_members)]
    module = CohortModule(shape, members, recipe, source.gather(np.zeros(1, np.int64), context))
    profiler = profile(activities=[ProfilerActivity.CUDA])
    with tempfile.TemporaryDirectory() as folder, _profiling(profiler), contextlib.suppress(SystemExit):
        fit(module, source, resolve_machine("auto", "auto"), Path(folder) / "c", checkpoint_seconds=1e9)
    spent: Counter[str] = Counter()
    for event in profiler.events():
        spent[event.name] += event.device_time_total / 1e3 / _STEPS  # type: ignore[assignment]
    return spent


@contextlib.contextmanager
def _profiling(profiler: profile) -> Iterator[None]:
    """While open, a fit warms up, is profiled for some steps, and ends."""
    plain, n = Watcher.on_train_batch_end, 0

    def counted(watcher: Watcher, *arguments: object) -> None:
        nonlocal n
        plain(watcher, *arguments)  # type: ignore[arg-type]
        n += 1
        if n == _WARM_STEPS:
            machine.wait()
            profiler.start()
        if n == _WARM_STEPS + _STEPS:
            machine.wait()
            profiler.stop()
            raise SystemExit

    Watcher.on_train_batch_end = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Watcher.on_train_batch_end = plain  # type: ignore[method-assign]


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
        spent = kernel_milliseconds(size, chosen.members, chosen.batch, chosen.context)
        print(f"\n{size}, {chosen.members} members of {chosen.batch} × {chosen.context}: {spent.total():.2f} ms a step")
        for name, milliseconds in spent.most_common(chosen.top):
            print(f"{milliseconds:8.3f}  {name[:110]}", flush=True)


if __name__ == "__main__":
    main()
