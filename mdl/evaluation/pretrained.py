"""Pretrained models measured on a corpus: the records that a report reads (see `recording`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdl.data import Corpus, Readable
from mdl.evaluation.recording import Place, Subject, recorded
from mdl.pretrained import Checkpoint, Stretch, code_in_stretches
from mdl.records import CellRecord, ModelInfo, Provenance, RunPaths, TokenInfo
from mdl.storage import Progress

if TYPE_CHECKING:
    from mdl.pretrained import Pretrained, Windows


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """As asked for; None: the model's own context, no overlap, windows a call by memory."""

    context: int | None = None
    stride: int | None = None
    dtype: str = "float32"
    batch: int | None = None
    device: str = "auto"


def evaluate_pretrained(
    checkpoint: Checkpoint,
    corpus: Corpus,
    subsets: Sequence[int],
    paths: RunPaths,
    settings: EvaluationSettings,
    *,
    command: str = "",
    progress: Progress | None = None,
) -> list[CellRecord]:
    """One record a subset size: from disk where it is there; the model is loaded only if one is not."""
    from mdl.pretrained import windows_of

    windows = windows_of(checkpoint, settings.context, settings.stride, settings.batch)
    config = _config(checkpoint, corpus, windows, settings.dtype)
    place = Place(name=checkpoint.name, config=config, paths=paths)

    def subject() -> Subject:
        return _subject(_load(checkpoint, settings), windows, place, settings, command)

    return recorded(place, corpus, subsets, subject, progress)


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


def _load(checkpoint: Checkpoint, settings: EvaluationSettings) -> Pretrained:
    from mdl.device import choose_device
    from mdl.pretrained import load_pretrained

    return load_pretrained(checkpoint, settings.dtype, choose_device(settings.device))


def _subject(model: Pretrained, windows: Windows, place: Place, settings: EvaluationSettings, command: str) -> Subject:
    checkpoint = model.checkpoint

    def code(view: Readable, n_bytes: int, progress: Progress | None) -> list[Stretch]:
        keep = place.paths.coded(place.run_id(n_bytes, place.config_of(n_bytes)))
        return code_in_stretches(model, view, n_bytes, windows, progress=progress, keep=keep)

    def tokens(stretches: Sequence[Stretch]) -> TokenInfo:
        return TokenInfo(
            n_tokens=sum(s.n_tokens for s in stretches),
            n_vocabulary=model.n_vocabulary,
            context_tokens=windows.context_tokens,
            stride_tokens=windows.stride_tokens,
            starts_with_bos=model.start is not None,
            escaped_bytes=sum(s.escaped_bytes for s in stretches),
            escape_bits=sum(s.escape_bits for s in stretches),
            weights_dtype=checkpoint.weights_dtype,
        )

    return Subject(
        code=code,
        model=ModelInfo(
            size=checkpoint.name,
            width=model.setting("hidden_size"),
            depth=model.setting("num_hidden_layers"),
            n_heads=model.setting("num_attention_heads"),
            context_tokens=0,
            n_params=model.n_params,
            n_params_by_group=model.n_params_by_group,
            file_bytes=checkpoint.file_bytes,
        ),
        weights_file=checkpoint.spec,
        weights_sha256=checkpoint.sha256,
        tokens=tokens,
        provenance=lambda seconds, n_records: _provenance(model, settings, command, seconds, n_records),
    )


def _provenance(
    model: Pretrained, settings: EvaluationSettings, command: str, seconds: float, n_records: int
) -> Provenance:
    import importlib.metadata

    from mdl.device import Machine
    from mdl.records import provenance_now

    now = provenance_now(
        **Machine(model.model.device.type, settings.dtype, compiled=False).told(),
        command=command,
        training_seconds=0.0,
        measuring_seconds=seconds,
        cohort_size=n_records,
    )
    libraries = {name: importlib.metadata.version(name) for name in ("transformers", "tokenizers")}
    return dataclasses.replace(now, versions=now.versions | libraries)
