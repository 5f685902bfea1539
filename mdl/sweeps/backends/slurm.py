"""A sweep on a Slurm cluster: one job array, a task a cohort, with `sbatch`, `squeue` and `scontrol` alone.

What is submitted lies in `<run folder>/slurm/<8 hex>.json`: the configurations of every task, so that editing the sweep
file while jobs wait changes nothing for them. A task is an ordinary driver for its cohorts: claims keep it apart from
all others. Before its time is up Slurm sends USR1: training saves its checkpoint and the task queues again.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGUSR1, Signals, signal
from typing import Annotated, Any

from pydantic import Field

from mdl.config import Cell, Cohort, from_flat
from mdl.errors import MdlError
from mdl.plugins import environment
from mdl.records import RunPaths
from mdl.storage import digest, write_atomically
from mdl.sweeps.backends.registry import Incarnation, Request, register_backend
from mdl.sweeps.claims import live
from mdl.sweeps.jobs import left_of
from mdl.sweeps.manifest import open_corpora, write_manifest
from mdl.sweeps.plan import Plan

# A default cluster refuses longer arrays (MaxArraySize = 1001): then a task takes several cohorts.
_MAX_TASKS = 1000
_WARN_SECONDS = 120  # from USR1 to the end: a step, a checkpoint


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """What is asked of the cluster; None: its own default."""

    partition: str | None = None
    gpus: Annotated[int, Field(ge=0)] = 0  # a task
    time: str | None = None  # as Slurm writes it: minutes, or [days-]hours:minutes:seconds
    max_parallel: Annotated[int, Field(ge=1)] | None = None  # tasks at once
    per_gpu: Annotated[int, Field(ge=1)] = 1  # cohorts that share a GPU
    sbatch: str = ""  # further options of that program


@dataclass(frozen=True, kw_only=True)
class Submission:
    """An array to be submitted: the file that names each task's cells, its content, and the script."""

    file: Path
    content: bytes
    script: str
    n_tasks: int


def prepare(
    plan: Plan,
    options: SlurmOptions,
    command: str,
    *,
    retry_failed: bool,
    with_baselines: bool,
    only_shown: bool = False,
) -> Submission:
    """The array for all that is left, that nobody works on and that is not in the queue already.

    `only_shown`: the queue need not answer.
    """
    busy = set(live(plan.paths))
    try:
        busy |= _queued(plan)
    except MdlError:
        if not only_shown:
            raise
    left = left_of(plan, plan.cohorts, retry_failed=retry_failed)
    free = [part for cohort in left if (part := _without(cohort, busy)).cells]
    tasks = [_task(part, baselines=False) for part in _parts(free, options.per_gpu)]
    if with_baselines and tasks:
        tasks.append(_task(plan.cohorts, baselines=True))
    body = {
        "name": plan.name,
        "root": str(plan.paths.root.resolve()),
        "command": command,
        "retry_failed": retry_failed,
        "per_gpu": options.per_gpu,
        "tasks": tasks,
    }
    file = plan.paths.root.resolve() / "slurm" / f"{digest(body)}.json"
    script = _script(plan, file, len(tasks), options)
    return Submission(file=file, content=json.dumps(body).encode(), script=script, n_tasks=len(tasks))


def _without(cohort: Cohort, busy: set[str]) -> Cohort:
    """All of it, also what is recorded, where nobody is at it: then it goes on from its checkpoint."""
    free = set(cohort.run_ids) - busy
    return cohort if len(free) == len(cohort.cells) else cohort.only(free)


def _parts(cohorts: Sequence[Cohort], at_least: int) -> list[list[Cohort]]:
    """As many cohorts a task as share a GPU; more where the array would be too long."""
    each = max(at_least, -(-len(cohorts) // _MAX_TASKS))
    return [list(cohorts[i : i + each]) for i in range(0, len(cohorts), each)]


def _task(cohorts: Sequence[Cohort], *, baselines: bool) -> dict[str, Any]:
    return {
        "baselines": baselines,
        "cohorts": [[cell.config.requested() for cell in cohort.cells] for cohort in cohorts],
    }


def _script(plan: Plan, file: Path, n_tasks: int, options: SlurmOptions) -> str:
    _check_printable({"--partition": options.partition, "--time": options.time, "--sbatch": options.sbatch})
    _check_printable({"--runs": file, "the working directory": Path.cwd(), "the Python that runs": sys.executable})
    throttle = f"%{options.max_parallel}" if options.max_parallel else ""
    wanted = {
        "job-name": f"mdl-{plan.name}",
        "comment": file,  # by which the queue tells whose tasks are in it
        "array": f"0-{max(0, n_tasks - 1)}{throttle}",
        "output": str(file.parent).replace("%", "%%") + "/%A_%a.log",
        "open-mode": "append",  # of a task that queues again
        "signal": f"B:{Signals(SIGUSR1).name.removeprefix('SIG')}@{_WARN_SECONDS}",
        "partition": options.partition,
        "gres": f"gpu:{options.gpus}" if options.gpus else None,
        "time": options.time,
    }
    lines = [f"#SBATCH --{key}={shlex.quote(str(value))}" for key, value in wanted.items() if value is not None]
    more = [f"#SBATCH {shlex.join(_words(options.sbatch))}"] if options.sbatch else []
    plugins = [f"{name}={value}" for name, value in environment().items()]
    task = shlex.join(
        [*(["env", *plugins] if plugins else []), sys.executable, "-m", "mdl.cli", "slurm-task", str(file)]
    )
    here = shlex.quote(str(Path.cwd()))
    body = ["", f"cd {here}", f'exec {task} "$SLURM_ARRAY_TASK_ID"']
    return "\n".join(["#!/bin/sh", *lines, "#SBATCH --requeue", *more, *body]) + "\n"


# Control characters (a newline ends the #SBATCH comment: a shell would run what follows it), other ends of lines, and
# what no encoding knows.
_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}


def _check_printable(wanted: Mapping[str, object]) -> None:
    """All that a script is made of is text of one line; MdlError naming what is not."""
    for what, value in wanted.items():
        text = "" if value is None else str(value)
        if bad := [character for character in text if unicodedata.category(character) in _NO_TEXT]:
            raise MdlError(
                f"{what} holds the control character {bad[0]!r}, which must not reach a job's script "
                f"(got {text!r:.80}); use a value without it"
            )


def _words(text: str) -> list[str]:
    """Options as a shell takes them apart; put together again, each is quoted where it needs it."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise MdlError(f"--sbatch {text!r:.80}: {str(error).lower()}; close the quotation mark") from None


def submit_array(submission: Submission) -> str:
    """Hand it to Slurm; the job's number. MdlError where Slurm is not here or refuses."""
    write_atomically(submission.file, submission.content)
    return _slurm("sbatch", "--parsable", text=submission.script).strip().partition(";")[0]


def _slurm(program: str, *arguments: str, text: str | None = None) -> str:
    found = shutil.which(program)
    if found is None:
        raise MdlError(f"{program} is not on this machine; run this where Slurm is, or without --backend slurm")
    done = subprocess.run([found, *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MdlError(f"{program} refused: {' '.join(done.stderr.split())[:500]}")
    return done.stdout


def _queued(plan: Plan) -> set[str]:
    """Run ids of this sweep's tasks that wait or run. None of them where there is no Slurm (a dry run elsewhere)."""
    if not shutil.which("squeue"):
        return set()
    found: set[str] = set()
    folder = str(plan.paths.root.resolve() / "slurm")
    for line in _slurm("squeue", "--noheader", "--array", f"--name=mdl-{plan.name}", "--format=%K|%k").splitlines():
        index, _, comment = line.strip().partition("|")
        if index.isdecimal() and comment.startswith(folder) and Path(comment).exists():
            task = read_task(Path(comment), int(index))
            found |= set() if task.only_baselines else {cell.run_id for cell in task.plan.cells}
    return found


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one task of an array does."""

    plan: Plan
    command: str
    retry_failed: bool
    per_gpu: int
    only_baselines: bool


def read_task(file: Path, index: int) -> Task:
    """A task of a submission; MdlError where there is none."""
    try:
        content = json.loads(file.read_bytes())
        task = content["tasks"][index]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise MdlError(f"no task {index} in {file} ({type(error).__name__}); submit the sweep again") from None
    configs = [[from_flat(flat) for flat in cohort] for cohort in task["cohorts"]]
    cohorts = tuple(Cohort(tuple(Cell(config.run_id, config) for config in part)) for part in configs)
    plan = Plan(content["name"], RunPaths(Path(content["root"])), cohorts)
    return Task(
        plan=plan,
        command=content["command"],
        retry_failed=content["retry_failed"],
        per_gpu=content["per_gpu"],
        only_baselines=task["baselines"],
    )


class Preempted(KeyboardInterrupt):
    """Slurm's time is nearly up: stop as Ctrl-C does, and queue again."""

    signal_number = SIGUSR1


@contextmanager
def requeued_on_warning() -> Iterator[None]:
    """Within, USR1 stops the work; once that is saved the job queues again."""

    def warn(*_: object) -> None:
        raise Preempted

    before = signal(SIGUSR1, warn)
    try:
        yield
    except Preempted:
        array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
        job = f"{array}_{index}" if array else os.environ.get("SLURM_JOB_ID", "")
        print(f"time is up: saved, and job {job} queues again", flush=True)
        _slurm("scontrol", "requeue", job)
        raise
    finally:
        signal(SIGUSR1, before)


class SlurmBackend:
    """An array for all that is left."""

    options = SlurmOptions

    def run(self, request: Request, options: SlurmOptions) -> None:
        """Submit it, where there is anything to submit."""
        plan, array = request.plan, self._prepare(request, options)
        if not array.n_tasks:
            print(f"{plan.name}: nothing to submit: all is recorded, running or queued; see mdl status")
            return
        write_manifest(plan, open_corpora(plan, request.console).values(), request.command, whole=True)
        job = submit_array(array)
        print(f"{plan.name}: job {job}, {array.n_tasks} tasks, logs in {array.file.parent}; see mdl status")

    def preview(self, request: Request, options: SlurmOptions) -> str:
        """The script of the array."""
        return self._prepare(request, options, only_shown=True).script

    def _prepare(self, request: Request, options: SlurmOptions, *, only_shown: bool = False) -> Submission:
        return prepare(
            request.plan,
            options,
            request.command,
            retry_failed=request.retry_failed,
            with_baselines=request.with_baselines,
            only_shown=only_shown,
        )

    def incarnation(self) -> Incarnation | None:
        """A job that queues again keeps its number, and never runs twice at a time."""
        job = os.environ.get("SLURM_JOB_ID")
        return (job, int(os.environ.get("SLURM_RESTART_COUNT", "0"))) if job else None


register_backend("slurm", SlurmBackend())
