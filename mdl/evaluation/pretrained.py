"""Pretrained models measured on a corpus: the records that a report reads.

What is coded is the data in its own order from its first byte, nothing shuffled and nothing held out: these models were
not trained on a subset of it, so none has to be set apart. D bytes are the first D. No token crosses the ladder of
segments or the end of D, so every prefix that a record knows has a code of its own. A record depends on model, data, D,
window and dtype alone; one pass gives all D that lie on the ladder.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdl.data import Corpus
from mdl.pretrained import Checkpoint, Stretch, code_in_stretches
from mdl.records import (
    CellRecord,
    ModelInfo,
    Provenance,
    RunPaths,
    Segment,
    Snapshot,
    TokenInfo,
    TrainingInfo,
    read_cell,
    write_record,
)
from mdl.storage import Progress, digest
from mdl.units import short_bytes

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
    run_ids = {D: f"{checkpoint.name}-{short_bytes(D)}-{digest(config | {'subset_bytes': D})}" for D in subsets}
    missing = sorted((D for D in subsets if not paths.record(run_ids[D]).exists()), reverse=True)
    if missing:
        started = time.monotonic()
        model = _load(checkpoint, settings)
        coded: dict[int, list[Stretch]] = {}
        for D in missing:
            if D not in coded:
                stretches = code_in_stretches(model, corpus.source_train, D, windows, progress)
                coded |= {stretch.end: stretches[: i + 1] for i, stretch in enumerate(stretches)}
        corpus.check_unchanged()
        evaluation = _Evaluation(
            model=model,
            corpus=corpus,
            windows=windows,
            sweep=paths.root.name,
            config=config,
            provenance=_provenance(model, settings, command, time.monotonic() - started, len(missing)),
        )
        for D in missing:
            write_record(evaluation.record(run_ids[D], coded[D]), paths.record(run_ids[D]))
    return [read_cell(paths.record(run_ids[D])) for D in subsets]


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


@dataclass(frozen=True, kw_only=True)
class _Evaluation:
    """What the records of one pass over the data have in common."""

    model: Pretrained
    corpus: Corpus
    windows: Windows
    sweep: str
    config: dict[str, Any]  # but D
    provenance: Provenance

    def record(self, run_id: str, stretches: Sequence[Stretch]) -> CellRecord:
        """Of the bytes of these stretches, from the first on."""
        checkpoint, D = self.model.checkpoint, stretches[-1].end
        return CellRecord(
            run_id=run_id,
            sweep=self.sweep,
            status="ok",
            reason=None,
            subset_bytes=D,
            config=self.config | {"subset_bytes": D},
            cohort_id=f"{checkpoint.name}-{digest([self.config, self.provenance.created])}",
            corpus=self.corpus.info,
            model=_model_info(self.model),
            training=_UNTRAINED,
            snapshots=(_snapshot(checkpoint, stretches),),
            provenance=self.provenance,
            tokens=self._token_info(stretches),
        )

    def _token_info(self, stretches: Sequence[Stretch]) -> TokenInfo:
        return TokenInfo(
            n_tokens=sum(s.n_tokens for s in stretches),
            n_vocabulary=self.model.n_vocabulary,
            context_tokens=self.windows.context_tokens,
            stride_tokens=self.windows.stride_tokens,
            starts_with_bos=self.model.start is not None,
            escaped_bytes=sum(s.escaped_bytes for s in stretches),
            escape_bits=sum(s.escape_bits for s in stretches),
            weights_dtype=self.model.checkpoint.weights_dtype,
        )


_UNTRAINED = TrainingInfo(
    seed=0, n_steps=0, bytes_seen=0, flops=0.0, peak_learning_rate=0.0, first_bad_step=None, curve=()
)


def _model_info(model: Pretrained) -> ModelInfo:
    return ModelInfo(
        size=model.checkpoint.name,
        width=model.setting("hidden_size"),
        depth=model.setting("num_hidden_layers"),
        n_heads=model.setting("num_attention_heads"),
        context_bytes=0,
        n_params=model.n_params,
        n_params_by_group=model.n_params_by_group,
    )


def _snapshot(checkpoint: Checkpoint, stretches: Sequence[Stretch]) -> Snapshot:
    return Snapshot(
        name="final",
        step=0,
        weights_file=checkpoint.spec,
        weights_sha256=checkpoint.sha256,
        segments=tuple(
            Segment(part="train", start_bytes=s.start, end_bytes=s.end, code_bits=s.token_bits + s.escape_bits)
            for s in stretches
        ),
        positions=(),
        stream=None,
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
