"""A recorded run's weights, coded, and bytes coded with them, written as one self-contained file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch

from mdl import __version__
from mdl.archives import Archive, Part, resumable, silent
from mdl.compressors.byte_model import compress_stream, decompress_stream, load_coded, load_embedded
from mdl.compressors.self_contained import Content, Run, choose_coded
from mdl.errors import MdlError
from mdl.mixing import bucket_bits
from mdl.quantization import CodedModel
from mdl.storage import CHUNK_BYTES

Progress = Callable[[str, int, int], None]  # phase, bytes done, bytes in all


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What became of a subset."""

    raw_bytes: int
    model_bits: int
    data_bits: int  # streams and guard lists
    archive_bits: int  # all of the file
    bits: int  # precision of the weights
    coder: str  # of the weights
    stride_bytes: int | None = None  # windows begin every so many bytes; None: side by side
    bucket_bits: int | None = None  # memory of the contexts that the model is mixed with; None: it is not

    @property
    def rate(self) -> float:
        """File size over raw size."""
        return self.archive_bits / 8 / self.raw_bytes


def packing(
    run: Run,
    target: Path,
    *,
    content: Content | None = None,
    tune_steps: int | None = None,
    stride_bytes: int | None = None,
    contexts: bool = False,
    say: Callable[[str], None] = silent,
) -> AbstractContextManager[Part]:
    """The part of an archive that `choose_once` and `write_pack` are to be given with the same words."""
    packed = content or run.subset
    key = {
        "what": f"mdl pack, {__version__}",
        "sha256": packed.sha256(),
        "weights_sha256": run.snapshot.weights_sha256,
        "recorded": [[each.bits, each.coder, each.total_bits, each.coded_sha256] for each in run.snapshot.coded],
        "is_subset": content is None,
        "tune_steps": run.recorded_steps if tune_steps is None else tune_steps,
        "stride_bytes": stride_bytes,
        "contexts": contexts,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    return resumable(target, key, n_bytes=packed.n_bytes, what="packing", say=say)


def choose_once(part: Part, run: Run, tune_steps: int | None = None, content: Content | None = None) -> CodedModel:
    """See `choose_coded`; what was chosen before an interruption stays chosen."""

    def make() -> bytes:
        coded = choose_coded(run, tune_steps, content)
        return json.dumps([coded.bits, coded.coder]).encode() + b"\n" + coded.content

    about, _, weights = part.once(make).partition(b"\n")
    bits, coder = json.loads(about)
    return CodedModel(bits, coder, weights)


def write_pack(
    run: Run,
    coded: CodedModel,
    part: Part,
    device: torch.device,
    progress: Progress,
    *,
    content: Content | None = None,
    stride_bytes: int | None = None,
    contexts: bool = False,
) -> Packed:
    """Write the archive of the content (None: the run's subset) into its part, and decode it again.

    With `contexts` the model is mixed with them (`mdl.mixing`).
    """
    data = (content or run.subset).read()
    if "corpus" in vars(run):  # it was opened
        run.corpus.check_unchanged()
    exact = load_coded(run.shape, coded.content, device)
    tell = _tell(progress, "pack", len(data))
    bits = bucket_bits(len(data)) if contexts else None
    written = compress_stream(
        io.BytesIO(data), part.anew(), exact, stride_bytes=stride_bytes, bucket_bits=bits, progress=tell, part=part
    )
    data_bytes = _check(part, data, device, _tell(progress, "check", len(data)))
    return Packed(
        raw_bytes=len(data),
        model_bits=8 * len(coded.content),
        data_bits=8 * data_bytes,
        archive_bits=8 * written.archive_bytes,
        bits=coded.bits,
        coder=coded.coder,
        stride_bytes=stride_bytes,
        bucket_bits=bits,
    )


def _check(part: Part, data: bytes, device: torch.device, tell: Callable[[int], None]) -> int:
    """Decode it as `mdl unpack` will; returns the bytes of streams and guard lists. MdlError where it is not `data`."""
    part.whole.flush()
    with part.file.open("rb") as back:
        archive = Archive(back)
        key, decoded = {"archive": archive.sha256}, part.folder / "decoded"
        with resumable(decoded, key, n_bytes=len(data), what="checking it", say=part.say) as check:
            decompress_stream(archive, check.whole, load_embedded(archive, device), progress=tell, part=check)
            same = _holds(check.whole, data)
    if not same:
        raise MdlError("the archive does not decode to what was packed, nothing was written; please report this")
    return archive.stream_bytes + archive.guard_bytes


def _holds(stream: BinaryIO, data: bytes) -> bool:
    stream.seek(0)
    pieces = (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))
    return all(stream.read(len(piece)) == piece for piece in pieces) and not stream.read(1)


def _tell(progress: Progress, phase: str, n_bytes: int) -> Callable[[int], None]:
    done = 0

    def tell(n_more: int) -> None:
        nonlocal done
        done += n_more
        progress(phase, done, n_bytes)

    return tell
