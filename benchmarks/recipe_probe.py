"""What a training recipe is worth: optimizers, rates, schedules and changes to the block, as members of one stack.

Each job trains one shape; its members differ in what is asked (seed, optimizer, rates, schedule, switches of the block,
dataset size), so that everything is compared on equal windows in one run. Recorded for each member, in % of the raw
size: the own code's rate and the held-out rate, of up to 1 MiB of windows spread over the subset and the held-out part.

    python -m benchmarks.recipe_probe CORPUS --plan optimizer --out FOLDER [--at-once 3] [--only 64x4]
    python -m benchmarks.recipe_probe CORPUS --plan rates --letters SQKV --out FOLDER
    python -m benchmarks.recipe_probe --table FOLDER    # what was measured; for plan rates a quadratic in log rate

CORPUS is a text file, compressed or not, as `mdl` opens it. A job is a process of its own, so that one compiles while
another trains; each writes FOLDER/JOB.json when it is done.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.recipe_job import Job
from benchmarks.recipe_long_plans import LONG_PLANS
from benchmarks.recipe_plans import PLANS
from benchmarks.recipe_run import run_job
from benchmarks.recipe_small_plans import SMALL_PLANS
from benchmarks.recipe_table import print_tables
from mdl.data import CorpusSpec, open_corpus

_PLANS = PLANS | SMALL_PLANS | LONG_PLANS


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?")
    parser.add_argument("--plan", default="optimizer", help=f"some of {','.join(_PLANS)}")
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
    jobs = [job for plan in given.plan.split(",") for job in _PLANS[plan](given.letters)]
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
