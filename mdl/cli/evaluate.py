"""`mdl evaluate`: pretrained language models as compressors of any data, in lines and in records for a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mdl.cli.path_resolution import is_pretrained
from mdl.data import Corpus, open_whole
from mdl.errors import MdlError
from mdl.evaluation import EvaluationSettings, beside, evaluate_own, evaluate_pretrained, subset_sizes
from mdl.pretrained import (
    OWN_PREFIX,
    PREFIX,
    Checkpoint,
    OwnModel,
    find_checkpoint,
    open_own_model,
    open_tokenizer,
    pieces,
)
from mdl.records import CellRecord, RunPaths
from mdl.storage import Progress
from mdl.units import format_bytes

_MUCH_ESCAPED = 0.01  # of the bytes
_LINE = "{:<24} {:>14} {:>9} {:>9} {:>9} {:>9} {:>9}"


def lines(
    models: Sequence[str],
    source: str,
    *,
    sizes: str | None,
    out: Path,
    settings: EvaluationSettings,
    command: str = "",
    with_baselines: bool = True,
    progress: Progress | None = None,
) -> Iterator[tuple[str, CellRecord | None]]:
    """The table's lines as models finish, each with its record; what `out` holds is not measured again."""
    found = [_found(model, settings) for model in models]
    corpus = open_whole(source, progress)
    subsets, paths = subset_sizes(corpus, sizes, "--sizes"), RunPaths(out)
    yield f"{source}: {corpus.info.modality}, {corpus.info.size_bytes:,} bytes, in their own order from the first", None
    yield _LINE.format("model", "parameters", "D", "bits/byte", "raw rate", "tokens/B", "escaped"), None
    for model in found:
        if isinstance(model, OwnModel):
            records = evaluate_own(model, corpus, subsets, paths, settings, command=command, progress=progress)
        else:
            records = evaluate_pretrained(model, corpus, subsets, paths, settings, command=command, progress=progress)
        yield from ((_line(record), record) for record in records)
        yield from ((line, None) for line in _remarks(model, corpus, records))
    if with_baselines:
        beside(corpus, subsets, paths)


def _found(model: str, settings: EvaluationSettings) -> Checkpoint | OwnModel:
    if model.startswith(OWN_PREFIX):
        from mdl.device import choose_device

        asked = settings.dtype != EvaluationSettings.dtype
        return open_own_model(model, choose_device(settings.device), settings.dtype if asked else None)
    return find_checkpoint(_spec(model))


def _remarks(model: Checkpoint | OwnModel, corpus: Corpus, records: Sequence[CellRecord]) -> Iterator[str]:
    """What has to be known beside the numbers."""
    if isinstance(model, Checkpoint):
        yield from _escaped(model, corpus, records)
    elif model.predictor.predicts == "next":
        by = "uniformly, 8 bits" if model.predictor.first is None else "by the distribution that it declares"
        yield f"  it predicts the next byte: its rows are shifted by one, the first byte of each window is coded {by}"


def _escaped(checkpoint: Checkpoint, corpus: Corpus, records: Sequence[CellRecord]) -> Iterator[str]:
    """A warning where the rate is more the escape's than the model's, with the first cause in the data."""
    share = max(record.tokens.escaped_bytes / record.subset_bytes for record in records if record.tokens)
    if share <= _MUCH_ESCAPED:
        return
    tokenizer, view = open_tokenizer(checkpoint), corpus.source_train
    n_bytes = max(record.subset_bytes for record in records)
    why = next((lost for piece in pieces(view, 0, n_bytes) if (lost := tokenizer.lost_in(piece))), "")
    because = f"; {why}" if why else ""
    yield f"  warning: {share:.1%} of the bytes are coded as they are, at 8 bits or more each{because}"


def _spec(model: str) -> str:
    if model.startswith(PREFIX):
        return model
    if (Path(model) / "record.json").exists():
        raise MdlError(f"{model} is a run of mdl's own; use mdl baselines CORPUS --model {model}")
    if Path(model).is_file():  # hf: takes no file either
        raise MdlError(
            f"'{model}' is one file, and no folder with config.json (models first, the corpus last); register a "
            f"function that loads it by mdl.register_model, and write {OWN_PREFIX}NAME with --plugin"
        )
    if not is_pretrained(Path(model)):
        raise MdlError(
            f"'{model}' is not a pretrained model; write {PREFIX}{model} (models first, the corpus last), or "
            f"{OWN_PREFIX}NAME for one that a --plugin registers"
        )
    return f"{PREFIX}{model}"


def content(record: CellRecord) -> dict[str, Any]:
    """What a script wants of one measurement."""
    tokens = record.tokens
    return {
        "model": record.model.size,
        "n_params": record.model.n_params,
        "subset_bytes": record.subset_bytes,
        "code_bits": sum(segment.code_bits for segment in record.snapshots[0].segments),
        "n_tokens": tokens.n_tokens if tokens else None,
        "escaped_bytes": tokens.escaped_bytes if tokens else None,
    }


def _line(record: CellRecord) -> str:
    tokens = record.tokens
    bits = sum(segment.code_bits for segment in record.snapshots[0].segments)
    D = record.subset_bytes
    return _LINE.format(
        record.model.size,
        f"{record.model.n_params:,}",
        format_bytes(D),
        f"{bits / D:.4f}",
        f"{bits / 8 / D:.2%}",
        f"{tokens.n_tokens / D:.3f}" if tokens else "",
        f"{tokens.escaped_bytes / D:.2%}" if tokens else "",
    )
