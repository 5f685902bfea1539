"""What is measured, as frozen records on disk. Bits, bytes, counts and seconds; rates are made in `analysis`.

A *cell* is one model shape trained on one subset with one seed; its record is
`<runs>/<sweep>/<run id>/record.json`. A *baseline* is one classical coder on one subset; its record is
`<runs>/<sweep>/baselines/<name>.json`. A record is written once, by a hard link: a reader never sees half
of one, and of two processes that made the same one the first has written it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from mdl.records.fields import KEY, FileName, Fraction, Positive, Signed, Text, Time

SCHEMA_VERSION = 1
MODALITIES = ("text", "image", "audio", "bytes")


@dataclass(frozen=True, kw_only=True)
class CorpusInfo:
    """Which bytes were coded. `size_bytes` and `sha256` are of the whole raw corpus before any shuffle."""

    source: Text  # as given, e.g. "stdlib", "file:/data/book.txt"
    modality: str  # text, image, audio or bytes
    size_bytes: int  # of the whole raw corpus
    sha256: str  # of the whole raw corpus, hexadecimal, as all hashes here
    block_bytes: int  # the unit of the shuffle
    shuffle_seed: int  # of the shuffle of blocks
    train_bytes: int  # length of the shuffled training part; every subset is a prefix of it
    heldout_bytes: int  # length of the part that no subset touches
    leak_fraction: Fraction = 0.0  # share of the training part's blocks replaced by held-out ones
    heldout_copied_bytes: int | None = None  # of the held-out part, those also in the training part before any leak
    deduplicated_bytes: int | None = None  # left out as copies of what stood before; None: none were to be left out


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The shape, and what it costs."""

    size: str  # "16x2": width x depth; a pretrained model's name
    width: int  # channels; 0: not known, as of a model of a user's own
    depth: int  # layers; 0: not known
    n_heads: int  # attention heads of a layer; 0: not known
    context_tokens: int = field(metadata={KEY: "context_bytes"})  # bytes without a tokenisation; 0: see TokenInfo
    n_params: Positive  # N, all parameters
    n_params_by_group: dict[str, int]  # the same by what they are for, such as embedding
    file_bytes: int | None = None  # of the weights as they lie on disk; None: not known


@dataclass(frozen=True)
class CurvePoint:
    """A look at the held-out sample during training: `code_bits` for `n_bytes` after `step` steps."""

    step: int  # training steps done
    n_bytes: int  # length of the sample
    code_bits: float  # its ideal code length


@dataclass(frozen=True, kw_only=True)
class TrainingInfo:
    """What was spent. FLOPs count every matrix product, the output head and attention included (3 × forward).

    Of a budget that branched off a trunk it is what a separate run would have spent, which it equals. `shared_steps` of
    it, and `shared_seconds` of the provenance, count in a shorter budget's record too; a sum leaves them out.
    """

    seed: int  # of the initial weights and of the order of the data
    n_steps: int  # optimizer steps
    bytes_seen: int  # trained on, each counted as often as it was seen
    flops: float  # floating-point operations of the whole training
    peak_learning_rate: float  # the highest of the schedule
    first_bad_step: int | None  # the first step whose loss was not finite
    curve: tuple[CurvePoint, ...]  # looks at the held-out sample, the earliest first
    shared_steps: int = 0  # of n_steps


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Ideal code length of bytes `[start_bytes, end_bytes)` of a part, each window of the context coded by itself.

    Boundaries stand on a fixed ladder (1, 3, 10, 30 … KB of 1000 bytes), at D and at the end of the part, whatever
    the sweep. What was not evaluated is absent. Those of `OverlappingCode` alone are of other windows.
    """

    part: Literal["train", "heldout"]  # of the corpus
    start_bytes: int  # where it begins in the part
    end_bytes: int  # where it ends, itself not in it
    code_bits: float  # ideal code length of its bytes


@dataclass(frozen=True, kw_only=True)
class PositionBin:
    """Held-out code length of the bytes whose position in their window is in `[start, end)`."""

    start: int  # first position, bytes from the beginning of the window
    end: int  # last one plus one
    n_bytes: int  # bytes at these positions, of all windows
    code_bits: float  # their ideal code length


@dataclass(frozen=True)
class StreamSample:
    """A real entropy-coded stream of the first `n_bytes` held-out bytes, beside the ideal length of the same bytes."""

    n_bytes: int  # coded
    ideal_bits: float  # their ideal code length
    stream_bytes: int  # true length of the stream


@dataclass(frozen=True, kw_only=True)
class CodedWeights:
    """The two-part code of the own subset [0, D) with the weights at one precision (see `weight_codec`)."""

    bits: int  # aimed at for a weight; 32: float32 as it is
    coder: str  # the one that made the fewest bits of them
    model_bits: int  # actual size of the coded weights, scales included
    data_bits: float  # ideal code length under the weights as they decode
    sample_bytes: Positive | None = None  # of the subset, by which data_bits were foretold; None: all of it was coded
    coded_file: FileName | None = None  # of weights trained for their code: where it lies, beside the record
    coded_sha256: str | None = None  # of that file
    density_bits: float | None = None  # what the densities that they were trained under give, step tables counted

    @property
    def total_bits(self) -> float:
        """The bits of both parts."""
        return self.model_bits + self.data_bits


@dataclass(frozen=True, kw_only=True)
class OverlappingCode:
    """A second code length, of windows that overlap or of a model mixed with contexts; never part of the first.

    A window begins `stride_bytes` after the last one. Of a part's first window all bytes count, of every other one its
    last `stride_bytes`, and the rest of it is context. An archive with that stride decodes it (`mdl.archives`). The
    length is the ideal one, but with `bucket_bits` that of the streams which `mdl.mixing` makes of the model's chances.
    """

    stride_bytes: Positive  # less than the context, or with bucket_bits at most that
    segments: tuple[Segment, ...]  # of the own subset [0, D) and of the held-out part
    bucket_bits: Positive | None = None  # memory of the contexts that the model is mixed with; None: it is not


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One set of weights and what it codes. `final` is after the last step, `best` had the least held-out sample."""

    name: Literal["final", "best"]  # which of the two
    step: int  # training steps done
    weights_file: Text  # beside the record, a name alone; of a pretrained model as it was given, hf:FOLDER
    weights_sha256: str  # of that file
    segments: tuple[Segment, ...]  # code lengths of the subset and of the held-out part, piece by piece
    positions: tuple[PositionBin, ...]  # code length of held-out bytes by their position in the window
    stream: StreamSample | None  # a real stream beside its ideal length; None: none was made
    coded: tuple[CodedWeights, ...] = ()  # one a precision, where measured
    overlapping: OverlappingCode | None = None  # None: not measured

    def own_bits(self, subset_bytes: int) -> float:
        """Ideal code length of the own subset [0, D)."""
        return sum(s.code_bits for s in self.segments if s.part == "train" and s.end_bytes <= subset_bytes)


@dataclass(frozen=True, kw_only=True)
class BudgetGain:
    """Of one budget of several, by which share it shortens the two-part code of the one before, at `train.price`.

    None: nothing was foretold with fewer than two budgets before it; nothing came where it is the first, or left out.
    """

    foretold: Fraction | None  # share foretold before it was trained, by the budgets before
    came: Signed | None  # share measured after it; below 0: the code grew


@dataclass(frozen=True)
class PrequentialPoint:
    """How far an online run had come, and what it had paid."""

    end_bytes: int  # of the subset
    code_bits: float  # of [0, end_bytes), each window coded before it was learned from; parameters cost nothing


@dataclass(frozen=True, kw_only=True)
class TokenInfo:
    """How a pretrained model's tokens stand for bytes. What they do not give back is escaped (`byte_fallback`).

    Of a model of a user's own every byte is a token.
    """

    n_tokens: int  # of the whole subset
    n_vocabulary: int  # logits
    context_tokens: int  # T, tokens of a window
    stride_tokens: int  # tokens from one window's beginning to the next one's
    starts_with_bos: bool  # or the model says itself what comes first; else that is coded uniformly (or `first_byte`)
    escaped_bytes: int  # coded raw
    escape_bits: int  # all that is not tokens: run lengths and raw bytes; within the segments
    weights_dtype: str  # as stored; of a model of a user's own that of its rows


@dataclass(frozen=True, kw_only=True)
class Tokenisation:
    """Byte pairs learned on the own subset, which a decoder has to be sent (`mdl.data.byte_pair_encoding`)."""

    vocabulary: int  # as asked for, bytes among them: rows of the embedding
    n_merges: int  # pairs that were learned
    tokenizer_bytes: int  # the merges, compressed: the file tokenizer.xz beside the record
    tokenizer_sha256: str  # of that file
    n_tokens: int  # of the whole subset
    n_heldout_tokens: int  # of the whole held-out part


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Everything that may differ between two runs of the same cell without changing the result."""

    created: Time  # ISO 8601, UTC
    command: Text  # the command line that made it
    git_commit: str | None  # of the checkout that ran; None: not known
    hostname: str  # name of the machine
    device: str  # name of the GPU or of the processor
    n_threads: int  # CPU threads of the process
    precision: str  # of the training: float32 or bf16, and whether compiled
    versions: dict[str, str]  # of Python, mdl and the packages that compute
    training_seconds: float  # of the whole cohort from its first step on: of a budget's branch with its trunk
    measuring_seconds: float  # of the whole cohort
    cohort_size: int  # cells that were made together
    shared_seconds: float = 0.0  # of training_seconds, those that a shorter budget's record counts too


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """One cell of a sweep. One that failed, or that shorter budgets made needless, has a `reason` and no snapshots."""

    run_id: FileName  # and of its folder
    sweep: str  # name of the sweep that it belongs to
    status: Literal["ok", "failed", "needless"]  # whether it has a result, broke, or was left out
    reason: Text | None  # why there is no result; None: there is one
    subset_bytes: Positive  # D
    config: dict[str, Any]  # the resolved RunConfig, flat dotted keys
    cohort_id: FileName  # of the cells that were trained together
    corpus: CorpusInfo  # what was coded
    model: ModelInfo  # its shape and its parameters
    training: TrainingInfo  # what was spent on it
    snapshots: tuple[Snapshot, ...]  # weights and their code lengths; the final ones first
    provenance: Provenance  # where, when and by what it was made
    kind: Literal["cell"] = "cell"  # tells a cell's record from a baseline's
    schema_version: int = SCHEMA_VERSION  # of this format
    tokens: TokenInfo | None = None  # of a pretrained model
    prequential: tuple[PrequentialPoint, ...] = ()  # of an online run
    tokenisation: Tokenisation | None = None  # of a model that reads tokens
    plugins: dict[str, str] = field(default_factory=dict)  # code of a user's own that it depends on: key to SHA-256
    n_byte_values: int | None = None  # different ones in the own subset; None: not counted
    requested: dict[str, Any] = field(default_factory=dict)  # `config` as asked for, "auto" and all; empty: not told
    budget: BudgetGain | None = None  # where longer budgets depend on what they gain (`train.until`)

    @property
    def is_pretrained(self) -> bool:
        """Whether its weights are another program's and lie elsewhere (the first records of such had no `tokens`)."""
        return self.tokens is not None or any(s.weights_file.startswith("hf:") for s in self.snapshots)


@dataclass(frozen=True, kw_only=True)
class BaselineRecord:
    """One classical coder on one subset. For a chunked run over a sample, sizes are of the sample.

    `header_bytes` is the coder's output for no input: the paper counts it once however many chunks there are.
    """

    coder: str  # its name, such as gzip
    settings: str  # its options, such as -9
    corpus: CorpusInfo  # what was coded
    subset_bytes: Positive  # D
    order: Literal["shuffled", "contiguous"]  # the subset itself, or the first D bytes of the source's training part
    chunk_bytes: int | None  # None: whole
    sample_bytes: Positive  # bytes actually coded
    n_chunks: int  # pieces, each compressed by itself
    compressed_bytes: int  # true size, a header a chunk
    header_bytes: int  # length of the output for no input
    seconds: float  # that compressing took
    version: str  # of the coder or its library
    kind: Literal["baseline"] = "baseline"  # tells a baseline's record from a cell's
    schema_version: int = SCHEMA_VERSION  # of this format
    plugin_sha256: str | None = None  # of a coder of a user's own
    decoder_bytes: int | None = None  # of the compiled library that decodes; None: not known
