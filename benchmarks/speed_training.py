"""Training bytes a second, ours stacked and alone, against the plain loop in the same run.

python -m benchmarks.speed_training [--shapes 16x2,64x4] [--members 7] [--batch 32] [--context 1024] [--seconds 4]
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks import machine
from benchmarks.plain_model import PlainTransformer
from mdl.config import Recipe
from mdl.device import resolve_machine
from mdl.models import Shape, forward_flops_per_byte, parse_size, training_bytes
from mdl.optimizers import usual_learning_rate
from mdl.training.cohort_module import CohortModule
from mdl.training.data_parallel import ALONE, Ranks
from mdl.training.loop import Watcher, fit
from mdl.training.members import Member

_WARM_STEPS = 10
_GPU_SHAPES = "8x1,16x1,16x2,32x2,64x2,64x4,128x4,256x4,256x6,512x8"
_CPU_SHAPES = "4x1,8x1,16x2,32x2,64x2"
_MEMORY_BYTES = 5e10  # a stack is made of fewer members where its training would take more


@dataclass(frozen=True)
class Load:
    """How much a step is."""

    batch_windows: int
    context_bytes: int
    least_seconds: float

    @property
    def bytes_a_step(self) -> int:
        """Of one member."""
        return self.batch_windows * self.context_bytes


def moved_bytes(shape: Shape) -> float:
    """What a step must move through a GPU's memory for a byte trained, each tensor that leaves the chip once a use.

    With float32 residuals and half precision for the rest, a layer of width C forward: norm and product 10 C, attention
    8 C, the rest 10 C; backward, weights' gradients included: 62 C, 18 C, 34 C. Head and embedding 24 C + 4 V.
    """
    return shape.depth * 142.0 * shape.width + 24.0 * shape.width + 4.0 * shape.vocabulary


class Noise:
    """A corpus: the arithmetic does not depend on the bytes."""

    def __init__(self, n_bytes: int) -> None:
        self._bytes = np.random.default_rng(0).integers(0, 256, n_bytes, np.uint8)

    def gather(self, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.uint8]:
        """Rows (n, length)."""
        return self._bytes[starts[:, None] + np.arange(length)]

    def read(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        """Bytes [start, end)."""
        return self._bytes[start:end]


def ours(size: str, n_members: int, load: Load) -> tuple[float, float]:
    """(bytes a second of all members, seconds before the first step is done) through Lightning, as a sweep trains."""
    clock = Clock(least_seconds=load.least_seconds)
    train_on_noise(size, n_members, load, clock.count)
    return n_members * load.bytes_a_step * clock.steps_per_second, clock.seconds_to_first


def train_on_noise(
    size: str,
    n_members: int,
    load: Load,
    after_step: Callable[[], None],
    *,
    recipe: int = 1,
    ranks: Ranks = ALONE,
) -> None:
    """Train as a sweep does until `after_step`, called after every step, raises SystemExit."""
    shape = Shape(*parse_size(size), context_tokens=load.context_bytes, block=recipe)
    source = Noise(200 * load.bytes_a_step)
    heldout = source.gather(np.zeros(1, np.int64), load.context_bytes)
    long = Recipe(
        version=recipe,
        optimizer="adamw" if recipe == 1 else "muon",
        steps=10**6,
        batch_windows=load.batch_windows,
        learning_rate=usual_learning_rate(*parse_size(size)[:2]),
        evaluate_every=10**6,
    )
    members = [Member(seed=seed, subset_length=200 * load.bytes_a_step) for seed in range(n_members)]
    module, on = CohortModule(shape, members, long, heldout), resolve_machine("auto", "auto")
    with tempfile.TemporaryDirectory() as folder, _watched(after_step), contextlib.suppress(SystemExit):
        fit(module, source, on, Path(folder) / "c", checkpoint_seconds=1e9, ranks=ranks)


@contextlib.contextmanager
def _watched(after_step: Callable[[], None]) -> Iterator[None]:
    plain = Watcher.on_train_batch_end

    def watched(watcher: Watcher, *arguments: object) -> None:
        plain(watcher, *arguments)  # type: ignore[arg-type]
        after_step()

    Watcher.on_train_batch_end = watched  # type: ignore[method-assign]
    try:
        yield
    finally:
        Watcher.on_train_batch_end = plain  # type: ignore[method-assign]


class Clock:
    """Stops a fit once enough steps have been timed, by seconds and by number: ranks must stop at the same one."""

    def __init__(self, *, least_seconds: float = 0.0, least_steps: int = 1) -> None:
        self._least, self._least_steps, self._begun, self._n = least_seconds, least_steps, time.perf_counter(), 0
        self._warm = self.seconds_to_first = self.steps_per_second = 0.0

    def count(self) -> None:
        """A step is done."""
        self._n += 1
        if self._n == 1:
            machine.wait()
            self.seconds_to_first = time.perf_counter() - self._begun
        if self._n == _WARM_STEPS:
            machine.wait()
            self._warm = time.perf_counter()
        if self._n >= _WARM_STEPS + self._least_steps and time.perf_counter() - self._warm > self._least:
            machine.wait()
            self.steps_per_second = (self._n - _WARM_STEPS) / (time.perf_counter() - self._warm)
            raise SystemExit


def plain(size: str, load: Load, *, compiled: bool) -> float:
    """Bytes a second of one model in the usual loop."""
    torch.compiler.reset()
    torch.set_num_threads(1)
    shape, on = Shape(*parse_size(size), context_tokens=load.context_bytes), machine.device()
    model = PlainTransformer(shape).to(on)
    forward = torch.compile(model, dynamic=False) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    source, generator = Noise(200 * load.bytes_a_step), np.random.default_rng(1)

    def step() -> None:
        starts = generator.integers(0, 199 * load.bytes_a_step, load.batch_windows)
        windows = torch.from_numpy(source.gather(starts, load.context_bytes)).to(on, non_blocking=True)
        with torch.autocast(on.type, torch.bfloat16, enabled=on.type == "cuda"):
            loss = forward(windows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    for _ in range(_WARM_STEPS):
        step()
    machine.wait()
    n, started = 0, time.perf_counter()
    while time.perf_counter() - started < load.least_seconds:
        step()
        n += 1
    machine.wait()
    return n * load.bytes_a_step / (time.perf_counter() - started)


def rows(shapes: list[str], n_members: int, load: Load, floor: machine.Floor, *, with_alone: bool) -> Iterator[str]:
    """A line of a Markdown table for every shape."""
    on_gpu = machine.device().type == "cuda"
    yield (
        "| shape | members | stacked | alone | plain loop | compiled | stacked / best plain | first step | peak | "
        "of the time: products | memory |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for size in shapes:
        shape = Shape(*parse_size(size), context_tokens=load.context_bytes)
        n = max(1, min(n_members, int(_MEMORY_BYTES // training_bytes(shape, load.batch_windows))))
        machine.forget_peak()
        stacked, first = ours(size, n, load)
        peak = machine.peak_bytes()
        alone = ours(size, 1, load)[0] if with_alone and n > 1 else float("nan")
        eager = plain(size, load, compiled=False)
        compiled = plain(size, load, compiled=True) if on_gpu else float("nan")
        share = stacked * 3 * forward_flops_per_byte(shape) / floor.matmul_flops_per_second
        moving = f"{stacked * moved_bytes(shape) / floor.bytes_per_second:.1%}" if on_gpu else "–"
        best = max(eager, compiled) if on_gpu else eager
        speeds = " | ".join(f"{v / 1e6:.3g} MB/s" if v == v else "–" for v in (stacked, alone, eager, compiled))
        yield (
            f"| {size} | {n} | {speeds} | {stacked / best:.1f} | {first:.1f} s | {peak / 1e9:.2g} GB | {share:.1%} | "
            f"{moving} |"
        )


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    on_gpu = machine.device().type == "cuda"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default=_GPU_SHAPES if on_gpu else _CPU_SHAPES)
    parser.add_argument("--members", type=int, default=7 if on_gpu else 3)
    parser.add_argument("--batch", type=int, default=32 if on_gpu else 4)
    parser.add_argument("--context", type=int, default=1024 if on_gpu else 256)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--no-alone", action="store_true", help="leave out our trainer with one member")
    chosen = parser.parse_args(arguments)
    floor = machine.floor()
    print(f"training, {chosen.members} members of {chosen.batch} × {chosen.context} bytes a step; {machine.name()}")
    rates = f"{floor.matmul_flops_per_second / 1e12:.3g} TFLOP/s, {floor.bytes_per_second / 1e9:.3g} GB/s"
    print(f"{machine.versions()}; a square product and a copy here: {rates}\n")
    load = Load(chosen.batch, chosen.context, chosen.seconds)
    for line in rows(chosen.shapes.split(","), chosen.members, load, floor, with_alone=not chosen.no_alone):
        print(line, flush=True)


if __name__ == "__main__":
    main()
