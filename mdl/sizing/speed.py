"""How long a training step takes on this machine: a trial of some seconds, and a straight line through it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from mdl.models import TRANSFORMER, Shape, architecture_of, forward_flops_per_byte, make_models, parse_size
from mdl.optimizers import OPTIMIZERS, OptimizerSettings, make_optimizer, usual_optimizer
from mdl.sweeps import CORE_FLOPS_A_BYTE_ANYWAY

_TRIAL_SHAPES = ("8x1", "32x2")
_TRIAL_SECONDS = 2.0  # a shape
_WARM_UP_STEPS = 3


@dataclass(frozen=True)
class Speed:
    """Seconds of a training step: `fixed` and `per_operation`, of one process beside others on this machine."""

    fixed: float
    per_operation: float

    def step_seconds(self, shape: Shape, windows: int) -> float:
        """Of a step on so many windows, all members' together."""
        return self.fixed + self.per_operation * _operations(shape, windows)

    def measuring_seconds(self, shape: Shape, n_bytes: float) -> float:
        """Of coding so many bytes: a forward pass, of which a training step has three."""
        return self.per_operation * n_bytes * (forward_flops_per_byte(shape) + CORE_FLOPS_A_BYTE_ANYWAY)


def _operations(shape: Shape, windows: int) -> float:
    return 3.0 * windows * shape.context_tokens * (forward_flops_per_byte(shape) + CORE_FLOPS_A_BYTE_ANYWAY)


def try_speed(
    context_bytes: int, windows: int, device: str = "cpu", *, recipe: int = 1, architecture: str = TRANSFORMER
) -> Speed:
    """Train two small shapes for some seconds each by a recipe, in one thread as a worker has it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = [
            Shape(*parse_size(size), context_tokens=context_bytes, architecture=architecture) for size in _TRIAL_SHAPES
        ]
        shapes = [replace(shape, block=min(recipe, architecture_of(shape).n_blocks)) for shape in whole]
        small, large = (_step_seconds(shape, windows, device, recipe) for shape in shapes)
    finally:
        torch.set_num_threads(before)
    few, many = (_operations(shape, windows) for shape in shapes)
    per_operation = max((large - small) / max(many - few, 1.0), 1e-16)
    return Speed(fixed=max(small - per_operation * few, 0.0), per_operation=per_operation)


def _step_seconds(shape: Shape, windows: int, device: str, recipe: int) -> float:
    """The mean over as many steps as fit into the trial; the first ones are not counted."""
    import torch

    model = make_models(shape, [0]).to(device)
    width, depth, name = shape.width, shape.depth, usual_optimizer(recipe)
    rate = OPTIMIZERS[name].learning_rate(width, depth, recipe)
    settings = OptimizerSettings(width=width, depth=depth, recipe=recipe, learning_rate=rate, weight_decay=0.1)
    optimizer = make_optimizer(name, dict(model.named_parameters()), settings)
    batch = torch.randint(0, shape.vocabulary, (1, windows, shape.context_tokens), dtype=torch.uint8, device=device)
    started, n = time.perf_counter(), -_WARM_UP_STEPS
    while n < 1 or time.perf_counter() - started < _TRIAL_SECONDS:
        if n == 0:
            started = time.perf_counter()
        model.begin_step(max(0, n), [0])
        loss = model.nats(batch).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        n += 1
    return (time.perf_counter() - started) / n
