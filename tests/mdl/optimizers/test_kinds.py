"""What a kind of optimizer says of itself, and over which weights it does what."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mdl.errors import MdlError
from mdl.models import Shape, StackedTransformer
from mdl.optimizers import (
    OPTIMIZERS,
    OptimizerSettings,
    StackedAdamW,
    StackedMuon,
    make_optimizer,
    matrix_parts,
    register_optimizer,
    usual_learning_rate,
)

TABLE = {"2x1": 0.02, "4x1": 0.02, "8x1": 0.015, "16x2": 0.012, "24x2": 0.00947, "64x4": 0.00425, "256x8": 0.00159}


@pytest.mark.parametrize(("size", "rate"), TABLE.items())
def test_the_usual_rates_are_the_table_three_times_it_and_muons_one(size: str, rate: float) -> None:
    width, depth = map(int, size.split("x"))
    assert usual_learning_rate(width, depth) == OPTIMIZERS["adamw"].learning_rate(width, depth, 1) == rate
    assert OPTIMIZERS["adamw"].learning_rate(width, depth, 2) == pytest.approx(3 * rate, rel=1e-3)
    assert OPTIMIZERS["muon"].learning_rate(width, depth, 2) == 0.03


def _weights() -> dict[str, torch.Tensor]:
    """A stack of two with vectors of later blocks among its weights."""
    model = StackedTransformer(Shape(16, 2, 1, context_tokens=8), [0, 1])
    more = {"smear": torch.zeros(2, 16), "query_gain_0": torch.ones(2, 16), "value_mix_1": torch.zeros(2, 1)}
    return dict(model.named_parameters()) | {name: torch.nn.Parameter(vector) for name, vector in more.items()}


def _settings(**changes: Any) -> OptimizerSettings:
    return OptimizerSettings(
        **{"width": 16, "depth": 2, "recipe": 2, "learning_rate": 0.015, "weight_decay": 0.1, **changes}
    )


def _by_name(optimizer: torch.optim.Optimizer, weights: dict[str, torch.Tensor]) -> dict[str, dict[str, Any]]:
    names = {id(weight): name for name, weight in weights.items()}
    return {names[id(w)]: group for group in optimizer.param_groups for w in group["params"]}


def test_muon_turns_and_decays_the_layers_matrices_alone_and_adamw_has_its_rate_in_proportion() -> None:
    """Half of Muon's usual rate: AdamW has half of three times the table. The embedding is no matrix of a layer."""
    weights = _weights()
    optimizer = make_optimizer("muon", weights, _settings())
    assert isinstance(optimizer, StackedMuon)
    groups = _by_name(optimizer, weights)
    assert groups.keys() == weights.keys()
    for name, group in groups.items():
        matrix = name.startswith(("qkv_", "out_", "up_", "down_"))
        assert group["parts"] == (3 if name.startswith("qkv_") else int(matrix)), name
        assert group["weight_decay"] == (0.1 if matrix else 0), name
        assert group["lr"] == (0.015 if matrix else pytest.approx(0.5 * 3 * 0.012)), name
        assert group["betas"] == (0.9, 0.95)
        assert group["momentum"] == 0.95


@pytest.mark.parametrize(("recipe", "kind"), [(1, torch.optim.AdamW), (2, StackedAdamW)])
def test_adamw_decays_the_embedding_too_and_no_vector(recipe: int, kind: type) -> None:
    weights = _weights()
    optimizer = make_optimizer("adamw", weights, _settings(recipe=recipe))
    assert type(optimizer) is kind
    for name, group in _by_name(optimizer, weights).items():
        assert group["weight_decay"] == (0.1 if name in {"embedding", *matrix_parts(weights)} else 0), name
        assert (group["lr"], group["betas"]) == (0.015, (0.9, 0.95))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"learning_rate": lambda *_: 0.0}, "want a learning_rate above 0"),
        ({"learning_rate": lambda *_: float("nan")}, "want a learning_rate above 0"),
        ({"weight_decay": -0.1}, "weight_decay of at least 0; got 0.1 .* and -0.1"),
        ({"weight_decay": lambda recipe: 1 - recipe}, "-1 with recipe 2"),
        ({"name": "muon"}, "there is an optimizer 'muon' already"),
    ],
)
def test_what_a_kind_says_wrongly_is_refused(said: dict[str, Any], message: str) -> None:
    given = {"name": "mine", "make": lambda *_: None, "learning_rate": lambda *_: 0.1, "weight_decay": 0.0, **said}
    with pytest.raises(MdlError, match=message):
        register_optimizer(**given)
    assert "mine" not in OPTIMIZERS


def test_a_function_that_makes_no_optimizer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OPTIMIZERS, "_things", dict(OPTIMIZERS._things))
    register_optimizer("none", lambda *_: None, learning_rate=lambda *_: 0.1, weight_decay=0.0)  # type: ignore[arg-type, return-value]
    with pytest.raises(MdlError, match="'none': its function returns a NoneType, no torch optimizer"):
        make_optimizer("none", _weights(), _settings())
