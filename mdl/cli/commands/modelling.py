"""Commands that put coders and models beside each other: baselines, evaluate, generate."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mdl.cli.options import AsJson, Baselines, Device, console, print_json, renamed
from mdl.errors import MdlError

Made = Annotated[Path, typer.Option("-o", "--out", help="Run folder that the records go to.")]


def baselines(
    path: Annotated[str, typer.Argument(help="A file, a folder or a corpus, such as image:samples.")],
    modality: Annotated[str | None, typer.Option(help="text, image or audio; default: text.")] = None,
    out: Made = Path("runs/baselines"),
    size: Annotated[
        str | None, typer.Option("--sizes", help="Such as 10MB: the first so many bytes; default: all.")
    ] = None,
    chunk: Annotated[str, typer.Option("--chunk", help="Chunk length; the paper's is 2048.")] = "2048",
    paper: Annotated[
        bool, typer.Option("--paper", help="The paper's Table 1: its four coders whatever the data, its models below.")
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="A run's folder, trained on anything, or py:NAME; several allowed."),
    ] = None,
    model_bytes: Annotated[
        str, typer.Option("--model-bytes", help="Models code this much of it at the most, evenly spread.")
    ] = "1MB",
    device: Device = "auto",
    as_json: AsJson = False,
    n_bytes: Annotated[str | None, typer.Option("--bytes", hidden=True)] = None,
) -> None:
    """Code any data with classical coders and trained models.

    With --json: records (paths), and coders and models, a row a measurement.
    """
    from mdl.cli.baselines import Models, Table, source_of
    from mdl.cli.sweep import command_line
    from mdl.sweeps import Download
    from mdl.units import parse_bytes

    size = renamed(n_bytes, size, "--bytes", "--sizes")
    models = Models(model or (), parse_bytes(model_bytes), device, command_line())
    table = Table(
        source_of(path, modality),
        most_bytes=None if size is None else parse_bytes(size),
        chunk_bytes=parse_bytes(chunk),
        out=out,
        models=models,
        as_paper=paper,
    )
    for line in table.lines(Download(console())):
        if not as_json:
            typer.echo(line)
    if as_json:
        rows = {"coders": [asdict(r) for r in table.coded], "models": [asdict(r) for r in table.evaluated]}
        print_json({"records": str(out), **rows})
    else:
        typer.echo(f"records: {out}; next: mdl report {out}")


def evaluate(
    models_and_corpus: Annotated[
        list[str],
        typer.Argument(
            metavar="hf:MODEL|py:NAME... CORPUS", help="Folders, hub names, a plugin's models; then the data."
        ),
    ],
    out: Made = Path("runs/evaluate"),
    sizes: Annotated[str | None, typer.Option(help="Such as 100KB,1MB: the first so many bytes; default: all.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens a window; default: the model's, 2048 at most.")] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens from window to window; default: the context.")] = None,
    dtype: Annotated[str, typer.Option(help="Of the arithmetic: float32, bfloat16, float16.")] = "float32",
    batch: Annotated[int | None, typer.Option(min=1, help="Windows a call; default: what fits.")] = None,
    device: Device = "auto",
    baselines: Baselines = True,
    as_json: AsJson = False,
) -> None:
    """Measure pretrained models on any data, in bits per raw byte.

    With --json: folder, and records: model, n_params, subset_bytes, code_bits, n_tokens, escaped_bytes.
    """
    from mdl.cli.evaluate import content, lines
    from mdl.cli.sweep import command_line
    from mdl.evaluation import EvaluationSettings
    from mdl.sweeps import Download

    if len(models_and_corpus) < 2:
        raise MdlError("mdl evaluate takes at least a model and a corpus, such as hf:/models/pythia-70m corpus.txt")
    *models, corpus = models_and_corpus
    settings = EvaluationSettings(context, stride, dtype, batch, device)
    progress = Download(console())
    found = []
    for line, record in lines(
        models, corpus, sizes, out, settings, command_line(), with_baselines=baselines, progress=progress
    ):
        found += [content(record)] if record else []
        if not as_json:
            typer.echo(line)
    if as_json:
        print_json({"folder": str(out), "records": found})
    else:
        typer.echo(f"records: {out}; next: mdl report {out}")


def generate(
    coder: Annotated[
        list[str],
        typer.Option("--coder", help="gzip …, runs/<sweep>/<run id>, hf:MODEL or py:NAME; several for a figure."),
    ],
    prompt: Annotated[
        list[str], typer.Option("--prompt", help="A file, or image:PATH, audio:PATH, file:TEXT; several for a figure.")
    ],
    chunk: Annotated[
        list[int] | None, typer.Option("--chunk", help="Which 2048 bytes of a corpus's held-out part; one, or each.")
    ] = None,
    n_bytes: Annotated[
        int | None, typer.Option("--length", help="Bytes to make; default: the chunk's rest; of a file 512.")
    ] = None,
    prompt_bytes: Annotated[int | None, typer.Option(help="Default: half of the chunk; of a file all.")] = None,
    temperature: Annotated[float, typer.Option(help="Below 1: likelier bytes yet likelier; 0: the likeliest.")] = 1,
    top_p: Annotated[float, typer.Option(help="Only the likeliest that have this much of the probability.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    context: Annotated[int, typer.Option(help="What a classical coder sees, bytes.")] = 2048,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The continuation; a .png or .wav beside it.")] = None,
    figure: Annotated[Path | None, typer.Option(help="A .pdf or .png of all continuations, and a .json.")] = None,
    device: Device = "auto",
    former_bytes: Annotated[int | None, typer.Option("--bytes", hidden=True)] = None,
) -> None:
    """Go on from a prompt with any compressor or model."""
    from mdl.cli import generate as generate_cli
    from mdl.generation import Sampling

    n_bytes = renamed(former_bytes, n_bytes, "--bytes", "--length")
    how = Sampling(temperature, top_p, seed)
    wanted = generate_cli.Wanted(coder, prompt, chunk or [0], n_bytes, prompt_bytes, context, device)
    made = generate_cli.run(wanted, how, out, figure)
    if figure:
        from analysis.plots import draw_continuations

        draw_continuations(made[-1], figure)
        made.append(figure)
    for path in made:
        typer.echo(f"written: {path}")
