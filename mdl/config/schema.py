"""One cell of a sweep as a frozen, checked configuration. Keys are flat and dotted, as in a W&B sweep file.

Every leaf name is unique, so `width` is as good as `model.width`. An unknown key or an impossible value is one MdlError
that names the key, the value and the nearest valid key.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from mdl.config.learning_rate import usual_learning_rate
from mdl.config.resolved import Execution, Measuring, Recipe, ResolvedConfig
from mdl.data import SOURCES, CorpusSpec
from mdl.errors import MdlError, nearest, quoted
from mdl.models import (
    MOST_DEPTH,
    MOST_VOCABULARY,
    MOST_WIDTH,
    Shape,
    check_shape,
    parse_size,
    shape_label,
    training_bytes,
    usual_heads,
    vocabulary_label,
)
from mdl.storage import digest
from mdl.units import VOCABULARY, parse_bytes, short_bytes


def _count(value: Any) -> Any:
    """Whole numbers as people and YAML write them: 1000, '1e3', 1_000."""
    if isinstance(value, str):
        value = float(value.replace("_", ""))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _bytes(value: Any) -> Any:
    try:
        return None if value is None else parse_bytes(value)
    except MdlError as error:  # pydantic adds the key to a ValueError
        raise ValueError(str(error)) from None


def _auto_or_number(value: Any) -> Any:
    return None if value == "auto" else value


Bytes = Annotated[int, BeforeValidator(_bytes)]
Count = Annotated[int, BeforeValidator(_count)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @cached_property
    def leaves(self) -> dict[str, Any]:
        """Names and values; of a sweep's cells many share their parts."""
        return dict(self)


class CorpusConfig(_Part):
    """Which bytes."""

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


class ModelConfig(_Part):
    """Which model shape: a size name, or width and depth."""

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
        explicit = (self.width is not None) + (self.depth is not None)
        if self.size is not None and (explicit or self.heads is not None):
            raise ValueError("give model.size or model.width and model.depth, not both")
        if self.size is None and explicit != 2:
            raise ValueError("give model.size, or both model.width and model.depth")
        return self

    def dimensions(self) -> tuple[int, int, int]:
        """(width, depth, heads)."""
        if self.size is not None:
            return parse_size(self.size)
        assert self.width is not None  # noqa: S101 - held by _one_way
        assert self.depth is not None  # noqa: S101
        return self.width, self.depth, self.heads or usual_heads(self.width)


class TrainConfig(_Part):
    """How it is trained. AdamW (0.9, 0.95); linear warm-up, flat, then linear decay."""

    seed: Count = Field(0, ge=0, lt=2**63, description="training seed: initial weights and data order")
    objective: Literal["subset", "prequential"] = Field(
        "subset", description="subset: passes over it; prequential: one, each window predicted before it is learned"
    )
    steps: Count = Field(1000, ge=1, description="optimiser steps")
    batch_windows: Count = Field(4, ge=1, le=1 << 16, description="windows of the context a step and member")
    learning_rate: Annotated[float | None, BeforeValidator(_auto_or_number)] = Field(
        None, gt=0, description="peak learning rate; auto: by width (mdl.config.learning_rate)"
    )
    lr_scale: float = Field(1.0, gt=0, description="this member's factor on the learning rate")
    weight_decay: float = Field(0.01, ge=0, description="decoupled, on matrices only")
    clip_norm: float = Field(1.0, gt=0, description="each member's gradient norm is clipped to this")
    warmup_steps: Count = Field(50, ge=0, description="linear warm-up, steps")
    decay_start: float = Field(0.5, ge=0, le=1, description="fraction of the steps after which the rate falls")
    final_lr_fraction: float = Field(0.05, ge=0, le=1, description="learning rate at the end, fraction of the peak")
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


class MeasureConfig(_Part):
    """What is coded after training."""

    reach_ratio: float = Field(10.0, ge=1, description="code up to the ladder boundary at or past ratio x D; 1: D only")
    stream_bytes: Bytes = Field(8192, ge=0, description="held-out bytes really entropy-coded, 0: none")
    coded_weights: bool = Field(
        False, description="the two-part code at every precision of the weights: codes the subset ten times more"
    )
    tune_steps: Count = Field(0, ge=0, description="steps on the subset that make up for rounding, up to 6 bits")


class RunConfig(_Part):
    """One cell."""

    subset_bytes: Bytes = Field(100_000, ge=1, description="D: the first D bytes of the shuffled corpus, bytes")
    corpus: CorpusConfig = CorpusConfig()
    model: ModelConfig
    train: TrainConfig = TrainConfig()
    measure: MeasureConfig = MeasureConfig()
    logger: Literal["none", "csv", "wandb"] = Field("none", description="curves of each member, beside the record")

    @model_validator(mode="after")
    def _what_tokens_can(self) -> Self:
        if self.model.vocabulary != VOCABULARY:
            if self.measure.coded_weights:
                raise ValueError("measure.coded_weights codes models of bytes only; use model.vocabulary 256")
            if self.train.objective == "prequential":
                raise ValueError("a prequential run cannot know the subset's byte pairs; use model.vocabulary 256")
        return self

    def flat(self) -> dict[str, Any]:
        """Dotted keys to values, every default and every automatic choice spelled out: what a record holds."""
        return dict(self._flat)

    def requested(self) -> dict[str, Any]:
        """Dotted keys to values as they were asked for, `auto` where nothing was: `from_flat` gives the same again."""
        asked = _flatten(self)
        return asked | {key: "auto" for key in _AUTOMATIC if asked[key] is None}

    @cached_property
    def resolved(self) -> ResolvedConfig:
        """Every choice made."""
        train, shape = self.train, self._shape
        return ResolvedConfig(
            subset_bytes=self.subset_bytes,
            corpus=self.corpus.spec(),
            shape=shape,
            recipe=Recipe(
                steps=train.steps,
                batch_windows=train.batch_windows,
                learning_rate=train.learning_rate or usual_learning_rate(shape.width, shape.depth),
                weight_decay=train.weight_decay,
                clip_norm=train.clip_norm,
                warmup_steps=train.warmup_steps,
                decay_start=train.decay_start,
                final_lr_fraction=train.final_lr_fraction,
                evaluate_every=train.evaluate_every,
                online=train.objective == "prequential",
            ),
            seed=train.seed,
            lr_scale=train.lr_scale,
            heldout_sample_bytes=train.heldout_sample_bytes,
            measure=Measuring(**self.measure.leaves),
            execution=Execution(
                n_devices=train.devices or _devices_that_fit(shape, train),
                devices_were_asked=train.devices is not None,
                threads=train.threads,
                memory_bytes=train.memory_bytes,
                checkpoint_seconds=train.checkpoint_seconds,
                logger=self.logger,
            ),
        )

    @cached_property
    def _shape(self) -> Shape:
        width, depth, heads = self.model.dimensions()
        return Shape(width, depth, heads, self.model.context_bytes, self.model.vocabulary)

    @cached_property
    def _flat(self) -> dict[str, Any]:
        width, depth, heads = self.model.dimensions()
        values = _flatten(self)
        values |= {"model.size": None, "model.width": width, "model.depth": depth, "model.heads": heads}
        if self.train.learning_rate is None:
            values["train.learning_rate"] = usual_learning_rate(width, depth)
        return values

    @cached_property
    def run_id(self) -> str:
        """Name + 8 hex of what the result depends on."""
        width, depth, heads = self.model.dimensions()
        told = {k: v for k, v in self._flat.items() if k not in _NOT_RESULT and (k not in _LATER or v != _LATER[k])}
        told |= {"plugins": self.plugins} if self.plugins else {}
        content = digest(told)
        shape = shape_label(width, depth, heads) + vocabulary_label(self.model.vocabulary)
        return f"{shape}-{short_bytes(self.subset_bytes)}-s{self.train.seed}-{content}"

    @property
    def plugins(self) -> dict[str, str]:
        """What of a user's own code the result depends on: the key that names it, and the SHA-256 of its source."""
        kind = self.corpus.source.partition(":")[0]
        sha256 = SOURCES.plugin_of(kind) if kind in SOURCES else None
        return {"corpus.source": sha256} if sha256 else {}

    def cohort_key(self) -> tuple[Any, ...]:
        """Equal for cells that train together: everything but the subset, its size, the seed and the rate's scale."""
        own = _MEMBER | (_ORDER if self.model.vocabulary == VOCABULARY else set())
        return tuple(v for k, v in self._flat.items() if k not in own)


# How a result is come by or watched, not what it is.
_NOT_RESULT = {"logger", "train.devices", "train.threads", "train.memory_bytes", "train.checkpoint_seconds"}
# Options added later: at their default they leave the names of older records as they are.
_LATER = {
    "measure.coded_weights": False, "measure.tune_steps": 0,
    "corpus.leak_fraction": 0.0, "corpus.deduplicate": False, "train.objective": "subset", "model.vocabulary": 256,
}  # fmt: skip
_AUTOMATIC = {"train.learning_rate", "train.devices"}  # chosen where nothing is asked for
_MEMBER = {"subset_bytes", "train.seed", "train.lr_scale"}
_ORDER = {"corpus.shuffle_seed", "corpus.leak_fraction"}  # of one corpus; its held-out part is the same in all


def _flatten(config: BaseModel) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key in type(config).model_fields:  # what is cached beside them is none
        value = getattr(config, key)
        if isinstance(value, _Part):
            flat |= {f"{key}.{name}": leaf for name, leaf in value.leaves.items()}
        else:
            flat[key] = value
    return flat


def _devices_that_fit(shape: Shape, train: TrainConfig) -> int:
    """The fewest that one member's estimated memory needs, among those that batches divide by; else 1."""
    divisors = (n for n in range(1, train.batch_windows + 1) if train.batch_windows % n == 0)
    fitting = (n for n in divisors if training_bytes(shape, train.batch_windows // n) <= train.memory_bytes)
    return next(fitting, 1)


_BATCH_BYTES = "train.batch_bytes"  # short for batch_windows


@cache
def valid_keys() -> dict[str, str]:
    """Every dotted key and its one-line description."""
    keys: dict[str, str] = {}
    for name, spec in RunConfig.model_fields.items():
        part = spec.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            keys |= {f"{name}.{leaf}": str(inner.description) for leaf, inner in part.model_fields.items()}
        else:
            keys[name] = str(spec.description)
    return keys | {_BATCH_BYTES: "bytes a step and member, in place of batch_windows: whole windows of the context"}


@cache
def full_key(key: str) -> str:
    """The dotted key that `key`, a dotted key or a leaf name, stands for; MdlError naming the nearest otherwise."""
    known = valid_keys()
    if key in known:
        return key
    by_leaf = {name.rsplit(".", 1)[-1]: name for name in known}
    if key in by_leaf:
        return by_leaf[key]
    raise MdlError(f"unknown key '{key}'{nearest(key, [*known, *by_leaf])}")


# Parts that were checked once, by name and text: a sweep of 10,000 cells has few.
_PARTS: dict[tuple[str, str], _Part] = {}


def from_flat(values: Mapping[str, Any]) -> RunConfig:
    """A checked RunConfig from dotted keys (or leaf names); MdlError in one line for a bad key or value."""
    nested: dict[str, Any] = {"model": {}}
    for key, value in values.items():
        if not isinstance(value, str | int | float | None):
            raise MdlError(f"{key}: want one number or word, got {quoted(value)}")
        *part, leaf = full_key(key).split(".")
        (nested.setdefault(part[0], {}) if part else nested)[leaf] = value
    _batch_in_windows(nested)
    if not nested["model"]:
        raise MdlError("no model: give model.size (such as 16x2), or model.width and model.depth")
    parts = {name: repr(part) for name, part in nested.items() if isinstance(part, dict)}
    try:
        config = RunConfig.model_validate(nested | {k: _PARTS[k, v] for k, v in parts.items() if (k, v) in _PARTS})
    except ValidationError as error:
        raise MdlError(_one_line(error)) from None
    _PARTS.update({(name, text): getattr(config, name) for name, text in parts.items()})
    check_shape(*config.model.dimensions())
    return config


def _batch_in_windows(nested: dict[str, Any]) -> None:
    """Contexts of a sweep are comparable where each step has as many bytes; a cell is named by its windows alone."""
    train = nested.get("train", {})
    if "batch_bytes" not in train:
        return
    given, context = (parse_bytes(v) for v in (train.pop("batch_bytes"), nested["model"].get("context_bytes", 256)))
    if "batch_windows" in train or given < context or given % context:
        raise MdlError(
            f"{_BATCH_BYTES}: {given:,} must be a multiple of model.context_bytes, {context:,}, and "
            "train.batch_windows left out"
        )
    train["batch_windows"] = given // context


def _one_line(error: ValidationError) -> str:
    """`key: message, got value` for the first thing wrong."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    text = first["msg"].removeprefix("Value error, ")
    if first["loc"] in ((), ("model",)):
        return text
    return (
        f"{key}: {text[0].lower()}{text[1:]}, got {quoted(first['input'])} ({valid_keys().get(key, 'see the README')})"
    )
