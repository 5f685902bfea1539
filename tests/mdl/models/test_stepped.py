"""What all steppers have in common: known bytes are taken in, and only the last places can be measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdl.models import Shape, make_models, require_exact, stack
from mdl.models.stepwise_model import rehearse
from tests.own_architectures import HONEST

T = 20


@pytest.mark.parametrize("name", ["transformer", "mingru", *HONEST])
@pytest.mark.parametrize("known", [1, 7, 19])
def test_windows_of_which_bytes_are_known_go_on_as_if_these_had_been_decoded(name: str, known: int) -> None:
    shape = Shape(8, 2, 1, context_tokens=T, architecture=name)
    model = stack(shape, [make_models(shape, [2]).member(0)]).double()
    windows = np.random.default_rng(known).integers(0, 256, (3, T)).astype(np.uint8)
    exact = require_exact(shape, "archives")
    rows, stepper = exact.parallel(model, torch.from_numpy(windows), None), exact.stepwise(model, 3, T)
    for _ in range(2):
        stepper.prefill(windows[:, :known])
        for t in range(known, T):
            assert torch.allclose(stepper.logits(windows[:, t - 1]), rows[:, t], atol=1e-11)


@pytest.mark.parametrize("name", ["transformer", "mingru", *HONEST])
def test_the_last_places_alone_are_those_of_all(name: str) -> None:
    shape = Shape(8, 2, 1, context_tokens=T, architecture=name)
    model = make_models(shape, [0, 1])
    windows = torch.randint(0, 256, (2, 3, T), generator=torch.Generator().manual_seed(1))
    whole = model.measured_nats(windows)
    assert torch.allclose(model.measured_nats(windows, n_last=5), whole[:, :, -5:], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "block"),
    [("transformer", 1), ("transformer", 2), ("mingru", 1), *((name, 1) for name in HONEST)],
)
@torch.inference_mode()
def test_a_step_that_is_rehearsed_before_it_is_recorded_changes_nothing(name: str, block: int) -> None:
    """On CUDA the first step is taken once aside, for libraries to set themselves up: at the start, or in a window."""
    shape = Shape(8, 2, 1, context_tokens=T, architecture=name, block=block)
    model = stack(shape, [make_models(shape, [2]).member(0)]).double()
    for tensor in model.parameters():
        tensor.add_(0.1)  # weights that begin at 0 would hide what stands before a byte
    windows = np.random.default_rng(5).integers(0, 256, (3, T)).astype(np.uint8)
    exact = require_exact(shape, "archives")
    rows, stepper = exact.parallel(model, torch.from_numpy(windows), None), exact.stepwise(model, 3, T)
    for t in range(T):
        if t:
            stepper._previous.copy_(torch.from_numpy(windows[:, t - 1]))
        stepper._at.fill_(t)
        rehearse(lambda: stepper._step(stepper._t + 1), stepper._carried())
        logits = stepper.logits(windows[:, t - 1] if t else None)
        assert torch.allclose(logits, rows[:, t], atol=1e-11)
