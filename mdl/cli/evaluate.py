"""`mdl evaluate`: pretrained language models as compressors of any data, in lines and in records for a report."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mdl.cli.places import is_pretrained
from mdl.compressors import coders_for
from mdl.data import Corpus, open_whole
from mdl.errors import MdlError
from mdl.evaluation import BaselineJob, EvaluationSettings, evaluate_pretrained, run_baseline
from mdl.pretrained import PREFIX, Checkpoint, find_checkpoint, open_tokenizer, pieces
from mdl.records import CellRecord, RunPaths
from mdl.storage import Progress
from mdl.units import format_bytes, parse_bytes

_MUCH_ESCAPED = 0.01  # of the bytes
_LINE = "{:<24} {:>14} {:>9} {:>9} {:>9} {:>9} {:>9}"


def lines(
    models: Sequence[str], source: str, sizes: str | None, out: Path, settings: EvaluationSettings, command: str = "",
    *, with_baselines: bool = True, progress: Progress | None = None,
) -> Iterator[tuple[str, CellRecord | None]]:  # fmt: skip
    """The table's lines as models finish, each with its record; what `out` holds is not measured again."""
    checkpoints = [find_checkpoint(_spec(model)) for model in models]
    corpus = open_whole(source, progress)
    subsets, paths = subset_sizes(corpus, sizes), RunPaths(out)
    yield f"{source}: {corpus.info.modality}, {corpus.info.size_bytes:,} bytes, in their own order from the first", None
    yield _LINE.format("model", "parameters", "D", "bits/byte", "raw rate", "tokens/B", "escaped"), None
    for checkpoint in checkpoints:
        records = evaluate_pretrained(checkpoint, corpus, subsets, paths, settings, command=command, progress=progress)
        yield from ((_line(record), record) for record in records)
        yield from ((line, None) for line in _escaped(checkpoint, corpus, records))
    for size, coder in itertools.product(subsets if with_baselines else (), coders_for(corpus.info.modality)):
        run_baseline(corpus, BaselineJob(coder=coder, subset_bytes=size, order="contiguous", chunk_bytes=None), paths)


def _escaped(checkpoint: Checkpoint, corpus: Corpus, records: Sequence[CellRecord]) -> Iterator[str]:
    """A warning where the rate is more the escape's than the model's, with the first cause in the data."""
    share = max(record.tokens.escaped_bytes / record.subset_bytes for record in records if record.tokens)
    if share <= _MUCH_ESCAPED:
        return
    tokenizer, view = open_tokenizer(checkpoint), corpus.source_train
    n_bytes = max(record.subset_bytes for record in records)
    why = next((lost for piece in pieces(view, 0, n_bytes) if (lost := tokenizer.lost_in(piece))), "")
    yield f"  warning: {share:.1%} of the bytes are coded as they are, 8 bits each and more" + f"; {why}" * bool(why)


def _spec(model: str) -> str:
    if model.startswith(PREFIX):
        return model
    if (Path(model) / "record.json").exists():
        raise MdlError(f"{model} is a run of mdl's own; use mdl baselines CORPUS --model {model}")
    if not is_pretrained(Path(model)):
        raise MdlError(f"'{model}' is no pretrained model; write {PREFIX}{model} (models first, the corpus last)")
    return f"{PREFIX}{model}"


def subset_sizes(corpus: Corpus, sizes: str | None) -> list[int]:
    """`--sizes`: the first so many bytes of the corpus, several by comma; None: all of it."""
    wanted = sorted({parse_bytes(s) for s in sizes.split(",")}) if sizes else [corpus.info.size_bytes]
    if wanted[0] < 1:
        raise MdlError("--sizes must be at least 1 byte each, such as 100KB,1MB")
    if wanted[-1] > corpus.info.size_bytes:
        raise MdlError(
            f"--sizes asks for {wanted[-1]:,} bytes of corpus '{corpus.info.source}', which has "
            f"{corpus.info.size_bytes:,}; ask for less"
        )
    return wanted


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
        record.model.size, f"{record.model.n_params:,}", format_bytes(D), f"{bits / D:.4f}", f"{bits / 8 / D:.2%}",
        f"{tokens.n_tokens / D:.3f}" if tokens else "", f"{tokens.escaped_bytes / D:.2%}" if tokens else "",
    )  # fmt: skip
