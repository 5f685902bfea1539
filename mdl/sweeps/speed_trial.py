"""How fast this machine trains: a trial of some seconds, of whole steps on a core, of one large product on a GPU."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from mdl.models import TRANSFORMER, Shape, architecture_of, forward_flops_per_byte, make_models, parse_size
from mdl.optimizers import OPTIMIZERS, OptimizerSettings, make_optimizer, usual_optimizer
from mdl.sweeps.cost_model import H100, Rule, core

_TRIAL_SHAPES = ("8x1", "32x2")
_TRIAL_SECONDS = 2.0  # per shape
_WARM_UP_STEPS = 3
_SOURCE = "a trial of some seconds"
_SIDE, _PRODUCTS = 4096, 20
_PRODUCT_FLOPS_A_SECOND = 5.7e14  # of an H100, in products of this size
# Recipe 2's optimizer starts more kernels than the step that H100's rule was fitted to, and a new machine compiles them
# for each shape: 48x4 to 192x6 took twice as long on an H200 as by that rule's constants (2026-11-30).
_GPU_STEP_SECONDS, _GPU_NEXT_START_SECONDS, _GPU_SLOWER = 1.8e-3, 12.0, 1.4


def try_speed(
    context_bytes: int,
    windows: int,
    *,
    device: str,
    recipe: int = 1,
    architecture: str = TRANSFORMER,
    most_seconds: float = math.inf,
) -> Rule:
    """Train two small shapes for some seconds each, at most so many, by a recipe, in one thread as a worker does.

    A GPU is tried by one large product: training itself would wait longer for its kernels' compilation than for its
    steps. Of another architecture than the Transformer no GPU's speed is known, so that it is trained there too.
    """
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
        lasts = min(most_seconds, _TRIAL_SECONDS)
        small, large = (_step_seconds(shape, windows, device, recipe, lasts=lasts) for shape in shapes)
    finally:
        torch.set_num_threads(before)
    return line_through(shapes, (small, large), windows * context_bytes)


def line_through(shapes: list[Shape], seconds: tuple[float, float], step_bytes: int) -> Rule:
    """A core's two constants from the seconds of a step of two shapes."""
    anyway = core(0.0, 1.0, _SOURCE).flops_anyway
    few, many = (3.0 * step_bytes * (forward_flops_per_byte(shape) + anyway) for shape in shapes)
    flop = max((seconds[1] - seconds[0]) / max(many - few, 1.0), 1e-16)
    return core(max(seconds[0] - flop * few, 0.0), flop, _SOURCE)


def _of_a_gpu() -> Rule:
    """An H100's rule, at this GPU's speed of large products."""
    import torch

    factor = torch.ones(_SIDE, _SIDE, dtype=torch.bfloat16, device="cuda")
    for n in (_WARM_UP_STEPS, _PRODUCTS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(n):
            factor @ factor
        torch.cuda.synchronize()
    times = 2.0 * _SIDE**3 * _PRODUCTS / (time.perf_counter() - started) / _PRODUCT_FLOPS_A_SECOND
    rule = H100.faster(times / _GPU_SLOWER, _SOURCE)
    return replace(rule, step=_GPU_STEP_SECONDS, next_start=_GPU_NEXT_START_SECONDS)


def _step_seconds(shape: Shape, windows: int, device: str, recipe: int, *, lasts: float) -> float:
    """The mean over as many steps as fit into the trial; the first ones are not counted."""
    import torch

    model = make_models(shape, [0]).to(device)
    width, depth, name = shape.width, shape.depth, usual_optimizer(recipe)
    rate = OPTIMIZERS[name].learning_rate(width, depth, recipe)
    settings = OptimizerSettings(width=width, depth=depth, recipe=recipe, learning_rate=rate, weight_decay=0.1)
    optimizer = make_optimizer(name, dict(model.named_parameters()), settings)
    batch = torch.randint(0, shape.vocabulary, (1, windows, shape.context_tokens), dtype=torch.uint8, device=device)
    started, n = time.perf_counter(), -_WARM_UP_STEPS
    while n < 1 or time.perf_counter() - started < lasts:
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
