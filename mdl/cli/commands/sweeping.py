"""Commands that make records: sweep, run, suggest, status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdl.cli.options import (
    RUNS,
    AsJson,
    Baselines,
    Cost,
    DryRun,
    FormerOut,
    RetryFailed,
    Runs,
    Within,
    console,
    print_json,
    renamed,
)
from mdl.errors import MdlError
from mdl.units import counted

if TYPE_CHECKING:
    from mdl.sweeps import Request

SweepFile = Annotated[
    Path,
    typer.Argument(help="A sweep file (YAML), such as sweeps/quick.yaml; or quick, which mdl has inside."),
]


def sweep(
    file: SweepFile,
    runs: Runs = RUNS,
    dry_run: DryRun = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: up to three per GPU, or one per core.")
    ] = None,
    baselines: Baselines = True,
    retry_failed: RetryFailed = False,
    per_gpu: Annotated[
        str, typer.Option(help="Cohorts that share a GPU: a number, or auto, as many as its memory holds, up to three.")
    ] = "auto",
    wandb: Annotated[bool, typer.Option("--wandb", hidden=True)] = False,
    backend: Annotated[
        str, typer.Option(help="local, slurm (an array with one task per cohort), wandb, or your own.")
    ] = "local",
    option: Annotated[
        list[str] | None, typer.Option("--option", help="key=value, an option of the back end; several allowed.")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Slurm's partition.")] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of a Slurm task.")] = 0,
    time: Annotated[str | None, typer.Option(help="Time limit of a Slurm task; it queues again when it is up.")] = None,
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Slurm tasks at once.")] = None,
    sbatch: Annotated[str, typer.Option(help="More options of sbatch, such as '--mem=16G --account=me'.")] = "",
    as_json: AsJson = False,
    out: FormerOut = None,
) -> None:
    """Train and measure the cells of a sweep file that are not done yet.

    A cell is one model shape, trained on one dataset size with one seed, and measured after one length of training.
    The same command continues after any stop.

    With --dry-run --json: name, folder, n_cells, training_flops, bytes_seen, overlapping_bytes and overlapping_flops
    (of a second code length, measure.stride_bytes), cohorts (cohort_id, n_params,
    training_flops, bytes_seen, cells: run_id, subset_bytes, passes).
    """
    from mdl.cli import sweep as sweep_cli
    from mdl.cli.path_resolution import sweep_file
    from mdl.storage import require_records_folder
    from mdl.sweeps import Request, parse_options

    runs = renamed(out, runs, "--out", "--runs")
    if as_json and not dry_run:
        raise MdlError("--json of mdl sweep goes with --dry-run; mdl status --json prints the state of a sweep")
    backend = renamed("wandb" if wandb else None, backend, "--wandb", "--backend wandb")
    asked = {
        "workers": workers,
        "per_gpu": sweep_cli.cohorts_a_gpu(per_gpu),
        "partition": partition,
        "gpus": gpus or None,
        "time": time,
        "max_parallel": max_parallel,
        "sbatch": sbatch or None,
    }
    options = parse_options(backend, {name: value for name, value in asked.items() if value is not None}, option or ())
    request = Request(
        file=sweep_file(file),
        runs=runs,
        command=sweep_cli.command_line(),
        with_baselines=baselines,
        retry_failed=retry_failed,
        console=console(stderr=False),
    )
    require_records_folder(request.plan.paths.root)
    if dry_run:
        _show_plan(request, backend, options, as_json=as_json)
    else:
        sweep_cli.start(backend, request, options)


def _show_plan(request: Request, backend: str, options: Any, *, as_json: bool) -> None:
    """What `--dry-run` prints; the corpora are opened, so that it refuses what the run would refuse."""
    from mdl.sweeps import BACKENDS, describe_plan, has_gpu, open_corpora, plan_content, try_core_once

    if as_json:
        open_corpora(request.plan, console(), fetch=False)
        print_json(plan_content(request.plan))
    else:
        typer.echo("\n".join(describe_plan(request.plan)))
        open_corpora(request.plan, console(stderr=False), fetch=False)
        if backend == "local" and not has_gpu():
            try_core_once(request.plan.cohorts[0])
        typer.echo(BACKENDS[backend].preview(request, options), nl=False)


def run(
    settings: Annotated[list[str], typer.Argument(help="key=value, such as size=16x2 subset_bytes=1MB.")],
    runs: Runs = RUNS,
    sweep_name: Annotated[str, typer.Option("--sweep", help="Which sweep's folder the record goes to.")] = "single",
    baselines: Baselines = False,
    retry_failed: RetryFailed = False,
    as_json: AsJson = False,
    out: FormerOut = None,
) -> None:
    """Train and measure one cell; this is what W&B agents call.

    With --json: record (its path), run_id.
    """
    from mdl.cli import sweep as sweep_cli

    runs = renamed(out, runs, "--out", "--runs")
    record = sweep_cli.run_cell(settings, sweep_name, runs, baselines, retry_failed, quiet=as_json)
    if as_json:
        print_json({"record": str(record), "run_id": record.parent.name})
    else:
        typer.echo(f"record: {record}")


def suggest(
    folder: Annotated[
        Path | None, typer.Argument(metavar="PLACE", help="A run folder or a sweep file; default: the newest in runs/.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Sweep file that is written; with --run: in the run folder.")
    ] = None,
    train: Annotated[bool, typer.Option("--run", help="Train them now, and print the new answer.")] = False,
    cost: Cost = "float16",
    within: Within = 1.25,
    runs: Runs = RUNS,
    as_json: AsJson = False,
) -> None:
    """Find the cells to train next and what they cost; --run: train them.

    They bracket a critical size, or narrow its interval. With --json: name, within, n_cells, cells, file, and critical
    (a row a dataset size; with --run the new one).
    """
    from mdl.cli import suggest as suggest_cli
    from mdl.cli import suggest_rounds
    from mdl.cli.path_resolution import run_folder

    place = run_folder(folder, runs)
    before = after = suggest_rounds.look(place, cost, within)
    wanted = suggest_cli.cells(before.found)
    file = (out or (suggest_rounds.free_file(place) if train else None)) if wanted else None
    text = before.lines
    if file:
        suggest_cli.write(wanted, suggest_rounds.sweep_of(place) if train else before.explained.table.name, file)
        text.append(f"{file}: {counted(len(wanted), 'cell')}" + ("" if train else f"; run: mdl sweep {file}"))
    if not as_json:
        typer.echo("\n".join(text))
    if train and file:
        suggest_rounds.run(file, place)
        after = suggest_rounds.look(place, cost, within)
        if not as_json:
            typer.echo("\n".join(suggest_rounds.told(before, after, file)))
    if as_json:
        n_cells, rows = len(wanted), suggest_cli.content(before.found)
        told = {"name": before.explained.table.name, "within": within, "n_cells": n_cells, "cells": rows}
        print_json({**told, "file": file, "critical": after.critical})


def status(
    file: Annotated[
        Path | None, typer.Argument(metavar="PLACE", help="A run folder or a sweep file; default: the newest in runs/.")
    ] = None,
    runs: Runs = RUNS,
    watch: Annotated[bool, typer.Option("--watch", help="Print the state again until nothing is left.")] = False,
    as_json: AsJson = False,
    out: FormerOut = None,
) -> None:
    """Tell what of a sweep is done, running, failed and left.

    From any machine that sees the run folder. With --json: name, n_cells, done, left (run ids), failed (run id to
    reason), running (run id to host, process, since), half_trained (cohort_id, run_ids, step, n_steps), seconds_left.
    """
    from mdl.cli import status as status_cli

    if as_json and watch:
        raise MdlError("--json prints the state once; leave out --watch")
    look = status_cli.looking_at(file, renamed(out, runs, "--out", "--runs"))
    if as_json:
        print_json(status_cli.content(look()))
    elif watch:
        status_cli.watch(look)
    else:
        status_cli.tell(look)


def slurm_task(file: Path, index: int) -> None:
    """One task of an array that `mdl sweep --backend slurm` submitted."""
    from mdl.cli import sweep as sweep_cli

    sweep_cli.slurm_task(file, index)
