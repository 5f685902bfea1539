"""Commands that explain records and tables: report, fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdl.cli.options import (
    RUNS,
    AsJson,
    ContextsOfReport,
    Cost,
    Runs,
    StrideBytesOfReport,
    in_bytes,
    in_inches,
    print_json,
    renamed,
)

_KNOWN_IN_SUMMARY = (
    "name",
    "cost",
    "stride_bytes",
    "is_mixed",
    "n_cells",
    "n_failed",
    "n_missing",
    "critical",
    "laws",
    "predictions",
)


def report(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="PLACE", help="A run folder, a sweep file or a table (CSV …); default: the newest in runs/."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Folder of the report; default: report, or report-stride-N …, in the run folder."
        ),
    ] = None,
    cost: Cost = "float16",
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="pdf (default), md (for GitHub), html (an explorer); several by comma."),
    ] = None,
    n: Annotated[str, typer.Option("--n", help="A table's column of model sizes N, parameters.")] = "N",
    d: Annotated[str, typer.Option("--d", help="A table's column of data D, bytes.")] = "D",
    code_bits: Annotated[
        str, typer.Option("--code-bits", help="A table's column of code lengths, bits.")
    ] = "code_bits",
    seed_column: Annotated[str, typer.Option("--seed-column", help="A table's column of training seeds.")] = "seed",
    stride_bytes: StrideBytesOfReport = None,
    contexts: ContextsOfReport = None,
    predict: Annotated[
        str | None,
        typer.Option("--predict", help="Dataset sizes to predict N* for: 1GB,10GB; default: ten times the largest."),
    ] = None,
    figure_width: Annotated[
        str | None,
        typer.Option(
            "--figure-width", help="Width of the figures' files, for a paper's column: 84mm, 3.3in. From 60mm on."
        ),
    ] = None,
    runs: Runs = RUNS,
    wandb: Annotated[bool, typer.Option("--wandb", help="Log tables, figures and files as a W&B run too.")] = False,
    as_json: AsJson = False,
    seed: Annotated[str | None, typer.Option("--seed", hidden=True)] = None,
) -> None:
    """Find critical model sizes; write a PDF, figures and tables.

    With --json: documents (paths), folder, and what summary.json has of name, cost, stride_bytes, is_mixed (absent:
    no), n_cells, n_failed, n_missing, critical (a row a dataset size), laws and predictions.
    """
    from analysis.report import build_report, terminal_table
    from mdl.cli import wandb_report
    from mdl.cli.path_resolution import run_folder
    from mdl.units import parse_bytes

    if wandb:
        wandb_report.require_wandb()
    place = run_folder(folder, runs)
    stride = in_bytes(stride_bytes)
    second = f"-stride-{stride}" if stride is not None else ""
    target = out or _beside(place, f"report{second}{'-contexts' if contexts else ''}")
    wanted = [name for given in formats or ("pdf",) for name in given.split(",") if name]
    seed_column = renamed(seed, seed_column, "--seed", "--seed-column")
    columns = {"n": n, "d": d, "code_bits": code_bits, "seed": seed_column}
    asked = [parse_bytes(size) for size in predict.split(",")] if predict is not None else ()
    made = build_report(
        place,
        target,
        cost=cost,
        formats=wanted,
        columns=columns,
        stride_bytes=stride,
        contexts=bool(contexts),
        predict_bytes=asked,
        figure_inches=None if figure_width is None else in_inches(figure_width),
    )
    if as_json:
        known = {key: value for key, value in made.summary.items() if key in _KNOWN_IN_SUMMARY}
        print_json({"folder": str(target), "documents": [str(path) for path in made.documents], **known})
    else:
        typer.echo(terminal_table(made.summary))
        for path in made.documents:
            typer.echo(f"report: {path}")
    if wandb:
        typer.echo(f"W&B: {wandb_report.log_report(made.summary, target, place, made.names)}", err=as_json)


def _beside(place: Path, name: str) -> Path:
    """A run folder holds its report; a table has it beside."""
    return place / name if place.is_dir() else place.with_name(f"{place.stem}-{name}")


def fit(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PLACE", help="A table of losses, or a run folder or sweep file (held-out bits per byte)."
        ),
    ],
    n: Annotated[str, typer.Option("--n", help="Column of model sizes N, parameters.")] = "N",
    d: Annotated[str, typer.Option("--d", help="Column of data D; where it is missing, D = C / (6·N).")] = "D",
    loss: Annotated[str, typer.Option("--loss", help="Column of losses.")] = "loss",
    c: Annotated[str, typer.Option("--c", help="Column of compute C, FLOPs; where it is missing, C = 6·N·D.")] = "C",
    delta: Annotated[
        str | None, typer.Option("--delta", help="Huber's δ; auto: 1.345 residual scales. Default: 1e-3, sweeps auto.")
    ] = None,
    holdout: Annotated[
        list[str] | None, typer.Option("--holdout", help="Rows to leave out of the fit and predict, such as 'C>1e21'.")
    ] = None,
    cluster: Annotated[
        str, typer.Option("--cluster", help="Columns whose equal values mark rows with common noise.")
    ] = "",
    group: Annotated[str | None, typer.Option("--group", help="Which corpus of a sweep with several.")] = None,
    epochs: Annotated[
        str, typer.Option("--epochs", help="Column of how often the unique data D were read; optional.")
    ] = "epochs",
    form: Annotated[
        str | None,
        typer.Option(
            "--form",
            help="plain; repeated (Muennighoff et al. 2023); overfitting (B·N^κ); auto: the one that predicts held-out "
            "rows best. Default: auto where epochs are known, else plain.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="A figure of it: a .pdf, .png or .svg that is made.")
    ] = None,
    runs: Runs = RUNS,
    as_json: AsJson = False,
) -> None:
    """Fit L = E + A·N^−α + B·D^−β to a table, with intervals.

    It is tested on held-out rows. With --json: E, A, B, alpha, beta and what the form has beside them, form, formula,
    forms, se, ci95, interval, objective, delta, n_points, success, message, dropped, notes, held_out, figure (its path,
    or null).
    """
    from analysis.scaling import fit_content, fit_report_of, fit_to_text, parse_delta, read_measurements
    from mdl.cli import fit as fit_cli
    from mdl.cli.path_resolution import run_folder

    if out:
        fit_cli.require_figure(out)
    columns = {"n": n, "d": d, "loss": loss, "c": c, "epochs": epochs}
    place = run_folder(path, runs)
    measured, usual = read_measurements(place, columns, cluster, group)
    made = fit_report_of(measured, parse_delta(delta, usual), holdout or (), form)
    if out:
        fit_cli.draw(measured, made, out, of_records=place.is_dir())
    if as_json:
        print_json(fit_content(made) | {"figure": out})
    else:
        typer.echo(fit_to_text(made) + (f"\nfigure: {out}" if out else ""))
