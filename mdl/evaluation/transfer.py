"""A trained model on any data, its own modality or another: code lengths in chunks and whole, and by position.

The paper codes images and speech with models trained on text, bytes as they are (Delétang et al. 2024, Table 1). Chunks
are coded each by itself, in windows of the model's context where that is shorter; `chunk_bytes` None is the data in
windows of the context. Evenly spread pieces stand for all. Lengths are ideal ones, summed in float64 (`code_length`).
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mdl.compressors import choose_model
from mdl.data import Corpus
from mdl.errors import MdlError
from mdl.pretrained import OWN_PREFIX, OwnModel, byte_windows, check_model, open_own_model, own_window_sums
from mdl.records import (
    PositionBin,
    Provenance,
    RunPaths,
    TrainedModel,
    TransferRecord,
    provenance_now,
    read_cell,
    read_transfer,
    write_record,
)
from mdl.storage import digest

if TYPE_CHECKING:
    import torch

    from mdl.models import StackedModel

_BINS_AN_OCTAVE = 4
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Loaded:
    """A model ready to code, and what the record says of it."""

    about: TrainedModel
    model: StackedModel | OwnModel


@dataclass(frozen=True)
class TransferJob:
    """What of the data a model codes: of its first `subset_bytes`, evenly spread pieces of `sample_bytes` at most."""

    subset_bytes: int
    chunk_bytes: int | None  # None: whole, in windows of the context
    sample_bytes: int


def load_trained_model(spec: str, device: torch.device | None = None) -> Loaded:
    """Of a run's folder or a .safetensors file, in float32, or of py:NAME; MdlError for anything else."""
    from mdl.compressors import load_model
    from mdl.device import choose_device
    from mdl.models import count_params

    if spec.startswith(OWN_PREFIX):
        return _load_own(spec, device or choose_device())
    if spec.startswith("hf:"):
        raise MdlError(f"{spec} is a pretrained model; use mdl evaluate {spec} CORPUS")
    exact = load_model(choose_model(spec).weights, device or choose_device())
    record = Path(spec) / "record.json"
    cell = read_cell(record) if record.exists() else None
    shape = exact.shape
    about = TrainedModel(
        name=cell.run_id if cell else Path(spec).name,
        size=shape.label,
        n_params=count_params(shape)["total"],
        context_tokens=shape.context_tokens,
        weights_sha256=exact.sha256,
        trained_on=cell.corpus if cell else None,
        trained_bytes=cell.subset_bytes if cell else None,
    )
    return Loaded(about, exact.model.float())


def _load_own(spec: str, device: torch.device) -> Loaded:
    """A model of a user's own, its context at most 2,048 bytes."""
    model = open_own_model(spec, device)
    windows = byte_windows(model, None, None)
    about = TrainedModel(
        name=model.name,
        size=model.name,
        n_params=int(model.predictor.n_params),
        context_tokens=windows.context_tokens,
        weights_sha256=model.files_sha256 or "",
        trained_on=None,
        trained_bytes=None,
    )
    return Loaded(about, model)


def run_transfer(
    corpus: Corpus, loaded: Loaded, job: TransferJob, paths: RunPaths, command: str = ""
) -> TransferRecord:
    """The record of a model on the first bytes of the source's training part: the one on disk, else a new one."""
    own = loaded.model if isinstance(loaded.model, OwnModel) else None
    path = _path(corpus, loaded.about, job, paths, own.fingerprint if own else None)
    if not path.exists() or (own and not own.is_known):
        measured = measure(corpus, loaded, job)
        if own and not own.is_known:  # then its result tells the model
            path = _path(corpus, loaded.about, job, paths, f"{own.fingerprint} {measured.code_bits:.6g}")
        record = dataclasses.replace(measured, provenance=_provenance(measured, command))
        corpus.check_unchanged()
        write_record(record, path)
    return read_transfer(path)


def _provenance(record: TransferRecord, command: str) -> Provenance:
    from mdl.device import Machine

    precision = "float16" if record.device == "cuda" else "float32"  # as `mdl.models.code_length.window_bits` has it
    machine = Machine(record.device, precision, compiled=False)
    return provenance_now(
        **machine.told(), command=command, training_seconds=0.0, measuring_seconds=record.seconds, cohort_size=1
    )


def _path(corpus: Corpus, about: TrainedModel, job: TransferJob, paths: RunPaths, own: str | None) -> Path:
    """By all that the record depends on; `own`: what is known of a model of the user's own."""
    info = corpus.info
    depends_on = [info.sha256, info.heldout_bytes, about.weights_sha256]
    depends_on += [job.subset_bytes, job.chunk_bytes, job.sample_bytes, *([own] if own else [])]
    chunk = "whole" if job.chunk_bytes is None else f"chunk{job.chunk_bytes}"
    return paths.root / "transfer" / f"{about.name}-on-{info.modality}-{chunk}-{digest(depends_on)}.json"


def measure(corpus: Corpus, loaded: Loaded, job: TransferJob) -> TransferRecord:
    """Code at most `sample_bytes` of it, in evenly spread whole chunks."""
    corpus.require(job.subset_bytes)
    length = min(job.chunk_bytes or loaded.about.context_tokens, job.subset_bytes)
    chunks = _chunks(corpus, job.subset_bytes, length, job.sample_bytes)
    if isinstance(loaded.model, OwnModel):
        check_model(loaded.model, byte_windows(loaded.model, None, None), corpus.source_train, chunks.size)
    started = time.perf_counter()
    bits, n_bytes = by_position(loaded.model, chunks)
    if not np.isfinite(bits).all():
        raise MdlError(f"{loaded.about.name} gives {corpus.info.source} no finite code length; use another model")
    own = loaded.model if isinstance(loaded.model, OwnModel) else None
    device = "cpu" if isinstance(loaded.model, OwnModel) else loaded.model.device.type
    return TransferRecord(
        model=loaded.about,
        corpus=corpus.info,
        subset_bytes=job.subset_bytes,
        chunk_bytes=job.chunk_bytes,
        sample_bytes=chunks.size,
        n_chunks=len(chunks),
        code_bits=float(bits.sum()),
        positions=position_bins(bits, n_bytes),
        seconds=round(time.perf_counter() - started, 3),
        device=device,
        plugin_sha256=own.plugin_sha256 if own else None,
    )


def _chunks(corpus: Corpus, subset_bytes: int, length: int, sample_bytes: int) -> npt.NDArray[np.uint8]:
    """Rows (n, length): all whole chunks of the first `subset_bytes`, or evenly spread ones."""
    n_chunks = subset_bytes // length
    n_taken = min(n_chunks, max(1, sample_bytes // length))
    starts = np.linspace(0, n_chunks - 1, n_taken).astype(np.int64) * length
    return corpus.source_train.gather(starts, length)


def by_position(model: StackedModel | OwnModel, chunks: npt.NDArray[np.uint8]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Bits and bytes (T,) by position in the window, of chunks (n, length) coded each by itself."""
    T = byte_windows(model, None, None).context_tokens if isinstance(model, OwnModel) else model.shape.context_tokens
    bits, n_bytes = np.zeros(T), np.zeros(T, np.int64)
    for start in range(0, chunks.shape[1], T):
        windows = chunks[:, start : start + T]
        sums = own_window_sums(model, windows) if isinstance(model, OwnModel) else _window_sums(model, windows)
        bits[: windows.shape[1]] += sum(sums)
        n_bytes[: windows.shape[1]] += len(windows)
    return bits, n_bytes


def _window_sums(model: StackedModel, windows: npt.NDArray[np.uint8]) -> Iterator[Floats]:
    """Bits (t,) of some windows (n, t) after others, as many as keep a call's memory in bounds."""
    import torch

    from mdl.models import window_bits, windows_a_call

    step = windows_a_call(model)
    for first in range(0, len(windows), step):
        part = np.ascontiguousarray(windows[first : first + step])
        bits = window_bits(model, part)
        if not bool(torch.isfinite(bits).all()):  # float16 overflows where float32 may not
            bits = window_bits(model, part, half=False)
        yield bits[0].double().sum(0).cpu().numpy()


def position_bins(bits: Floats, n_bytes: Sequence[int] | npt.NDArray[np.int64]) -> tuple[PositionBin, ...]:
    """Sums over quarter octaves: [0, 1), [1, 2), … and from 6 on a step of 19 %; what has no bytes is left out."""
    T = len(bits)
    marks = (round(2 ** (k / _BINS_AN_OCTAVE)) for k in range(_BINS_AN_OCTAVE * (T.bit_length() + 1)))
    edges = sorted({0, *(m for m in marks if m < T), T})
    return tuple(
        PositionBin(start=low, end=high, n_bytes=int(np.sum(n_bytes[low:high])), code_bits=float(bits[low:high].sum()))
        for low, high in itertools.pairwise(edges)
        if np.sum(n_bytes[low:high])
    )
