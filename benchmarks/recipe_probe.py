"""What a training recipe is worth: optimizers, rates, schedules and changes to the block, as members of one stack.

Each job trains one shape; its members differ in what is asked (seed, optimizer, rates, schedule, switches of the block,
dataset size), so that everything is compared on equal windows in one run. Recorded for each member, in % of the raw
size: the own code's rate and the held-out rate, of up to 1,024 windows spread over the subset and the held-out part.

    python -m benchmarks.recipe_probe CORPUS --plan optimizer --out FOLDER [--at-once 3] [--only 64x4]
    python -m benchmarks.recipe_probe CORPUS --plan rates --letters SQKV --out FOLDER
    python -m benchmarks.recipe_probe --table FOLDER    # what was measured; for plan rates a quadratic in log rate

CORPUS is a text file, compressed or not, as `mdl` opens it. A job is a process of its own, so that one compiles while
another trains; each writes FOLDER/JOB.json when it is done.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.recipe_model import MATRICES, SwitchedModel, sdpa
from mdl.data import CorpusSpec, WindowOrder, open_corpus
from mdl.models import Shape, fused_parts, parse_size
from mdl.optimizers import usual_learning_rate as learning_rate
from mdl.training.cuda_graph import RecordedStep

N_WINDOWS = 1024  # measured of a part, at the most


@dataclass(frozen=True, kw_only=True)
class Member:
    """What a member is trained by; rates are those of the flat phase."""

    name: str
    seed: int = 0
    subset_bytes: int = 80_000_000
    muon: bool = True  # on matrices; else AdamW, at the rest's rate
    matrix_rate: float = 0.02  # of Muon
    rest_scale: float = 2.0  # on the table's rate, of AdamW
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0  # on matrices
    warmup_steps: int = 200
    decay_start: float = 0.5
    final_lr_fraction: float = 0.05
    average_steps: float = 0.0  # of the weights that are measured: an exponential mean over about so many steps
    switches: dict[str, float] = field(default_factory=dict)

    def factors(self, steps: int) -> Any:
        """The rate over its peak, (steps,)."""
        step = np.arange(steps)
        warm = np.minimum(1.0, (step + 1) / max(1, self.warmup_steps))
        done = np.clip((step - steps * self.decay_start) / max(1e-9, steps * (1 - self.decay_start)), 0, 1)
        return warm * (1 - (1 - self.final_lr_fraction) * done)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One stack."""

    name: str
    size: str
    steps: int
    members: tuple[Member, ...]
    batch_windows: int = 32
    context_bytes: int = 1024
    loops: int = 1
    split_qkv: bool = True
    newton_schulz_steps: int = 5
    fused: bool = True


_ALIGNMENT = 64  # of a parameter's place in the vector, in floats: kernels load 16 bytes at once


def _is_matrix(name: str) -> bool:
    return name.rsplit("_", 1)[0] in MATRICES


class FlatOptimizer:
    """AdamW and Muon over all members' weights in one vector, with every setting a member's own.

    A probe's: it does the arithmetic of both for every matrix and takes the member's. Weights are views of the vector,
    parameter after parameter, matrices first.
    """

    def __init__(self, model: SwitchedModel, job: Job, table_rate: float) -> None:
        self.model, self.job, on, M = model, job, model.device, len(job.members)
        names = sorted(model.initial, key=lambda n: not _is_matrix(n))  # stable: matrices first
        weights = [model.initial[n] for n in names]
        rooms = [w.numel() + -w.numel() % _ALIGNMENT for w in weights]
        self.n_matrix = sum(room for n, room in zip(names, rooms, strict=True) if _is_matrix(n))
        flat = torch.zeros(sum(rooms), device=on)
        live, owner = torch.zeros(sum(rooms)), torch.zeros(sum(rooms), dtype=torch.long)
        self.weights, self.gradient = flat, torch.zeros_like(flat)
        self.views, self.gradients, self.places = {}, {}, {}
        for name, weight, place in zip(names, weights, itertools.accumulate(rooms, initial=0), strict=False):
            end = place + weight.numel()
            flat[place:end] = weight.flatten().to(on)
            view = torch.nn.Parameter(flat[place:end].view(weight.shape))
            view.grad = self.gradient[place:end].view(weight.shape)
            self.views[name], self.gradients[name], self.places[name] = view, view.grad, place
            own = model.live[name]
            live[place:end] = own.view(*own.shape, *[1] * (weight.ndim - own.ndim)).expand(weight.shape).flatten()
            owner[place:end] = torch.arange(M).repeat_interleave(weight.numel() // M)
        model.weights = dict(self.views)
        self.live, self.owner = live.to(on), owner.to(on)
        self.mean, self.square = torch.zeros_like(flat), torch.zeros_like(flat)
        self.momentum_buffer = torch.zeros(self.n_matrix, device=on)
        self.average = flat.clone()
        self.step_index = torch.zeros((), dtype=torch.long, device=on)

        def setting(of: Callable[[Member], float]) -> Tensor:
            return torch.tensor([of(m) for m in job.members], dtype=torch.float32, device=on)

        self.matrix_rate, self.rest_rate = (
            setting(lambda m: m.matrix_rate),
            setting(lambda m: m.rest_scale * table_rate),
        )
        self.beta1, self.beta2 = setting(lambda m: m.betas[0]), setting(lambda m: m.betas[1])
        self.momentum, self.decay = setting(lambda m: m.momentum), setting(lambda m: m.weight_decay)
        self.is_muon = setting(lambda m: float(m.muon)) > 0
        self.keep = setting(lambda m: 1 - 1 / max(1.0, m.average_steps))
        factors = np.stack([m.factors(job.steps) for m in job.members], axis=1)
        self.factors = torch.tensor(factors, dtype=torch.float32, device=on)

    @torch.no_grad()
    def step(self) -> None:
        """Clip each member's gradient, then move the weights."""
        self._clip()
        n, owner, g = self.n_matrix, self.owner, self.gradient
        t = (self.step_index + 1).float()
        factor = self.factors.index_select(0, self.step_index.view(1))[0]
        beta1, beta2 = self.beta1[owner], self.beta2[owner]
        self.mean.lerp_(g, 1 - beta1)
        self.square.mul_(beta2).addcmul_(g * (1 - beta2), g)
        ones1, ones2 = (1 - self.beta1**t)[owner], (1 - self.beta2**t)[owner]
        change = (factor * self.rest_rate)[owner] * (self.mean / ones1) / ((self.square / ones2).sqrt() + 1e-8)
        of_matrix, matrices = owner[:n], self.weights[:n]
        rate, momentum = (factor * self.matrix_rate)[of_matrix], self.momentum[of_matrix]
        self.momentum_buffer.lerp_(g[:n], 1 - momentum)
        turned = self._orthogonal(g[:n].lerp(self.momentum_buffer, momentum))
        change[:n] = torch.where(self.is_muon[of_matrix], rate * turned, change[:n])
        shrink = torch.where(self.is_muon, factor * self.matrix_rate, factor * self.rest_rate) * self.decay
        change[:n] += shrink[of_matrix] * matrices
        self.weights -= change
        if any(m.average_steps for m in self.job.members):
            self.average.lerp_(self.weights, 1 - self.keep[owner])
        self.step_index += 1

    def _clip(self) -> None:
        self.gradient *= self.live
        squares = torch.zeros(len(self.job.members), device=self.gradient.device)
        for gradient in self.gradients.values():
            squares += gradient.flatten(1).square().sum(dim=1)
        self.gradient *= (1.0 / (squares.sqrt() + 1e-6)).clamp(max=1.0)[self.owner]

    def _orthogonal(self, flat: Tensor) -> Tensor:
        """Every matrix of a flat vector made orthogonal, those of one shape together."""
        C, out = self.model.shape.width, torch.zeros_like(flat)
        groups: dict[int, list[tuple[Tensor, Tensor, str]]] = {}
        for name, place in self.places.items():
            if not _is_matrix(name):
                break
            kind, shape = name.rsplit("_", 1)[0], self.views[name].shape
            source, target = (each[place : place + shape.numel()].view(shape) for each in (flat, out))
            if kind == "qkv" and self.job.split_qkv:
                pieces = [(source[..., i * C : (i + 1) * C], target[..., i * C : (i + 1) * C]) for i in range(3)]
            elif kind == "down":
                pieces = [(source.mT, target.mT)]
            else:
                pieces = [(source, target)]
            groups.setdefault(pieces[0][0].shape[-1], []).extend((a, b, kind) for a, b in pieces)
        low = torch.bfloat16 if flat.is_cuda else torch.float32
        for members in groups.values():
            made = newton_schulz(torch.cat([a for a, _, _ in members]), low, self.job.newton_schulz_steps)
            for (_, target, kind), each in zip(members, made.chunk(len(members)), strict=True):
                out_over_in = {"qkv": 1 if self.job.split_qkv else 3, "out": 1, "up": 4, "down": 1}[kind]
                target.copy_(each * math.sqrt(out_over_in))
        return out


def newton_schulz(X: Tensor, dtype: torch.dtype, steps: int) -> Tensor:
    """The nearest semi-orthogonal matrices of X (n, P, Q), P ≤ Q, roughly: singular values between .7 and 1.2."""
    a, b, c = 3.4445, -4.7750, 2.0315
    X = (X / (X.flatten(1).norm(dim=1)[:, None, None] + 1e-7)).to(dtype)
    for _ in range(steps):
        A = torch.bmm(X, X.mT)
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X.float()


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
    n = n_bytes // context_bytes
    if n <= N_WINDOWS:
        return np.arange(n) * context_bytes
    return np.linspace(0, n_bytes - context_bytes, N_WINDOWS).astype(np.int64)


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


def prepare(corpus: str, data: Path, n_bytes: int) -> None:
    """The corpus's shuffled training bytes and its held-out part, as `mdl` cuts them, for the jobs to read."""
    opened = open_corpus(CorpusSpec(f"file:{corpus}"), data)
    n_bytes = min(n_bytes, len(opened.train))
    np.save(data / "train.npy", opened.train.read(0, n_bytes))
    np.save(data / "heldout.npy", opened.heldout.read(0, len(opened.heldout)))


def run_all(jobs: Sequence[Job], data: Path, at_once: int, arguments: list[str], until: float) -> None:
    """Every job a process, so many at once, in order; none is begun after `until` seconds."""
    waiting, begun = list(jobs), time.perf_counter()
    running: list[subprocess.Popen[bytes]] = []
    while waiting or running:
        while waiting and len(running) < at_once and time.perf_counter() - begun < until:
            job = waiting.pop(0)
            command = [
                sys.executable,
                "-m",
                "benchmarks.recipe_probe",
                *arguments,
                "--job",
                job.name,
                "--data",
                str(data),
            ]
            running.append(subprocess.Popen(command))
        if not running:
            print("not begun:", [job.name for job in waiting])
            return
        running = [each for each in running if each.poll() is None]
        time.sleep(0.1)


def main() -> None:
    """See the module's docstring."""
    from benchmarks.recipe_plans import PLANS
    from benchmarks.recipe_table import print_tables

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?")
    parser.add_argument("--plan", default="optimizer", help=f"some of {','.join(PLANS)}")
    parser.add_argument("--letters", default="plain", help="the block of plan rates, such as SQKV")
    parser.add_argument("--only", default="", help="jobs whose names hold one of these, by commas")
    parser.add_argument("--out", type=Path, default=Path("probe"))
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--steps-factor", type=float, default=1.0)
    parser.add_argument("--until", type=float, default=1e9, help="begin no job after so many seconds")
    parser.add_argument("--subset-bytes", type=int, help="all members', to try a plan out")
    parser.add_argument("--context-bytes", type=int, help="all jobs', to try a plan out")
    parser.add_argument("--table", type=Path, help="print what a folder holds, and do nothing else")
    parser.add_argument("--job", help="run this job in this process")
    parser.add_argument("--data", type=Path, help="where the prepared corpus lies; with --job")
    given = parser.parse_args()
    if given.table:
        print_tables(given.table)
        return
    jobs = [job for plan in given.plan.split(",") for job in PLANS[plan](given.letters)]
    jobs = [j for j in jobs if any(part in j.name for part in given.only.split(","))]
    if given.steps_factor != 1:
        jobs = [replace(j, steps=max(5, round(j.steps * given.steps_factor))) for j in jobs]
    if given.context_bytes:
        jobs = [replace(j, context_bytes=given.context_bytes) for j in jobs]
    if given.subset_bytes:
        jobs = [replace(j, members=tuple(replace(m, subset_bytes=given.subset_bytes) for m in j.members)) for j in jobs]
    given.out.mkdir(parents=True, exist_ok=True)
    if given.job:
        run_job(next(j for j in jobs if j.name == given.job), given.data, given.out)
        return
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "5")
    with tempfile.TemporaryDirectory() as data:
        largest = max(m.subset_bytes for j in jobs for m in j.members)
        prepare(given.corpus, Path(data), largest)
        run_all(jobs, Path(data), given.at_once, sys.argv[1:], given.until)
    print_tables(given.out)


if __name__ == "__main__":
    main()
