"""Commands that write and read archives: compress, decompress, inspect, pack, unpack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdl.cli.options import (
    RUNS,
    AsJson,
    Contexts,
    ContextsOfPack,
    Device,
    Runs,
    StrideBytes,
    StrideBytesOfPack,
    in_bytes,
    print_json,
)

if TYPE_CHECKING:
    from mdl.cli.archive import Told

Output = Annotated[Path | None, typer.Option("-o", "--out", help="Default: the name without .mdl.")]


def compress(
    file: Annotated[Path, typer.Argument(help="Any file.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Default: the name with .mdl added.")] = None,
    model: Annotated[
        str,
        typer.Option(
            help="A run's folder, a .safetensors file, hf:MODEL or a model's folder; of a sweep file or a run folder "
            "the best for this size; auto: of the newest."
        ),
    ] = "auto",
    embed_model: Annotated[bool, typer.Option("--embed-model", help="Put the weights into the archive.")] = False,
    stride_bytes: StrideBytes = None,
    contexts: Contexts = None,
    runs: Runs = RUNS,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Code a file with a trained model, losslessly.

    Any machine with the same weights decodes it, byte for byte. With --json: archive, n_bytes, archive_bytes,
    bits_per_byte, model, model_sha256, seconds, gzip_bytes, xz_bytes.
    """
    from mdl.cli import archive

    how = archive.How(embed=embed_model, stride_bytes=in_bytes(stride_bytes), contexts=bool(contexts))
    told = archive.compress(file, out, model, how, runs=runs, device=device)
    _print(told, as_json=as_json)


def decompress(
    file: Annotated[Path, typer.Argument(help="An archive made by mdl compress.")],
    out: Output = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A run's folder, a .safetensors file, hf:MODEL or a model's folder; default: in the archive, else by "
            "hash in --runs."
        ),
    ] = None,
    runs: Runs = RUNS,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Decode an archive, and check that every byte is the original's.

    With --json: file, n_bytes, seconds.
    """
    from mdl.cli import archive

    _print(archive.decompress(file, out, model, runs, device), as_json=as_json)


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="PLACE", help="An archive of mdl compress or pack, a run's folder, a run folder or a sweep file."
        ),
    ],
    runs: Runs = RUNS,
    as_json: AsJson = False,
) -> None:
    """Tell what an archive holds, its parts and what decodes it.

    And what a run, or all runs of a sweep, recorded. With --json: kind, and of an archive n_bytes, content_sha256,
    archive_bytes, stream_bytes, guard_bytes, weights_bytes, model, n_params, model_sha256, plugin_sha256 (null: none),
    run (null: not here), stride_bytes (null: windows side by side), bucket_bits (null: no contexts); of a run run_id,
    sweep, status, reason, model, n_params, source, corpus_sha256, subset_bytes, seed, snapshots (name, step,
    train_bits, heldout_bits, weights, weights_sha256, and with a second code length stride_bytes,
    bucket_bits (null: no contexts), overlapping_train_bits, overlapping_heldout_bits);
    of a sweep name, n_cells, n_done, n_failed, n_left, sources, subset_bytes, models.
    """
    from mdl.cli import inspect as inspect_cli
    from mdl.cli import inspect_runs
    from mdl.cli.path_resolution import run_folder

    place = run_folder(file, runs)
    _print(inspect_runs.inspect(place) if place.is_dir() else inspect_cli.inspect(place, runs), as_json=as_json)


def pack(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="PLACE", help="A run's folder, runs/<sweep>/<run id>; of a sweep file or a run folder the best."
        ),
    ],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Default: <run id>.mdl.")] = None,
    snapshot: Annotated[str, typer.Option(help="Which weights: final, or best.")] = "final",
    tune_steps: Annotated[
        int | None, typer.Option(min=0, help="Steps that make up for rounding. Default: as recorded, else 0.")
    ] = None,
    stride_bytes: StrideBytesOfPack = None,
    contexts: ContextsOfPack = None,
    order: Annotated[
        str,
        typer.Option(help="Of the run's corpus: shuffled, as the subset was drawn, or contiguous, from its beginning."),
    ] = "shuffled",
    file: Annotated[
        Path | None, typer.Option(help="Pack this file, as its bytes lie, instead of what the run was trained on.")
    ] = None,
    runs: Runs = RUNS,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write a run's subset and its coded weights as one file.

    Its size over the raw size is the two-part rate. With --json: archive, raw_bytes, archive_bytes, model_bits,
    data_bits, precision_bits, coder, rate, n_params, stride_bytes (null: side by side), bucket_bits (null: no
    contexts), beside (coder to bytes).
    """
    from mdl.cli import pack as pack_cli

    asked = pack_cli.Asked(
        snapshot=snapshot,
        tune_steps=tune_steps,
        stride_bytes=in_bytes(stride_bytes),
        contexts=contexts,
        order=order,
        file=file,
    )
    _print(pack_cli.pack(folder, out, asked, device, runs), as_json=as_json)


def unpack(
    file: Annotated[Path, typer.Argument(help="A file made by mdl pack.")],
    out: Output = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Decode a packed subset; nothing but the file is needed.

    With --json: file, n_bytes, seconds.
    """
    from mdl.cli import pack as pack_cli

    _print(pack_cli.unpack(file, out, device), as_json=as_json)


def _print(told: Told, *, as_json: bool) -> None:
    if as_json:
        print_json(told.content)
    else:
        typer.echo("\n".join(told.lines))
