"""How fast checkpoints are measured, and how far that is from plain float32.

python -m benchmarks.speed_evaluation [--shapes 64x2,256x4] [--megabytes 100] [--devices 2]
    [--weights FILE.safetensors]
"""

from __future__ import annotations

import argparse
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks import machine
from mdl.config import Recipe
from mdl.data import ByteView
from mdl.device import resolve_machine
from mdl.models import (
    Shape,
    StackedTransformer,
    code_lengths,
    forward_flops_per_byte,
    load_weights,
    parse_size,
    stack,
    window_bits,
)
from mdl.optimizers import usual_learning_rate
from mdl.training.cohort_module import CohortModule
from mdl.training.loop import fit
from mdl.training.members import Member


def view_of(n_bytes: int) -> ByteView:
    """The running Python's own sources, over and over."""
    sources = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    content = np.frombuffer(b"".join(path.read_bytes() for path in sources), np.uint8)
    return ByteView.whole(np.resize(content, n_bytes))


def trained(size: str, view: ByteView) -> StackedTransformer:
    """A model after 100 steps: rounding errors of one that knows nothing are larger, and of no use to anyone."""
    shape = Shape(*parse_size(size), context_tokens=1024)
    rate = usual_learning_rate(shape.width, shape.depth)
    recipe = Recipe(steps=100, batch_windows=8, learning_rate=rate, warmup_steps=20, evaluate_every=10**6)
    heldout = view.read(0, 1024).reshape(1, 1024)
    module = CohortModule(shape, [Member(seed=0, subset_length=len(view))], recipe, heldout)
    with tempfile.TemporaryDirectory() as folder:
        fit(module, view, resolve_machine("auto", "auto"), Path(folder) / "c")
    return stack(shape, [module.model.member(0)]).to(machine.device())


def row(label: str, model: StackedTransformer, view: ByteView, floor: machine.Floor, n_devices: int) -> str:
    """A line of a Markdown table."""
    T = model.shape.context_tokens
    sample = view.read(0, min(256, len(view) // T) * T).reshape(-1, T)
    code_lengths(model, view, "heldout", [4 * T])  # warm
    plain_seconds = machine.seconds_of(lambda: window_bits(model, sample, half=False))
    difference = window_bits(model, sample).double().mean() - window_bits(model, sample, half=False).double().mean()
    machine.wait()
    started = time.perf_counter()
    code_lengths(model, view, "heldout", [len(view)], n_devices=n_devices)
    machine.wait()
    seconds = time.perf_counter() - started
    speed = len(view) / seconds
    share = speed * forward_flops_per_byte(model.shape) / floor.matmul_flops_per_second
    plain = sample.size / plain_seconds
    return (
        f"| {label} | {len(view):,} | {seconds:.2f} s | {speed / 1e6:.3g} MB/s | {plain / 1e6:.3g} MB/s | "
        f"{float(difference):+.1e} | {share:.1%} |"
    )


def rows(shapes: list[str], view: ByteView, weights: Path | None, n_devices: int) -> Iterator[str]:
    """The table."""
    yield "| shape | bytes | seconds, compiling included | speed | plain float32 | difference, bits/byte | of matmul |"
    yield "|---|---|---|---|---|---|---|"
    floor = machine.floor()
    if weights:
        shape, own = load_weights(weights)
        yield row(weights.name, stack(shape, [own]).to(machine.device()), view, floor, n_devices)
    for size in shapes:
        yield row(size, trained(size, view), view, floor, n_devices)


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    on_gpu = machine.device().type == "cuda"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default="64x2,256x4" if on_gpu else "8x1,32x2")
    parser.add_argument("--megabytes", type=float, default=100 if on_gpu else 0.3)
    parser.add_argument("--devices", type=int, default=1, help="GPUs that share the windows")
    parser.add_argument("--weights", type=Path)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(f"measuring; {machine.name()}; {machine.versions()}\n")
    view = view_of(int(chosen.megabytes * 1e6))
    for line in rows(chosen.shapes.split(","), view, chosen.weights, chosen.devices):
        print(line, flush=True)


if __name__ == "__main__":
    main()
