"""The command line: parse, call, print. Heavy imports stay inside the commands; `analysis` and `mdl` meet only here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.errors import AnalysisError
from mdl import __version__
from mdl.errors import MdlError, Stopped, one_line

app = typer.Typer(
    help="How big a model does this data pay for? Language models as compressors, their parameters counted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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


_Cost = Annotated[
    str,
    typer.Option(
        "--cost",
        help="float16 (the paper), float32, coded (as measured), coded4 (at 4 bits), logn, capacity, none, or bytes.",
    ),
]


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
    per_gpu: Annotated[int, typer.Option(min=1, help="Cohorts that share a GPU; small ones may leave it idle.")] = 1,
    wandb: Annotated[bool, typer.Option("--wandb", help="Register it with W&B and start agents here.")] = False,
    backend: Annotated[str, typer.Option(help="local, or slurm: submit an array, a task a cohort.")] = "local",
    partition: Annotated[str | None, typer.Option(help="Slurm's partition.")] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of a Slurm task.")] = 0,
    time: Annotated[str | None, typer.Option(help="Time limit of a Slurm task; it queues again when it is up.")] = None,
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Slurm tasks at once.")] = None,
    sbatch: Annotated[str, typer.Option(help="More options of sbatch, such as '--mem=16G --account=me'.")] = "",
) -> None:
    """Make every record of a sweep that is missing. Run it again to go on after a stop."""
    from mdl.cli import sweep as sweep_cli
    from mdl.sweeps import describe_plan, plan_sweep

    if backend not in ("local", "slurm"):
        raise MdlError(f"no backend '{backend}'; use local or slurm (W&B agents: --wandb)")
    if wandb and not dry_run:
        sweep_cli.agents(file, out, workers)
        return
    plan = plan_sweep(file, out)
    if dry_run:
        typer.echo("\n".join(describe_plan(plan)))
    if backend == "slurm":
        from mdl.sweeps import SlurmOptions

        options = SlurmOptions(partition, gpus, time, max_parallel, per_gpu, sbatch)
        sweep_cli.submit(plan, options, dry_run=dry_run, retry_failed=retry_failed, with_baselines=baselines)
    elif not dry_run:
        sweep_cli.run(plan, retry_failed=retry_failed, n_workers=workers, with_baselines=baselines, per_gpu=per_gpu)
        typer.echo(f"records: {plan.paths.root}; next: mdl report {plan.paths.root}")


@app.command(name="slurm-task", hidden=True)
def slurm_task(file: Path, index: int) -> None:
    """One task of an array that `mdl sweep --backend slurm` submitted."""
    from mdl.cli import sweep as sweep_cli

    sweep_cli.slurm_task(file, index)


@app.command()
def status(
    file: Annotated[Path, typer.Argument(help="The sweep file.")],
    out: OutRuns = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", help="Go on telling until nothing is left.")] = False,
) -> None:
    """What of a sweep is done, running (where, since when), failed (why) and left."""
    from mdl.sweeps import plan_sweep
    from mdl.sweeps import status as progress

    plan = plan_sweep(file, out)
    try:
        for lines in progress.watch(plan) if watch else [progress.lines(progress.status(plan))]:
            typer.echo("\n".join(lines))
    except KeyboardInterrupt:
        raise Stopped from None


@app.command()
def run(
    settings: Annotated[list[str], typer.Argument(help="key=value, such as size=16x2 subset_bytes=1MB.")],
    out: OutRuns = Path("runs"),
    sweep_name: Annotated[str, typer.Option("--sweep", help="Which sweep's folder the record goes to.")] = "single",
    baselines: Annotated[bool, typer.Option(help="Run the classical coders too.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run it again if it failed.")] = False,
) -> None:
    """Run one cell. This is what W&B agents call."""
    from mdl.cli import sweep as sweep_cli

    typer.echo(f"record: {sweep_cli.run_cell(settings, sweep_name, out, baselines, retry_failed)}")


@app.command()
def baselines(
    path: Annotated[str, typer.Argument(help="A file, a folder or a corpus, such as image:samples.")],
    modality: Annotated[str | None, typer.Option(help="text, image or audio; default: text.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Run folder that the records go to.")] = Path("runs/baselines"),
    size: Annotated[str, typer.Option("--bytes", help="Code this much of it at the most.")] = "10MB",
    chunk: Annotated[str, typer.Option("--chunk", help="Chunk length; the paper's is 2048.")] = "2048",
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A run's folder, trained on anything; several allowed.")
    ] = None,
    model_bytes: Annotated[
        str, typer.Option("--model-bytes", help="Models code this much of it at the most, evenly spread.")
    ] = "1MB",
    device: Annotated[str, typer.Option(help="Of the models: auto, cpu, cuda.")] = "auto",
) -> None:
    """What classical coders and trained models make of any data, whole and in chunks, beside the paper's Table 1."""
    from rich.console import Console

    from mdl.cli.baselines import Models, lines, source_of
    from mdl.cli.sweep import command_line
    from mdl.sweeps import Download
    from mdl.units import parse_bytes

    progress = Download(Console(stderr=True, highlight=False))
    models = Models(model or (), parse_bytes(model_bytes), device, command_line())
    for line in lines(source_of(path, modality), parse_bytes(size), parse_bytes(chunk), out, progress, models):
        typer.echo(line)
    typer.echo(f"records: {out}; next: mdl report {out}")


@app.command()
def generate(
    coder: Annotated[
        list[str], typer.Option("--coder", help="gzip, xz, …, runs/<sweep>/<run id> or hf:MODEL; several for a figure.")
    ],
    prompt: Annotated[
        list[str], typer.Option("--prompt", help="A file, or image:PATH, audio:PATH, file:TEXT; several for a figure.")
    ],
    chunk: Annotated[
        list[int] | None, typer.Option("--chunk", help="Which 2048 bytes of a corpus's held-out part; one, or each.")
    ] = None,
    n_bytes: Annotated[int | None, typer.Option("--bytes", help="Default: the chunk's rest; of a file 512.")] = None,
    prompt_bytes: Annotated[int | None, typer.Option(help="Default: half of the chunk; of a file all.")] = None,
    temperature: Annotated[float, typer.Option(help="Below 1: likelier bytes yet likelier; 0: the likeliest.")] = 1,
    top_p: Annotated[float, typer.Option(help="Only the likeliest that have this much of the probability.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    context: Annotated[int, typer.Option(help="What a classical coder sees, bytes.")] = 2048,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The continuation; a .png or .wav beside it.")] = None,
    figure: Annotated[Path | None, typer.Option(help="A .pdf or .png of all continuations, and a .json.")] = None,
    device: Annotated[str, typer.Option(help="auto (a CUDA device where there is one), cpu, cuda.")] = "auto",
) -> None:
    """Go on from a prompt with any compressor or model: what it codes in fewer bits is likelier."""
    from mdl.cli import generate as generate_cli
    from mdl.generation import Sampling

    how = Sampling(temperature, top_p, seed)
    wanted = generate_cli.Wanted(coder, prompt, chunk or [0], n_bytes, prompt_bytes, context, device)
    made = generate_cli.run(wanted, how, out, figure)
    if figure:
        from analysis.plots import draw_continuations

        draw_continuations(made[-1], figure)
        made.append(figure)
    for path in made:
        typer.echo(f"written: {path}")


@app.command()
def evaluate(
    models_and_corpus: Annotated[
        list[str], typer.Argument(metavar="hf:MODEL... CORPUS", help="Model folders or hub names; last, the data.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Run folder that the records go to.")] = Path("runs/evaluate"),
    sizes: Annotated[str | None, typer.Option(help="Such as 100KB,1MB: the first so many bytes; default: all.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens a window; default: the model's, 2048 at most.")] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens from window to window; default: the context.")] = None,
    dtype: Annotated[str, typer.Option(help="Of the arithmetic: float32, bfloat16, float16.")] = "float32",
    batch: Annotated[int | None, typer.Option(min=1, help="Windows a call; default: what fits.")] = None,
    device: Annotated[str, typer.Option(help="auto (a CUDA device where there is one), cpu, cuda.")] = "auto",
    baselines: Annotated[bool, typer.Option(help="Run the classical coders too.")] = True,
) -> None:
    """What pretrained language models make of any data, in bits per raw byte, with records for a report."""
    from rich.console import Console

    from mdl.cli.evaluate import lines
    from mdl.cli.sweep import command_line
    from mdl.evaluation import EvaluationSettings
    from mdl.sweeps import Download

    if len(models_and_corpus) < 2:
        raise MdlError("mdl evaluate takes at least a model and a corpus, such as hf:/models/pythia-70m corpus.txt")
    *models, corpus = models_and_corpus
    settings = EvaluationSettings(context, stride, dtype, batch, device)
    progress = Download(Console(stderr=True, highlight=False))
    for line in lines(
        models, corpus, sizes, out, settings, command_line(), with_baselines=baselines, progress=progress
    ):
        typer.echo(line)
    typer.echo(f"records: {out}; next: mdl report {out}")


@app.command()
def report(
    folder: Annotated[Path | None, typer.Argument(help="A sweep's run folder; default: the newest in runs/.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Default: reports/<sweep>.")] = None,
    cost: _Cost = "float16",
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="pdf (default), md (its twin for GitHub), html (an explorer); several allowed."),
    ] = None,
    wandb: Annotated[bool, typer.Option("--wandb", help="Log tables, figures and files as a W&B run too.")] = False,
) -> None:
    """Critical model sizes, adjusted rates and figures of a sweep, as a PDF and tables."""
    from analysis.records import name_of
    from analysis.report import build_report, terminal_table
    from mdl.cli import wandb_report
    from mdl.records import RunPaths

    if wandb:
        wandb_report.require_wandb()
    folder = folder or RunPaths.newest(Path("runs"))
    out = out or Path("reports") / name_of(folder)
    made = build_report(folder, out, cost=cost, formats=formats or ("pdf",))
    typer.echo(terminal_table(made.summary))
    for path in made.documents:
        typer.echo(f"report: {path}")
    if wandb:
        typer.echo(f"W&B: {wandb_report.log_report(made.summary, out, folder)}")


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
    from analysis.scaling import fit_report_of, fit_to_json, fit_to_text, parse_delta, read_measurements

    measured, usual = read_measurements(path, {"n": n, "d": d, "loss": loss, "c": c}, cluster, group)
    made = fit_report_of(measured, parse_delta(delta, usual), holdout or ())
    typer.echo(fit_to_json(made) if as_json else fit_to_text(made))


@app.command()
def suggest(
    folder: Annotated[Path | None, typer.Argument(help="A sweep's run folder; default: the newest in runs/.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write them as sweep files: next.yaml, next-2.yaml …")
    ] = None,
    cost: _Cost = "float16",
    within: Annotated[float, typer.Option(help="Wanted: an interval's upper end over its lower end, at the most.")] = (
        1.25
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the cells as a JSON list.")] = False,
) -> None:
    """Which cells to train next: to bracket a critical size, or to narrow its interval, and what they would cost."""
    from analysis.costs import parse_cost
    from analysis.next_cells import suggest as suggestions
    from analysis.records import load
    from analysis.study import study
    from mdl.cli import suggest as suggest_cli
    from mdl.records import RunPaths

    table = load(folder or RunPaths.newest(Path("runs")))
    found = suggestions(study(table, parse_cost(cost)), suggest_cli.ladder, within)
    typer.echo(suggest_cli.to_json(found) if as_json else "\n".join(suggest_cli.lines(found, within)))
    if out and found:
        for line in suggest_cli.write(suggest_cli.grids(found), table.name, out):
            typer.echo(line, err=as_json)


Device = Annotated[str, typer.Option(help="auto (a CUDA device where there is one), cpu, cuda.")]
Output = Annotated[Path | None, typer.Option("-o", "--out", help="Default: the name with .mdl added, or removed.")]
RunsFolder = Annotated[Path, typer.Option("--runs", help="Folder of all sweeps' records.")]


@app.command()
def compress(
    file: Annotated[Path, typer.Argument(help="Any file.")],
    out: Output = None,
    model: Annotated[
        str,
        typer.Option(
            help="A run's folder, a .safetensors file, hf:MODEL, or auto: the newest sweep's best for this size."
        ),
    ] = "auto",
    embed_model: Annotated[bool, typer.Option("--embed-model", help="Put the weights into the archive.")] = False,
    runs: RunsFolder = Path("runs"),
    device: Device = "auto",
) -> None:
    """Code a file with a trained model, losslessly: any machine with the same weights decodes it byte for byte."""
    from mdl.cli import archive

    typer.echo("\n".join(archive.compress(file, out, model, runs, device, embed=embed_model)))


@app.command()
def decompress(
    file: Annotated[Path, typer.Argument(help="An archive made by mdl compress.")],
    out: Output = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A run's folder, a .safetensors file or hf:MODEL; default: in the archive, else by hash in runs."
        ),
    ] = None,
    runs: RunsFolder = Path("runs"),
    device: Device = "auto",
) -> None:
    """Decode an archive, and check that every byte is the original's."""
    from mdl.cli import archive

    typer.echo("\n".join(archive.decompress(file, out, model, runs, device)))


@app.command()
def pack(
    folder: Annotated[Path, typer.Argument(help="A run's folder: runs/<sweep>/<run id>.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Default: <run id>.mdl.")] = None,
    snapshot: Annotated[str, typer.Option(help="Which weights: final, or best.")] = "final",
    tune_steps: Annotated[
        int | None, typer.Option(min=0, help="Steps that make up for rounding. Default: as recorded, else 0.")
    ] = None,
    device: Device = "auto",
) -> None:
    """A run's subset and its model's weights, coded, in one file: its size over the raw size is the two-part rate."""
    from mdl.cli import pack as pack_cli

    typer.echo("\n".join(pack_cli.pack(folder, out, snapshot, device, tune_steps)))


@app.command()
def unpack(
    file: Annotated[Path, typer.Argument(help="A file made by mdl pack.")],
    out: Output = None,
    device: Device = "auto",
) -> None:
    """Decode a packed subset. Nothing but the file is needed."""
    from mdl.cli import pack as pack_cli

    typer.echo("\n".join(pack_cli.unpack(file, out, device)))


@app.command()
def inspect(file: Annotated[Path, typer.Argument(help="An archive made by mdl compress.")]) -> None:
    """What an archive holds, the sizes of its parts, and what decodes it."""
    from mdl.cli import archive

    typer.echo("\n".join(archive.inspect(file)))


# Click's, or the copy of it that newer typers hold.
_UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


def main() -> None:
    """Entry point: one line and status 2 for whatever a user can mend, 130 for a stop."""
    try:
        ended = app(standalone_mode=False)
        sys.exit(ended if isinstance(ended, int) else 0)
    except _UsageError as error:
        _misused(error)
    except (MdlError, AnalysisError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(one_line(error))
    except Stopped:
        typer.echo("stopped; what is finished is recorded, run the same command to go on", err=True)
        sys.exit(130)


def _misused(error: Any) -> None:
    """What is wrong with the command line, and where its help is; the help itself where nothing was said."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(error.exit_code)
    _fail(f"{error.format_message().rstrip('.')}; see {error.ctx.command_path if error.ctx else 'mdl'} --help")


def _fail(message: str) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(2)
