"""One cell of a sweep as a frozen, checked configuration, and the name that it gives its run."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from mdl.config.parts import MOST_BITS, Bytes, CorpusConfig, MeasureConfig, ModelConfig, Part, TrainConfig
from mdl.config.resolved import Execution, Measuring, Recipe, ResolvedConfig
from mdl.data import SOURCES
from mdl.models import (
    ARCHITECTURES,
    TRANSFORMER,
    Shape,
    architecture_label,
    check_shape,
    shape_label,
    training_bytes,
    vocabulary_label,
)
from mdl.optimizers import OPTIMIZERS
from mdl.storage import digest
from mdl.units import VOCABULARY, short_bytes


class RunConfig(Part):
    """One cell of a sweep, as it was asked for."""

    subset_bytes: Bytes = Field(100_000, ge=1, description="D: the first D bytes of the shuffled corpus, or all")
    corpus: CorpusConfig = CorpusConfig()
    model: ModelConfig
    train: TrainConfig = TrainConfig()
    measure: MeasureConfig = MeasureConfig()
    logger: Literal["none", "csv", "wandb"] = Field("none", description="curves of each member, beside the record")

    @model_validator(mode="after")
    def _what_the_architecture_can(self) -> Self:
        name = self.model.architecture
        if self.measure.coded_weights and ARCHITECTURES[name].coded is None:
            raise ValueError(f"measure.coded_weights is not possible with the architecture '{name}'; leave it out")
        if self.model.vocabulary != VOCABULARY and not ARCHITECTURES[name].reads_tokens:
            raise ValueError(f"the architecture '{name}' reads bytes only; use model.vocabulary 256")
        return self

    @model_validator(mode="after")
    def _what_tokens_can(self) -> Self:
        if self.model.vocabulary != VOCABULARY:
            if self.measure.coded_weights:
                raise ValueError("measure.coded_weights codes models of bytes only; use model.vocabulary 256")
            if self.train.objective == "prequential":
                raise ValueError("a prequential run cannot know the subset's byte pairs; use model.vocabulary 256")
        return self

    @model_validator(mode="after")
    def _what_rounding_needs(self) -> Self:
        train, name = self.train, self.model.architecture
        if train.weight_bits is None:
            if train.rounding_start is not None:
                raise ValueError("train.rounding_start goes with train.weight_bits; set that, or leave both out")
            return self
        if ARCHITECTURES[name].coded is None or self.model.vocabulary != VOCABULARY:
            raise ValueError(
                "train.weight_bits trains for coded weights, which models of bytes have whose architecture codes them; "
                f"leave it out, or use model.vocabulary 256 and transformer or mingru, not '{name}'"
            )
        if train.objective == "prequential":
            raise ValueError("train.weight_bits: a prequential run sends no weights; leave it out")
        return self

    @model_validator(mode="after")
    def _price_that_is_measured(self) -> Self:
        if self.train.until and self.train.price == "coded" and not self.measure.coded_weights:
            raise ValueError("train.price coded goes by coded weights; set measure.coded_weights to true")
        return self

    @model_validator(mode="after")
    def _what_a_second_code_needs(self) -> Self:
        stride, context = self.measure.stride_bytes, self.model.context_bytes
        key = "measure.contexts" if self.measure.contexts else "measure.stride_bytes"
        if stride is None and not self.measure.contexts:
            return self
        if stride is not None and stride >= context:
            raise ValueError(
                f"measure.stride_bytes must be less than the window, model.context_bytes {context}, got {stride}; "
                "leave it out for windows side by side"
            )
        if self.train.objective == "prequential":
            raise ValueError(f"{key}: a prequential run codes each window once; leave it out")
        if self.model.vocabulary != VOCABULARY:
            raise ValueError(
                f"{key} measures what archives of bytes decode, and models of tokens have no archives; "
                "use model.vocabulary 256, or leave it out"
            )
        return self

    def flat(self) -> dict[str, Any]:
        """Dotted keys to values, every default and every automatic choice spelled out: what a record holds."""
        return dict(self._flat)

    def requested(self) -> dict[str, Any]:
        """Dotted keys to values as they were asked for: `from_flat` gives the same again.

        Where nothing was, what the recipe says for ever, and `auto` for what a shape or a machine decides.
        """
        asked = _flatten(self)
        return asked | {key: "auto" for key in _AUTOMATIC if asked[key] is None}

    @cached_property
    def resolved(self) -> ResolvedConfig:
        """The same with every choice made."""
        train, shape = self.train, self._shape
        return ResolvedConfig(
            subset_bytes=self.subset_bytes,
            corpus=self.corpus.spec(),
            shape=shape,
            recipe=Recipe(
                version=train.recipe,
                steps=train.steps,
                batch_windows=train.batch_windows,
                optimizer=train.optimizer,
                learning_rate=self._learning_rate,
                weight_decay=train.weight_decay,
                clip_norm=train.clip_norm,
                warmup_steps=train.warmup_steps,
                decay_start=train.decay_start,
                final_lr_fraction=train.final_lr_fraction,
                weight_bits=MOST_BITS if train.weight_bits == "auto" else train.weight_bits or 0,
                rounding_start=1.0 if self._rounding_start is None else self._rounding_start,
                evaluate_every=train.evaluate_every,
                online=train.objective == "prequential",
            ),
            seed=train.seed,
            lr_scale=train.lr_scale,
            heldout_sample_bytes=train.heldout_sample_bytes,
            until=train.until,
            price=train.price,
            measure=Measuring(**self.measure.leaves | {"stride_bytes": self.measure.stride_bytes or 0}),
            execution=Execution(
                n_devices=train.devices or _devices_that_fit(shape, train),
                devices_were_asked=train.devices is not None,
                threads=train.threads,
                memory_bytes=train.memory_bytes,
                checkpoint_seconds=train.checkpoint_seconds,
                logger=self.logger,
            ),
        )

    def check_shape(self) -> None:
        """MdlError for a shape that its architecture does not have."""
        check_shape(self._shape)

    @cached_property
    def _shape(self) -> Shape:
        width, depth, heads = self.model.dimensions()
        architecture = self.model.architecture
        return Shape(
            width,
            depth,
            heads,
            context_tokens=self.model.context_bytes,
            vocabulary=self.model.vocabulary,
            block=min(self.train.recipe, ARCHITECTURES[architecture].n_blocks),
            architecture=architecture,
        )

    @cached_property
    def _flat(self) -> dict[str, Any]:
        width, depth, heads = self.model.dimensions()
        values = _flatten(self)
        values |= {"model.size": None, "model.width": width, "model.depth": depth, "model.heads": heads}
        return values | {"train.learning_rate": self._learning_rate, "train.rounding_start": self._rounding_start}

    @property
    def _learning_rate(self) -> float:
        (width, depth, _), train = self.model.dimensions(), self.train
        return train.learning_rate or OPTIMIZERS[train.optimizer].learning_rate(width, depth, train.recipe)

    @property
    def _rounding_start(self) -> float | None:
        train = self.train
        asked = train.rounding_start
        return train.decay_start if asked is None and train.weight_bits is not None else asked

    @cached_property
    def run_id(self) -> str:
        """Name + 8 hex of what the result depends on."""
        width, depth, heads = self.model.dimensions()
        settings = {k: v for k, v in self._flat.items() if k not in _NOT_RESULT and (k not in _LATER or v != _LATER[k])}
        settings |= {"plugins": self.plugins} if self.plugins else {}
        content = digest(settings)
        shape = shape_label(width, depth, heads) + vocabulary_label(self.model.vocabulary)
        shape = architecture_label(self.model.architecture) + shape
        return f"{shape}-{short_bytes(self.subset_bytes)}-s{self.train.seed}-{content}"

    @property
    def plugins(self) -> dict[str, str]:
        """What of a user's own code the result depends on: the key that names it, and the SHA-256 of its source."""
        kind, optimizer = self.corpus.source.partition(":")[0], self.train.optimizer
        found = {
            "corpus.source": SOURCES.plugin_of(kind) if kind in SOURCES else None,
            "train.optimizer": OPTIMIZERS.plugin_of(optimizer),
            "model.architecture": ARCHITECTURES.plugin_of(self.model.architecture),
        }
        return {key: sha256 for key, sha256 in found.items() if sha256}

    def cohort_key(self) -> tuple[Any, ...]:
        """Equal for cells that train together: everything but the subset, its size, the seed and the rate's scale.

        And but the number of steps, where runs of several have a flat phase in common.
        """
        per_member = _MEMBER | (_ORDER if self.model.vocabulary == VOCABULARY else set())
        if self.train.objective == "subset" and self.train.decay_start > 0:
            per_member = per_member | _BUDGET
        return tuple(v for k, v in self._flat.items() if k not in per_member)

    def member_key(self) -> tuple[Any, ...]:
        """Equal for cells that differ only in their number of steps."""
        return tuple(v for k, v in self._flat.items() if k not in _BUDGET)


# How a run is executed or logged, or whether at all, not its result.
_NOT_RESULT = {
    "logger",
    "train.devices",
    "train.threads",
    "train.memory_bytes",
    "train.checkpoint_seconds",
    "train.until",
    "train.price",
}
# Options added later: at their default they leave the names of older records as they are.
_LATER = {
    "measure.coded_weights": False,
    "measure.tune_steps": 0,
    "measure.stride_bytes": None,
    "measure.contexts": False,
    "corpus.leak_fraction": 0.0,
    "corpus.deduplicate": False,
    "train.objective": "subset",
    "model.vocabulary": 256,
    "model.architecture": TRANSFORMER,
    "train.recipe": 1,
    "train.optimizer": "adamw",
    "train.weight_bits": None,
    "train.rounding_start": None,
}
_AUTOMATIC = {"train.learning_rate", "train.devices"}  # chosen where nothing is asked for
_MEMBER = {"subset_bytes", "train.seed", "train.lr_scale"}
_BUDGET = {"train.steps"}
_ORDER = {"corpus.shuffle_seed", "corpus.leak_fraction"}  # of one corpus; its held-out part is the same in all


def _flatten(config: BaseModel) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key in type(config).model_fields:  # what is cached beside them is none
        value = getattr(config, key)
        if isinstance(value, Part):
            flat |= {f"{key}.{name}": leaf for name, leaf in value.leaves.items()}
        else:
            flat[key] = value
    return flat


def _devices_that_fit(shape: Shape, train: TrainConfig) -> int:
    """The fewest that one member's estimated memory needs, among those that batches divide by; else 1."""
    divisors = (n for n in range(1, train.batch_windows + 1) if train.batch_windows % n == 0)
    fitting = (n for n in divisors if training_bytes(shape, train.batch_windows // n) <= train.memory_bytes)
    return next(fitting, 1)
