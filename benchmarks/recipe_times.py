"""Milliseconds of a recorded training step by optimizer: AdamW, Muon with AdamW on the rest, and what was tried for it.

    python -m benchmarks.recipe_times [--shapes 16x2,64x4] [--members 7] [--out times.json]

Every figure is the median of recorded steps on a GPU that nothing else uses; the clip of each member is part of a step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import recipe_optimizer as stacked
from mdl.config import usual_learning_rate as learning_rate
from mdl.models import Shape, fused_parts, parse_size
from mdl.models.transformer import Parts, StackedTransformer
from mdl.training.cuda_graph import RecordedStep

_N_TIMED = 30


class EachAlone(stacked.StackedMuon):
    """Tried: every weight's matrices by themselves, in place of one batch a size."""

    def _step_matrices(self, matrices: list[Any], momentum: float) -> None:
        for matrix in matrices:
            super()._step_matrices([matrix], momentum)


def in_float32(matrices: Tensor) -> Tensor:
    """Tried: Newton-Schulz in float32."""
    a, b, c = stacked._QUINTIC
    X = matrices / (matrices.flatten(1).square().sum(dim=1).sqrt()[:, None, None] + 1e-7)
    for _ in range(stacked.NEWTON_SCHULZ_STEPS):
        A = torch.bmm(X, X.mT)
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X


def through_gram(matrices: Tensor) -> Tensor:
    """Tried: the steps on the small Gram matrix alone, X = Q·X₀ at the end: fewer products where Q is long."""
    a, b, c = stacked._QUINTIC
    X = matrices / (matrices.flatten(1).square().sum(dim=1).sqrt()[:, None, None] + 1e-7)
    A = torch.bmm(X, X.mT)
    eye = torch.eye(A.shape[-1], device=A.device, dtype=A.dtype).expand_as(A)
    Q = None
    for _ in range(stacked.NEWTON_SCHULZ_STEPS):
        step = a * eye + torch.baddbmm(A, A, A, beta=b, alpha=c)
        Q = step if Q is None else torch.bmm(step, Q)
        A = torch.bmm(step, torch.bmm(A, step))
    assert Q is not None
    return torch.bmm(Q, X)


def groups(model: StackedTransformer) -> list[dict[str, Any]]:
    """Queries, keys and values side by side; other matrices; the rest."""
    named = dict(model.named_parameters())
    muon = {"lr": 0.02, "weight_decay": 0.1}
    single = [w for n, w in named.items() if n.startswith(("out_", "up_", "down_"))]
    rest = [w for n, w in named.items() if n.startswith(("embedding", "start", "attention_gain", "mlp_gain"))]
    qkv = [w for n, w in named.items() if n.startswith("qkv_")]
    return [{"params": qkv, "parts": 3, **muon}, {"params": single, "parts": 1, **muon}, {"params": rest}]


def step_ms(shape: Shape, n_members: int, made: Callable[[StackedTransformer], torch.optim.Optimizer] | None) -> float:
    """Median milliseconds of a recorded step; `made` None: forward, backward and clip alone."""
    model = StackedTransformer(shape, range(n_members)).cuda()
    parts = fused_parts(shape, torch.bfloat16, trained=True) or Parts().compiled()
    optimizer = made(model) if made else None
    for group in optimizer.param_groups if optimizer else []:
        group["lr"] = torch.tensor(float(group["lr"]), device="cuda")
    windows = torch.randint(0, 256, (n_members, 32, shape.context_tokens), dtype=torch.uint8, device="cuda")

    def step(given: Tensor) -> None:
        for weight in model.parameters():
            weight.grad = None
        model.nats(given, parts).flatten(1).mean(dim=1).sum().backward()
        gradients = [w.grad for w in model.parameters() if w.grad is not None]
        squares = torch.zeros(n_members, device="cuda")
        for gradient in gradients:
            squares += gradient.flatten(1).square().sum(dim=1)
        scale = (1 / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))
        if optimizer:
            optimizer.step()

    recorded, times = RecordedStep(step), []
    for i in range(_N_TIMED + 8):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        recorded(windows)
        end.record()
        torch.cuda.synchronize()
        if i >= 8:
            times.append(begin.elapsed_time(end))
    return statistics.median(times)


def ways(shape: Shape, n_members: int) -> dict[str, Callable[[], float]]:
    """What is timed, by name."""
    rate = learning_rate(shape.width, shape.depth)

    def adamw(model: StackedTransformer) -> torch.optim.Optimizer:
        return torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), fused=True, capturable=True)

    def muon(kind: type[stacked.StackedMuon], scaled: bool = False) -> Callable[[StackedTransformer], Any]:
        scale = torch.linspace(0.5, 2, n_members, device="cuda") if scaled else None
        return lambda model: kind(groups(model), lr=2 * rate, lr_scale=scale, capturable=True)

    def otherwise(orthogonal: Callable[[Tensor], Tensor]) -> float:
        usual, stacked.orthogonal = stacked.orthogonal, orthogonal
        try:
            return step_ms(shape, n_members, muon(stacked.StackedMuon))
        finally:
            stacked.orthogonal = usual

    return {
        "no optimizer": lambda: step_ms(shape, n_members, None),
        "AdamW": lambda: step_ms(shape, n_members, adamw),
        "Muon": lambda: step_ms(shape, n_members, muon(stacked.StackedMuon)),
        "AdamW again": lambda: step_ms(shape, n_members, adamw),
        "Muon, factors": lambda: step_ms(shape, n_members, muon(stacked.StackedMuon, scaled=True)),
        "Muon, weights alone": lambda: step_ms(shape, n_members, muon(EachAlone)),
        "Muon, float32": lambda: otherwise(in_float32),
        "Muon, Gram": lambda: otherwise(through_gram),
    }


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="16x2,64x2,64x4,128x4,256x4")
    parser.add_argument("--members", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("times.json"))
    given = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    begun = time.perf_counter()
    for size in given.shapes.split(","):
        shape, row = Shape(*parse_size(size), context_tokens=1024), results.setdefault(size, {})
        for name, timed in ways(shape, given.members).items():
            row[name] = timed()
        given.out.write_text(json.dumps({"device": torch.cuda.get_device_name(), "ms": results}, indent=1))
        told = ", ".join(f"{name} {ms:.3f}" for name, ms in row.items())
        print(
            f"{size}: {told}; Muon/AdamW {row['Muon'] / row['AdamW']:.3f}; {time.perf_counter() - begun:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
