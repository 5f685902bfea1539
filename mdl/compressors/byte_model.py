"""A trained byte model as a compressor: archives that any machine decodes exactly (see `entropy.logit_rounding`)."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from mdl import __version__
from mdl.archives import (
    Archive,
    ArchiveWriter,
    Block,
    Header,
    Part,
    block_codec,
    mixed_codec,
    stretch_bytes,
    windows_per_block,
)
from mdl.device import choose_device
from mdl.errors import MdlError
from mdl.mixing import ContextMixer
from mdl.models import (
    Shape,
    StackedModel,
    count_params,
    load_weights,
    plugin_of,
    require_exact,
    require_plugin,
    stack,
)
from mdl.quantization import decode_weights as decode_weights
from mdl.units import format_seconds

Progress = Callable[[int], None]  # called with the number of bytes just coded
Place = Callable[[StackedModel, block_codec.Bytes, block_codec.Lanes], block_codec.Placed]

MOST_DECODING_FLOPS = 3e13
_FLOPS_A_SECOND = 2e9  # in float64 on a core, of small models
_MOST_WINDOWS = 8192  # in lockstep on an accelerator; more is no faster


@dataclass(frozen=True, kw_only=True)
class ExactModel:
    """One float64 model ready to code, and the hash of the weights file (or coded model) that it is."""

    model: StackedModel
    sha256: str
    weights: Path
    coded: bytes = b""  # the coded model that it was decoded from; archives then embed that

    @property
    def shape(self) -> Shape:
        """The hyper-parameters of the model."""
        return self.model.shape


def load_model(path: Path, device: torch.device | None = None) -> ExactModel:
    """The model of a weights file; MdlError for a file that is not one."""
    try:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise MdlError(f"no weights at {path}") from None
    shape, weights = load_weights(path)
    return ExactModel(model=stack(shape, [weights]).double().to(device or choose_device()), sha256=sha256, weights=path)


def load_coded(shape: Shape, content: bytes, device: torch.device | None = None) -> ExactModel:
    """The model that a coded model (`mdl.quantization.weight_codec`) decodes to; MdlError where it is damaged."""
    decoded = {name: torch.from_numpy(weight) for name, weight in decode_weights(shape, content).items()}
    model = stack(shape, [decoded]).double().to(device or choose_device())
    return ExactModel(
        model=model, sha256=hashlib.sha256(content).hexdigest(), weights=Path("coded weights"), coded=content
    )


def load_embedded(archive: Archive, device: torch.device | None = None) -> ExactModel:
    """The model that an archive holds."""
    content = archive.weights()
    require_plugin(archive.header.shape, archive.header.plugin_sha256, "the archive")
    if archive.header.coded:
        return load_coded(archive.header.shape, content, device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "embedded.safetensors"
        path.write_bytes(content)
        _check_embedded_shape(path, archive.header.shape)
        return load_model(path, device)


def _check_embedded_shape(path: Path, expected: Shape) -> None:
    """Before anything as large as a forged shape is made in memory."""
    try:
        with safe_open(path, framework="pt") as stored:
            shape = Shape.from_told(json.loads((stored.metadata() or {})["mdl"])["shape"])
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, MdlError):
        raise MdlError("the archive is forged: what it embeds are not weights that mdl wrote") from None
    if shape != expected or count_params(shape)["total"] > path.stat().st_size:
        raise MdlError("the archive is forged: the weights in it are not of the shape that its header names")


def check_stride(stride_bytes: int | None, shape: Shape) -> None:
    """MdlError for windows that cannot overlap so."""
    if stride_bytes is not None and not 1 <= stride_bytes < shape.context_tokens:
        raise MdlError(
            f"a stride of {stride_bytes:,} bytes must be at least 1 and less than the model's context, "
            f"{shape.context_tokens:,} bytes; leave it out for windows side by side"
        )


def compress_stream(
    source: BinaryIO,
    target: BinaryIO,
    exact: ExactModel,
    *,
    embed: bool = False,
    stride_bytes: int | None = None,
    bucket_bits: int | None = None,
    progress: Progress | None = None,
    part: Part | None = None,
) -> ArchiveWriter:
    """Code all of `source` into an archive at `target`, a block at a time; returns the finished writer.

    In windows that begin every `stride_bytes`; None: side by side. With `bucket_bits` the model is mixed with contexts
    in a memory of that size (`mdl.mixing`); None: it is not. Blocks that `part` has are taken from it, and new ones go
    to it. MdlError for a stride that the model cannot have.
    """
    check_stride(stride_bytes, exact.shape)
    weights = exact.coded or (exact.weights.read_bytes() if embed else b"")
    mixed = bucket_bits is not None
    stretch = stretch_bytes(exact.shape, mixed=mixed) if stride_bytes or mixed else 0
    header = Header(
        model_sha256=exact.sha256,
        shape=exact.shape,
        windows_per_block=windows_per_block(exact.shape, stretch, mixed=mixed),
        embedded_bytes=len(weights),
        writer=f"mdl {__version__}",
        coded=bool(exact.coded),
        stride_bytes=stride_bytes or (exact.shape.context_tokens if mixed else 0),
        stretch_bytes=stretch,
        bucket_bits=bucket_bits or 0,
        plugin_sha256=plugin_of(exact.shape),
    )
    writer = ArchiveWriter(target, header, weights)
    _require_affordable(_bytes_left(source), exact.shape)
    contents = _affordable(iter(lambda: _read_fully(source, header.block_bytes), b""), exact.shape)
    mixer = ContextMixer(header.bucket_bits) if mixed else None
    known = part.blocks(header, mixer) if part else iter(())
    for block, content in zip(known, contents, strict=False):
        if zlib.crc32(content) != block.crc32:
            raise MdlError("what was coded before is not of these bytes; it is removed, try again")
        _add(writer, block, content, progress)
    for block, content in _encoded(exact.model, contents, header, mixer):
        _add(writer, block, content, progress)
        if part:
            part.add(block, mixer)
    writer.finish()
    return writer


def _add(writer: ArchiveWriter, block: Block, content: bytes, progress: Progress | None) -> None:
    writer.add(block, content)
    if progress:
        progress(len(content))


def _lanes(header: Header) -> block_codec.Lanes:
    return block_codec.Lanes(header.cut, header.lane_bytes)


def _bytes_left(source: BinaryIO) -> int:
    """Of a file; 0 of a stream, whose end is not known."""
    if not source.seekable():
        return 0
    place = source.tell()
    end = source.seek(0, io.SEEK_END)
    source.seek(place)
    return end - place


def _affordable(contents: Iterator[bytes], shape: Shape) -> Iterator[bytes]:
    """The same; MdlError once they are too long to be decoded, as a stream may turn out to be."""
    n_bytes = 0
    for content in contents:
        n_bytes += len(content)
        _require_affordable(n_bytes, shape)
        yield content


def _require_affordable(n_bytes: int, shape: Shape) -> None:
    """MdlError where decoding so much would take longer than anyone means to wait."""
    cost = require_exact(shape, "archives").decoding_flops_per_byte
    if cost and cost(shape) * n_bytes > MOST_DECODING_FLOPS:
        raise MdlError(
            f"'{shape.architecture}' has no step of its own, so that decoding computes each window anew for every "
            f"byte: this file would take more than {MOST_DECODING_FLOPS:.0e} floating point operations, some "
            f"{format_seconds(MOST_DECODING_FLOPS / _FLOPS_A_SECOND)} on a core; give a shorter file"
        )


def _encoded(
    model: StackedModel, contents: Iterable[bytes], header: Header, mixer: ContextMixer | None
) -> Iterator[tuple[Block, bytes]]:
    """Blocks with their content; the host codes one while the model works on the next."""
    pending: tuple[Future[Block], bytes] | None = None
    lanes = _lanes(header)
    place, write = _mixed(mixer) if mixer else (block_codec.place_block, _write_or_store)
    with ThreadPoolExecutor(1) as host:
        for content in contents:
            data = np.frombuffer(content, np.uint8)
            if pending is None:
                block_codec.probe(model, data, lanes)
            placed = place(model, data, lanes)
            if pending:
                yield pending[0].result(), pending[1]
            pending = host.submit(write, placed), content
        if pending:
            yield pending[0].result(), pending[1]


def _write_or_store(placed: block_codec.Placed) -> Block:
    return block_codec.write_block(placed).or_stored(placed.data.tobytes())


def _mixed(mixer: ContextMixer) -> tuple[Place, Callable[[block_codec.Placed], Block]]:
    return mixed_codec.place_mixed, lambda placed: mixed_codec.write_mixed(placed, mixer)


def _read_fully(source: BinaryIO, n_bytes: int) -> bytes:
    """`n_bytes`, or what is left: a pipe gives less than it is asked for."""
    parts: list[bytes] = []
    while n_bytes and (part := source.read(n_bytes)):
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


def decompress_stream(
    archive: Archive,
    target: BinaryIO,
    exact: ExactModel,
    *,
    progress: Progress | None = None,
    part: Part | None = None,
) -> None:
    """Write an archive's content to `target`; MdlError where the model is another one or a checksum is wrong.

    Of a `part` the target is what is whole of it: what is there already is not decoded again.
    """
    header = archive.header
    require_plugin(header.shape, header.plugin_sha256, "the archive")
    if exact.sha256 != header.model_sha256 or exact.shape != header.shape:
        raise MdlError(
            f"the archive was made with the model {header.model_sha256}, this one ({exact.weights.name}) is "
            f"{exact.sha256}; give the right one with --model"
        )
    content = hashlib.sha256()
    at_a_time = _blocks_at_a_time(header, exact.model.device)
    blocks, lanes = archive.blocks(), _lanes(header)
    decoder: block_codec.BlockDecoder | mixed_codec.MixedDecoder = block_codec.BlockDecoder(exact.model, lanes)
    mixer = ContextMixer(header.bucket_bits) if header.bucket_bits else None
    if mixer:
        decoder, at_a_time = mixed_codec.MixedDecoder(exact.model, lanes, mixer), 1
    for block in islice(blocks, part.decoded(archive, mixer) if part else 0):
        content.update(target.read(block.n_bytes))
        if progress:
            progress(block.n_bytes)
    while batch := list(islice(blocks, at_a_time)):
        for decoded in decoder.decode(batch):
            content.update(decoded)
            target.write(decoded)
            if progress:
                progress(len(decoded))
        if part:
            part.decoded_more(len(batch), mixer)
    if content.digest() != archive.content_sha256:
        raise MdlError("the decoded content does not have the SHA-256 of the original: the archive is forged")


def _blocks_at_a_time(header: Header, device: torch.device) -> int:
    if device.type != "cuda":
        return 1
    held_bytes = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, unused
    free_bytes = torch.cuda.mem_get_info(device)[0] + held_bytes
    by_memory = free_bytes // 2 // header.cache_bytes
    return max(1, min(by_memory, _MOST_WINDOWS // header.windows_per_block))
