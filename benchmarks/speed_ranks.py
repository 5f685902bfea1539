"""Milliseconds of a training step shared by several GPUs, and how many times as fast as one GPU takes it.

python -m benchmarks.speed_ranks [--size 512x8] [--batch 128] [--context 1024] [--recipe 2] [--devices 1,2]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import torch
from torch.distributed import TCPStore

from benchmarks import machine
from benchmarks.speed_training import Clock, Load, train_on_noise
from mdl.training.data_parallel import ALONE, Ranks, join


def _as_rank(chosen: argparse.Namespace) -> float:
    """Milliseconds a step of this rank, after the first steps."""
    n = int(chosen.devices)
    ranks = Ranks(chosen.rank, n) if n > 1 else ALONE
    if n > 1:
        store = TCPStore("127.0.0.1", chosen.port, n, is_master=False)
        join(ranks, store)
    load, clock = Load(chosen.batch, chosen.context, 0), Clock(least_steps=chosen.steps)
    train_on_noise(chosen.size, 1, load, clock.count, recipe=chosen.recipe, ranks=ranks)
    return 1e3 / clock.steps_per_second


def _with(n: int, arguments: list[str]) -> float:
    """The slowest of n ranks, a process each."""
    store = TCPStore("127.0.0.1", 0, n, is_master=True, wait_for_workers=False)
    command = [sys.executable, "-m", "benchmarks.speed_ranks", *arguments, "--devices", str(n)]
    told = [[*command, "--port", str(store.port), "--rank", str(rank)] for rank in range(n)]
    processes = [subprocess.Popen(one, stdout=subprocess.PIPE, text=True) for one in told]
    said = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit(f"a rank of {n} failed")
    return max(float(one.split()[-1]) for one in said)


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="512x8")
    parser.add_argument("--batch", type=int, default=128, help="windows of all ranks together")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--recipe", type=int, default=2)
    parser.add_argument("--devices", default=",".join(map(str, range(1, 1 + max(1, torch.cuda.device_count())))))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.rank is not None:
        print(_as_rank(chosen), flush=True)
        os._exit(0)  # ranks leave apart from each other, which collective operations would wait for
    print(f"{chosen.size}, {chosen.batch} × {chosen.context}, recipe {chosen.recipe}; {machine.name()}\n")
    print("| devices | ms a step | times as fast as the first |\n|---|---|---|")
    first = None
    for n in map(int, chosen.devices.split(",")):
        took = _with(n, arguments)
        first = first or took
        print(f"| {n} | {took:.1f} | {first / took:.2f} |", flush=True)


if __name__ == "__main__":
    main()
