"""What `mdl compress`, `mdl decompress` and `mdl inspect` do."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mdl.archives import Archive, resumable
from mdl.cli.archive_output import free_name, replacing_plain, require_output, resuming
from mdl.cli.options import note
from mdl.cli.path_resolution import AUTO, find_model, is_run_folder, is_sweep_file, run_folder
from mdl.cli.progress_bar import byte_bar
from mdl.compressors import choose_model, find_by_hash
from mdl.errors import MdlError
from mdl.mixing import bucket_bits
from mdl.pretrained import PREFIX, is_pretrained, parse_archive
from mdl.records import shown
from mdl.storage import file_state
from mdl.units import format_bytes

SUFFIX = ".mdl"
_COMPARED_BYTES = 100_000_000  # of a larger file classical coders would take more memory and time than is worth a line


@dataclass(frozen=True)
class Told:
    """What a command did, for people and for scripts."""

    lines: list[str]
    content: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class How:
    """What an archive is made of."""

    embed: bool = False  # the weights too
    stride_bytes: int | None = None  # windows begin every so many bytes; None: side by side
    contexts: bool = False  # the model is mixed with them


def compress(file: Path, out: Path | None, model: str, how: How, *, runs: Path, device: str) -> Told:
    """Write `file`'s archive; returns what to tell."""
    from mdl.compressors import compress_stream, load_model
    from mdl.device import choose_device

    _require_file(file)
    use_free_cores()
    target = out or free_name(file.with_name(file.name + SUFFIX))
    with file.open("rb") as source:
        before = file_state(source)
        size_bytes = before.size
        found = find_model(model, runs, size_bytes)
        if found.word.startswith(PREFIX):
            for option, given in (("--stride-bytes", how.stride_bytes is not None), ("--contexts", how.contexts)):
                if given:
                    raise MdlError(f"{option} is for models of mdl's own; leave it out for a pretrained model")
            return _compress_pretrained(file, target, found.word, device, embed=how.embed)
        choice = choose_model(found.word)
        exact = load_model(choice.weights, choose_device(device))
        started = time.monotonic()
        bits = bucket_bits(size_bytes) if how.contexts else None
        key = {"model_sha256": exact.sha256, "embed": how.embed, "stride_bytes": how.stride_bytes, "bucket_bits": bits}
        with resuming(target, file, source, key) as (stream, part), _progress("compress", size_bytes) as tell:
            written = compress_stream(
                source,
                stream,
                exact,
                embed=how.embed,
                stride_bytes=how.stride_bytes,
                bucket_bits=bits,
                progress=tell,
                part=part,
            )
            if file.is_file() and file_state(source) != before:
                raise MdlError(f"{file} was written to while it was being compressed; nothing is written, try again")
    overlap = f", a window every {how.stride_bytes:,} bytes" if how.stride_bytes else ""
    mixed = ", mixed with contexts" if how.contexts else ""
    about = f"{found.reason or choice.reason}; {exact.shape.label}{overlap}{mixed}, sha256 {exact.sha256[:12]}…"
    return _compressed(
        file,
        target,
        archive_bytes=written.archive_bytes,
        model=about,
        model_sha256=exact.sha256,
        started=started,
        known_bytes=part.known_bytes if part else 0,
    )


def _compressed(
    file: Path,
    target: Path,
    *,
    archive_bytes: int,
    model: str,
    model_sha256: str,
    started: float,
    known_bytes: int = 0,
) -> Told:
    """What came of it, beside what needs no model; `known_bytes` were done before it started."""
    n_bytes, seconds = file.stat().st_size, time.monotonic() - started
    beside = _beside(file, n_bytes)
    shorter = {name: size for name, size in beside.items() if size < archive_bytes}
    for name, size in shorter.items():
        note(f"{name} makes {size:,} bytes of it without a model; this archive has {archive_bytes:,}")
    if not beside:
        note(f"not compared with {' and '.join(_COMPARED)}: more than {format_bytes(_COMPARED_BYTES)}")
    lines = [
        f"model: {model}",
        f"{target}: {n_bytes:,} to {archive_bytes:,} bytes{rate(archive_bytes, n_bytes)}"
        f"{_speed(n_bytes - known_bytes, started)}",
    ]
    content = {
        "archive": str(target),
        "n_bytes": n_bytes,
        "archive_bytes": archive_bytes,
        "bits_per_byte": 8 * archive_bytes / n_bytes if n_bytes else None,
        "model": model,
        "model_sha256": model_sha256,
        "seconds": round(seconds, 3),
        **{f"{name}_bytes": beside.get(name) for name in _COMPARED},
    }
    return Told(lines, content)


_COMPARED = ("gzip", "xz")


def _beside(file: Path, n_bytes: int) -> dict[str, int]:
    """What classical coders make of the file, where it is small enough to ask them."""
    if n_bytes > _COMPARED_BYTES:
        return {}
    from mdl.cli.coder_comparison import coders_beside

    return {beside.coder: beside.n_bytes for beside in coders_beside(file.read_bytes(), _COMPARED)}


def decompress(file: Path, out: Path | None, model: str | None, runs: Path, device: str) -> Told:
    """Write an archive's content; returns what to tell."""
    from mdl.compressors import decompress_stream, load_embedded, load_model
    from mdl.device import choose_device

    use_free_cores()
    model, runs = _decoding(model, runs)
    _require_file(file)
    if out is None:
        if file.suffix != SUFFIX:
            raise MdlError(f"{file} does not end in {SUFFIX}; name the output with -o")
        out = free_name(file.with_suffix(""))
    with file.open("rb") as source:
        if is_pretrained(seekable(source, file)):
            return _decompress_pretrained(file, out, model, device)
        archive = open_archive(source, file)
        where = choose_device(device)
        if model is not None:
            exact = load_model(choose_model(model).weights, where)
        elif archive.header.embedded_bytes:
            exact = load_embedded(archive, where)
        else:
            exact = load_model(find_by_hash(archive.header.model_sha256, runs), where)
        started = time.monotonic()
        key, n_bytes = {"archive": archive.sha256}, archive.n_bytes
        require_output(out, file)
        with (
            resumable(out, key, n_bytes=n_bytes, what="unpacking", say=note) as part,
            _progress("decompress", n_bytes) as tell,
        ):
            decompress_stream(archive, part.whole, exact, progress=tell, part=part)
    return _decompressed(out, n_bytes, started, part.known_bytes)


def _decoding(model: str | None, runs: Path) -> tuple[str | None, Path]:
    """The model that is named (None: the archive knows it), and the folder of all sweeps where it is looked for."""
    if model is None or model == AUTO:
        return None, runs
    if is_sweep_file(Path(model)) or is_run_folder(Path(model)):
        return None, run_folder(Path(model), runs).resolve().parent
    return find_model(model, runs).word, runs


def open_archive(source: BinaryIO, file: Path) -> Archive:
    """The archive in a file; MdlError that names the file."""
    try:
        return Archive(source)
    except MdlError as error:
        raise MdlError(f"{file}: {error}") from None


def _decompressed(out: Path, n_bytes: int, started: float, known_bytes: int = 0) -> Told:
    content = {"file": str(out), "n_bytes": n_bytes, "seconds": round(time.monotonic() - started, 3)}
    return Told([f"{out}: {n_bytes:,} bytes, checksums right{_speed(n_bytes - known_bytes, started)}"], content)


def told(rows: list[tuple[str, str]], content: dict[str, Any]) -> Told:
    """Names and values, a line each, and the same for scripts."""
    return Told([f"{name:24}{shown(value)}" for name, value in rows], content)


def _compress_pretrained(file: Path, target: Path, model: str, device: str, *, embed: bool) -> Told:
    from mdl.pretrained import open_pretrained

    if embed:
        raise MdlError("--embed-model is for models of mdl's own; a pretrained model stays where it is")
    coder, data, started = open_pretrained(model, device), file.read_bytes(), time.monotonic()
    with _progress("compress", len(data)) as tell:
        archive = coder.compress(data, tell)
    with replacing_plain(target, file) as stream:
        stream.write(archive)
    about = f"{coder.name} in float64 ({coder.settings}, {coder.version})"
    return _compressed(
        file,
        target,
        archive_bytes=len(archive),
        model=about,
        model_sha256=parse_archive(archive).model_sha256,
        started=started,
    )


def _decompress_pretrained(file: Path, out: Path, model: str | None, device: str) -> Told:
    from mdl.pretrained import open_pretrained

    archive = parse_archive(file.read_bytes())
    if model is None or not model.startswith(PREFIX):
        raise MdlError(
            f"the archive was made with the pretrained model {archive.model_sha256} ({archive.about}); give it with "
            f"--model {PREFIX}FOLDER"
        )
    coder, started = open_pretrained(model, device), time.monotonic()
    with replacing_plain(out, file) as stream, _progress("decompress", archive.n_bytes) as tell:
        stream.write(coder.read(archive, tell))
    return _decompressed(out, archive.n_bytes, started)


def use_free_cores() -> None:
    """A thread that waits for a busy core holds up all others: two threads on one free core take ten times as long."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ and hasattr(os, "getloadavg"):
        torch.set_num_threads(max(1, torch.get_num_threads() - round(os.getloadavg()[0])))


def rate(archive_bytes: int, n_bytes: int) -> str:
    """For people; nothing of an empty file."""
    return f", {8 * archive_bytes / n_bytes:.4f} bits per byte" if n_bytes else ""


def _speed(n_bytes: int, started: float) -> str:
    seconds = time.monotonic() - started
    return f" ({seconds:.1f} s, {format_bytes(n_bytes / max(seconds, 1e-9))}/s)"


def _require_file(file: Path) -> None:
    """OSError, MdlError: before a name is made up of that of a file that is not there."""
    if not file.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))
    if file.is_dir():
        raise MdlError(f"{file} is a folder; name one file")


def seekable(source: BinaryIO, file: Path) -> BinaryIO:
    """`source`; MdlError where it is a pipe."""
    if not source.seekable():
        raise MdlError(f"{file} is not a plain file; an archive's end is read before its beginning: save it first")
    return source


@contextmanager
def _progress(what: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
    with byte_bar(what, size_bytes) as (bar, task):
        yield lambda n_bytes: bar.advance(task, n_bytes)
