"""Training for the total: weights rounded in the forward pass, and what they take added to the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mdl.quantization import decoded, density_codec
from mdl.quantization.weight_codec import matrix_shapes
from mdl.records import RunPaths
from mdl.training import run_cohort
from mdl.training.checkpoint import set_damaged_aside
from mdl.training.cohort_module import CohortModule
from mdl.training.members import Member
from tests.conftest import markov_text
from tests.mdl.training.test_train import MEMBERS, SOURCE, cohort, same_weights, stopped_at, trained
from tests.mdl.training.test_trunk import grid, same, separately

TOTAL: dict[str, Any] = {
    "version": 2,
    "optimizer": "muon",
    "weight_decay": 0.1,
    "decay_start": 0.7,
    "weight_bits": 8,
    "rounding_start": 0.5,
}


def sent(module: CohortModule, m: int) -> bytes:
    code = module.rounded.coded(m)
    assert code is not None
    return code[0].content


@pytest.mark.parametrize("bits", [8, 3])
@pytest.mark.parametrize("width", [6, 12, 16])
def test_a_member_trained_with_companions_is_sent_as_the_same_bytes_as_alone(
    width: int, bits: int, tmp_path: Path
) -> None:
    settings = TOTAL | {"weight_bits": bits, "width": width, "steps": 12}
    together = trained(MEMBERS, tmp_path / "together", **settings)
    for m, member in enumerate(MEMBERS):
        alone = trained([member], tmp_path / f"alone-{m}", **settings)
        assert same_weights(together.model.member(m), alone.model.member(0))
        assert sent(together, m) == sent(alone, 0)
        assert [bits[m] for _, bits in together.curve] == [bits[0] for _, bits in alone.curve]


@pytest.mark.parametrize("stop_at", [7, 21, *(pytest.param(step, marks=pytest.mark.slow) for step in (20, 33))])
def test_a_run_that_is_stopped_and_resumed_is_the_run_that_was_not(
    stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before rounding begins, where it does (step 20), and after."""
    whole = trained(MEMBERS, tmp_path / "whole", **TOTAL)
    stopped_at(stop_at, TOTAL, tmp_path / "part", monkeypatch)
    assert set_damaged_aside(tmp_path / "part", cohort(MEMBERS, **TOTAL)) is None
    resumed = trained(MEMBERS, tmp_path / "part", **TOTAL)
    assert resumed.curve == whole.curve
    assert all(sent(resumed, m) == sent(whole, m) for m in range(len(MEMBERS)))


def test_until_rounding_begins_it_is_the_plain_run(tmp_path: Path) -> None:
    plain = TOTAL | {"weight_bits": 0, "decay_start": 0.5}
    total = TOTAL | {"decay_start": 0.5}
    curves = [trained(MEMBERS, tmp_path / str(i), **each).curve for i, each in enumerate((plain, total))]
    assert [step for step, _ in curves[0]] == [15, 30, 40]
    assert curves[0][0] == curves[1][0]
    assert curves[0][1] != curves[1][1]


def test_what_is_sent_are_the_weights_that_the_last_look_saw(tmp_path: Path) -> None:
    """Decoded they are, to the bit, those that the model computes with; the best snapshot is the last."""
    module = trained(MEMBERS, tmp_path / "c", **TOTAL)
    assert module.best_step.tolist() == [40, 40, 40]
    with module.rounded.weights(), torch.no_grad():
        used = [{name: module.model.weight(name)[m] for name in module.model.weights()} for m in range(len(MEMBERS))]
    for m, weights in enumerate(used):
        code = module.rounded.coded(m)
        assert code is not None
        assert same_weights(decoded(module.model.shape, code[0]), weights)


def test_the_loss_counts_what_the_file_holds(tmp_path: Path) -> None:
    """What the densities give is within two per cent of the bytes written, and so is the price in the loss."""
    module = trained(MEMBERS[:1], tmp_path / "c", width=32, **TOTAL)
    code = module.rounded.coded(0)
    assert code is not None
    file_bits = 8 * len(code[0].content)
    assert code[1] == pytest.approx(file_bits, rel=0.02)
    tables_bits = 8 * density_codec.tables_bytes(code[0].content[2:], len(matrix_shapes(module.model.shape)))
    with module.rounded.weights() as price, torch.no_grad():
        assert isinstance(price, torch.Tensor)
        numbers_bits = price.item() * MEMBERS[0].subset_length / np.log(2)
    assert numbers_bits + tables_bits == pytest.approx(file_bits, rel=0.02)


def test_vectors_of_bytes_that_never_occur_are_zero_and_cost_nothing(tmp_path: Path) -> None:
    member = Member(seed=0, subset_length=20_000)
    module = trained([member], tmp_path / "c", **TOTAL)
    present = np.bincount(SOURCE.read(0, member.subset_length), minlength=256) > 0
    code = module.rounded.coded(0)
    assert code is not None
    embedding = decoded(module.model.shape, code[0])["embedding"].numpy()
    assert 0 < present.sum() < 200
    assert not embedding[~present].any()
    assert all(row.any() for row in embedding[present])
    rounding = module.rounded.rounding
    assert rounding is not None
    before = rounding(module.model.weights())[1]
    with torch.no_grad():
        module.model.weight("embedding")[:, torch.from_numpy(~present)] += 1.0
    assert torch.equal(rounding(module.model.weights())[1], before)


def test_budgets_that_share_a_trunk_are_the_separate_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding begins where each budget branches off, and its code is that of a run by itself."""
    monkeypatch.setenv("MDL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_bytes(bytes(markov_text(30_000)))
    cohort = grid(tmp_path / "text.txt", **{"train.recipe": 2, "train.weight_bits": "auto"})
    shared = run_cohort(cohort, "s", RunPaths(tmp_path / "shared"))
    alone = separately(cohort, RunPaths(tmp_path / "alone"))
    assert len(shared) == len(alone) > 3
    assert all(same(record, alone[record.run_id]) for record in shared)
    assert any(record.training.shared_steps for record in shared)


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_numbers_have_at_most_so_many_bits(bits: int, tmp_path: Path) -> None:
    module = trained(MEMBERS[:1], tmp_path / "c", **TOTAL | {"weight_bits": bits})
    assert sent(module, 0)[0] <= bits


def test_the_fewer_bytes_weights_pay_for_the_shorter_they_get(tmp_path: Path) -> None:
    """The same data but for its amount, long rounded: 2,000 bytes pay for fewer bits of weights than 50,000."""
    members = [Member(seed=0, subset_length=n) for n in (2_000, 50_000)]
    module = trained(members, tmp_path / "c", steps=150, **TOTAL | {"rounding_start": 0.1})
    assert len(sent(module, 0)) < 0.8 * len(sent(module, 1))
