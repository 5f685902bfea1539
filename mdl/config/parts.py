"""The parts of a configuration: every key with its range, its default and its one line of description."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mdl.data import CorpusSpec
from mdl.errors import MdlError
from mdl.models import ARCHITECTURES, MOST_DEPTH, MOST_VOCABULARY, MOST_WIDTH, TRANSFORMER, parse_size, usual_heads
from mdl.optimizers import OPTIMIZERS, usual_optimizer
from mdl.records import MOST_COUNT, MOST_MEASUREMENT, Registry
from mdl.units import VOCABULARY, parse_bytes

LEAST_BITS, MOST_BITS = 2, 8  # of a weight trained for its code (`mdl.quantization.density_codec`)


def _count(value: Any) -> Any:
    """Whole numbers as people and YAML write them: 1000, '1e3', 1_000."""
    if isinstance(value, str):
        try:
            value = float(value.replace("_", ""))
        except ValueError:
            raise ValueError("want a whole number") from None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _bytes(value: Any) -> Any:
    try:
        return None if value is None else parse_bytes(value)
    except MdlError as error:  # pydantic adds the key to a ValueError
        raise ValueError(str(error)) from None


def _weight_bits(value: Any) -> int | Literal["auto"] | None:
    """Of a weight trained for its code; None where it is not."""
    if value is None or value == "auto":
        return value  # type: ignore[no-any-return]
    bits = value if isinstance(value, str) and not value.isdecimal() else _count(value)
    if isinstance(bits, bool) or not isinstance(bits, int) or not LEAST_BITS <= bits <= MOST_BITS:
        raise ValueError(f"want auto, or a whole number of {LEAST_BITS} to {MOST_BITS} bits")
    return bits


def _auto_or_number(value: Any) -> Any:
    return None if value == "auto" else value


def _price(value: Any) -> float | str:
    if value == "coded":
        return "coded"
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError("want a number of bytes above 0, or coded")
    return number


def _known_in(registry: Registry[Any]) -> AfterValidator:
    """A name that is registered."""

    def known(name: str) -> str:
        try:
            _ = registry[name]
        except MdlError as error:  # pydantic adds the key to a ValueError
            raise ValueError(str(error)) from error
        return name

    return AfterValidator(known)


def _of_recipe(usual: Callable[[dict[str, Any]], Any]) -> BeforeValidator:
    """`auto`, which is the default, as the recipe has it: `usual` of the keys that stand above."""

    def said(value: Any, info: ValidationInfo) -> Any:
        try:
            return usual(info.data) if value == "auto" else value
        except KeyError:  # a key above is wrong, and is what the user is told of
            return value

    return BeforeValidator(said)


def _optimizer(above: dict[str, Any]) -> str:
    return usual_optimizer(above["recipe"])


def _weight_decay(above: dict[str, Any]) -> float:
    return OPTIMIZERS[above["optimizer"]].weight_decay(above["recipe"])


def _decay_start(above: dict[str, Any]) -> float:
    """Recipe 2's is late: trainings of other lengths share the flat part of the longest."""
    return {1: 0.5, 2: 0.7}[above["recipe"]]


Bytes = Annotated[int, BeforeValidator(_bytes)]
Count = Annotated[int, BeforeValidator(_count)]


class Part(BaseModel):
    """Keys that share the name before the dot."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @cached_property
    def leaves(self) -> dict[str, Any]:
        """Names and values; of a sweep's cells many share their parts."""
        return dict(self)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python takes true for 1, so that `recipe: true` would train without a word."""
        field = cls.model_fields[str(info.field_name)]
        says_itself = any(isinstance(one, PlainValidator) for one in field.metadata)
        if isinstance(value, bool) and not says_itself and bool not in (field.annotation, *get_args(field.annotation)):
            raise ValueError("takes neither true nor false")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _no_more_than_a_record_holds(cls, value: Any) -> Any:
        """What a record cannot hold would be trained, and then not be read."""
        most = {int: MOST_COUNT, float: MOST_MEASUREMENT}.get(type(value))
        if most is not None and value > most:
            raise ValueError(f"want at most {most:g}")
        return value


class CorpusConfig(Part):
    """Which bytes are coded, and in which order."""

    source: str = Field(
        "stdlib",
        description="a path | file:PATH | rows:PATH | bytes:PATH | image:PATH | audio:PATH | stdlib | random:BYTES | "
        "enwik8 | enwik9 | hf:NAME",
    )
    shuffle_seed: Count = Field(0, ge=0, lt=2**63, description="seed of the block shuffle")
    block_bytes: Bytes = Field(4096, ge=1, description="unit of the shuffle, bytes")
    heldout_bytes: Bytes | None = Field(None, ge=1, description="bytes that no subset touches; null: chosen by size")
    leak_fraction: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of every subset's blocks replaced by held-out ones, on purpose",
    )
    deduplicate: bool = Field(False, description="leave out documents and stretches that stood in the corpus before")

    def spec(self) -> CorpusSpec:
        """The same, for `open_corpus`."""
        return CorpusSpec(**self.leaves)


class ModelConfig(Part):
    """Which model: its architecture, and its shape as a size name, or width and depth."""

    architecture: Annotated[str, _known_in(ARCHITECTURES)] = Field(
        TRANSFORMER, description="transformer, mingru, or the name of one that a plugin registers"
    )

    size: str | None = Field(None, description="width x depth, such as 16x2, or a preset such as paper-200k")
    width: Count | None = Field(None, ge=2, le=MOST_WIDTH, description="residual width, dimensions")
    depth: Count | None = Field(None, ge=1, le=MOST_DEPTH, description="layers")
    heads: Count | None = Field(None, ge=1, description="attention heads; null: width / 32, at least 1")
    context_bytes: Bytes = Field(256, ge=2, le=2**20, description="window length, bytes; tokens where there are")
    vocabulary: Count = Field(
        VOCABULARY, ge=VOCABULARY, le=MOST_VOCABULARY, description="256: bytes; more: byte pairs learned on the subset"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.size is None:
            if self.width is None or self.depth is None:
                raise ValueError("give model.size, or both model.width and model.depth")
        elif any(value is not None for value in (self.width, self.depth, self.heads)):
            raise ValueError("give model.size or model.width and model.depth, not both")
        return self

    def dimensions(self) -> tuple[int, int, int]:
        """Width, depth and number of heads, whichever way they were given."""
        if self.size is not None:
            return parse_size(self.size)
        assert self.width is not None  # noqa: S101 - held by _one_way
        assert self.depth is not None  # noqa: S101
        return self.width, self.depth, self.heads or usual_heads(self.width)


class TrainConfig(Part):
    """How it is trained: linear warm-up, flat, then linear decay. The recipe says what is `auto`, for ever."""

    recipe: Literal[1, 2] = Field(1, description="version of the block, the optimizer and the rates; 1 where not said")
    seed: Count = Field(0, ge=0, lt=2**63, description="training seed: initial weights and data order")
    objective: Literal["subset", "prequential"] = Field(
        "subset", description="subset: passes over it; prequential: one, each window predicted before it is learned"
    )
    steps: Count = Field(
        1000,
        ge=1,
        description="optimizer steps; a sweep's also auto(1500, 24000), doublings until one gains too little",
    )
    until: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="a longer budget is left out if it is predicted to shorten the two-part code by a smaller share",
    )
    price: Annotated[float | Literal["coded"], PlainValidator(_price)] = Field(
        2.0, description="bytes per parameter in the two-part code of `until`; coded: what its coded weights take"
    )
    batch_windows: Count = Field(4, ge=1, le=1 << 16, description="windows of the context per step and member")
    optimizer: Annotated[str, _of_recipe(_optimizer), _known_in(OPTIMIZERS)] = Field(
        "auto", validate_default=True, description="adamw | muon | a plugin's; auto: adamw with recipe 1, muon with 2"
    )
    learning_rate: Annotated[float | None, BeforeValidator(_auto_or_number)] = Field(
        None,
        gt=0,
        description="peak rate, of muon the matrices'; auto: by optimizer, recipe and shape",
    )
    lr_scale: float = Field(1.0, gt=0, description="this member's factor on the learning rate")
    weight_decay: Annotated[float, _of_recipe(_weight_decay)] = Field(
        "auto",
        validate_default=True,
        ge=0,
        description="decoupled, on matrices (of muon not the embedding); auto: .01 with recipe 1 and AdamW, else .1",
    )
    clip_norm: float = Field(1.0, gt=0, description="each member's gradient norm is clipped to this")
    warmup_steps: Count = Field(50, ge=0, description="linear warm-up, steps")
    decay_start: Annotated[float, _of_recipe(_decay_start)] = Field(
        "auto",
        validate_default=True,
        ge=0,
        le=1,
        description="fraction of the steps after which the rate falls; auto: .5 with recipe 1, .7 with 2",
    )
    final_lr_fraction: float = Field(
        0.05, ge=0, le=1, description="learning rate at the end, fraction of the peak; 0 of rounded weights"
    )
    weight_bits: Annotated[int | Literal["auto"] | None, PlainValidator(_weight_bits)] = Field(
        None,
        description="train for weights and data together, weights rounded to 2 … 8 bits at most; auto: as many as pay; "
        "null: for the data alone",
    )
    rounding_start: Annotated[float | None, BeforeValidator(_auto_or_number)] = Field(
        None, ge=0, lt=1, description="fraction of the steps after which weights are rounded; auto: decay_start"
    )
    evaluate_every: Count = Field(100, ge=1, description="steps between looks at the held-out sample")
    heldout_sample_bytes: Bytes = Field(16384, ge=1, description="size of that sample, bytes")
    precision: Literal["auto", "float32", "bf16"] = Field("auto", description="auto: bf16 autocast on a GPU")
    compile: Literal["auto"] | bool = Field("auto", description="torch.compile: auto (on a GPU), true or false")
    threads: Count = Field(1, ge=1, le=1024, description="CPU threads of one process; cohorts run side by side instead")
    devices: Annotated[Count | None, BeforeValidator(_auto_or_number)] = Field(
        None, ge=1, le=1024, description="GPUs of a host that share every batch; auto: 1, or what one member needs"
    )
    memory_bytes: Bytes = Field(8 * 10**9, ge=1, description="a cohort is split where its estimate exceeds this")
    checkpoint_seconds: float = Field(60, gt=0, description="an unfinished cohort is saved this often")


class MeasureConfig(Part):
    """What is coded after training."""

    reach_ratio: float = Field(10.0, ge=1, description="code up to the ladder boundary at or past ratio x D; 1: D only")
    stream_bytes: Bytes = Field(8192, ge=0, description="held-out bytes really entropy-coded, 0: none")
    coded_weights: bool = Field(
        False, description="the two-part code at every precision of the weights: codes the subset ten times more"
    )
    tune_steps: Count = Field(0, ge=0, description="steps on the subset that make up for rounding, up to 6 bits")
    stride_bytes: Bytes | None = Field(
        None,
        ge=1,
        description="a second code length too, of windows that begin every so many bytes, at context / stride the cost "
        "of the first; null: none",
    )
    contexts: bool = Field(
        False,
        description="a second code length too, of the model mixed with contexts that cost no parameters, at some "
        "microseconds of a processor a byte; takes the extra 'mixing'",
    )
