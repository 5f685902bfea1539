"""One float64 model a byte at a time, many windows in lockstep: the part of it that all architectures share.

Shape letters: n windows, V = 256 byte values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mdl.entropy import Guard, float64_counts, guided_grid, nearest_grid
from mdl.units import VOCABULARY

_Step = Callable[[], tuple[Tensor, Tensor]]

_GRAPH_STEPS = 32  # a graph attends to so many bytes more than needed at the most


class Stepped(ABC):
    """A one-member float64 model, one byte of each of n windows at a time, and the coder's tables for it.

    On CUDA a step is a recorded graph, launched as one: a step's hundred small kernels take the host longer to launch
    than the GPU to run. A graph attends to a fixed length, so there is one for every `_GRAPH_STEPS` bytes.
    """

    def __init__(self, n_windows: int, length: int, device: torch.device, *, recorded: bool = True) -> None:
        """For `n_windows` windows in lockstep of at most `length` bytes each; `recorded`: as graphs, on CUDA."""
        self.n_windows, self.length = n_windows, length
        self._cuda = device.type == "cuda" and recorded
        self._at = torch.zeros(1, dtype=torch.long, device=device)
        self._previous = torch.empty(n_windows, dtype=torch.long, device=device)
        self._host = torch.empty(n_windows, VOCABULARY, dtype=torch.float64, pin_memory=self._cuda)
        self._sent = torch.empty(n_windows, dtype=torch.long, pin_memory=self._cuda)
        self._arrived = torch.cuda.Event() if self._cuda else None  # type: ignore[no-untyped-call]
        self._graphs: dict[int, _Graph] = {}

    @abstractmethod
    def _logits(self, length: int) -> Tensor:
        """The logits (n, V) of the byte at `_at`, which is within the first `length`; `_previous` stand before it."""

    @abstractmethod
    def _forget(self) -> None:
        """Nothing stands before a window."""

    def _carried(self) -> Sequence[Tensor]:
        """What a step makes of its own former value, so that one taken twice is not as one taken once."""
        return ()

    def restart(self) -> None:
        """Other windows from their first byte."""
        self._t = 0
        self._previous.fill_(VOCABULARY)  # the start
        self._forget()

    @torch.inference_mode()
    def prefill(self, known: npt.NDArray[np.uint8]) -> None:
        """Other windows whose first bytes (n, k) are known: the next launch, after the last of them, is of byte k."""
        self.restart()
        for i in range(known.shape[1]):
            self._advance(known[:, i - 1] if i else None)

    @torch.inference_mode()
    def launch(self, previous: npt.NDArray[np.uint8] | None, places: Guard) -> None:
        """Begin the next byte's tables, given every window's byte before (n,) (None at the start).

        `places` are the listed logits, flat. On CUDA the host goes on meanwhile; `tables` waits.
        """
        logits, counts = self._advance(previous)
        if places.index.size:  # seldom: some rows again, as the encoder saw them
            row, byte = np.divmod(places.index, VOCABULARY)
            distinct, where = np.unique(row, return_inverse=True)
            parts = (distinct, where * VOCABULARY + byte, places.up)
            rows, flat, up = (torch.from_numpy(part).to(logits.device) for part in parts)
            counts[rows] = float64_counts(guided_grid(logits[rows], flat, up))
        self._host.copy_(counts, non_blocking=self._arrived is not None)
        if self._arrived:
            self._arrived.record()

    def tables(self) -> npt.NDArray[np.float64]:
        """The coder's counts (n, V) last launched, whole numbers; good until the next launch."""
        if self._arrived:
            self._arrived.synchronize()
        return self._host.numpy()

    @torch.inference_mode()
    def logits(self, previous: npt.NDArray[np.uint8] | None) -> Tensor:
        """The next byte's logits (n, V)."""
        return self._advance(previous)[0]

    def _advance(self, previous: npt.NDArray[np.uint8] | None) -> tuple[Tensor, Tensor]:
        """Logits and counts (n, V) of the next byte."""
        if previous is not None:
            self._sent.copy_(torch.from_numpy(previous))
            self._previous.copy_(self._sent, non_blocking=True)
        self._at.fill_(self._t)
        self._t += 1
        if not self._cuda:
            return self._step(self._t)
        length = min(self.length, -(-self._t // _GRAPH_STEPS) * _GRAPH_STEPS)
        if length not in self._graphs:
            other = next(iter(self._graphs.values()), None)
            self._graphs[length] = _Graph(lambda: self._step(length), other, self._carried())
        return self._graphs[length].replay()

    def _step(self, length: int) -> tuple[Tensor, Tensor]:
        logits = self._logits(length)
        return logits, float64_counts(nearest_grid(logits))


def rehearse(step: _Step, carried: Sequence[Tensor]) -> None:
    """Take a step, and leave the tensors that it carries on as they were before."""
    before = [tensor.clone() for tensor in carried]
    step()
    for tensor, value in zip(carried, before, strict=True):
        tensor.copy_(value)


class _Graph:
    """A step on CUDA, recorded once and launched as one."""

    def __init__(self, step: _Step, other: _Graph | None, carried: Sequence[Tensor]) -> None:
        """It shares its memory with `other`, which must not run at the same time; `carried` are as they were."""
        if other is None:  # libraries set themselves up before the first recording
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                rehearse(step, carried)
            torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=other._graph.pool() if other else None):
            self._made = step()

    def replay(self) -> tuple[Tensor, Tensor]:
        """What the step gives; good until the next replay."""
        self._graph.replay()
        return self._made
