"""Models of a user's own measured on a corpus: tried for peeking first, then recorded as pretrained ones are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mdl.data import Corpus
from mdl.evaluation.pretrained import EvaluationSettings
from mdl.evaluation.recording import Place, Subject, recorded
from mdl.models import Predictor
from mdl.pretrained import OwnModel, Stretch, byte_windows, check_model, code_bytes
from mdl.records import CellRecord, ModelInfo, Provenance, RunPaths, TokenInfo, provenance_now
from mdl.storage import Progress, digest

if TYPE_CHECKING:
    from mdl.pretrained import Windows


def evaluate_own(
    model: OwnModel,
    corpus: Corpus,
    subsets: Sequence[int],
    paths: RunPaths,
    settings: EvaluationSettings,
    *,
    command: str = "",
    progress: Progress | None = None,
) -> list[CellRecord]:
    """One record a subset size, as `evaluate_pretrained`; MdlError where the model sees what it may not."""
    windows = byte_windows(model, settings.context, settings.stride, settings.batch)
    config = _config(model, corpus, windows, settings.dtype)
    place = Place(name=model.name, config=config, paths=paths, by_result=not model.is_known)

    def subject() -> Subject:
        check_model(model, windows, corpus.source_train, max(subsets))
        return _subject(model, windows, command)

    return recorded(place, corpus, subsets, subject, progress)


def _config(model: OwnModel, corpus: Corpus, windows: Windows, dtype: str) -> dict[str, Any]:
    """Everything that the result depends on and that is known, but D."""
    predictor = model.predictor
    return {
        "model": model.name,
        "model_fingerprint": model.fingerprint,
        "n_params": int(predictor.n_params),
        "predicts": predictor.predicts,
        "first_byte": first_byte(predictor),
        "corpus_sha256": corpus.info.sha256,
        "order": "contiguous",
        "context_tokens": windows.context_tokens,
        "stride_tokens": windows.stride_tokens,
        "dtype": dtype,
    }


def first_byte(predictor: Predictor) -> str:
    """What codes the first byte of a window: the model, a uniform distribution, or another by 8 hex of it."""
    if predictor.predicts == "this":
        return "model"
    return "uniform" if predictor.first is None else digest(np.asarray(predictor.first, np.float64).tolist())


def _subject(model: OwnModel, windows: Windows, command: str) -> Subject:
    predictor = model.predictor
    dtype = predictor.dtype(np.zeros((1, windows.context_tokens), np.int64))

    def tokens(stretches: Sequence[Stretch]) -> TokenInfo:
        """A byte is a token."""
        return TokenInfo(
            n_tokens=stretches[-1].end,
            n_vocabulary=256,
            context_tokens=windows.context_tokens,
            stride_tokens=windows.stride_tokens,
            starts_with_bos=predictor.predicts == "this",
            escaped_bytes=0,
            escape_bits=0,
            weights_dtype=dtype,
        )

    return Subject(
        code=lambda view, n_bytes, progress: code_bytes(model, view, n_bytes, windows, progress),
        model=ModelInfo(
            size=model.name,
            width=0,
            depth=0,
            n_heads=0,
            context_tokens=0,
            n_params=int(predictor.n_params),
            n_params_by_group={"all": int(predictor.n_params)},
            file_bytes=model.file_bytes,
        ),
        weights_file=model.spec,
        weights_sha256=model.files_sha256 or "",
        tokens=tokens,
        provenance=lambda seconds, n_records: _provenance(dtype, command, seconds, n_records),
        plugins={"model": model.plugin_sha256} if model.plugin_sha256 else {},
    )


def _provenance(dtype: str, command: str, seconds: float, n_records: int) -> Provenance:
    from mdl.device import Machine

    machine = Machine("cpu", dtype, compiled=False)  # where a function computes nobody can tell
    return provenance_now(
        **machine.told(), command=command, training_seconds=0.0, measuring_seconds=seconds, cohort_size=n_records
    )
