from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mdl import device
from mdl.config import Recipe
from mdl.data import protocols
from mdl.device import resolve_machine
from mdl.errors import MdlError
from mdl.models import Shape
from mdl.training import loop
from mdl.training.checkpoint import CheckpointFile, set_damaged_aside
from mdl.training.cohort_module import CohortModule
from mdl.training.loop import fit
from mdl.training.members import Member
from tests.arrays import ArrayView
from tests.conftest import markov_text

T = 64
SOURCE = ArrayView(markov_text(60_000))
HELDOUT = SOURCE.gather(np.arange(50_000, 50_000 + 8 * T, T), T)
MEMBERS = [
    Member(seed=0, subset_length=20_000),
    Member(seed=1, subset_length=20_000, lr_scale=0.5),
    Member(seed=0, subset_length=50_000),
]
RECIPES: dict[str, dict[str, Any]] = {
    "recipe 1": {},
    "recipe 2": {"version": 2, "optimizer": "muon", "weight_decay": 0.1, "decay_start": 0.7},
    "recipe 2 with AdamW": {"version": 2, "weight_decay": 0.1, "decay_start": 0.7},
}
each_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def cohort(members: list[Member], width: int = 16, steps: int = 40, **settings: Any) -> CohortModule:
    usual = {"batch_windows": 4, "learning_rate": 1e-2, "warmup_steps": 10, "evaluate_every": 15}
    recipe = Recipe(steps=steps, **usual | settings)
    return CohortModule(Shape(width, 2, 1, context_tokens=T, block=recipe.version), members, recipe, HELDOUT)


def trained(members: list[Member], path: Path, **settings: Any) -> CohortModule:
    torch.set_num_threads(1)
    module = cohort(members, **settings)
    fit(module, SOURCE, resolve_machine("auto", "auto"), path)
    return module


def same_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@each_recipe
def test_a_member_trained_with_companions_is_to_the_bit_what_it_is_alone(
    recipe: dict[str, Any], tmp_path: Path
) -> None:
    together = trained(MEMBERS, tmp_path / "together", **recipe)
    for m, member in enumerate(MEMBERS):
        alone = trained([member], tmp_path / f"alone-{m}", **recipe)
        assert same_weights(together.model.member(m), alone.model.member(0))
        assert same_weights(together.best_weights(m), alone.best_weights(0))
        assert [bits[m] for _, bits in together.curve] == [bits[0] for _, bits in alone.curve]


@pytest.mark.parametrize("name", ["recipe 2", pytest.param("recipe 2 with AdamW", marks=pytest.mark.slow)])
@pytest.mark.parametrize("width", [4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64])
def test_under_recipe_2_so_it_is_at_every_width(width: int, name: str, tmp_path: Path) -> None:
    """At any place of one to seven members, all of one rate or not; clipped as a rule."""
    one, other, scaled, third = (
        Member(seed=7, subset_length=20_000),
        Member(seed=8, subset_length=30_000),
        Member(seed=9, subset_length=30_000, lr_scale=2.0),
        Member(seed=3, subset_length=10_000),
    )
    settings = {"width": width, "steps": 6, "clip_norm": 0.5, **RECIPES[name]}
    alone = {m: trained([m], tmp_path / f"{m.seed}", **settings).model.member(0) for m in (one, scaled)}
    many = [other, third, one, replace(other, seed=4), scaled, replace(third, seed=5), replace(other, seed=6)]
    for i, company in enumerate(([one, other], [scaled, one], [third, other, one], [other, third, one, scaled], many)):
        together = trained(company, tmp_path / f"{i}", **settings)
        for member in set(company) & set(alone):
            assert same_weights(together.model.member(company.index(member)), alone[member]), (i, member)


def test_training_learns(tmp_path: Path) -> None:
    module = trained(MEMBERS[:1], tmp_path / "c", steps=120)
    bits_per_byte = [bits[0] / HELDOUT.size for _, bits in module.curve]
    assert bits_per_byte[0] > bits_per_byte[-1]
    assert bits_per_byte[-1] < 4.5


def stopped_at(step: int, recipe: dict[str, Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the state after a step."""
    stopped = cohort(MEMBERS, **recipe)

    class StopsThere(loop.Watcher):
        def on_train_batch_end(self, *arguments: object) -> None:
            super().on_train_batch_end(*arguments)
            if stopped.global_step == step:
                stopped.trainer.save_checkpoint(self.path)
                raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(loop, "Watcher", StopsThere)
        with pytest.raises(SystemExit):
            fit(stopped, SOURCE, resolve_machine("auto", "auto"), path)


@each_recipe
@pytest.mark.parametrize("stop_at", [15, *(pytest.param(step, marks=pytest.mark.slow) for step in (7, 33))])
def test_a_run_that_is_stopped_and_resumed_is_the_run_that_was_not(
    stop_at: int, recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(MEMBERS, tmp_path / "whole", **recipe)
    stopped_at(stop_at, recipe, tmp_path / "part", monkeypatch)
    assert set_damaged_aside(tmp_path / "part", cohort(MEMBERS, **recipe)) is None
    resumed = trained(MEMBERS, tmp_path / "part", **recipe)
    assert resumed.curve == whole.curve
    for m in range(len(MEMBERS)):
        assert same_weights(resumed.model.member(m), whole.model.member(m))
        assert same_weights(resumed.best_weights(m), whole.best_weights(m))


@each_recipe
def test_a_state_that_a_gpu_left_is_gone_on_from_without_one(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There rates are tensors and steps can be recorded; the end is that of the run that was not stopped."""
    whole, path = trained(MEMBERS, tmp_path / "whole", **recipe), tmp_path / "part"
    stopped_at(12, recipe, path, monkeypatch)
    content = CheckpointFile().load_checkpoint(path)
    for group in content["optimizer_states"][0]["param_groups"]:
        group |= {"capturable": True, "lr": torch.tensor(group["lr"])}
    CheckpointFile().save_checkpoint(content, path)
    resumed = trained(MEMBERS, path, **recipe)
    assert resumed.curve == whole.curve
    for m in range(len(MEMBERS)):
        assert same_weights(resumed.model.member(m), whole.model.member(m))


@each_recipe
def test_a_learning_rate_scale_is_a_learning_rate(recipe: dict[str, Any], tmp_path: Path) -> None:
    quarter = Member(seed=3, subset_length=20_000, lr_scale=0.25)
    scaled = trained([quarter], tmp_path / "a", learning_rate=8e-3, **recipe)
    plain = trained([Member(seed=3, subset_length=20_000)], tmp_path / "b", learning_rate=2e-3, **recipe)
    for name, weight in scaled.model.member(0).items():
        assert torch.allclose(weight, plain.model.member(0)[name], atol=2e-4), name


@each_recipe
def test_a_member_that_diverges_is_noticed_and_leaves_its_companions_alone(
    recipe: dict[str, Any], tmp_path: Path
) -> None:
    wild = [MEMBERS[0], Member(seed=5, subset_length=20_000, lr_scale=1e30), MEMBERS[2]]
    module = trained(wild, tmp_path / "wild", **recipe)
    alone = trained([MEMBERS[0]], tmp_path / "alone", **recipe)
    assert module.first_bad_step.tolist()[1] >= 0
    assert module.first_bad_step.tolist()[::2] == [-1, -1]
    assert same_weights(module.model.member(0), alone.model.member(0))


def test_training_ends_early_where_nobody_is_left(tmp_path: Path) -> None:
    module = trained([Member(seed=0, subset_length=20_000, lr_scale=1e30)], tmp_path / "none", steps=1000)
    assert module.first_bad_step.item() >= 0
    assert module.global_step < 100


def test_the_best_snapshot_is_the_look_with_the_least_heldout_bits(tmp_path: Path) -> None:
    module = trained([Member(seed=0, subset_length=3_000)], tmp_path / "small", steps=150, learning_rate=3e-2)
    looks = {step: bits[0] for step, bits in module.curve}
    assert looks[int(module.best_step[0])] == min(looks.values()) == float(module.best_bits[0])


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    recipe = Recipe(steps=1000, batch_windows=4, learning_rate=1.0, weight_decay=0.0, warmup_steps=10)
    factors = [recipe.lr_factor(step) for step in range(1001)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9:501] == [1.0] * 492
    assert factors[750] == pytest.approx(0.525)
    assert factors[1000] == pytest.approx(0.05)


@pytest.mark.parametrize(("saved", "found"), [("recipe 1", "recipe 2"), ("recipe 2", "recipe 2 with AdamW")])
def test_the_state_of_another_optimizer_is_not_gone_on_from(saved: str, found: str, tmp_path: Path) -> None:
    """It is kept aside, and said, where the weights fit."""
    path, same_block = tmp_path / "c", {**RECIPES[saved], "version": 2}
    trained(MEMBERS[:1], path, **same_block)
    assert set_damaged_aside(path, cohort(MEMBERS[:1], **same_block)) is None
    why = set_damaged_aside(path, cohort(MEMBERS[:1], **RECIPES[found]))
    assert why is not None
    assert "does not fit this cohort" in why
    assert not path.exists()


def test_a_damaged_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c"
    trained(MEMBERS[:1], path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(MdlError, match="damaged"):
        trained(MEMBERS[:1], path)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemError('code ran')",))


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    for content in (pickle.dumps(Bomb()), b"", b"nothing"):
        path = tmp_path / "c"
        path.write_bytes(hashlib.sha256(content).digest() + content)
        with pytest.raises(MdlError, match="cannot be read"):
            CheckpointFile().load_checkpoint(path)


def test_a_checkpoint_of_a_gpu_is_read_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And without the first GPU's memory by each process that trains along on another."""
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
    CheckpointFile().save_checkpoint({"lr": torch.tensor(1e-3)}, tmp_path / "c")
    assert CheckpointFile().load_checkpoint(tmp_path / "c")["lr"].device.type == "cpu"


@each_recipe
def test_the_whole_step_that_cuda_records_is_lightnings_to_the_bit(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clip, learning-rate scale, schedule, looks and the count of steps among it; the corpus beside the model."""
    usual = trained(MEMBERS, tmp_path / "usual", **recipe)
    plain_start, plain_prepare = CohortModule.on_train_start, CohortModule.prepare

    def start(self: CohortModule) -> None:
        plain_start(self)
        self._recorded = self._whole_step  # type: ignore[assignment]

    def prepare(self: CohortModule, machine: device.Machine, source: protocols.Gatherable) -> None:
        plain_prepare(self, machine, source)
        self._resident, self._in_window = torch.from_numpy(source.read(0, 50_000)), torch.arange(T)

    monkeypatch.setattr(CohortModule, "on_train_start", start)
    monkeypatch.setattr(CohortModule, "prepare", prepare)
    whole = trained(MEMBERS, tmp_path / "whole", **recipe)
    assert whole.curve == usual.curve
    for m in range(len(MEMBERS)):
        assert same_weights(whole.model.member(m), usual.model.member(m))
