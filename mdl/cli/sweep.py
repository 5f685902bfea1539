"""What `mdl sweep` and `mdl run` do with their words, whatever the back end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mdl.cli.options import console
from mdl.errors import MdlError, Stopped
from mdl.records import read_ending
from mdl.storage import require_records_folder
from mdl.sweeps import (
    BACKENDS,
    Ended,
    Plan,
    Preempted,
    Request,
    plan_cell,
    read_task,
    requeued_on_warning,
    run_sweep,
    under_agent,
)

if TYPE_CHECKING:
    from rich.console import Console

_GOES_ON = "stopped; what is finished is recorded, run the same command to go on"


def command_line() -> str:
    """As the user gave it, for the records."""
    return shlex.join(["mdl", *sys.argv[1:]])


def cohorts_a_gpu(asked: str) -> int | None:
    """None for `auto`; MdlError for what is no number from 1 on."""
    if asked == "auto":
        return None
    if not asked.isdecimal() or int(asked) < 1:
        raise typer.BadParameter(f"{asked!r} is neither auto nor a number from 1 on", param_hint="'--per-gpu'")
    return int(asked)


def run(plan: Plan, *, command: str | None = None, shown: Console | None = None, **how: Any) -> Ended:
    """`run_sweep` with its settings `how`, and what a user hears of its end: Stopped, or MdlError where some failed."""
    try:
        ended = run_sweep(plan, command or command_line(), shown or console(stderr=False), **how)
    except Preempted:
        raise
    except KeyboardInterrupt as stop:
        raise Stopped(_GOES_ON, stop) from None
    _heard(ended, plan)
    return ended


def _heard(ended: Ended, plan: Plan) -> None:
    # What is recorded as failed is W&B's to show; an agent would give up after three ends with an error.
    if ended.n_errors or (ended.n_failed and not under_agent()):
        raise MdlError(ended.failure(plan.paths.root / "log.txt"))


def run_cell(
    settings: Sequence[str], sweep: str, out: Path, baselines: bool, retry_failed: bool, *, quiet: bool = False
) -> Path:
    """One cell from `key=value` words: its record, made now or before. Under an agent W&B hears of it either way.

    With `steps=auto` the record is of the longest training that was worth it, which alone is logged to W&B.
    """
    if under_agent() and not any(word.startswith("logger=") for word in settings):
        settings = [*settings, "logger=wandb"]
    plan = plan_cell(settings, sweep, out)
    require_records_folder(plan.paths.root)
    logger, one_budget = plan.cells[0].config.logger, len(plan.cells) == 1
    if logger == "wandb" and not one_budget:
        plan = plan_cell([*(word for word in settings if not word.startswith("logger=")), "logger=none"], sweep, out)
    shown = console(stderr=quiet)  # of a result as JSON standard output has nothing else
    ended = run(plan, shown=shown, retry_failed=retry_failed, n_workers=1, with_baselines=baselines, whole=False)
    record = _longest(plan)
    if logger == "wandb" and not (ended.n_made and one_budget):
        from mdl.records import read_cell
        from mdl.training import log_record

        log_record(read_cell(record), plan.paths)
    return record


def _longest(plan: Plan) -> Path:
    """The record of the longest training that was not left out."""
    records = [plan.paths.record(cell.run_id) for cell in sorted(plan.cells, key=lambda cell: cell.config.train.steps)]
    return next((path for path in reversed(records) if read_ending(path)[0] != "needless"), records[0])


def start(backend: str, request: Request, options: Any) -> None:
    """Hand a sweep to a back end; where it made the records itself, say where they lie."""
    try:
        ended = BACKENDS[backend].run(request, options)
    except KeyboardInterrupt as stop:
        raise Stopped(_GOES_ON, stop) from None
    if ended is not None:
        _heard(ended, request.plan)
        print(f"records: {request.plan.paths.root}; next: mdl report {shlex.quote(str(request.plan.paths.root))}")


def slurm_task(file: Path, index: int) -> None:
    """One task of an array: an ordinary driver for its cohorts, which leaves to others what they work on."""
    task = read_task(file, index)
    with requeued_on_warning():
        run(
            task.plan,
            command=task.command,
            retry_failed=task.retry_failed,
            per_gpu=task.per_gpu,
            whole=False,
            with_baselines=task.only_baselines,
            with_cohorts=not task.only_baselines,
            wait=False,
        )
