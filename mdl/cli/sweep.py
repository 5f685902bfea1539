"""What `mdl sweep` and `mdl run` do with their words: here, through Slurm, through W&B."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdl.cli.options import console
from mdl.errors import MdlError, Stopped
from mdl.sweeps import (
    Ended,
    Plan,
    Preempted,
    SlurmOptions,
    gpu_places,
    load_sweep,
    open_corpora,
    plan_cell,
    plan_sweep,
    prepare,
    read_task,
    register_sweep,
    requeued_on_warning,
    run_agents,
    run_sweep,
    under_agent,
    write_manifest,
)
from mdl.sweeps import submit_array as sbatch

if TYPE_CHECKING:
    from rich.console import Console


def command_line() -> str:
    """As the user gave it, for the records."""
    return shlex.join(["mdl", *sys.argv[1:]])


def run(plan: Plan, *, command: str | None = None, shown: Console | None = None, **how: Any) -> Ended:
    """`run_sweep` with its settings `how`, and what a user hears of its end: Stopped, or MdlError where some failed."""
    try:
        ended = run_sweep(plan, command or command_line(), shown or console(stderr=False), **how)
    except Preempted:
        raise
    except KeyboardInterrupt:
        raise Stopped from None
    n_failed = ended.n_errors + ended.n_failed
    # What is recorded as failed is W&B's to show; an agent would give up after three ends with an error.
    if n_failed and not (under_agent() and not ended.n_errors):
        raise MdlError(f"{n_failed} failed, the rest is recorded; details above and in {plan.paths.root / 'log.txt'}")
    return ended


def run_cell(
    settings: Sequence[str], sweep: str, out: Path, baselines: bool, retry_failed: bool, *, quiet: bool = False
) -> Path:
    """One cell from `key=value` words: its record, made now or before. Under an agent W&B hears of it either way."""
    if under_agent() and not any(word.startswith("logger=") for word in settings):
        settings = [*settings, "logger=wandb"]
    plan = plan_cell(settings, sweep, out)
    (cell,) = plan.cells
    record = plan.paths.record(cell.run_id)
    shown = console(stderr=quiet)  # of a result as JSON standard output has nothing else
    ended = run(plan, shown=shown, retry_failed=retry_failed, n_workers=1, with_baselines=baselines, whole=False)
    if cell.config.logger == "wandb" and not ended.n_made:
        from mdl.records import read_cell
        from mdl.training import log_record

        log_record(read_cell(record), plan.paths)
    return record


def agents(file: Path, out: Path, n_agents: int | None) -> None:
    """Register the sweep with W&B and run its agents here: one a GPU, or one."""
    sweep_file = load_sweep(file)
    if sweep_file.method == "grid" and not sweep_file.run_cap:  # else W&B alone knows what will be run
        plan = plan_sweep(file, out)
        write_manifest(plan, open_corpora(plan, console(stderr=False)).values(), command_line(), whole=True)
    sweep = register_sweep(file, out)
    print(f"more agents, anywhere: wandb agent {shlex.quote(sweep)}", flush=True)
    try:
        status = run_agents(sweep, gpu_places()[:n_agents] or [{}] * (n_agents or 1))
    except KeyboardInterrupt:
        raise Stopped from None
    if status:
        raise MdlError(f"an agent ended with status {status}; see above")


def submit(plan: Plan, options: SlurmOptions, *, dry_run: bool, retry_failed: bool, with_baselines: bool) -> None:
    """Hand what is left to Slurm, or print the script."""
    array = prepare(
        plan, options, command_line(), retry_failed=retry_failed, with_baselines=with_baselines, only_shown=dry_run
    )
    if dry_run:
        print(array.script, end="")
    elif not array.n_tasks:
        print(f"{plan.name}: nothing to submit: all is recorded, running or queued; see mdl status")
    else:
        corpora = open_corpora(plan, console(stderr=False)).values()
        write_manifest(plan, corpora, command_line(), whole=True)
        job = sbatch(array)
        print(f"{plan.name}: job {job}, {array.n_tasks} tasks, logs in {array.file.parent}; see mdl status")


def slurm_task(file: Path, index: int) -> None:
    """One task of an array: an ordinary driver for its cohorts, which leaves to others what they work on."""
    task = read_task(file, index)
    try:
        with requeued_on_warning():
            run(
                task.plan, command=task.command, retry_failed=task.retry_failed, per_gpu=task.per_gpu, whole=False,
                with_baselines=task.only_baselines, with_cohorts=not task.only_baselines, wait=False,
            )  # fmt: skip
    except Preempted:
        raise Stopped from None
