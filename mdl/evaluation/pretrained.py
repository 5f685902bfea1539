"""Pretrained models measured on a corpus: the records that a report reads.

What is coded is the data in its own order from its first byte, nothing shuffled and nothing held out: these models were
not trained on a subset of it, so none has to be set apart. D bytes are the first D. No token crosses the ladder of
segments or the end of D, so every prefix that a record knows has a code of its own. A record depends on model, data, D,
window and dtype alone; one pass gives all D that lie on the ladder.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mdl.data.corpus import ByteView, Corpus
from mdl.data.sources.registry import open_source
from mdl.errors import MdlError
from mdl.pretrained import byte_fallback
from mdl.pretrained.checkpoint import Checkpoint
from mdl.records import schema
from mdl.records.schema import (
    CellRecord,
    CorpusInfo,
    ModelInfo,
    RunPaths,
    Segment,
    Snapshot,
    TokenInfo,
    TrainingInfo,
    ladder,
)
from mdl.storage.cache import Progress, cache_folder, sha256_of
from mdl.storage.file_bytes import FileBytes
from mdl.units import short_bytes

if TYPE_CHECKING:
    from mdl.models.code_length import Readable
    from mdl.pretrained.model import Pretrained, Windows


@dataclass(frozen=True)
class Settings:
    """As asked for; None: the model's own context, no overlap, windows a call by memory."""

    context: int | None = None
    stride: int | None = None
    dtype: str = "float32"
    batch: int | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Stretch:
    """The code of the bytes [start, end)."""

    start: int
    end: int
    n_tokens: int
    token_bits: float
    escape_bits: int
    escaped_bytes: int


def open_whole(source: str, progress: Progress | None = None) -> Corpus:
    """All bytes of a corpus in their own order: one block, so that no shuffle moves it, and nothing held out."""
    cache = cache_folder()
    opened = open_source(source, cache, progress)
    size = opened.path.stat().st_size
    if not size:
        raise MdlError(f"corpus '{source}' is empty; there is nothing to code")
    info = CorpusInfo(source, opened.modality, size, sha256_of(opened.path, cache), size, 0, size, 0)
    raw = FileBytes(opened.path)
    none, whole = np.empty(0, np.int64), ByteView(raw, np.array([0]), np.array([size]))
    return Corpus(info, whole, ByteView(raw, none, none), whole)


def records(
    checkpoint: Checkpoint, corpus: Corpus, subsets: Sequence[int], paths: RunPaths, settings: Settings,
    command: str = "", progress: Progress | None = None,
) -> list[CellRecord]:  # fmt: skip
    """One record a subset size: from disk where it is there; the model is loaded only if one is not."""
    from mdl.pretrained.model import windows_of

    windows = windows_of(checkpoint, settings.context, settings.stride, settings.batch)
    config = _config(checkpoint, corpus, windows, settings.dtype)
    run_ids = {D: f"{checkpoint.name}-{short_bytes(D)}-{schema.digest(config | {'subset_bytes': D})}" for D in subsets}
    missing = sorted((D for D in subsets if not paths.record(run_ids[D]).exists()), reverse=True)
    if missing:
        started = time.monotonic()
        model = _load(checkpoint, settings)
        coded: dict[int, list[Stretch]] = {}
        for D in missing:
            if D not in coded:
                stretches = code(model, corpus.source_train, D, windows, progress)
                coded |= {own.end: stretches[: i + 1] for i, own in enumerate(stretches)}
        provenance = _provenance(model, settings, command, time.monotonic() - started, len(missing))
        for D in missing:
            record = _record(model, run_ids[D], paths, coded[D], corpus, config, windows, provenance)
            schema.save(record, paths.record(run_ids[D]))
    return [schema.load_cell(paths.record(run_ids[D])) for D in subsets]


def _config(checkpoint: Checkpoint, corpus: Corpus, windows: Windows, dtype: str) -> dict[str, Any]:
    """Everything that the result depends on, but D."""
    return {
        "model": checkpoint.name,
        "model_fingerprint": checkpoint.fingerprint,
        "corpus_sha256": corpus.info.sha256,
        "order": "contiguous",
        "context_tokens": windows.context_tokens,
        "stride_tokens": windows.stride_tokens,
        "dtype": dtype,
    }


def _load(checkpoint: Checkpoint, settings: Settings) -> Pretrained:
    from mdl.compressors.byte_model import choose_device
    from mdl.pretrained.model import load

    return load(checkpoint, settings.dtype, choose_device(settings.device))


def code(
    model: Pretrained, view: Readable, n_bytes: int, windows: Windows, progress: Progress | None = None
) -> list[Stretch]:
    """The code of the first `n_bytes`, in stretches between the boundaries of the ladder."""
    from mdl.pretrained.model import token_bits

    ids, rows = array("i"), []
    for start, end in itertools.pairwise([0, *ladder(n_bytes), n_bytes]):
        runs = [run for piece in pieces(view, start, end) for run in model.tokenizer.runs(piece)]
        first = len(ids)
        for run in runs:
            ids.extend(run.ids)
        rows.append((start, end, first, len(ids), sum(r.escape_bits for r in runs), sum(len(r.raw) for r in runs)))
    n_done = 0

    def tell(n_new: int) -> None:
        nonlocal n_done
        n_done += n_new
        if progress:
            progress(model.checkpoint.name, n_bytes * n_done // len(ids), n_bytes)

    bits = token_bits(model, np.frombuffer(ids, np.int32) if ids else np.empty(0, np.int32), windows, tell)
    return [
        Stretch(start, end, b - a, float(bits[a:b].sum()), escape_bits, escaped)
        for start, end, a, b, escape_bits, escaped in rows
    ]


def pieces(view: Readable, start: int, end: int) -> Iterator[bytes]:
    """Bytes [start, end) in pieces that end with a line, or at least with a character, but for the last."""
    while start < end:
        chunk = view.read(start, min(start + byte_fallback.PIECE_BYTES, end)).tobytes()
        own = chunk if start + len(chunk) == end else chunk[: byte_fallback.cut(chunk)]
        yield own
        start += len(own)


def _record(
    model: Pretrained, run_id: str, paths: RunPaths, stretches: Sequence[Stretch], corpus: Corpus,
    config: dict[str, Any], windows: Windows, provenance: schema.Provenance,
) -> CellRecord:  # fmt: skip
    checkpoint, n_heads = model.checkpoint, model.setting("num_attention_heads")
    segments = tuple(Segment("train", s.start, s.end, s.token_bits + s.escape_bits) for s in stretches)
    return CellRecord(
        run_id=run_id,
        sweep=paths.root.name,
        status="ok",
        reason=None,
        subset_bytes=stretches[-1].end,
        config=config | {"subset_bytes": stretches[-1].end},
        cohort_id=f"{checkpoint.name}-{schema.digest([config, provenance.created])}",
        corpus=corpus.info,
        model=ModelInfo(
            checkpoint.name, model.setting("hidden_size"), model.setting("num_hidden_layers"), n_heads, 0,
            model.n_params, model.n_params_by_group,
        ),
        training=TrainingInfo(0, 0, 0, 0.0, 0.0, None, ()),
        snapshots=(Snapshot("final", 0, checkpoint.spec, checkpoint.sha256, segments, (), None),),
        provenance=provenance,
        tokens=TokenInfo(
            sum(s.n_tokens for s in stretches), model.n_vocabulary, windows.context_tokens, windows.stride_tokens,
            model.start is not None, sum(s.escaped_bytes for s in stretches), sum(s.escape_bits for s in stretches),
            checkpoint.weights_dtype,
        ),
    )  # fmt: skip


def _provenance(
    model: Pretrained, settings: Settings, command: str, seconds: float, n_records: int
) -> schema.Provenance:
    import importlib.metadata

    from mdl.device import Machine
    from mdl.records.provenance import provenance_now

    now = provenance_now(
        Machine(model.model.device.type, settings.dtype, compiled=False),
        command=command, training_seconds=0.0, measuring_seconds=seconds, cohort_size=n_records,
    )  # fmt: skip
    libraries = {name: importlib.metadata.version(name) for name in ("transformers", "tokenizers")}
    return dataclasses.replace(now, versions=now.versions | libraries)
