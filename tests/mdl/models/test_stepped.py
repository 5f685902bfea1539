"""What all steppers have in common: known bytes are taken in, and only the last places can be measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdl.models import Shape, make_models, require_exact, stack
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
