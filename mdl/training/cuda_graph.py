"""A whole optimiser step on CUDA, recorded once and launched as one.

A step of a small model is some two hundred kernels of a few microseconds each: the host takes longer to launch them
than the GPU to run them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_STEPS_BEFORE = 3  # real ones: compilers, libraries and the optimiser make what they need


class RecordedStep:
    """Calls `step` on its input for some steps, then records it, and launches the recording from there on.

    `step` must change tensors in place, read nothing of the host's that moves, and never wait for the device.
    """

    def __init__(self, step: Callable[[Tensor], None]) -> None:
        self._step, self._n_done = step, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._input: Tensor | None = None

    def __call__(self, given: Tensor) -> None:
        """Take one step with `given`, of the same shape every time."""
        if self._n_done < _STEPS_BEFORE:
            self._step(given)
            self._n_done += 1
            return
        if self._graph is None or self._input is None:
            self._input = given.clone()
            self._graph = torch.cuda.CUDAGraph()
            # Between ranks, a thread of NCCL's looks after sums that were launched before.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._step(self._input)
        self._input.copy_(given, non_blocking=True)
        self._graph.replay()
