"""What is measured, as frozen records on disk. Bits, bytes, counts and seconds; rates are made in `analysis`.

A *cell* is one model shape trained on one subset with one seed; its record is
`<runs>/<sweep>/<run id>/record.json`. A *baseline* is one classical coder on one subset; its record is
`<runs>/<sweep>/baselines/<name>.json`. A record is written once, by a hard link: a reader never sees half
of one, and of two processes that made the same one the first has written it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import re
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from mdl.errors import MdlError
from mdl.storage.atomic_files import create_once

SCHEMA_VERSION = 1
_VERSION = re.compile(rb'^ "schema_version": (\d+),?$', re.MULTILINE)
_ENDING = re.compile(rb'^ "status": "(ok|failed)",\n "reason": (null|".*"),$', re.MULTILINE)
T = TypeVar("T")


@dataclass(frozen=True)
class CorpusInfo:
    """Which bytes were coded. `size_bytes` and `sha256` are of the whole raw corpus before any shuffle."""

    source: str  # as given, e.g. "stdlib", "file:/data/book.txt"
    modality: str  # "text", "image", "audio", "bytes"
    size_bytes: int
    sha256: str
    block_bytes: int  # the unit of the shuffle
    shuffle_seed: int
    train_bytes: int  # length of the shuffled training part; every subset is a prefix of it
    heldout_bytes: int  # length of the part that no subset touches
    leak_fraction: float = 0.0  # share of the training part's blocks replaced by held-out ones


@dataclass(frozen=True)
class ModelInfo:
    """The shape, and what it costs."""

    size: str  # "16x2": width x depth; a pretrained model's name
    width: int
    depth: int
    n_heads: int
    context_bytes: int  # tokens where there is a tokenisation; 0: see TokenInfo
    n_params: int
    n_params_by_group: dict[str, int]


@dataclass(frozen=True)
class CurvePoint:
    """A look at the held-out sample during training: `code_bits` for `n_bytes` after `step` steps."""

    step: int
    n_bytes: int
    code_bits: float


@dataclass(frozen=True)
class TrainingInfo:
    """What was spent. FLOPs count every matrix product, the output head and attention included (3 × forward)."""

    seed: int
    n_steps: int
    bytes_seen: int
    flops: float
    peak_learning_rate: float
    first_bad_step: int | None  # the first step whose loss was not finite
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class Segment:
    """Ideal code length of bytes `[start_bytes, end_bytes)` of a part, each window of the context coded by itself.

    Boundaries stand on a fixed ladder (1, 3, 10, 30 … KB of 1000 bytes), at D and at the end of the part, whatever
    the sweep. What was not evaluated is absent.
    """

    part: Literal["train", "heldout"]
    start_bytes: int
    end_bytes: int
    code_bits: float


@dataclass(frozen=True)
class PositionBin:
    """Held-out code length of the bytes whose position in their window is in `[start, end)`."""

    start: int
    end: int
    n_bytes: int
    code_bits: float


@dataclass(frozen=True)
class StreamSample:
    """A real entropy-coded stream of the first `n_bytes` held-out bytes, beside the ideal length of the same bytes."""

    n_bytes: int
    ideal_bits: float
    stream_bytes: int


@dataclass(frozen=True)
class CodedWeights:
    """The two-part code of the own subset [0, D) with the weights at one precision (see `weight_codec`)."""

    bits: int  # aimed at for a weight; 32: float32 as it is
    coder: str  # the one that made the fewest bits of them
    model_bits: int  # actual size of the coded weights, scales included
    data_bits: float  # ideal code length under the weights as they decode

    @property
    def total_bits(self) -> float:
        """Both parts."""
        return self.model_bits + self.data_bits


@dataclass(frozen=True)
class Snapshot:
    """One set of weights and what it codes. `final` is after the last step, `best` had the least held-out sample."""

    name: Literal["final", "best"]
    step: int
    weights_file: str  # beside the record
    weights_sha256: str
    segments: tuple[Segment, ...]
    positions: tuple[PositionBin, ...]
    stream: StreamSample | None
    coded: tuple[CodedWeights, ...] = ()  # one a precision, where measured


@dataclass(frozen=True)
class PrequentialPoint:
    """How far an online run had come, and what it had paid."""

    end_bytes: int  # of the subset
    code_bits: float  # of [0, end_bytes), each window coded before it was learned from; parameters cost nothing


@dataclass(frozen=True)
class TokenInfo:
    """How a pretrained model's tokens stand for bytes. What they do not give back is escaped (`byte_fallback`)."""

    n_tokens: int  # of the whole subset
    n_vocabulary: int  # logits
    context_tokens: int
    stride_tokens: int
    starts_with_bos: bool  # else each window's first token is coded uniformly
    escaped_bytes: int  # coded raw
    escape_bits: int  # all that is not tokens: run lengths and raw bytes; within the segments
    weights_dtype: str  # as stored


@dataclass(frozen=True)
class Tokenisation:
    """Byte pairs learned on the own subset, which a decoder has to be sent (`mdl.data.byte_pair_encoding`)."""

    vocabulary: int  # as asked for, bytes among them: rows of the embedding
    n_merges: int
    tokenizer_bytes: int  # the merges, compressed: the file tokenizer.xz beside the record
    tokenizer_sha256: str
    n_tokens: int  # of the whole subset
    n_heldout_tokens: int  # of the whole held-out part


@dataclass(frozen=True)
class Provenance:
    """Everything that may differ between two runs of the same cell without changing the result."""

    created: str  # ISO 8601, UTC
    command: str
    git_commit: str | None
    hostname: str
    device: str
    n_threads: int
    precision: str
    versions: dict[str, str]
    training_seconds: float  # of the whole cohort
    measuring_seconds: float  # of the whole cohort
    cohort_size: int


@dataclass(frozen=True)
class CellRecord:
    """One cell of a sweep. A failed one has a `reason` and no snapshots."""

    run_id: str
    sweep: str
    status: Literal["ok", "failed"]
    reason: str | None
    subset_bytes: int  # D
    config: dict[str, Any]  # the resolved RunConfig, flat dotted keys
    cohort_id: str
    corpus: CorpusInfo
    model: ModelInfo
    training: TrainingInfo
    snapshots: tuple[Snapshot, ...]
    provenance: Provenance
    kind: Literal["cell"] = "cell"
    schema_version: int = SCHEMA_VERSION
    tokens: TokenInfo | None = None  # of a pretrained model
    prequential: tuple[PrequentialPoint, ...] = ()  # of an online run
    tokenisation: Tokenisation | None = None  # of a model that reads tokens


@dataclass(frozen=True)
class BaselineRecord:
    """One classical coder on one subset. For a chunked run over a sample, sizes are of the sample.

    `header_bytes` is the coder's output for no input: the paper counts it once however many chunks there are.
    """

    coder: str
    settings: str
    corpus: CorpusInfo
    subset_bytes: int  # D
    order: Literal["shuffled", "contiguous"]  # the subset itself, or the first D bytes of the source's training part
    chunk_bytes: int | None  # None: whole
    sample_bytes: int  # bytes actually coded
    n_chunks: int
    compressed_bytes: int  # true size, a header a chunk
    header_bytes: int
    seconds: float
    version: str
    kind: Literal["baseline"] = "baseline"
    schema_version: int = SCHEMA_VERSION


def ladder(limit_bytes: int) -> list[int]:
    """Segment boundaries 1, 3, 10, 30 … KB (1 KB = 1000 bytes) below `limit_bytes`."""
    steps = (m * 10**k for k in range(3, 19) for m in (1, 3))
    return [b for b in steps if b < limit_bytes]


def digest(value: Any) -> str:
    """8 hex of anything JSON can say, the same on every machine."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def to_json(record: CellRecord | BaselineRecord) -> bytes:
    """The record as JSON. NaN and infinity are refused: a measurement that failed is a failed cell, not a number."""
    try:
        text = json.dumps(dataclasses.asdict(record), indent=1, allow_nan=False, sort_keys=False)
    except ValueError as error:
        raise MdlError(f"a record may not hold NaN or infinity ({error})") from None
    return text.encode() + b"\n"


def save(record: CellRecord | BaselineRecord, path: Path) -> None:
    """Write a record, wholly or not at all. Where there is one already it stays: a record is unique."""
    create_once(path, to_json(record))


def load_cell(path: Path) -> CellRecord:
    """Read a cell's record; MdlError for a file that is not one, or is of a newer schema."""
    return load_as(path, CellRecord, "cell")


def ending(path: Path) -> tuple[str, str | None]:
    """How a cell ended, "ok" or "failed", and why, from the ends of the file alone: a sweep may have 10,000 cells.

    MdlError for a file that is not a record, or is of a newer schema.
    """
    with path.open("rb", buffering=0) as stream:
        head = stream.read(1024)
        stream.seek(-min(1024, stream.seek(0, os.SEEK_END)), os.SEEK_END)
        tail = stream.read()
    version, how = _VERSION.search(tail), _ENDING.search(head)
    if how and version and int(version[1]) <= SCHEMA_VERSION and tail.endswith(b"}\n"):
        return how[1].decode(), json.loads(how[2])
    record = load_cell(path)  # says what is wrong with it
    return record.status, record.reason


def load_baseline(path: Path) -> BaselineRecord:
    """Read a baseline's record; MdlError for a file that is not one, or is of a newer schema."""
    return load_as(path, BaselineRecord, "baseline")


def load_as(path: Path, cls: type[T], kind: str) -> T:
    """Read a record of a kind as its dataclass; MdlError for a file that is not one, or is of a newer schema."""
    try:
        raw = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except (ValueError, UnicodeDecodeError) as error:
        raise MdlError(f"{path} is not a record: {error}; delete it to have it made again") from None
    if not isinstance(raw, dict) or raw.get("kind") != kind:
        raise MdlError(f"{path} is not a {kind} record; delete it to have it made again")
    version = raw.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise MdlError(f"{path} has schema version {version}, this mdl reads up to {SCHEMA_VERSION}; upgrade mdl")
    try:
        return typing.cast(T, _decode(raw, cls))
    except (TypeError, ValueError, KeyError) as error:
        raise MdlError(f"{path} is not a {kind} record: {error}; delete it to have it made again") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a measurement")


def _decode(value: Any, annotation: Any) -> Any:  # noqa: C901 - one branch a JSON form, flat
    """`value` (parsed JSON) as an instance of `annotation`: dataclasses, tuples, optionals, literals, scalars."""
    origin = typing.get_origin(annotation)
    if dataclasses.is_dataclass(annotation):
        return _decode_dataclass(value, typing.cast(type, annotation))
    if origin is tuple:
        return tuple(_decode(item, typing.get_args(annotation)[0]) for item in value)
    if origin is dict:
        of = typing.get_args(annotation)[1]
        return {str(k): _decode(v, of) for k, v in value.items()}
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _decode(value, next(a for a in typing.get_args(annotation) if a is not type(None)))
    if origin is Literal:
        if value not in typing.get_args(annotation):
            raise ValueError(f"{value!r} is not one of {typing.get_args(annotation)}")
        return value
    if annotation is Any:
        return value
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, annotation) or (isinstance(value, bool) and annotation is not bool):
        raise TypeError(f"{value!r} is not {annotation.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value!r} is not a measurement")
    return value


def _decode_dataclass(value: Any, cls: type) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not {cls.__name__}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for name, spec in fields.items():
        if name not in value and spec.default is dataclasses.MISSING:
            raise KeyError(f"{cls.__name__}.{name} is missing")
    return cls(**{name: _decode(value[name], hints[name]) for name in fields if name in value})


@dataclass(frozen=True)
class RunPaths:
    """Where everything of one sweep lies. Nothing else in the code joins paths under a run folder."""

    root: Path  # <runs>/<sweep>
    manifest: Path = field(init=False)  # sweep.json: written when a sweep starts; the newest marks the newest sweep
    baselines: Path = field(init=False)
    cohorts: Path = field(init=False)
    claims: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "manifest", self.root / "sweep.json")
        object.__setattr__(self, "baselines", self.root / "baselines")
        object.__setattr__(self, "cohorts", self.root / "cohorts")
        object.__setattr__(self, "claims", self.root / "claims")

    @staticmethod
    def newest(runs: Path) -> Path:
        """The folder of the sweep started last under `runs`; MdlError where there is none."""
        manifests = sorted(runs.glob("*/sweep.json"), key=lambda path: path.stat().st_mtime_ns)
        if not manifests:
            raise MdlError(f"no sweep in {runs}/; run 'mdl sweep sweeps/quick.yaml' first, or name what you mean")
        return manifests[-1].parent

    def record(self, run_id: str) -> Path:
        """A cell's record."""
        return self.root / run_id / "record.json"

    def baseline(self, name: str) -> Path:
        """A classical coder's record."""
        return self.baselines / f"{name}.json"

    def weights(self, run_id: str, file_name: str) -> Path:
        """A snapshot's weights, beside the record."""
        return self.root / run_id / file_name

    def tokenizer(self, run_id: str) -> Path:
        """The merges of a cell that reads tokens, beside the record."""
        return self.root / run_id / "tokenizer.xz"

    def checkpoint(self, cohort_id: str) -> Path:
        """The state of an unfinished cohort."""
        return self.cohorts / f"{cohort_id}.ckpt"

    def forget_checkpoint(self, cohort_id: str) -> None:
        """Remove it, and the folder with the last one."""
        self.checkpoint(cohort_id).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, or already gone
            self.cohorts.rmdir()
