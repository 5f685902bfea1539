"""A grid over GPUs, and where the seconds before a first step go, from the run's own log.

    python -m benchmarks.speed_sweep first file:TEXT.xz     # one cell, cold and warm; and what the parts cost alone
    python -m benchmarks.speed_sweep grid file:TEXT.xz --gpus 0,1 --gpus 0      # the same grid on each set of GPUs

A set of GPUs "" is the processor. Every grid is run with warm caches: a short one of the same cohorts goes before:
kernels are made for one member and for several.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

SHAPES = ("16x2", "32x2", "48x2", "64x2", "64x4", "96x4", "128x4", "192x4")
SUBSETS = ("1MB", "3MB", "10MB", "30MB")


def mdl(*words: str, **environment: str) -> tuple[float, str]:
    """Seconds and output of a command; its end, where it fails."""
    began = time.time()
    command = [sys.executable, "-m", "mdl.cli", *words]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{words} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return time.time() - began, done.stdout + done.stderr


def stamps(log: Path) -> list[tuple[float, str, str]]:
    """Seconds since the epoch, process, phase: as the workers wrote them."""
    found = []
    for line in log.read_text().splitlines():
        stamp, _, rest = line.partition(" ")
        who, colon, phase = rest.rpartition(": ")
        if colon and "process" in who and stamp[:4].isdigit():
            found.append((datetime.fromisoformat(stamp).timestamp(), who.rsplit("(", 1)[-1].rstrip(")"), phase))
    return found


def first_steps(log: Path) -> dict[str, float]:
    """When each process was first heard to train."""
    first: dict[str, float] = {}
    for at, process, phase in stamps(log):
        if phase == "training":
            first.setdefault(process, at)
    return first


def write_sweep(folder: Path, source: str, steps: int, args: argparse.Namespace, subsets: Sequence[str]) -> Path:
    """The grid's sweep file."""
    shapes, windows, context_bytes = args.shapes.split(","), args.windows, args.context
    name = f"grid-{steps}"
    values: dict[str, Any] = {
        "size": {"values": list(shapes)},
        "subset_bytes": {"values": list(subsets)},
        "train.steps": {"value": steps},
        "train.batch_windows": {"value": windows},
        "model.context_bytes": {"value": context_bytes},
        **({"train.memory_bytes": {"value": args.memory}} if args.memory else {}),
        "corpus.source": {"value": source},
    }
    (folder / f"{name}.yaml").write_text(json.dumps({"name": name, "method": "grid", "parameters": values}))
    return folder / f"{name}.yaml"


def grid(args: argparse.Namespace, folder: Path) -> None:
    """Each set of GPUs: foretold, whole, after the first steps; then the ratios."""
    subsets = args.subsets.split(",")
    short = write_sweep(folder, args.source, 2, args, subsets)
    sweep = write_sweep(folder, args.source, args.steps, args, subsets)
    spent, _ = mdl("sweep", str(short), "--no-baselines", "--runs", str(folder / "short"), **_on(args.gpus[0]))
    print(f"short grid for the caches: {spent:.1f} s", flush=True)
    after = []
    for i, gpus in enumerate(args.gpus):
        runs = folder / f"runs-{i}"
        words = ("sweep", str(sweep), "--no-baselines", "--runs", str(runs))
        foretold = mdl(*words, "--dry-run", **_on(gpus))[1].strip().splitlines()[-1]
        began = time.time()
        spent, told = mdl(*words, **_on(gpus))
        root = next(runs.iterdir())
        first, end = first_steps(root / "log.txt"), max(at for at, _, _ in stamps(root / "log.txt"))
        after.append(end - max(first.values()))
        times = ", ".join(f"{at - began:.1f} ({who})" for who, at in sorted(first.items(), key=lambda one: one[1]))
        print(f"\nGPUs '{gpus}': {spent:.1f} s in all, last record after {end - began:.1f} s")
        print(f"  {foretold}")
        print(f"  first step of each worker after: {times} s")
        print(f"  from the last of these on {after[-1]:.1f} s, from the first on {end - min(first.values()):.1f} s")
        print("  " + "\n  ".join(line for line in told.splitlines() if "parts" in line or "done" in line), flush=True)
        if args.keep:
            shutil.copy(root / "log.txt", args.keep / f"log-{gpus.replace(',', '')}.txt")
        print(
            f"  {after[-1] / after[0]:.2f} times the seconds after the first steps of GPUs '{args.gpus[0]}'", flush=True
        )


def _on(gpus: str) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": gpus}


_OPEN = (
    "import sys; from mdl.data import CorpusSpec, open_corpus; open_corpus(CorpusSpec(source='file:' + sys.argv[1]))"
)
_ALONE = {
    "import torch": "import torch",
    "torch and a first allocation": "import torch as t; t.cuda.is_available() and t.zeros(1, device='cuda')",
    "import torch and Lightning": "import torch, pytorch_lightning",
    "the corpus's file unpacked": "import lzma, sys; sys.argv[1].endswith('xz') and lzma.open(sys.argv[1]).read()",
    "the corpus opened by mdl, its caches filled": _OPEN,
}


def first(args: argparse.Namespace, folder: Path) -> None:
    """One cell's way to its first step, twice from the same caches, which begin empty."""
    path = args.source.removeprefix("file:")
    empty = {
        "MDL_CACHE": str(folder / "cache"),
        "TRITON_CACHE_DIR": str(folder / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
    }
    for name in ("cold", "warm"):
        settings = (f"size={args.shapes.split(',')[0]}", f"subset_bytes={args.subsets.split(',')[0]}", "steps=50")
        began = time.time()
        spent, _ = mdl("run", *settings, f"source={args.source}", "--runs", str(folder / name), **empty)
        phases = [(at - began, phase) for at, _, phase in stamps(folder / name / "single" / "log.txt")]
        print(f"{name}: {spent:.1f} s in all; seconds: " + ", ".join(f"{phase} {at:.1f}" for at, phase in phases))
    for name, code in _ALONE.items():
        began = time.time()
        subprocess.run([sys.executable, "-c", code, path], env=os.environ | empty, check=False)
        print(f"alone: {name} {time.time() - began:.1f} s", flush=True)


def main() -> None:
    """As the words above say."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("what", choices=["first", "grid"])
    parser.add_argument("source")
    parser.add_argument("--gpus", action="append", default=[])
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--subsets", default=",".join(SUBSETS))
    parser.add_argument("--windows", type=int, default=32)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--memory", help="a cohort is split where its estimate exceeds this")
    parser.add_argument("--keep", type=Path, help="folder for the runs' logs")
    args = parser.parse_args()
    args.gpus = args.gpus or ["0"]
    with tempfile.TemporaryDirectory() as folder:
        {"first": first, "grid": grid}[args.what](args, Path(folder))


if __name__ == "__main__":
    main()
