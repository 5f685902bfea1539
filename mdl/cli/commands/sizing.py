"""The command for one's own data: size."""

from __future__ import annotations

from typing import Annotated

import typer

from mdl.cli.options import RUNS, AsJson, Cost, DryRun, Runs, Within, console, print_json


def size(
    data: Annotated[
        str, typer.Argument(help="A file of any bytes, a folder, a table (.jsonl, .parquet), image:…, audio:…, hf:….")
    ],
    budget: Annotated[str, typer.Option(help="How long it may take, such as 90s, 10min, 1h.")] = "5min",
    within: Within = 1.25,
    cost: Cost = "float16",
    any_bytes: Annotated[
        bool, typer.Option("--any", help="Take every file of a folder, text or not, packed or not.")
    ] = False,
    column: Annotated[str | None, typer.Option(help="A table's column to code; default: the one of text.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: up to three per GPU, or one per core.")
    ] = None,
    architecture: Annotated[
        str, typer.Option(help="What is trained: transformer, mingru, or a --plugin's.")
    ] = "transformer",
    name: Annotated[str | None, typer.Option(help="Name of the run folder; default: size-NAME.")] = None,
    runs: Runs = RUNS,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Find how big a model your own data pays for, in a given time.

    It chooses the models, trains them and writes a report. The same command continues after a stop.

    With --json: n_params, low, high, at_this_training, limit, subset_bytes, is_extrapolated, is_converged, stopped,
    folder, read (what, and what bytes it became), unknown (why, of every null), critical; with --dry-run: read,
    subsets, sizes, steps, n_cells, n_done, seconds and n_params (expected), unknown.
    """
    from mdl.cli import size as size_cli
    from mdl.sizing import ask
    from mdl.storage import seconds_since_start

    if column is not None and any_bytes:
        raise typer.BadParameter(
            "--column codes one column of a table and --any the bytes of every file; give one of them"
        )
    source = f"{data},column={column}" if column is not None else f"bytes:{data}" if any_bytes else data
    asked = ask(
        source,
        budget=budget,
        within=within,
        cost=cost,
        runs=runs,
        name=name,
        workers=workers,
        architecture=architecture,
        with_report=not as_json,
        already_seconds=seconds_since_start(),
    )
    shown = console(stderr=as_json)
    if dry_run:
        plan = size_cli.plan(asked)
        print_json(size_cli.plan_content(plan)) if as_json else typer.echo("\n".join(size_cli.plan_told(plan)))
        return
    found = size_cli.search(asked, shown)
    if as_json:
        print_json(size_cli.content(found))
    else:
        for line in size_cli.told(found, asked):
            typer.echo(line)
    if found.signal_number:
        raise typer.Exit(128 + found.signal_number)
