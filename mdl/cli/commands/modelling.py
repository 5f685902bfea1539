"""Commands that put coders and models beside each other: baselines, evaluate, generate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdl.cli.options import RUNS, AsJson, Baselines, Device, Runs, console, print_json, renamed
from mdl.errors import MdlError

Made = Annotated[Path, typer.Option("-o", "--out", help="Run folder that the records go to.")]
Sizes = Annotated[str | None, typer.Option("--sizes", help="Such as 100KB,1MB: the first so many bytes; default: all.")]


def baselines(
    path: Annotated[str, typer.Argument(metavar="DATA", help="A file, a folder or a corpus, such as image:samples.")],
    modality: Annotated[str | None, typer.Option(help="text, image or audio; default: text.")] = None,
    out: Made = Path("runs/baselines"),
    sizes: Sizes = None,
    chunk_bytes: Annotated[str, typer.Option("--chunk-bytes", help="Chunk length; the paper's is 2048.")] = "2048",
    paper: Annotated[
        bool, typer.Option("--paper", help="The paper's Table 1: its four coders whatever the data, its models below.")
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="A run's folder, a .safetensors file, hf:MODEL or a model's folder, or py:NAME; of a sweep file or a "
            "run folder the best. Several allowed.",
        ),
    ] = None,
    model_bytes: Annotated[
        str, typer.Option("--model-bytes", help="Models code at most this much of it, evenly spread.")
    ] = "1MB",
    runs: Runs = RUNS,
    device: Device = "auto",
    as_json: AsJson = False,
    n_bytes: Annotated[str | None, typer.Option("--bytes", hidden=True)] = None,
    chunk: Annotated[str | None, typer.Option("--chunk", hidden=True)] = None,
) -> None:
    """Code any data with classical coders and trained models.

    With --json: records (their folder), and coders, models and pretrained, a row a measurement.
    """
    from mdl.cli.baselines import Models, Table, source_of
    from mdl.cli.evaluate import content
    from mdl.cli.path_resolution import find_model
    from mdl.cli.sweep import command_line
    from mdl.sweeps import Download
    from mdl.units import parse_bytes

    sizes = renamed(n_bytes, sizes, "--bytes", "--sizes")
    chunk_bytes = renamed(chunk, chunk_bytes, "--chunk", "--chunk-bytes")
    names = [find_model(word, runs).word for word in model or ()]
    table = Table(
        source_of(path, modality),
        sizes=sizes,
        chunk_bytes=parse_bytes(chunk_bytes),
        out=out,
        models=Models(names, parse_bytes(model_bytes), device, command=command_line()),
        as_paper=paper,
    )
    for line in table.lines(Download(console())):
        if not as_json:
            typer.echo(line)
    if as_json:
        from mdl.records import content_of

        rows = {"coders": content_of(table.coded), "models": content_of(table.evaluated)}
        print_json({"records": str(out), **rows, "pretrained": [content(r) for r in table.pretrained]})
    else:
        typer.echo(f"records: {out}; next: mdl report {out}")


def evaluate(
    models_and_corpus: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... DATA", help="Models' folders, hf:OWNER/NAME, or py:NAME of a plugin; last, the data."
        ),
    ],
    out: Made = Path("runs/evaluate"),
    sizes: Sizes = None,
    context: Annotated[int | None, typer.Option(help="Tokens per window; default: the model's, 2048 at most.")] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens from window to window; default: the context.")] = None,
    dtype: Annotated[str, typer.Option(help="Of the arithmetic: float32, bfloat16, float16.")] = "float32",
    batch: Annotated[int | None, typer.Option(min=1, help="Windows per call; default: what fits.")] = None,
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
    settings = EvaluationSettings(context=context, stride=stride, dtype=dtype, batch=batch, device=device)
    progress = Download(console())
    found = []
    table = lines(
        models,
        corpus,
        sizes=sizes,
        out=out,
        settings=settings,
        command=command_line(),
        with_baselines=baselines,
        progress=progress,
    )
    for line, record in table:
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
        typer.Option("--coder", help="gzip, xz … or a model as --model takes it elsewhere; several for a figure."),
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
    temperature: Annotated[
        float, typer.Option(help="Below 1: likely bytes become likelier; 0: always the likeliest byte.")
    ] = 1,
    top_p: Annotated[float, typer.Option(help="Only the likeliest bytes, which together have this probability.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    context_bytes: Annotated[int, typer.Option("--context-bytes", help="What a classical coder sees.")] = 2048,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The continuation; a .png or .wav beside it.")] = None,
    figure: Annotated[Path | None, typer.Option(help="A .pdf or .png of all continuations, and a .json.")] = None,
    runs: Runs = RUNS,
    device: Device = "auto",
    as_json: AsJson = False,
    former_bytes: Annotated[int | None, typer.Option("--bytes", hidden=True)] = None,
    former_context: Annotated[int | None, typer.Option("--context", hidden=True)] = None,
) -> None:
    """Go on from a prompt with any compressor or model.

    With --json: written (paths), and text where nothing was written.
    """
    from mdl.cli import generate as generate_cli
    from mdl.cli.path_resolution import find_model
    from mdl.generation import Sampling

    n_bytes = renamed(former_bytes, n_bytes, "--bytes", "--length")
    context_bytes = renamed(former_context, context_bytes, "--context", "--context-bytes")
    how = Sampling(temperature, top_p, seed)
    names = [",".join(find_model(word, runs).word for word in several.split(",")) for several in coder]
    wanted = generate_cli.Wanted(
        names,
        prompt,
        chunks=chunk or [0],
        n_bytes=n_bytes,
        prompt_bytes=prompt_bytes,
        context_bytes=context_bytes,
        device=device,
    )
    made, text = generate_cli.run(wanted, how, out, figure)
    if figure:
        from analysis.plots import draw_continuations

        draw_continuations(made[-1], figure)
        made.append(figure)
    if as_json:
        print_json({"written": made, "text": text})
    else:
        typer.echo("\n".join([f"written: {path}" for path in made] if text is None else [text]))
