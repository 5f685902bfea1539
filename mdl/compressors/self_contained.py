"""What a self-contained file is made of: a run's weights at a precision, and bytes, its subset's or a file's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mdl.data import ByteView, Corpus, CorpusSpec, Readable, open_corpus
from mdl.errors import MdlError
from mdl.models import Shape, load_weights
from mdl.quantization import (
    CodedModel,
    DataPart,
    Tuning,
    Weights,
    calibration_windows,
    coded_models,
    map_over_processes,
    shortest_code,
)
from mdl.records import CellRecord, CodedWeights, Snapshot, read_cell
from mdl.storage import CHUNK_BYTES

SAMPLE_BYTES = 1 << 18  # of the content, by which a precision is chosen where the record does not tell


@dataclass(frozen=True)
class Content:
    """What a packed file holds: the first `n_bytes` of a view."""

    view: Readable
    n_bytes: int

    def read(self) -> bytes:
        """All of it."""
        content: bytes = self.view.read(0, self.n_bytes).tobytes()
        return content

    def sha256(self) -> str:
        """Of all of it."""
        whole = hashlib.sha256()
        for start in range(0, self.n_bytes, CHUNK_BYTES):
            whole.update(self.view.read(start, min(start + CHUNK_BYTES, self.n_bytes)).tobytes())
        return whole.hexdigest()


def file_content(path: Path) -> Content:
    """Any file, as its bytes lie; MdlError where there is none, or nothing in it."""
    if not path.is_file():
        raise MdlError(f"{path} is not a file; name the one to pack")
    if not (n_bytes := path.stat().st_size):
        raise MdlError(f"{path} is empty; there is nothing to pack")
    return Content(ByteView.whole(np.memmap(path, np.uint8, "r")), n_bytes)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run's snapshot, opened: its weights, and the corpus that they were trained on, where it is asked for."""

    record: CellRecord
    snapshot: Snapshot
    shape: Shape
    weights: Weights
    folder: Path

    @cached_property
    def corpus(self) -> Corpus:
        """Opened; MdlError where it is not what was recorded."""
        return _corpus(self.record)

    @property
    def subset(self) -> Content:
        """What it was trained on, in the order in which it is drawn from the corpus: blocks, shuffled."""
        return Content(self.corpus.train, self.record.subset_bytes)

    @property
    def beginning(self) -> Content:
        """As many bytes from the corpus's beginning, in its own order; what is held out is left out of both."""
        return Content(self.corpus.source_train, self.record.subset_bytes)

    @property
    def recorded_stride(self) -> int | None:
        """That of the second code length that was measured; None: there is none."""
        second = self.snapshot.overlapping
        return second.stride_bytes if second and second.stride_bytes < self.shape.context_tokens else None

    @property
    def recorded_steps(self) -> int:
        """How long the weights of the record's code lengths were tuned for their code."""
        steps: int = self.record.config.get("measure.tune_steps", 0)
        return steps

    @property
    def recorded_contexts(self) -> bool:
        """Whether a code length of the model mixed with contexts was measured."""
        return self.snapshot.overlapping is not None and self.snapshot.overlapping.bucket_bits is not None


def open_run(folder: Path, snapshot: str = "final", *, with_corpus: bool = True) -> Run:
    """A run's folder; MdlError where it is not one, failed, or its weights or its corpus are not what was recorded.

    Without `with_corpus` the corpus is opened when it is asked for: what is packed may be another file.
    """
    path = folder / "record.json"
    if not path.exists():
        raise MdlError(f"{folder} is not a run's folder (it has no record.json); give runs/<sweep>/<run id>")
    record = read_cell(path)
    if record.status != "ok" or record.is_pretrained:
        raise MdlError(f"{folder}: the run failed, or only evaluated a pretrained model; it has no weights to pack")
    chosen = next((s for s in record.snapshots if s.name == snapshot), None)
    if chosen is None:
        raise MdlError(f"{path} has no snapshot '{snapshot}'; take final or best")
    weights_path = folder / chosen.weights_file
    shape, weights = load_weights(weights_path)
    if hashlib.sha256(weights_path.read_bytes()).hexdigest() != chosen.weights_sha256:
        raise MdlError(f"{weights_path} is not what {path} was measured with (its SHA-256 is another)")
    run = Run(record=record, snapshot=chosen, shape=shape, weights=weights, folder=folder)
    if with_corpus:
        run.corpus.require(record.subset_bytes)
    return run


def _corpus(record: CellRecord) -> Corpus:
    info, held = record.corpus, record.config.get("corpus.heldout_bytes")
    without_copies = info.deduplicated_bytes is not None
    corpus = open_corpus(
        CorpusSpec(
            info.source,
            shuffle_seed=info.shuffle_seed,
            block_bytes=info.block_bytes,
            heldout_bytes=held,
            leak_fraction=info.leak_fraction,
            deduplicate=without_copies,
        )
    )
    if (corpus.info.sha256, corpus.info.train_bytes) != (info.sha256, info.train_bytes):
        raise MdlError(
            f"corpus '{info.source}' is not what the run was made from (sha256 {corpus.info.sha256[:12]}…, then "
            f"{info.sha256[:12]}…); put the old one back"
        )
    return corpus


def choose_coded(run: Run, tune_steps: int | None = None, content: Content | None = None) -> CodedModel:
    """The weights at the precision of the least total: as recorded, else as measured on a sample of the content.

    They are tuned as long as those of the record were, or `tune_steps` (see `mdl.quantization.fine_tune`), on the
    content: the run's subset, or another. Weights that were trained for their code are sent as that.
    """
    if trained := next((code for code in run.snapshot.coded if code.coded_file), None):
        return _trained_code(run, trained)
    packed = content or run.subset
    view, n_bytes = packed.view, packed.n_bytes
    recorded_steps = run.recorded_steps
    tuning = Tuning(view, n_bytes, recorded_steps if tune_steps is None else tune_steps)
    calibration = calibration_windows(view, n_bytes, run.shape.context_tokens)
    if content is None and run.snapshot.coded and tuning.n_steps == recorded_steps:
        best = min(run.snapshot.coded, key=lambda coded_weights: coded_weights.total_bits).bits
        return coded_models(run.shape, run.weights, calibration, [best], tuning)[0]
    data = DataPart(
        shape=run.shape,
        view=view,
        n_bytes=n_bytes,
        plain=run.weights,
        own_bits=0.0,  # differences tell which is shortest
        sample_bytes=SAMPLE_BYTES,
    )
    with map_over_processes() as spread:
        return shortest_code(data, calibration, tuning, spread=spread)


def _trained_code(run: Run, trained: CodedWeights) -> CodedModel:
    """The weights as training left them coded; MdlError where the file is not what was recorded."""
    path = run.folder / str(trained.coded_file)
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != trained.coded_sha256:
        raise MdlError(f"{path} is not the coded weights that the run's record names; copy the run's folder again")
    return CodedModel(trained.bits, trained.coder, content)
