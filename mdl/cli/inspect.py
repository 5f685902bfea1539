"""`mdl inspect`: what an archive holds, what its parts take, what decodes it; runs are `mdl.cli.inspect_runs`'s."""

from __future__ import annotations

from pathlib import Path

from mdl.archives import Archive, Header
from mdl.cli.archive import Told, open_archive, rate, seekable, told
from mdl.compressors import find_by_hash
from mdl.errors import MdlError
from mdl.mixing import memory_bytes
from mdl.models import ARCHITECTURES, TRANSFORMER, count_params
from mdl.pretrained import is_pretrained, parse_archive
from mdl.units import counted, format_bytes


def inspect(file: Path, runs: Path) -> Told:
    """Of mdl's own models and of pretrained ones; MdlError for what is no archive."""
    with file.open("rb") as source:
        if is_pretrained(seekable(source, file)):
            return _of_pretrained(file)
        return _of_ours(open_archive(source, file), runs)


def _of_ours(archive: Archive, runs: Path) -> Told:
    header, shape = archive.header, archive.header.shape
    rest = archive.size_bytes - archive.stream_bytes - archive.guard_bytes - header.embedded_bytes
    is_known = shape.architecture in ARCHITECTURES  # else a plugin's, which is not loaded
    n_params, run = count_params(shape)["total"] if is_known else None, _run_of(header.model_sha256, runs)
    parameters = f"{n_params:,} parameters, " if is_known else ""
    found = (
        "in the archive" if header.embedded_bytes else "not in the archive: decompress looks in runs/ or takes --model"
    )
    size = f"{archive.size_bytes:,} bytes{rate(archive.size_bytes, archive.n_bytes)}"
    rows = [
        ("content", f"{archive.n_bytes:,} bytes, sha256 {archive.content_sha256.hex()}"),
        ("archive", f"{size}, written by {header.writer}"),
        ("  coded streams", f"{archive.stream_bytes:,} bytes in {counted(archive.n_blocks, 'block')}"),
        ("  guard lists", f"{archive.guard_bytes:,} bytes"),
        ("  weights", f"{header.embedded_bytes:,} bytes"),
        ("  header, table, hashes", f"{rest:,} bytes"),
        ("model", f"{shape.label}, context {shape.context_tokens:,} bytes, {parameters}{found}"),
        *([("windows", _windows(header))] if header.stride_bytes else []),
        *([("contexts", _contexts(header))] if header.bucket_bits else []),
        ("model sha256", header.model_sha256),
        *([("plugin sha256", _plugin(header))] if header.plugin_sha256 else []),
        ("model's run", run or f"not in {runs}/"),
        *([("decoding takes", _cache(header))] if shape.architecture == TRANSFORMER else []),
    ]
    content = {
        "kind": "archive",
        "n_bytes": archive.n_bytes,
        "content_sha256": archive.content_sha256.hex(),
        "archive_bytes": archive.size_bytes,
        "stream_bytes": archive.stream_bytes,
        "guard_bytes": archive.guard_bytes,
        "weights_bytes": header.embedded_bytes,
        "model": shape.label,
        "n_params": n_params,
        "model_sha256": header.model_sha256,
        "plugin_sha256": header.plugin_sha256,
        "run": run,
        "stride_bytes": header.cut.stride if header.cut.stride < header.cut.context else None,
        "bucket_bits": header.bucket_bits or None,
    }
    return told(rows, content)


def _cache(header: Header) -> str:
    return f"{format_bytes(header.cache_bytes)} for the keys and values of a block"


def _plugin(header: Header) -> str:
    return f"{header.plugin_sha256}, which registers the architecture '{header.shape.architecture}'"


def _contexts(header: Header) -> str:
    return f"mixed with the model; decoding takes {format_bytes(memory_bytes(header.bucket_bits))} for them"


def _windows(header: Header) -> str:
    if header.stride_bytes == header.shape.context_tokens:
        return f"side by side, in stretches of {header.stretch_bytes:,} bytes"
    return (
        f"one every {header.stride_bytes:,} bytes, in stretches of {header.stretch_bytes:,}; what stands before in a "
        "window is context"
    )


def _run_of(sha256: str, runs: Path) -> str | None:
    """The run under `runs` whose weights these are."""
    try:
        return str(find_by_hash(sha256, runs).parent)
    except MdlError:
        return None


def _of_pretrained(file: Path) -> Told:
    archive = parse_archive(file.read_bytes())
    size_bytes = file.stat().st_size
    parts = (archive.stream_bytes, archive.guard_bytes, len(archive.escape))
    rows = [
        ("content", f"{archive.n_bytes:,} bytes, sha256 {archive.content_sha256.hex()}"),
        ("archive", f"{size_bytes:,} bytes{rate(size_bytes, archive.n_bytes)}"),
        ("  coded streams", f"{parts[0]:,} bytes in {len(archive.blocks):,} blocks, {archive.n_tokens:,} tokens"),
        ("  guard lists", f"{parts[1]:,} bytes"),
        ("  escape", f"{parts[2]:,} bytes"),
        ("  header, table, hashes", f"{size_bytes - sum(parts):,} bytes"),
        ("model", f"{archive.about}, float64, context {archive.context_tokens:,} tokens of {archive.n_vocabulary:,}"),
        ("model sha256", f"{archive.model_sha256}, with configuration and tokenizer {archive.fingerprint}"),
        ("exact decoding", f"logits in steps of 2^-{archive.step_bits}, listed within 2^-{archive.epsilon_bits}"),
    ]
    content = {
        "kind": "archive",
        "n_bytes": archive.n_bytes,
        "content_sha256": archive.content_sha256.hex(),
        "archive_bytes": size_bytes,
        "stream_bytes": parts[0],
        "guard_bytes": parts[1],
        "weights_bytes": 0,
        "model": archive.about,
        "n_params": None,
        "model_sha256": archive.model_sha256,
        "plugin_sha256": None,
        "run": None,
        "stride_bytes": None,
        "bucket_bits": None,
    }
    return told(rows, content)
