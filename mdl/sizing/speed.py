"""How long a training step takes on this machine: a trial of some seconds, and a straight line through it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from mdl.models import TRANSFORMER, Shape, architecture_of, forward_flops_per_byte, make_models, parse_size
from mdl.optimizers import OPTIMIZERS, OptimizerSettings, make_optimizer, usual_optimizer
from mdl.sweeps import CORE_FLOPS_A_BYTE_ANYWAY, GPU_FLOPS_A_BYTE_ANYWAY

_TRIAL_SHAPES = ("8x1", "32x2")
_TRIAL_SECONDS = 2.0  # a shape
_WARM_UP_STEPS = 3
# Of an H100: operations a second that training reached, and those that a product of large matrices did; a step's least.
_REACHED, _PRODUCT, _LEAST_STEP_SECONDS = 1.75e14, 5.7e14, 1.5e-3
_FIRST_STEP_SECONDS = 6.0  # of a shape on a GPU: its kernels are compiled, its step is recorded
_SIDE, _PRODUCTS = 4096, 20


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds of a training step: `fixed` and `per_operation`, of one process beside others on this machine."""

    fixed: float
    per_operation: float
    cohort_seconds: float = 1.0  # from one cohort to the next in a worker
    anyway: float = CORE_FLOPS_A_BYTE_ANYWAY  # operations that a byte costs beside the model's products

    def step_seconds(self, shape: Shape, windows: int) -> float:
        """Of a step on so many windows, all members' together."""
        return self.fixed + self.per_operation * self._operations(shape, windows * shape.context_tokens)

    def measuring_seconds(self, shape: Shape, n_bytes: float) -> float:
        """Of coding so many bytes: a forward pass, of which a training step has three."""
        return self.per_operation * self._operations(shape, n_bytes) / 3

    def _operations(self, shape: Shape, n_bytes: float) -> float:
        return 3.0 * n_bytes * (forward_flops_per_byte(shape) + self.anyway)


def try_speed(
    context_bytes: int, windows: int, device: str = "cpu", *, recipe: int = 1, architecture: str = TRANSFORMER
) -> Speed:
    """Train two small shapes for some seconds each by a recipe, in one thread as a worker does; of a GPU see below."""
    import torch

    if device == "cuda" and architecture == TRANSFORMER:
        return _of_a_gpu()
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
    few, many = (Speed(fixed=0.0, per_operation=1.0).step_seconds(shape, windows) for shape in shapes)
    per_operation = max((large - small) / max(many - few, 1.0), 1e-16)
    return Speed(fixed=max(small - per_operation * few, 0.0), per_operation=per_operation)


def _of_a_gpu() -> Speed:
    """What training reached on an H100, at this one's speed of large products.

    A trial of training itself would wait longer for its kernels' compilation than for its steps.
    """
    import torch

    factor = torch.ones(_SIDE, _SIDE, dtype=torch.bfloat16, device="cuda")
    for n in (_WARM_UP_STEPS, _PRODUCTS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(n):
            factor @ factor
        torch.cuda.synchronize()
    share = 2.0 * _SIDE**3 * _PRODUCTS / (time.perf_counter() - started) / _PRODUCT
    return Speed(
        fixed=_LEAST_STEP_SECONDS,
        per_operation=1 / (share * _REACHED),
        cohort_seconds=_FIRST_STEP_SECONDS,
        anyway=GPU_FLOPS_A_BYTE_ANYWAY / 3,
    )


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
