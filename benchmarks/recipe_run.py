"""One job of `benchmarks.recipe_probe` on a device: its stack is trained and measured."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.recipe_job import Job
from benchmarks.recipe_model import SwitchedModel, sdpa
from benchmarks.recipe_optimizer import FlatOptimizer
from mdl.data import WindowOrder
from mdl.models import Shape, fused_parts, parse_size
from mdl.optimizers import usual_learning_rate as learning_rate
from mdl.training.cuda_graph import RecordedStep

MEASURED_BYTES = 2**20  # of a part, at the most, whatever the length of the windows


class Run:
    """A job on a device."""

    def __init__(self, job: Job, data: Path, device: str) -> None:
        self.job, self.device = job, device
        width, depth, heads = parse_size(job.size)
        self.shape = Shape(width, depth, heads, context_tokens=job.context_bytes)
        self.low = torch.bfloat16 if device == "cuda" else torch.float32
        members = job.members
        self.model = SwitchedModel(
            self.shape, [m.seed for m in members], [m.switches for m in members], device, job.loops
        )
        self.optimizer = FlatOptimizer(self.model, job, learning_rate(width, depth))
        train, self.heldout = np.load(data / "train.npy", mmap_mode="r"), np.load(data / "heldout.npy")
        largest = max(m.subset_bytes for m in members)
        self.corpus = torch.from_numpy(np.array(train[:largest])).to(device)
        self.starts = torch.from_numpy(self._starts()).to(device)
        self.in_window = torch.arange(self.shape.context_tokens, device=device)
        self.attention: Callable[..., Tensor] = sdpa
        self.parts = None
        if device == "cuda":
            from mdl.models.kernels.attention import attention

            self.attention = attention
            self.parts = fused_parts(self.shape, self.low, trained=True) if job.fused else None
            self.model.compile()

    def _starts(self) -> Any:
        """(steps, M, B): members of one seed and subset see the same windows."""
        orders: dict[tuple[int, int], Any] = {}
        for m in self.job.members:
            if (key := (m.seed, m.subset_bytes)) not in orders:
                order = WindowOrder(m.seed, m.subset_bytes, self.shape.context_tokens, self.job.batch_windows)
                orders[key] = np.stack([order.starts(step) for step in range(self.job.steps)]).astype(np.int32)
        return np.stack([orders[m.seed, m.subset_bytes] for m in self.job.members], axis=1)

    def _step(self, _: Tensor) -> None:
        self.optimizer.gradient.zero_()
        starts = self.starts.index_select(0, self.optimizer.step_index.view(1))[0]
        windows = self.corpus[starts[:, :, None] + self.in_window]
        nats = self.model.nats(windows, self.low, self.attention, self.parts)
        torch.autograd.backward(nats.flatten(1).mean(dim=1).sum())
        self.optimizer.step()

    def train(self) -> float:
        """Seconds of the steps, those before the recording left out and counted as the others."""
        step = RecordedStep(self._step) if self.device == "cuda" else self._step
        nothing, begun, first = torch.zeros(1, device=self.device), time.perf_counter(), 0
        for i in range(self.job.steps):
            step(nothing)
            if i == 3:
                self._wait()
                begun, first = time.perf_counter(), i + 1
        self._wait()
        return (time.perf_counter() - begun) * self.job.steps / max(1, self.job.steps - first)

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    @torch.no_grad()
    def measure(self) -> tuple[list[float], list[float]]:
        """Own and held-out rates of every member, % of the raw size, in float16 on CUDA."""
        job, T = self.job, self.shape.context_tokens
        averaged = torch.tensor([m.average_steps > 0 for m in job.members], device=self.device)[self.optimizer.owner]
        self.optimizer.weights.copy_(torch.where(averaged, self.optimizer.average, self.optimizer.weights))
        own_starts = np.stack([_spread(m.subset_bytes, T) for m in job.members])
        heldout = torch.from_numpy(self.heldout).to(self.device)
        held_starts = np.stack([_spread(len(self.heldout), T)] * len(job.members))
        return self._rates(self.corpus, own_starts), self._rates(heldout, held_starts)

    def _rates(self, source: Tensor, starts: Any) -> list[float]:
        low = torch.float16 if self.device == "cuda" else torch.float32
        total = torch.zeros(len(self.job.members), dtype=torch.float64, device=self.device)
        self.model.uncompiled()
        rows = max(1, 2**29 // (len(self.job.members) * self.shape.context_tokens * 1024))
        for i in range(0, starts.shape[1], rows):
            at = torch.from_numpy(starts[:, i : i + rows]).to(self.device)
            nats = self.model.nats(source[at[:, :, None] + self.in_window], low, self.attention, None)
            total += nats.double().sum(dim=(1, 2))
        return (total / (starts.shape[1] * self.shape.context_tokens) / math.log(2) / 8 * 100).tolist()


def _spread(n_bytes: int, context_bytes: int) -> Any:
    """Where so many bytes' measured windows begin: all of them where they are few, which then do not overlap."""
    n, most = n_bytes // context_bytes, MEASURED_BYTES // context_bytes
    if n <= most:
        return np.arange(n) * context_bytes
    return np.linspace(0, n_bytes - context_bytes, most).astype(np.int64)


def run_job(job: Job, data: Path, out: Path) -> None:
    """Train and measure a job; its results go into FOLDER/JOB.json."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    begun = time.perf_counter()
    run = Run(job, data, device)
    ready = time.perf_counter()
    training_seconds = run.train()
    trained = time.perf_counter()
    own, held = run.measure()
    rows = [
        {**asdict(m), "own": a, "heldout": b, "n_params": run.model.n_params(i)}
        for i, (m, a, b) in enumerate(zip(job.members, own, held, strict=True))
    ]
    seconds = {"set_up": ready - begun, "first_and_all_steps": trained - ready, "steps": training_seconds,
               "measuring": time.perf_counter() - trained}  # fmt: skip
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0
    told = {
        "job": {**asdict(job), "members": None},
        "device": where,
        "seconds": seconds,
        "peak_gb": peak,
        "members": rows,
    }
    (out / f"{job.name}.json").write_text(json.dumps(told, indent=1))
    ms = training_seconds / job.steps * 1e3
    print(f"{job.name}: {len(rows)} members, {ms:.2f} ms a step, {seconds}, {peak:.1f} GB", flush=True)
