"""minGRU: its scan is the recurrence, members are independent, and its archives decode byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mdl.archives import block_codec
from mdl.models import (
    Shape,
    StackedModel,
    count_params,
    count_weights,
    forward_flops_per_byte,
    make_models,
    stack,
    weight_shapes,
)
from mdl.models.float64_parallel import largest_difference
from mdl.models.linear_scan import linear_scan
from mdl.models.mingru import StackedMinGru
from tests.blocks import encode_block
from tests.conftest import markov_text


def shape_of(width: int = 16, depth: int = 2, context: int = 48) -> Shape:
    return Shape(width, depth, 1, context_tokens=context, architecture="mingru")


def trained(shape: Shape, steps: int = 30) -> StackedModel:
    """On a text, so that gates and states are those of a model that has learned."""
    model, text = make_models(shape, [0]), np.frombuffer(markov_text(20_000), np.uint8)
    optimizer, T = torch.optim.Adam(model.parameters(), lr=1e-2), shape.context_tokens
    for step in range(steps):
        starts = np.random.default_rng(step).integers(0, text.size - T, 4)
        windows = torch.from_numpy(np.stack([text[i : i + T] for i in starts])[None])
        optimizer.zero_grad()
        model.nats(windows).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


@given(T=st.integers(1, 70), seed=st.integers(0, 999))
def test_the_scan_is_the_recurrence_and_so_is_its_gradient(T: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(2, T, 3, generator=generator, dtype=torch.float64).requires_grad_()
    b = torch.randn(2, T, 3, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(2, T, 3, generator=generator, dtype=torch.float64)
    state, states = torch.zeros(2, 3, dtype=torch.float64), []
    for t in range(T):
        state = a[:, t] * state + b[:, t]
        states.append(state)
    slow = torch.autograd.grad((torch.stack(states, 1) * weight).sum(), [a, b])
    scanned = linear_scan(a, b)
    fast = torch.autograd.grad((scanned * weight).sum(), [a, b])
    assert torch.allclose(scanned, torch.stack(states, 1), rtol=1e-12, atol=1e-12)
    for own, other in zip(fast, slow, strict=True):
        assert torch.allclose(own, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("width", [4, 6, 12, 16, 20])
def test_a_members_numbers_are_to_the_bit_what_they_are_alone(width: int) -> None:
    shape = shape_of(width)
    windows = torch.randint(0, 256, (3, 2, 48), generator=torch.Generator().manual_seed(1))
    together = make_models(shape, [5, 6, 7]).nats(windows)
    for m, seed in enumerate((5, 6, 7)):
        assert torch.equal(make_models(shape, [seed]).nats(windows[m : m + 1])[0], together[m])


def test_a_row_sees_the_bytes_before_it_alone() -> None:
    model = trained(shape_of())
    windows = torch.randint(0, 256, (1, 1, 48), generator=torch.Generator().manual_seed(1))
    rows = model(windows)[0, 0]
    for t in (0, 1, 20, 47):
        changed = windows.clone()
        changed[..., t] = (changed[..., t] + 7) % 256
        moved = (model(changed)[0, 0] != rows).any(dim=-1)
        assert not moved[: t + 1].any()
        assert t == 47 or moved[t + 1]


def test_what_a_shape_costs_is_what_its_weights_are() -> None:
    shape = shape_of(20, 3)
    member = make_models(shape, [0]).member(0)
    assert {name: tuple(weight.shape) for name, weight in member.items()} == weight_shapes(shape)
    assert sum(weight.numel() for weight in member.values()) == count_params(shape)["total"]
    assert len(member) == count_weights(shape)
    assert forward_flops_per_byte(shape) == 2 * (3 * 11 * 400 + 256 * 20)
    assert {name for name, form in make_models(shape, [0]).matrices().items() if form.n_parts == 2} == {
        f"gates_{k}" for k in range(3)
    }


@pytest.mark.parametrize("context", [1, 48, 300])
def test_both_float64_passes_agree(context: int) -> None:
    model = stack(shape_of(16, 2, max(2, context)), [trained(shape_of()).member(0)]).double()
    windows = np.frombuffer(markov_text(3 * context, 5), np.uint8).reshape(3, context).copy()
    assert largest_difference(model, windows) < 1e-12


@pytest.mark.parametrize("n_bytes", [1, 47, 48, 200])
def test_a_block_of_any_length_is_decoded(n_bytes: int) -> None:
    model = stack(shape_of(), [trained(shape_of()).member(0)]).double()
    data = np.frombuffer(markov_text(n_bytes, 9), np.uint8)
    block = encode_block(model, data)
    decoder = block_codec.BlockDecoder(model)
    assert decoder.decode([block]) == [data.tobytes()]
    assert decoder.decode([block]) == [data.tobytes()], "a stepper begins anew"


def test_initial_weights_follow_from_the_seed_and_some_channels_remember_long() -> None:
    one, two = (StackedMinGru.from_seeds(shape_of(), [seed]).member(0) for seed in (3, 4))
    assert not torch.equal(one["gates_0"], two["gates_0"])
    assert torch.equal(one["gate_bias_1"], two["gate_bias_1"])
    assert float(one["gate_bias_0"][0]) == 1.0
    assert float(one["gate_bias_0"][-1]) == -4.0
