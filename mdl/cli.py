"""The command line: parse, call, print. Heavy imports stay inside the commands; `analysis` and `mdl` meet only here."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis import AnalysisError
from mdl import __version__
from mdl.errors import MdlError, one_line

if TYPE_CHECKING:
    from mdl.driver import Plan

app = typer.Typer(
    help="How big a model does this data pay for? Language models as compressors, their parameters counted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Stopped(Exception):  # noqa: N818 - a wish, not an error
    """The user stopped a sweep. (A KeyboardInterrupt would be swallowed by the command-line library.)"""


OutRuns = Annotated[Path, typer.Option("--out", help="Folder of all sweeps' records.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mdl {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep file (YAML), such as sweeps/quick.yaml.")],
    out: OutRuns = Path("runs"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print cells, cohorts, FLOPs and bytes; run none.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one a GPU, or one a core.")] = None,
    baselines: Annotated[bool, typer.Option(help="Run the classical coders too.")] = True,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
) -> None:
    """Make every record of a sweep that is missing. Run it again to go on after a stop."""
    from mdl.driver import describe, plan_sweep

    plan = plan_sweep(file, out)
    if dry_run:
        typer.echo("\n".join(describe(plan)))
        return
    _run(plan, workers, baselines, retry_failed)
    typer.echo(f"records: {plan.paths.root}; next: mdl report {plan.paths.root}")


@app.command()
def run(
    settings: Annotated[list[str], typer.Argument(help="key=value, such as size=16x2 subset_bytes=1MB.")],
    out: OutRuns = Path("runs"),
    sweep_name: Annotated[str, typer.Option("--sweep", help="Which sweep's folder the record goes to.")] = "single",
    baselines: Annotated[bool, typer.Option(help="Run the classical coders too.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run it again if it failed.")] = False,
) -> None:
    """Run one cell. This is what W&B agents call."""
    from mdl.driver import plan_cell

    plan = plan_cell(settings, sweep_name, out)
    _run(plan, 1, baselines, retry_failed)
    typer.echo(f"record: {plan.paths.record(plan.cells[0].run_id)}")


def _run(plan: Plan, workers: int | None, baselines: bool, retry_failed: bool) -> None:
    from rich.console import Console

    from mdl.driver import run_sweep

    console = Console(highlight=False)
    command = shlex.join(["mdl", *sys.argv[1:]])
    try:
        n_failed = run_sweep(
            plan, command, console, n_workers=workers, with_baselines=baselines, retry_failed=retry_failed
        )
    except KeyboardInterrupt:
        raise Stopped from None
    if n_failed:
        raise MdlError(f"{n_failed} failed, the rest is recorded; details above and in {plan.paths.root / 'log.txt'}")


@app.command()
def baselines(
    path: Annotated[str, typer.Argument(help="A file, a folder or a corpus, such as image:samples.")],
    modality: Annotated[str | None, typer.Option(help="text, image or audio; default: text.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Run folder that the records go to.")] = Path("runs/baselines"),
    size: Annotated[str, typer.Option("--bytes", help="Code this much of it at the most.")] = "10MB",
    chunk: Annotated[str, typer.Option("--chunk", help="Chunk length; the paper's is 2048.")] = "2048",
) -> None:
    """What the classical coders make of any data, whole and in chunks, beside the paper's Table 1."""
    from rich.console import Console

    from mdl.baselines_cli import lines, source_of
    from mdl.driver import Download
    from mdl.units import parse_bytes

    progress = Download(Console(stderr=True, highlight=False))
    for line in lines(source_of(path, modality), parse_bytes(size), parse_bytes(chunk), out, progress):
        typer.echo(line)
    typer.echo(f"records: {out / 'baselines'}")


@app.command()
def report(
    folder: Annotated[Path | None, typer.Argument(help="A sweep's run folder; default: the newest in runs/.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Default: reports/<sweep>.")] = None,
    cost: Annotated[str, typer.Option("--cost", help="What a parameter costs: float16 (the paper), float32, none.")] = (
        "float16"
    ),
) -> None:
    """Critical model sizes, adjusted rates and figures of a sweep, as a PDF and tables."""
    from analysis.report import build_report, terminal_table
    from mdl.results import RunPaths

    folder = folder or RunPaths.newest(Path("runs"))
    made = build_report(folder, out or Path("reports") / folder.resolve().name, cost=cost)
    typer.echo(terminal_table(made.summary))
    typer.echo(f"report: {made.pdf}")


@app.command()
def fit(
    path: Annotated[Path, typer.Argument(help="A CSV of losses, or a sweep's run folder (held-out bits a byte).")],
    n: Annotated[str, typer.Option("--n", help="Column of model sizes N, parameters.")] = "N",
    d: Annotated[str, typer.Option("--d", help="Column of data D; where it is missing, D = C / (6·N).")] = "D",
    loss: Annotated[str, typer.Option("--loss", help="Column of losses.")] = "loss",
    c: Annotated[str, typer.Option("--c", help="Column of compute C, FLOPs; where it is missing, C = 6·N·D.")] = "C",
    delta: Annotated[
        str | None, typer.Option("--delta", help="Huber's δ; auto: 1.345 residual scales. Default: 1e-3, sweeps auto.")
    ] = None,
    holdout: Annotated[
        list[str] | None, typer.Option("--holdout", help="Rows to predict without having seen them, such as 'C>1e21'.")
    ] = None,
    cluster: Annotated[
        str, typer.Option("--cluster", help="Columns whose equal values mark rows with common noise.")
    ] = "",
    group: Annotated[str | None, typer.Option("--group", help="Which corpus of a sweep with several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Fit L = E + A·N^-α + B·D^-β, with intervals and a test on held-out runs."""
    from analysis import fit_cli

    measured, usual = fit_cli.read(path, {"n": n, "d": d, "loss": loss, "c": c}, cluster, group)
    made = fit_cli.report(measured, fit_cli.parse_delta(delta, usual), holdout or ())
    typer.echo(fit_cli.to_json(made) if as_json else fit_cli.to_text(made))


Device = Annotated[str, typer.Option(help="auto (a CUDA device where there is one), cpu, cuda.")]
Output = Annotated[Path | None, typer.Option("-o", "--out", help="Default: the name with .mdl added, or removed.")]
RunsFolder = Annotated[Path, typer.Option("--runs", help="Folder of all sweeps' records.")]


@app.command()
def compress(
    file: Annotated[Path, typer.Argument(help="Any file.")],
    out: Output = None,
    model: Annotated[
        str, typer.Option(help="A run's folder, a .safetensors file, or auto: the newest sweep's best for this size.")
    ] = "auto",
    embed_model: Annotated[bool, typer.Option("--embed-model", help="Put the weights into the archive.")] = False,
    runs: RunsFolder = Path("runs"),
    device: Device = "auto",
) -> None:
    """Code a file with a trained model, losslessly: any machine with the same weights decodes it byte for byte."""
    from mdl import archive_cli

    typer.echo("\n".join(archive_cli.compress(file, out, model, runs, device, embed=embed_model)))


@app.command()
def decompress(
    file: Annotated[Path, typer.Argument(help="An archive made by mdl compress.")],
    out: Output = None,
    model: Annotated[
        str | None,
        typer.Option(help="A run's folder or a .safetensors file; default: in the archive, else by hash in runs."),
    ] = None,
    runs: RunsFolder = Path("runs"),
    device: Device = "auto",
) -> None:
    """Decode an archive, and check that every byte is the original's."""
    from mdl import archive_cli

    typer.echo("\n".join(archive_cli.decompress(file, out, model, runs, device)))


@app.command()
def inspect(file: Annotated[Path, typer.Argument(help="An archive made by mdl compress.")]) -> None:
    """What an archive holds, the sizes of its parts, and what decodes it."""
    from mdl import archive_cli

    typer.echo("\n".join(archive_cli.inspect(file)))


def main() -> None:
    """Entry point: one line and status 2 for whatever a user can mend, 130 for a stop."""
    try:
        app()
    except (MdlError, AnalysisError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(one_line(error))
    except Stopped:
        typer.echo("stopped; what is finished is recorded, run the same command to go on", err=True)
        sys.exit(130)


def _fail(message: str) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
