"""What of a plan is still to be done, as jobs for `mdl.sweeps.worker`, each with its weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from mdl.compressors import REGISTRY
from mdl.config import Cell, Cohort
from mdl.data import Corpus, CorpusSpec
from mdl.evaluation import CHUNKED_SAMPLE_BYTES, BaselineJob, baseline_path, baseline_plan
from mdl.quantization import coded_bytes
from mdl.records import RunPaths, is_needless, read_baseline, read_cell, read_ending
from mdl.sweeps.cohort_parts import parts_of
from mdl.sweeps.cost_model import H100, NOTHING, USUAL_CORE, Spent, Work
from mdl.sweeps.hardware import count_gpus
from mdl.sweeps.in_flight import open_cells, steps_taken, under_way
from mdl.sweeps.plan import Plan, work_of
from mdl.sweeps.time_left import usual_coder_seconds
from mdl.sweeps.worker_pool import Job
from mdl.units import format_bytes

_MOST_READ_BYTES = 1 << 28  # of a cohort's states: some second


def left_of(plan: Plan, cohorts: Sequence[Cohort], *, retry_failed: bool = False) -> list[Cohort]:
    """What is left of cohorts, of one that was cut before in its parts."""
    parts = [part for cohort in cohorts for part in parts_of(cohort, plan.paths)]
    return [left for part in parts if (left := missing(part, plan.paths, retry_failed=retry_failed))]


def missing(cohort: Cohort, paths: RunPaths, *, retry_failed: bool = False) -> Cohort | None:
    """What is left of a cohort: all that was in flight together, else the members without a record."""
    left = {cell.run_id for cell in cohort.cells if not _done(cell, paths.record(cell.run_id), retry_failed)}
    return under_way(cohort, left, paths) or (cohort.only(left) if left else None)


def _done(cell: Cell, path: Path, retry_failed: bool) -> bool:
    """Whether there is a record that stands: a needless one does while the cell still asks for as large a gain."""
    try:
        status, _ = read_ending(path)
    except FileNotFoundError:
        return False
    if status == "needless":
        return is_needless(read_cell(path), cell.config.train.until, cell.config.train.price)
    return status == "ok" or not retry_failed


def cohort_job(
    plan: Plan,
    cohort: Cohort,
    command: str,
    corpora: Mapping[CorpusSpec, Corpus],
    *,
    foretold: Spent = NOTHING,
    retry_failed: bool = False,
    on_gpu: bool = False,
) -> Job:
    """The job of a cohort. A record that it may replace, failed or no longer needless, is named by its time."""
    records = {run_id: plan.paths.record(run_id) for run_id in cohort.run_ids}
    work = cohort_work(cohort, corpora)
    per_byte = work.flops_per_byte + (H100 if on_gpu else USUAL_CORE).flops_anyway
    request = {
        "kind": "cohort",
        "configs": [cell.config.requested() for cell in cohort.cells],
        "sweep": plan.name,
        "root": str(plan.paths.root),
        "command": command,
        "whole_ids": {run_id: plan.recorded_ids[run_id] for run_id in records},
        "retry": {
            cell.run_id: path.stat().st_mtime_ns
            for cell in cohort.cells
            if (path := records[cell.run_id]).exists() and not _done(cell, path, retry_failed)
        },
    }
    n_bytes = cohort.bytes_seen
    measuring = per_byte * work.measured_bytes
    name = f"{cohort.shape.label} ×{len(cohort.cells)}"
    return Job(
        name,
        request,
        3 * per_byte * n_bytes + measuring,
        n_bytes=n_bytes,
        work=work,
        records=records,
        n_devices=work.n_devices,
        measuring_cost=measuring,
        foretold=foretold,
    )


def cohort_work(cohort: Cohort, corpora: Mapping[CorpusSpec, Corpus]) -> Work:
    """What all of it asks of this machine, with all that is measured.

    None asks for more GPUs than there are: it then trains on fewer, and on a CPU in one lane.
    """
    work = work_of(cohort, sum(_measured_bytes(cell, corpora) for cell in cohort.cells))
    return replace(work, n_devices=min(cohort.execution.n_devices, max(1, count_gpus())))


def work_left(cohort: Cohort, corpora: Mapping[CorpusSpec, Corpus], paths: RunPaths) -> Work:
    """The same of one that is under way, without the steps that its states have behind them and what is recorded.

    All of it where the states are so large that to read them would take longer than it is worth.
    """
    work, states = cohort_work(cohort, corpora), [paths.checkpoint(state) for state in set(cohort.state_ids)]
    if not 0 < sum(state.stat().st_size for state in states if state.exists()) < _MOST_READ_BYTES:
        return work
    left, parts = open_cells(cohort, paths), cohort.parts
    taken = sum(len(part.members) * (steps_taken(part, paths) or 0) for part in parts)
    share = max(0.0, 1 - taken / sum(len(part.members) * part.trained_steps for part in parts))
    return replace(
        work,
        n_steps=round(work.n_steps * share),
        n_bytes=round(work.n_bytes * share),
        measured_bytes=sum(_measured_bytes(cell, corpora) for cell in cohort.cells if cell.run_id in left),
    )


def _measured_bytes(cell: Cell, corpora: Mapping[CorpusSpec, Corpus]) -> int:
    config = cell.resolved
    corpus = corpora[config.corpus]
    return config.measured_bytes(len(corpus.train), len(corpus.heldout), coded_bytes)


def baseline_jobs(plan: Plan, corpora: dict[CorpusSpec, Corpus]) -> list[Job]:
    """The classical coders on every subset, whole and in chunks of the context, where there is no record yet."""
    wanted: dict[CorpusSpec, tuple[set[int], set[int]]] = {}
    for cell in plan.cells:
        sizes, contexts = wanted.setdefault(cell.config.corpus.spec(), (set(), set()))
        sizes.add(cell.config.subset_bytes)
        contexts.add(cell.config.model.context_bytes)
    jobs: dict[Path, Job] = {}  # in the source's own order seeds and leaks share a record
    for spec, (sizes, contexts) in wanted.items():
        for context in sorted(contexts):
            for job in baseline_plan(corpora[spec], sorted(sizes), context):
                path = baseline_path(corpora[spec], job, plan.paths)
                if path.exists():
                    read_baseline(path)
                    continue
                request = {"kind": "baseline", "corpus": asdict(spec), "job": asdict(job), "root": str(plan.paths.root)}
                name = f"{job.coder} {format_bytes(job.subset_bytes)}"
                cost = _baseline_cost(job)
                foretold = replace(NOTHING, measuring=usual_coder_seconds(cost))
                jobs[path] = Job(name, request, cost, records={path.stem: path}, foretold=foretold)
    return list(jobs.values())


def _baseline_cost(job: BaselineJob) -> float:
    n_bytes = job.subset_bytes if job.chunk_bytes is None else min(job.subset_bytes, CHUNKED_SAMPLE_BYTES)
    return REGISTRY[job.coder].cost_per_byte * n_bytes
