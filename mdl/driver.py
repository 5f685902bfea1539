"""`mdl sweep` on this machine: what is missing becomes jobs, jobs run on this machine's processors, records appear."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from mdl import baselines
from mdl.config import full_key
from mdl.corpus import Corpus, CorpusSpec, open_corpus
from mdl.display import Display
from mdl.errors import MdlError
from mdl.pool import Job, Lane, Pool
from mdl.results import RunPaths, load_baseline, load_cell, write_atomically
from mdl.shapes import count_params, forward_flops_per_byte
from mdl.sweep import Cell, Cohort, bytes_seen, cells_of, check_name, cohorts_of, grid_cells, load_sweep
from mdl.units import format_bytes

# What a byte costs beside its products (softmax over 256 values, memory traffic), in the same unit.
_FLOPS_A_BYTE_ANYWAY = 30_000.0
# The same for the classical coders, by their measured seconds a megabyte.
_CODER_COST_A_BYTE = {
    "jpegxl": 5e6,
    "brotli": 6e5,
    "zstd-ultra": 2.3e5,
    "zstd": 1.8e5,
    "xz": 1.6e5,
    "webp": 2e5,
    "png": 6e5,
    "ppmd": 9e4,
    "gzip": 3e4,
    "bzip2": 2e4,
}
_TELL_DOWNLOAD_SECONDS = 2.0


@dataclass(frozen=True)
class Plan:
    """All that a sweep file asks for, and where it goes."""

    name: str
    paths: RunPaths
    cohorts: tuple[Cohort, ...]

    @property
    def cells(self) -> list[Cell]:
        """All cells, in the order of the cohorts."""
        return [cell for cohort in self.cohorts for cell in cohort.cells]


def plan_sweep(file: Path, out: Path) -> Plan:
    """Read a sweep file and lay its cells out under `out`/<sweep>."""
    sweep = load_sweep(file)
    return Plan(sweep.name, RunPaths(out / sweep.name), tuple(cohorts_of(cells_of(sweep))))


def plan_cell(settings: Sequence[str], sweep: str, out: Path) -> Plan:
    """One cell from `key=value` words; a value is read as YAML reads it."""
    values: dict[str, Any] = {}
    for word in settings:
        key, equals, value = word.partition("=")
        if not equals:
            raise MdlError(f"'{word}' is not key=value, such as size=16x2")
        try:
            values[full_key(key)] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise MdlError(f"'{word}': the value is not a YAML scalar") from None
    check_name(sweep)
    return Plan(sweep, RunPaths(out / sweep), tuple(cohorts_of(grid_cells({k: (v,) for k, v in values.items()}))))


def missing(cohort: Cohort, paths: RunPaths, *, retry_failed: bool) -> Cohort | None:
    """What is left of a cohort: all of it where it was in flight, else the members without a record."""
    if paths.checkpoint(cohort.cohort_id).exists():
        return cohort
    left = {cell.run_id for cell in cohort.cells if not _done(paths.record(cell.run_id), retry_failed)}
    return cohort.only(left) if left else None


def _done(path: Path, retry_failed: bool) -> bool:
    if not path.exists():
        return False
    if load_cell(path).status == "failed" and retry_failed:
        path.unlink()
        return False
    return True


def run_sweep(
    plan: Plan, command: str, console: Console, *, n_workers: int | None = None, with_baselines: bool = True,
    retry_failed: bool = False,
) -> int:  # fmt: skip
    """Make every missing record of the plan; returns how many jobs or cells failed."""
    corpora = _open_corpora(plan, console)
    left = [c for cohort in plan.cohorts if (c := missing(cohort, plan.paths, retry_failed=retry_failed))]
    jobs = [_cohort_job(plan, cohort, command) for cohort in left]
    if with_baselines:
        jobs += _baseline_jobs(plan, corpora)
    _write_manifest(plan, corpora, command)
    n_cells, n_left = len(plan.cells), sum(len(cohort.cells) for cohort in left)
    console.print(f"{plan.name}: {n_cells} cells, {n_cells - n_left} done, {n_left} to do in {len(left)} cohorts")
    if not jobs:
        return 0
    pool = Pool(_lanes(n_workers, len(jobs)), plan.paths.root / "log.txt")
    with _terminate_as_interrupt(), Display(len(jobs), sum(job.cost for job in jobs), console) as display:
        pool.run(jobs, display.progress, display.outcome)
    return display.failures


def _open_corpora(plan: Plan, console: Console) -> dict[CorpusSpec, Corpus]:
    """Every corpus of the plan, large enough, and the same bytes as when the sweep began."""
    before = _manifest(plan.paths).get("corpora", {})
    corpora: dict[CorpusSpec, Corpus] = {}
    for cell in plan.cells:
        spec = cell.config.corpus.spec()
        if spec not in corpora:
            corpora[spec] = open_corpus(spec, progress=Download(console))
            info = corpora[spec].info
            if before.get(info.source, info.sha256) != info.sha256:
                raise MdlError(
                    f"corpus '{info.source}' is not what {plan.paths.root} was made from (sha256 {info.sha256[:12]}…, "
                    f"was {before[info.source][:12]}…); bring the old bytes back, or use another --out"
                )
            console.print(
                f"corpus {info.source}: {info.size_bytes:,} bytes, sha256 {info.sha256[:12]}…, "
                f"{info.train_bytes:,} to train on, {info.heldout_bytes:,} held out",
                soft_wrap=True,
            )
        corpora[spec].require(cell.config.subset_bytes)
    return corpora


def _manifest(paths: RunPaths) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(paths.manifest.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise MdlError(f"{paths.manifest} is not JSON; delete it to have it made again") from None
    return content


def _write_manifest(plan: Plan, corpora: dict[CorpusSpec, Corpus], command: str) -> None:
    """Says what the folder is; the newest one marks the newest sweep."""
    content = {
        "name": plan.name,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "n_cells": len(plan.cells),
        "run_ids": [cell.run_id for cell in plan.cells],
        "corpora": _manifest(plan.paths).get("corpora", {})
        | {corpus.info.source: corpus.info.sha256 for corpus in corpora.values()},
    }
    write_atomically(plan.paths.manifest, json.dumps(content, indent=1).encode() + b"\n")


def _cohort_job(plan: Plan, cohort: Cohort, command: str) -> Job:
    per_byte = forward_flops_per_byte(cohort.shape) + _FLOPS_A_BYTE_ANYWAY
    seen = cohort.training_flops / 3 / forward_flops_per_byte(cohort.shape)
    coded = sum(cell.config.measure.reach_ratio * cell.config.subset_bytes for cell in cohort.cells)
    request = {
        "kind": "cohort",
        "configs": [cell.config.flat() for cell in cohort.cells],
        "sweep": plan.name,
        "root": str(plan.paths.root),
        "command": command,
    }
    return Job(f"{cohort.shape.label} ×{len(cohort.cells)}", request, per_byte * (3 * seen + coded))


def _baseline_jobs(plan: Plan, corpora: dict[CorpusSpec, Corpus]) -> list[Job]:
    """The classical coders on every subset, whole and in chunks of the context, where there is no record yet."""
    wanted: dict[CorpusSpec, tuple[set[int], set[int]]] = {}
    for cell in plan.cells:
        sizes, contexts = wanted.setdefault(cell.config.corpus.spec(), (set(), set()))
        sizes.add(cell.config.subset_bytes)
        contexts.add(cell.config.model.context_bytes)
    jobs = []
    for spec, (sizes, contexts) in wanted.items():
        for context in sorted(contexts):
            for job in baselines.plan(corpora[spec], sorted(sizes), context):
                path = baselines.job_path(corpora[spec], job, plan.paths)
                if path.exists():
                    load_baseline(path)
                    continue
                request = {"kind": "baseline", "corpus": asdict(spec), "job": asdict(job), "root": str(plan.paths.root)}
                jobs.append(Job(f"{job.coder} {job.subset_bytes}", request, _baseline_cost(job)))
    return list({json.dumps(job.request): job for job in jobs}.values())


def _baseline_cost(job: baselines.BaselineJob) -> float:
    n_bytes = job.subset_bytes if job.chunk_bytes is None else min(job.subset_bytes, baselines.CHUNKED_SAMPLE_BYTES)
    return _CODER_COST_A_BYTE.get(job.coder, 1e5) * n_bytes


class Download:
    """Tells about a download, or a corpus being made, now and then."""

    def __init__(self, console: Console) -> None:
        self.console, self.told = console, 0.0

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Bytes `done` of `total`, of `what`."""
        now = time.monotonic()
        if now - self.told > _TELL_DOWNLOAD_SECONDS or done == total:
            self.told = now
            of = f" of {format_bytes(total)}" if total else ""
            self.console.print(f"{what}: {format_bytes(done)}{of}", soft_wrap=True)


def _lanes(n_workers: int | None, n_jobs: int) -> list[Lane]:
    """One process a GPU for cohorts and some for baselines beside; without a GPU one single-threaded process a core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    n_gpus = _n_gpus()
    single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if not n_gpus:
        both = frozenset({"cohort", "baseline"})
        return [Lane(both, single)] * min(n_jobs, n_workers or cores)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(n_gpus)))).split(",")
    gpus = [Lane(frozenset({"cohort"}), {"CUDA_VISIBLE_DEVICES": v}) for v in visible[: n_workers or n_gpus]]
    return gpus + [Lane(frozenset({"baseline"}), {**single, "CUDA_VISIBLE_DEVICES": ""})] * max(1, min(8, cores // 2))


def _n_gpus() -> int:
    if not Path("/proc/driver/nvidia/gpus").exists() and sys.platform == "linux":
        return 0  # spares a machine without one the two seconds of importing torch
    import torch

    return torch.cuda.device_count()


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM stops a sweep as Ctrl-C does: workers save, and the same command goes on later."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def describe(plan: Plan) -> Sequence[str]:
    """What `--dry-run` prints: cohorts with their cells, parameters, FLOPs and bytes."""
    lines = []
    for cohort in plan.cohorts:
        seen = sum(bytes_seen(cell.config) for cell in cohort.cells)
        lines.append(
            f"cohort {cohort.cohort_id}: {len(cohort.cells)} cells, {count_params(cohort.shape)['total']:,} parameters "
            f"each, {cohort.training_flops:.3g} training FLOPs, {format_bytes(seen)} seen"
        )
        lines += [
            f"  {cell.run_id}: D = {format_bytes(cell.config.subset_bytes)}, "
            f"{bytes_seen(cell.config) / cell.config.subset_bytes:.3g} passes"
            for cell in cohort.cells
        ]
    flops = sum(cohort.training_flops for cohort in plan.cohorts)
    seen = sum(bytes_seen(cell.config) for cell in plan.cells)
    lines.append(
        f"{plan.name}: {len(plan.cells)} cells in {len(plan.cohorts)} cohorts, {flops:.3g} training FLOPs, "
        f"{format_bytes(seen)} seen"
    )
    return lines
