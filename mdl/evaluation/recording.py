"""A trained model of anywhere measured on a corpus: one way to records, whatever runs the model.

What is coded is the data in its own order from its first byte, nothing shuffled and nothing held out: these models were
not trained on a subset of it, so none has to be set apart. D bytes are the first D. No token crosses the ladder of
segments or the end of D, so every prefix that a record knows has a code of its own. A record depends on model, data, D,
window and dtype alone; one pass gives all D that lie on the ladder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mdl.data import Corpus, Readable
from mdl.errors import MdlError
from mdl.pretrained import Stretch
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
from mdl.storage import ChangedError, Progress, digest, require_records_folder
from mdl.units import parse_bytes, short_bytes

Code = Callable[[Readable, int, Progress | None], list[Stretch]]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model ready to be measured, and what its records say of it."""

    code: Code
    """The code of the first bytes of a view, in stretches between the boundaries of the ladder."""
    model: ModelInfo
    weights_file: str
    """As it was given."""
    weights_sha256: str
    tokens: Callable[[Sequence[Stretch]], TokenInfo]
    provenance: Callable[[float, int], Provenance]
    """From the seconds that measuring took and the number of records."""
    plugins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where records of a model go."""

    name: str
    """Of the model; its runs' ids begin so."""
    config: dict[str, Any]
    """Everything that the result depends on, but D."""
    paths: RunPaths
    by_result: bool = False
    """Is it not known whether the model has changed? Then it is measured again, and the result is in the run's id."""

    def run_id(self, subset_bytes: int, config: dict[str, Any]) -> str:
        """Such as pythia-70m-1MB-0123abcd."""
        return f"{self.name}-{short_bytes(subset_bytes)}-{digest(config)}"

    def config_of(self, subset_bytes: int, coded: Sequence[Stretch] = ()) -> dict[str, Any]:
        """With D, and with what it was coded to where that tells the model."""
        told = {"code_bits": f"{sum(s.token_bits + s.escape_bits for s in coded):.6g}"} if self.by_result else {}
        return self.config | {"subset_bytes": subset_bytes} | told


def recorded(
    place: Place,
    corpus: Corpus,
    subsets: Sequence[int],
    open_subject: Callable[[], Subject],
    progress: Progress | None = None,
) -> list[CellRecord]:
    """One record a subset size: from disk where it is there; the model is loaded only if one is not."""
    path_of = {D: place.paths.record(place.run_id(D, place.config_of(D))) for D in subsets}
    missing = sorted((D for D in subsets if place.by_result or not path_of[D].exists()), reverse=True)
    if missing:
        require_records_folder(place.paths.root)
        started = time.monotonic()
        subject = open_subject()
        coded: dict[int, list[Stretch]] = {}
        for D in missing:
            if D not in coded:
                stretches = subject.code(corpus.source_train, D, progress)
                coded |= {own.end: stretches[: i + 1] for i, own in enumerate(stretches)}
        _check_unchanged(corpus, place, missing)
        provenance = subject.provenance(time.monotonic() - started, len(missing))
        for D in missing:
            record = _record(subject, place, coded[D], corpus, provenance)
            path_of[D] = place.paths.record(record.run_id)
            write_record(record, path_of[D])
            place.paths.forget_coded(record.run_id)
    return [read_cell(path_of[D]) for D in subsets]


def _check_unchanged(corpus: Corpus, place: Place, subsets: Sequence[int]) -> None:
    """What was coded of a corpus that has changed is of no use to anyone."""
    try:
        corpus.check_unchanged()
    except ChangedError:
        for D in subsets:
            place.paths.forget_coded(place.run_id(D, place.config_of(D)))
        raise


def _record(
    subject: Subject, place: Place, stretches: Sequence[Stretch], corpus: Corpus, provenance: Provenance
) -> CellRecord:
    D = stretches[-1].end
    config = place.config_of(D, stretches)
    return CellRecord(
        run_id=place.run_id(D, config),
        sweep=place.paths.root.name,
        status="ok",
        reason=None,
        subset_bytes=D,
        config=config,
        cohort_id=f"{place.name}-{digest([place.config, provenance.created])}",
        corpus=corpus.info,
        model=subject.model,
        training=_UNTRAINED,
        snapshots=(_snapshot(subject, stretches),),
        provenance=provenance,
        tokens=subject.tokens(stretches),
        plugins=subject.plugins,
    )


_UNTRAINED = TrainingInfo(
    seed=0, n_steps=0, bytes_seen=0, flops=0.0, peak_learning_rate=0.0, first_bad_step=None, curve=()
)


def _snapshot(subject: Subject, stretches: Sequence[Stretch]) -> Snapshot:
    return Snapshot(
        name="final",
        step=0,
        weights_file=subject.weights_file,
        weights_sha256=subject.weights_sha256,
        segments=tuple(
            Segment(part="train", start_bytes=s.start, end_bytes=s.end, code_bits=s.token_bits + s.escape_bits)
            for s in stretches
        ),
        positions=(),
        stream=None,
    )


def subset_sizes(corpus: Corpus, sizes: Sequence[str | int] | str | int | None, option: str) -> list[int]:
    """Sizes D as they were written, several in one text by comma, ascending, each once; None: all of the corpus.

    MdlError, naming `option`, for what the corpus has not.
    """
    texts = sizes.split(",") if isinstance(sizes, str) else [sizes] if isinstance(sizes, int) else sizes
    wanted = sorted({parse_bytes(size) for size in texts}) if texts else [corpus.info.size_bytes]
    if wanted[0] < 1:
        raise MdlError(f"{option} must be at least 1 byte each, such as 100KB,1MB")
    if wanted[-1] > corpus.info.size_bytes:
        raise MdlError(
            f"{option} asks for {wanted[-1]:,} bytes of corpus '{corpus.info.source}', which has "
            f"{corpus.info.size_bytes:,}; ask for less"
        )
    return wanted
