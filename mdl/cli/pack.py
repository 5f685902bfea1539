"""What `mdl pack` and `mdl unpack` do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdl.cli import archive
from mdl.cli.archive import Told
from mdl.cli.options import RUNS, note
from mdl.cli.path_resolution import find_model
from mdl.cli.progress_bar import byte_bar
from mdl.errors import MdlError, nearest
from mdl.evaluation import ORDERS
from mdl.storage import require_writable

if TYPE_CHECKING:
    from mdl.cli.coder_comparison import Beside
    from mdl.compressors import Content, Packed, Progress


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a run is packed; None: as it was recorded."""

    snapshot: str = "final"
    tune_steps: int | None = None
    stride_bytes: int | None = None  # 0: windows side by side
    contexts: bool | None = None
    order: str = "shuffled"  # of the corpus: as the run drew its subset, or "contiguous", from its beginning
    file: Path | None = None  # instead of the run's own bytes


def pack(folder: Path, out: Path | None, asked: Asked, device: str, runs: Path = RUNS) -> Told:
    """Write a run's bytes, or a file, with its coded weights as one archive; what to tell. Of a sweep: its best run."""
    from mdl.cli.coder_comparison import Known, coders_beside
    from mdl.compressors import check_stride, choose_once, coders_for, open_run, packing, write_pack
    from mdl.device import choose_device

    file = _file(asked)
    chosen = find_model(str(folder), runs)
    if chosen.reason:
        note(f"packing {chosen.reason}")
    folder = Path(chosen.word)
    target = out or Path(f"{folder.resolve().name}{archive.SUFFIX}")
    if target.exists() and (out is None or not target.is_file()):
        raise MdlError(f"{target} is there already; remove it, or name the output with -o")
    require_writable(target)
    where = choose_device(device)
    archive.use_free_cores()
    run = open_run(folder, asked.snapshot, with_corpus=file is None)
    content = file or (run.beginning if asked.order == "contiguous" else None)
    stride = run.recorded_stride if asked.stride_bytes is None else asked.stride_bytes or None
    check_stride(stride, run.shape)
    contexts = run.recorded_contexts if asked.contexts is None else asked.contexts
    how: dict[str, Any] = {"content": content, "stride_bytes": stride, "contexts": contexts}
    with _progress() as tell:
        with packing(run, target, tune_steps=asked.tune_steps, say=note, **how) as part:
            coded = choose_once(part, run, asked.tune_steps, content)
            packed = write_pack(run, coded, part, where, tell, **how)
        tell("the classical coders beside", 0, packed.raw_bytes)
        known = None if file else Known(run.corpus, asked.order, folder.parent)
        beside = coders_beside((content or run.subset).read(), coders_for(run.record.corpus.modality), known)
    n_params = run.record.model.n_params
    return Told(lines(packed, n_params, target, beside), _content(packed, n_params, target, beside))


def _file(asked: Asked) -> Content | None:
    """The file that was named instead of the run's own bytes; MdlError where what is asked for goes not together."""
    from mdl.compressors import file_content

    if asked.order not in ORDERS:
        raise MdlError(f"unknown order '{asked.order}'{nearest(asked.order, ORDERS)} (there are {', '.join(ORDERS)})")
    if asked.file is not None and asked.order != ORDERS[0]:
        raise MdlError(f"--order {asked.order} is of the run's own corpus, and --file names another; leave one out")
    return None if asked.file is None else file_content(asked.file)


def _content(packed: Packed, n_params: int, target: Path, beside: list[Beside]) -> dict[str, Any]:
    return {
        "archive": str(target),
        "raw_bytes": packed.raw_bytes,
        "archive_bytes": packed.archive_bits // 8,
        "model_bits": packed.model_bits,
        "data_bits": packed.data_bits,
        "precision_bits": packed.bits,
        "coder": packed.coder,
        "rate": packed.rate,
        "n_params": n_params,
        "stride_bytes": packed.stride_bytes,
        "bucket_bits": packed.bucket_bits,
        "beside": {each.coder: each.n_bytes for each in beside},
    }


def lines(packed: Packed, n_params: int, target: Path, beside: list[Beside]) -> list[str]:
    """The story in six numbers, then every classical coder on the same bytes."""
    from mdl.cli.coder_comparison import beside_lines, programs_line

    rest = packed.archive_bits - packed.model_bits - packed.data_bits
    each, overlap = packed.model_bits / n_params, packed.stride_bytes is not None
    rows = [
        ("raw", f"{packed.raw_bytes:,} bytes"),
        ("model", f"{packed.model_bits:,} bits, {each:.2f} for each of {n_params:,} parameters"),
        ("data", f"{packed.data_bits:,} bits, {packed.data_bits / packed.raw_bytes:.4f} a byte"),
        *([("windows", f"one every {packed.stride_bytes:,} bytes, what stands before as context")] if overlap else []),
        *([("contexts", f"mixed with the model, {packed.bucket_bits} bits of memory")] if packed.bucket_bits else []),
        ("precision", f"{packed.bits} bits, coder {packed.coder}"),
        ("total", f"{packed.archive_bits // 8:,} bytes ({rest // 8:,} of them header, table and hashes)"),
        ("rate", f"{packed.rate:.4f} = {target}'s size / raw size; decoded again and compared: identical"),
        *(("beside", line) for line in beside_lines(beside, packed.archive_bits // 8, packed.raw_bytes)),
        ("programs", programs_line(beside)),
    ]
    return [f"{name:10}{value}" for name, value in rows]


def unpack(file: Path, out: Path | None, device: str) -> Told:
    """Write a packed archive's content; returns what to tell. Nothing but the file is needed."""
    with file.open("rb") as source:
        header = archive.open_archive(archive.seekable(source, file), file).header
    if not header.embedded_bytes:
        raise MdlError(f"{file} does not hold the model that decodes it; use mdl decompress with --model")
    return archive.decompress(file, out, None, Path("runs"), device)


@contextmanager
def _progress() -> Iterator[Progress]:
    with byte_bar("choosing the precision", None) as (bar, task):
        yield lambda phase, done, total: bar.update(task, description=phase, completed=done, total=total)
