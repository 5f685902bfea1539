from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from mdl.config import from_flat, full_key
from mdl.config.flat_keys import valid_keys
from mdl.config.run_config import RunConfig
from mdl.errors import MdlError
from tests import ROOT

BASE = {"size": "16x2"}


def test_every_leaf_name_is_unique_so_that_it_can_stand_for_its_key() -> None:
    leaves = [key.rsplit(".", 1)[-1] for key in valid_keys()]
    assert len(leaves) == len(set(leaves))


def test_every_field_says_what_it_is() -> None:
    for name, spec in RunConfig.model_fields.items():
        part = spec.annotation
        fields = part.model_fields if isinstance(part, type) and issubclass(part, BaseModel) else {name: spec}
        assert all(field.description for field in fields.values()), name


def test_flat_keys_come_back() -> None:
    config = from_flat({"subset_bytes": "1MB", "model.size": "64x4", "train.seed": 3, "source": "random:5MB"})
    assert from_flat(config.flat()).flat() == config.flat()
    assert from_flat(config.flat()).run_id == config.run_id
    assert config.subset_bytes == 1_000_000


@pytest.mark.parametrize("value", ["1e6", 1e6, 1_000_000, "1MB", "1000KB", "1_000_000"])
def test_sizes_as_people_and_yaml_write_them(value: object) -> None:
    assert from_flat({**BASE, "subset_bytes": value, "steps": "1e3"}).subset_bytes == 1_000_000


def test_a_size_and_its_dimensions_are_the_same_cell() -> None:
    assert from_flat({"size": "16x2"}).run_id == from_flat({"width": 16, "depth": 2}).run_id


def test_what_does_not_touch_the_result_is_not_in_the_id() -> None:
    plain = from_flat(BASE).run_id
    assert from_flat({**BASE, "logger": "csv", "checkpoint_seconds": 5, "memory_bytes": "1GB"}).run_id == plain
    assert from_flat({**BASE, "weight_decay": 0.1}).run_id != plain
    assert from_flat({**BASE, "deduplicate": False}).run_id == plain
    assert from_flat({**BASE, "deduplicate": True}).run_id != plain
    assert re.fullmatch(r"16x2-100KB-s0-[0-9a-f]{8}", plain)


def test_cells_of_one_shape_and_recipe_train_together() -> None:
    key = from_flat(BASE).cohort_key()
    assert from_flat({**BASE, "subset_bytes": "1MB", "train.seed": 9, "lr_scale": 0.5}).cohort_key() == key
    assert from_flat({**BASE, "steps": 5}).cohort_key() == key, "what both do before the rate falls"
    for alone in ({"decay_start": 0}, {"objective": "prequential"}):
        assert from_flat({**BASE, **alone}).cohort_key() != from_flat({**BASE, **alone, "steps": 5}).cohort_key()
    assert from_flat({**BASE, "shuffle_seed": 5, "leak_fraction": 0.5}).cohort_key() == key, "one source, any order"
    assert from_flat({**BASE, "source": "random:1MB"}).cohort_key() != key
    assert from_flat({**BASE, "deduplicate": True}).cohort_key() != key, "another held-out part"
    tokens = from_flat({**BASE, "vocabulary": 512}).cohort_key()
    assert from_flat({**BASE, "vocabulary": 512, "shuffle_seed": 5}).cohort_key() != tokens


@pytest.mark.parametrize(
    ("values", "message"),
    [
        *(({**BASE, key: True}, "takes neither true nor false") for key in ("recipe", "steps", "lr_scale", "devices")),
        ({**BASE, "price": True}, "want a number of bytes above 0, or coded, got True"),
        ({"sise": "16x2"}, "unknown key 'sise'; did you mean 'size'?"),
        ({"model.widht": 3}, "did you mean 'model.width'"),
        ({**BASE, "steps": "many"}, "train.steps: want a whole number, got 'many'"),
        ({**BASE, "steps": "1e30"}, "train.steps: want at most 9.22337e+18, got '1e30'"),
        ({**BASE, "lr_scale": 1e308}, "train.lr_scale: want at most 1e+100, got 1e+308"),
        ({**BASE, "size": "ladder(2K, 50K, 3)"}, "a sweep file's ladder stands alone"),
        ({**BASE, "steps": 0}, "greater than or equal to 1, got 0"),
        ({**BASE, "steps": 1.5}, "train.steps"),
        ({**BASE, "subset_bytes": "1XB"}, "'1XB'"),
        ({**BASE, "subset_bytes": -5}, "subset_bytes"),
        ({**BASE, "learning_rate": -1}, "train.learning_rate"),
        ({**BASE, "learning_rate": float("nan")}, "train.learning_rate"),
        ({**BASE, "logger": "tensorboard"}, "logger"),
        ({**BASE, "optimizer": "muin"}, "train.optimizer: unknown optimizer 'muin'; did you mean 'muon'?"),
        ({**BASE, "optimizer": 3}, "train.optimizer"),
        ({**BASE, "recipe": 3}, "train.recipe: input should be 1 or 2, got 3"),
        ({**BASE, "recipe": 2, "weight_decay": "little"}, "train.weight_decay"),
        ({**BASE, "decay_start": 2}, "train.decay_start"),
        ({**BASE, "width": 16}, "not both"),
        ({"width": 16}, "both model.width and model.depth"),
        ({"width": 15, "depth": 1}, "width 15"),
        ({"size": "banana"}, "size 'banana'"),
        ({}, "no model"),
    ],
)
def test_a_bad_key_or_value_is_one_line_that_names_it(values: dict[str, object], message: str) -> None:
    with pytest.raises(MdlError, match=re.escape(message)) as caught:
        from_flat(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "meant"), [("auto", "auto"), (True, True), (False, False), ("yes", True), ("no", False)]
)
def test_yaml_reads_yes_as_true(value: object, meant: object) -> None:
    assert from_flat({**BASE, "compile": value}).train.compile == meant


def test_a_leaf_stands_for_its_key() -> None:
    assert full_key("width") == "model.width"
    assert full_key("seed") == "train.seed"


REQUESTS = [
    {"size": "16x2"},
    {"width": 24, "depth": 2, "learning_rate": "auto", "devices": "auto"},
    {"size": "paper-200k", "learning_rate": 0.003, "devices": 2, "batch_bytes": "1KiB", "subset_bytes": "3MB"},
    {"size": "4x1", "deduplicate": True},
    {"size": "4x1", "recipe": 2, "optimizer": "adamw", "weight_decay": "auto", "decay_start": 0.6},
    {"size": "8x1", "objective": "prequential", "heldout_bytes": 1000, "leak_fraction": 0.2, "coded_weights": True},
]


@pytest.mark.parametrize("values", REQUESTS, ids=lambda values: ",".join(values))
def test_what_was_asked_for_crosses_a_process_border_as_it_was_asked(values: dict[str, Any]) -> None:
    """Through JSON, as jobs and queued tasks go: the same run, and `auto` is still `auto`."""
    config = from_flat(values)
    again = from_flat(json.loads(json.dumps(config.requested())))
    assert again == config
    assert again.run_id == config.run_id
    assert again.requested() == config.requested()
    asked_for_auto = "learning_rate" not in values or values["learning_rate"] == "auto"
    assert (config.requested()["train.learning_rate"] == "auto") == asked_for_auto


@pytest.mark.parametrize("values", REQUESTS, ids=lambda values: ",".join(values))
def test_a_resolved_configuration_leaves_nothing_open(values: dict[str, Any]) -> None:
    """No None and no `auto`, but for the size of a held-out part that the corpus alone can tell."""

    def leaves(thing: object) -> Iterator[object]:
        for field in dataclasses.fields(thing):  # type: ignore[arg-type]
            value = getattr(thing, field.name)
            if dataclasses.is_dataclass(value):
                yield from leaves(value)
            elif field.name != "heldout_bytes":
                yield value

    resolved = from_flat(values).resolved
    assert all(value is not None and value != "auto" for value in leaves(resolved))
    assert resolved.recipe.learning_rate == from_flat(values).flat()["train.learning_rate"]


def test_configurations_of_before_give_the_names_they_gave() -> None:
    """Records, queued tasks and sweep files of any time name the same runs."""
    recorded = from_flat({"size": "16x2", "subset_bytes": "1MB", "steps": 700}).flat()
    assert from_flat(recorded).run_id == from_flat({"size": "16x2", "subset_bytes": "1MB", "steps": 700}).run_id
    for path in sorted((ROOT / "reports").glob("*/records/*/record.json")):
        assert from_flat(json.loads(path.read_bytes())["config"]).run_id == path.parent.name


FIRST_ID = "16x2-1MB-s0-aa98a00c"
FIRST_REQUESTED = {
    "subset_bytes": 1000000, "corpus.source": "stdlib", "corpus.shuffle_seed": 0, "corpus.block_bytes": 4096,
    "corpus.heldout_bytes": None, "corpus.leak_fraction": 0.0, "corpus.deduplicate": False, "model.size": "16x2",
    "model.width": None, "model.depth": None, "model.heads": None, "model.context_bytes": 256, "model.vocabulary": 256,
    "train.recipe": 1, "train.seed": 0, "train.objective": "subset", "train.steps": 700, "train.batch_windows": 4,
    "train.learning_rate": "auto", "train.lr_scale": 1.0, "train.weight_decay": 0.01, "train.clip_norm": 1.0,
    "train.warmup_steps": 50, "train.decay_start": 0.5, "train.final_lr_fraction": 0.05, "train.evaluate_every": 100,
    "train.heldout_sample_bytes": 16384, "train.precision": "auto", "train.compile": "auto", "train.threads": 1,
    "train.devices": "auto", "train.memory_bytes": 8000000000, "train.checkpoint_seconds": 60,
    "measure.reach_ratio": 10.0, "measure.stream_bytes": 8192, "measure.coded_weights": False, "measure.tune_steps": 0,
    "logger": "none",
}  # fmt: skip
FIRST_RECORDED = FIRST_REQUESTED | {
    "model.size": None, "model.width": 16, "model.depth": 2, "model.heads": 1, "train.learning_rate": 0.012,
    "train.devices": None,
}  # fmt: skip


def test_where_no_recipe_is_said_all_is_named_and_recorded_as_before_there_were_two() -> None:
    """Golden; what has come since is AdamW's name, the Transformer's, what leaves longer budgets out, and a stride."""
    since = {
        "train.optimizer": "adamw",
        "train.until": 0.0,
        "train.price": 2.0,
        "measure.stride_bytes": None,
        "measure.contexts": False,
    }
    since |= {"model.architecture": "transformer", "train.weight_bits": None, "train.rounding_start": None}
    asked = {"size": "16x2", "subset_bytes": "1MB", "steps": 700}
    for config in (from_flat(asked), from_flat(asked | {"recipe": 1, "optimizer": "adamw"}), from_flat(FIRST_RECORDED)):
        assert config.run_id == FIRST_ID
        assert config.flat() == FIRST_RECORDED | since
    assert from_flat(asked).requested() == FIRST_REQUESTED | since
    assert from_flat(FIRST_REQUESTED) == from_flat(asked)
    others = {"64x4-100KB-s0-7759495f": {"size": "64x4", "learning_rate": 0.003},
              "8x1-100KB-s0-373795c5": {"size": "8x1", "weight_decay": 0.1},
              "8x1-100KB-s0-51247eb7": {"size": "8x1", "decay_start": 0.7, "lr_scale": 2}}  # fmt: skip
    assert {name: from_flat(values).run_id for name, values in others.items()} == {name: name for name in others}


@pytest.mark.parametrize(
    ("asked", "optimizer", "learning_rate", "weight_decay", "decay_start"),
    [
        ({}, "adamw", 0.00425, 0.01, 0.5),
        ({"optimizer": "muon"}, "muon", 0.0189, 0.1, 0.5),
        ({"recipe": 2}, "muon", 0.0189, 0.1, 0.7),
        ({"recipe": 2, "optimizer": "adamw"}, "adamw", 0.01275, 0.1, 0.7),
        ({"recipe": 2, "learning_rate": 0.01, "weight_decay": 0, "decay_start": 0.5}, "muon", 0.01, 0, 0.5),
        (
            {"recipe": 1, "weight_decay": "auto", "decay_start": "auto", "optimizer": "auto"},
            "adamw",
            0.00425,
            0.01,
            0.5,
        ),
    ],
)
def test_a_recipe_says_what_is_not_said(
    asked: dict[str, Any], optimizer: str, learning_rate: float, weight_decay: float, decay_start: float
) -> None:
    config = from_flat({"size": "64x4", **asked})
    recipe = config.resolved.recipe
    assert recipe.version == asked.get("recipe", 1) == config.resolved.shape.block
    assert (recipe.optimizer, recipe.learning_rate) == (optimizer, learning_rate)
    assert (recipe.weight_decay, recipe.decay_start) == (weight_decay, decay_start)
    for values in (config.flat(), config.requested()):
        assert from_flat(values).run_id == config.run_id
        assert from_flat(values).resolved == config.resolved


def test_training_for_coded_weights_makes_runs_of_its_own() -> None:
    """By the number of bits and where rounding begins; asked for or told in a record it is the same run."""
    asked = [{"weight_bits": bits} for bits in (None, "auto", 2, "8")] + [{"weight_bits": 2, "rounding_start": 0.5}]
    configs = [from_flat({**BASE, "recipe": 2, **each}) for each in asked]
    assert len({config.run_id for config in configs}) == len({config.cohort_key() for config in configs}) == 5
    for config in configs:
        assert from_flat(config.flat()).run_id == from_flat(config.requested()).run_id == config.run_id
    recipes = [config.resolved.recipe for config in configs]
    assert [recipe.weight_bits for recipe in recipes] == [0, 8, 2, 8, 2]
    assert [recipe.rounding_start for recipe in recipes] == [1.0, 0.7, 0.7, 0.7, 0.5]
    steps = recipes[0].steps
    assert [recipe.rounding_step for recipe in recipes] == [steps, *[0.7 * steps] * 3, 0.5 * steps]
    assert [recipe.branch_step for recipe in recipes] == [*[0.7 * steps] * 4, 0.5 * steps]
    plain, _, at_decay, _, earlier = recipes
    for step in range(0, steps, 50):
        done = max(0.0, step / steps - 0.7) / 0.3
        for recipe, begin in ((at_decay, 0.7), (earlier, 0.5)):
            wanted = 0.4 * (1 - done) if step >= begin * steps else plain.lr_factor(step)
            assert recipe.lr_factor(step) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"weight_bits": 1}, "train.weight_bits: want auto, or a whole number of 2 to 8 bits, got 1 "),
        ({"weight_bits": 9}, "2 to 8 bits, got 9 "),
        ({"weight_bits": "few"}, "2 to 8 bits, got 'few' "),
        ({"weight_bits": 2.5}, "2 to 8 bits, got 2.5 "),
        ({"weight_bits": True}, "2 to 8 bits, got True "),
        ({"rounding_start": 0.5}, "train.rounding_start goes with train.weight_bits"),
        ({"weight_bits": "auto", "rounding_start": 1}, "train.rounding_start: "),
        ({"weight_bits": "auto", "vocabulary": 512}, "train.weight_bits trains for coded weights"),
        ({"weight_bits": "auto", "objective": "prequential"}, "a prequential run sends no weights"),
    ],
)
def test_what_cannot_be_trained_for_coded_weights_is_refused_in_one_line(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(MdlError) as error:
        from_flat({**BASE, **asked})
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_optimizers_and_recipes_make_runs_and_cohorts_of_their_own() -> None:
    configs = [from_flat({**BASE, "recipe": r, "optimizer": o}) for r in (1, 2) for o in ("adamw", "muon")]
    assert len({config.run_id for config in configs}) == 4
    assert len({config.cohort_key() for config in configs}) == 4
