"""Milliseconds of a training step by optimizer, as a sweep trains: AdamW, Muon with AdamW on the rest, none.

    python -m benchmarks.recipe_times [--shapes 16x2,64x4] [--members 7] [--ways "AdamW;Muon"] [--out times.json]

Every figure is the median of steps of `CohortModule`, clip and schedule-free, recorded on a GPU that nothing else uses;
without one they are plain steps in processor time. "Factors" are members of unlike rates. The last three are what was
tried for Muon (log: recipe_log.md, section 7).
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.speed_training import Noise
from mdl.config import Recipe
from mdl.device import resolve_machine
from mdl.models import Shape, parse_size
from mdl.optimizers import OPTIMIZERS, stacked_muon
from mdl.training.cohort_module import CohortModule
from mdl.training.members import Member

_N_TIMED, _N_WARM = 30, 8


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much a step is."""

    n_members: int
    batch_windows: int
    context_bytes: int


@dataclass(frozen=True, kw_only=True)
class Way:
    """What takes a step; `optimizer` None: forward, backward and clip alone."""

    optimizer: str | None
    recipe: int = 2
    factors: bool = False


class _Still(torch.optim.Optimizer):
    """Moves nothing."""

    def __init__(self, weights: Any) -> None:
        super().__init__(weights, {"lr": 1.0, "initial_lr": 1.0})

    def step(self, closure: Any = None) -> None:
        pass


class _Trainer:
    """As much of Lightning's as a step asks."""

    global_step = 0

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizers = [optimizer]


def step_ms(shape: Shape, load: Load, way: Way) -> float:
    """Median milliseconds of a step."""
    n_bytes = 200 * load.batch_windows * load.context_bytes
    source, M = Noise(n_bytes), load.n_members
    factors = np.geomspace(0.5, 2, M) if way.factors else np.ones(M)
    members = [Member(seed=m, subset_length=n_bytes, lr_scale=float(factors[m])) for m in range(M)]
    recipe = Recipe(
        version=way.recipe,
        steps=10**6,
        batch_windows=load.batch_windows,
        optimizer=way.optimizer or "adamw",
        learning_rate=OPTIMIZERS[way.optimizer or "adamw"].learning_rate(shape.width, shape.depth, way.recipe),
        weight_decay=0.1,
        evaluate_every=10**6,
    )
    module = CohortModule(shape, members, recipe, source.gather(np.zeros(1, np.int64), load.context_bytes))
    module.to(machine.device())
    module.prepare(resolve_machine("auto", "auto"), source)
    optimizer = module.configure_optimizers()["optimizer"] if way.optimizer else _Still(module.model.parameters())
    trainer = _Trainer(optimizer)
    module.trainer = trainer  # type: ignore[assignment]
    module.on_train_start()
    starts = np.random.default_rng(1).integers(0, n_bytes - load.context_bytes, (M, load.batch_windows))
    windows = source.gather(starts.reshape(-1), load.context_bytes).reshape(*starts.shape, load.context_bytes)
    batch = torch.from_numpy(starts if module.resident else windows).to(machine.device())
    on_cuda = machine.device().type == "cuda"
    step = module.training_step if on_cuda else module._whole_step
    with torch.autocast("cuda", torch.bfloat16) if on_cuda else nullcontext():
        times = [_once(step, batch) for _ in range(_N_WARM + _N_TIMED)]
    module.let_go()
    return statistics.median(times[_N_WARM:])


def _once(step: Callable[[Tensor], Any], batch: Tensor) -> float:
    machine.wait()
    if batch.is_cuda:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        step(batch)
        end.record()
        machine.wait()
        return begin.elapsed_time(end)
    started = time.process_time()
    step(batch)
    return 1000 * (time.process_time() - started)


def _each_alone(self: Any, matrices: list[Any], momentum: float) -> None:
    """Tried: every weight's matrices by themselves, in place of one batch a size."""
    for matrix in matrices:
        _TOGETHER(self, [matrix], momentum)


_TOGETHER = stacked_muon.StackedMuon._step_matrices


def in_float32(matrices: Tensor) -> Tensor:
    """Tried: Newton-Schulz in float32."""
    a, b, c = stacked_muon.QUINTIC
    X = matrices / (matrices.flatten(1).square().sum(dim=1).sqrt()[:, None, None] + 1e-7)
    for _ in range(stacked_muon.NEWTON_SCHULZ_STEPS):
        A = torch.bmm(X, X.mT)
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X


def through_gram(matrices: Tensor) -> Tensor:
    """Tried: the steps on the small Gram matrix alone, X = Q·X₀ at the end: fewer products where Q is long."""
    a, b, c = stacked_muon.QUINTIC
    X = matrices / (matrices.flatten(1).square().sum(dim=1).sqrt()[:, None, None] + 1e-7)
    A = torch.bmm(X, X.mT)
    eye = torch.eye(A.shape[-1], device=A.device, dtype=A.dtype).expand_as(A)
    Q = None
    for _ in range(stacked_muon.NEWTON_SCHULZ_STEPS):
        step = a * eye + torch.baddbmm(A, A, A, beta=b, alpha=c)
        Q = step if Q is None else torch.bmm(step, Q)
        A = torch.bmm(step, torch.bmm(A, step))
    assert Q is not None
    return torch.bmm(Q, X)


_MUON = Way(optimizer="muon")
WAYS: dict[str, tuple[Way, Callable[[], Any]]] = {
    "none": (Way(optimizer=None), nullcontext),
    "AdamW": (Way(optimizer="adamw"), nullcontext),
    "Muon": (_MUON, nullcontext),
    "AdamW again": (Way(optimizer="adamw"), nullcontext),
    "AdamW, factors": (Way(optimizer="adamw", factors=True), nullcontext),
    "Muon, factors": (Way(optimizer="muon", factors=True), nullcontext),
    "AdamW, recipe 1": (Way(optimizer="adamw", recipe=1), nullcontext),
    "Muon, weights alone": (_MUON, lambda: patch.object(stacked_muon.StackedMuon, "_step_matrices", _each_alone)),
    "Muon, float32": (_MUON, lambda: patch.object(stacked_muon, "orthogonal", in_float32)),
    "Muon, Gram": (_MUON, lambda: patch.object(stacked_muon, "orthogonal", through_gram)),
}


def tell_times(sizes: list[str], ways: list[str], load: Load, *, block: int, out: Path | None) -> None:
    """Milliseconds by shape and way, told and written as they come; all on the block of one version."""
    results: dict[str, dict[str, float]] = {}
    about, begun = {"device": machine.name(), "versions": machine.versions()}, time.perf_counter()
    for size in sizes:
        shape = Shape(*parse_size(size), context_tokens=load.context_bytes, block=block)
        row = results.setdefault(size, {})
        for name in ways:
            way, tried = WAYS[name]
            with tried():
                row[name] = step_ms(shape, load, way)
            gc.collect()
        if out:
            out.write_text(json.dumps(about | {"ms": results}, indent=1))
        told = ", ".join(f"{name} {ms:.3f}" for name, ms in row.items())
        adamw = [ms for name, ms in row.items() if name in ("AdamW", "AdamW again")]
        ratio = f"; Muon / AdamW {row['Muon'] / statistics.mean(adamw):.3f}" if adamw and "Muon" in row else ""
        print(f"{size}: {told}{ratio}; {time.perf_counter() - begun:.0f} s", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="16x2,64x2,64x4,128x4,256x4")
    parser.add_argument("--ways", default=";".join(WAYS), help="their names, between semicolons")
    parser.add_argument("--members", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--block", type=int, default=1, help="version of the layers' arithmetic")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    load = Load(n_members=given.members, batch_windows=given.batch, context_bytes=given.context)
    print(f"{given.members} members of {given.batch} × {given.context} bytes; {machine.name()}, {machine.versions()}")
    tell_times(given.shapes.split(","), given.ways.split(";"), load, block=given.block, out=given.out)


if __name__ == "__main__":
    main()
