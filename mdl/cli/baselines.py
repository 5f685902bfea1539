"""`mdl baselines`: classical coders and trained models on any data, laid out and beside the paper's Table 1."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from analysis.report import PAPER_CODERS, PAPER_DATA_SETS, TABLE_1, DataSet, PaperRow, paper_row
from mdl.compressors import chunk_lengths, coders_for, missing_programs
from mdl.data import SOURCES, Corpus, kind_of, open_whole
from mdl.errors import MdlError, nearest
from mdl.evaluation import (
    CHUNKED_SAMPLE_BYTES,
    BaselineJob,
    EvaluationSettings,
    Loaded,
    TransferJob,
    evaluate_pretrained,
    load_trained_model,
    run_baseline,
    run_transfer,
    subset_sizes,
)
from mdl.pretrained import PREFIX, Checkpoint, find_checkpoint
from mdl.records import BaselineRecord, CellRecord, RunPaths, TransferRecord
from mdl.storage import Progress

_PREFIX = {"text": "file", "image": "image", "audio": "audio"}  # the kind of source that reads a path so
PARAMETER_BYTES = 2  # float16, as the paper counts
_LINE = "{:>5}  {:<16} {:<20} {:>10} {:>11} {:>10} {:>14}"


def source_of(path: str, modality: str | None) -> str:
    """The corpus of a path: itself where it names its kind, else as the modality (default text) says."""
    if modality is not None and modality not in _PREFIX:
        raise MdlError(f"unknown modality '{modality}'{nearest(modality, _PREFIX)} (there are {', '.join(_PREFIX)})")
    kind, colon, _ = path.partition(":")
    if colon and kind not in SOURCES:
        kind_of(path)  # MdlError where it is no file either: a plugin may be missing
    if kind not in SOURCES or (not colon and Path(path).exists()):
        table = modality is None and Path(path).exists() and kind_of(path) == "rows"
        return f"{'rows' if table else _PREFIX[modality or 'text']}:{path}"
    if modality is not None and SOURCES[kind].modality not in (modality, "text"):
        raise MdlError(f"'{path}' is not {modality}; leave --modality out")
    return path


@dataclass(frozen=True)
class Models:
    """Trained models to put beside, as run folders or weights; of the data they code `sample_bytes` at the most."""

    names: Sequence[str] = ()
    sample_bytes: int = 10**6
    device: str = "auto"
    _: KW_ONLY
    command: str = ""  # that is recorded


class Table:
    """What coders and models make of a corpus: printed line by line, each measurement's record under a run folder."""

    def __init__(
        self, source: str, *, sizes: str | None, chunk_bytes: int, out: Path, models: Models, as_paper: bool
    ) -> None:
        """`sizes` None: the whole. `as_paper`: the paper's four coders whatever the data, and its models."""
        if min(chunk_bytes, models.sample_bytes) < 1:
            given = f"{chunk_bytes} and {models.sample_bytes}"
            raise MdlError(f"--chunk-bytes and --model-bytes must be at least 1, got {given}")
        self.source, self.sizes, self.chunk_bytes = source, sizes, chunk_bytes
        self.paths, self.models, self.as_paper = RunPaths(out), models, as_paper
        self.coded: list[BaselineRecord] = []
        self.evaluated: list[TransferRecord] = []
        self.pretrained: list[CellRecord] = []

    def lines(self, progress: Progress | None = None) -> Iterator[str]:
        """The table's lines as the coders finish, once the models are measured.

        A model codes windows of its context, each by itself; with more context than a chunk it has a row for the whole
        too.
        """
        loaded, checkpoints = _load(self.models)  # before anything is measured: a name may be wrong
        corpus = open_whole(self.source, progress)
        for subset_bytes in subset_sizes(corpus, self.sizes, "--sizes"):
            yield from self._table(corpus, subset_bytes, loaded, checkpoints)

    def _table(
        self, corpus: Corpus, subset_bytes: int, loaded: Sequence[Loaded], checkpoints: Sequence[Checkpoint]
    ) -> Iterator[str]:
        yield from _head(corpus, subset_bytes, self.chunk_bytes)
        models = [*self._models(corpus, subset_bytes, loaded, checkpoints)]  # one that is refused leaves no record
        beside = _data_set(corpus)
        for chunk, coder in itertools.product((None, self.chunk_bytes), self._coders(corpus)):
            if chunk not in chunk_lengths(coder, self.chunk_bytes):
                continue
            record = run_baseline(
                corpus,
                BaselineJob(coder=coder, subset_bytes=subset_bytes, order="contiguous", chunk_bytes=chunk),
                self.paths,
            )
            self.coded.append(record)
            yield _line(record, beside)
        if missing := missing_programs():
            yield f"left out, since their programs are not on the PATH: {', '.join(missing)}"
        if loaded or checkpoints or (beside and self.as_paper):
            yield _LINE.format("", "model", "", "raw", "adjusted", "paper raw", "paper adjusted")
        yield from models
        if beside and self.as_paper:
            yield from (_paper_line(row, beside) for row in TABLE_1 if row.compressor not in PAPER_CODERS)

    def _models(
        self, corpus: Corpus, subset_bytes: int, loaded: Sequence[Loaded], checkpoints: Sequence[Checkpoint]
    ) -> Iterator[str]:
        for model in loaded:
            whole = [None] if model.about.context_tokens > self.chunk_bytes else []
            for chunk in (*whole, self.chunk_bytes):
                job = TransferJob(subset_bytes, chunk, self.models.sample_bytes)
                self.evaluated.append(run_transfer(corpus, model, job, self.paths, self.models.command))
                yield _model_line(self.evaluated[-1])
        for checkpoint in checkpoints:  # windows of its own context, of the first bytes
            n_bytes = min(subset_bytes, self.models.sample_bytes)
            how = EvaluationSettings(device=self.models.device)
            own = evaluate_pretrained(checkpoint, corpus, [n_bytes], self.paths, how, command=self.models.command)
            self.pretrained += own
            yield from (_pretrained_line(record, subset_bytes) for record in own)

    def _coders(self, corpus: Corpus) -> Sequence[str]:
        """Those that suit the data; for the paper's table its four before them."""
        suited = coders_for(corpus.info.modality)
        return [*PAPER_CODERS, *(name for name in suited if name not in PAPER_CODERS)] if self.as_paper else suited


def _load(models: Models) -> tuple[list[Loaded], list[Checkpoint]]:
    """Models of our own, and pretrained ones."""
    checkpoints = [find_checkpoint(name) for name in models.names if name.startswith(PREFIX)]
    own = [name for name in models.names if not name.startswith(PREFIX)]
    if not own:
        return [], checkpoints
    from mdl.device import choose_device

    device = choose_device(models.device)
    return [load_trained_model(name, device) for name in own], checkpoints


def _data_set(corpus: Corpus) -> DataSet | None:
    kind = "random" if corpus.info.source.startswith("random:") else corpus.info.modality
    return PAPER_DATA_SETS.get(kind)


def _head(corpus: Corpus, subset_bytes: int, chunk_bytes: int) -> Iterator[str]:
    info = corpus.info
    n_chunks = -(-subset_bytes // chunk_bytes)
    n_sample = min(n_chunks, max(1, CHUNKED_SAMPLE_BYTES // chunk_bytes))
    yield (
        f"{info.source}: {info.modality}, the first {subset_bytes:,} of {info.size_bytes:,} bytes; "
        f"{n_sample:,} of {n_chunks:,} chunks of {chunk_bytes:,} bytes"
    )
    yield "compressed size in % of the raw size; paper: Delétang et al. 2024, " + (
        f"{_data_set(corpus) or 'which has no data of this kind'}, 1 GB, a header once"
    )
    titles = ("chunk", "compressor", "settings", "true size", "header once", "paper raw", "paper adjusted")
    yield _LINE.format(*titles)


def _line(record: BaselineRecord, beside: DataSet | None) -> str:
    once = record.compressed_bytes - (record.n_chunks - 1) * record.header_bytes
    theirs = paper_row(record.coder, record.chunk_bytes)
    return _LINE.format(
        record.chunk_bytes or "whole",
        record.coder,
        record.settings,
        _percent(record.compressed_bytes / record.sample_bytes),
        _percent(once / record.sample_bytes),
        _percent(theirs.raw[beside]) if theirs and beside else "",
        _percent(theirs.adjusted[beside]) if theirs and beside else "",
    ).rstrip()


def _model_line(record: TransferRecord) -> str:
    about, raw = record.model, record.code_bits / 8 / record.sample_bytes
    rates = (raw, raw + PARAMETER_BYTES * about.n_params / record.subset_bytes)
    trained = f"trained on {about.trained_on.modality}" if about.trained_on else "trained elsewhere"
    return _LINE.format(record.chunk_bytes or "whole", about.size, trained, *map(_percent, rates), "", "").rstrip()


def _pretrained_line(record: CellRecord, subset_bytes: int) -> str:
    """Its parameters are counted on the whole subset, as those of the other models."""
    raw = sum(segment.code_bits for segment in record.snapshots[0].segments) / 8 / record.subset_bytes
    rates = (raw, raw + PARAMETER_BYTES * record.model.n_params / subset_bytes)
    return _LINE.format("whole", record.model.size, "pretrained", *map(_percent, rates), "", "").rstrip()


def _paper_line(row: PaperRow, beside: DataSet) -> str:
    own = (row.chunk_bytes or "whole", row.compressor, "the paper's", "", "")
    return _LINE.format(*own, _percent(row.raw[beside]), _percent(row.adjusted[beside]))


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}"
