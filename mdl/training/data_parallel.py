"""A cohort too large for one device: its batches over several of a host, a process (a *rank*) each.

Every rank trains on its share of each batch's windows as if it were alone, but for the gradients, which are averaged.
All begin with the same weights and take the same steps. Rank 0 is the worker itself: it starts the others
(`companions`), and all that is saved, told, measured and recorded is its.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined] # public, but not among its typed exports

from mdl.config import Execution


@dataclass
class _Pace:
    """How far the ranks have come together."""

    n_met: int = 0
    parted: bool = False
    said: tuple[Tensor, torch.cuda.Event | None] | None = None  # by rank 0, and when it is there


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one cohort."""

    rank: int = 0
    n: int = 1
    _pace: _Pace = field(default_factory=_Pace, compare=False, repr=False)

    @property
    def n_met(self) -> int:
        """How often all ranks have met in `as_first`, which they do at every step's end."""
        return self._pace.n_met

    @property
    def parted(self) -> bool:
        """Whether no rank waits for another any more: each may leave as it will."""
        return self._pace.parted

    def part(self) -> None:
        """After the last operation that all take part in."""
        self._pace.parted = True

    def share(self, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """This rank's windows of a batch (…, B): every n-th."""
        return windows[..., self.rank :: self.n]

    def sum(self, values: Tensor) -> Tensor:
        """The sum of all ranks' values, on each of them."""
        if self.n == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total

    def mean(self, values: Tensor) -> Tensor:
        """The mean of all ranks' values, on each of them."""
        return values if self.n == 1 else self.sum(values) / self.n

    def average(self, gradients: Sequence[Tensor]) -> None:
        """Every gradient becomes the mean of all ranks': in one sum, since each takes as long to begin as to add."""
        if self.n == 1:
            return
        together = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(together)
        parts = torch.split(together.div_(self.n), [gradient.numel() for gradient in gradients])
        torch._foreach_copy_(list(gradients), [p.view_as(g) for p, g in zip(parts, gradients, strict=True)])

    def take_first(self, tensors: Iterable[Tensor]) -> None:
        """Every tensor becomes rank 0's."""
        for tensor in tensors if self.n > 1 else ():
            distributed.broadcast(tensor, 0)

    def as_first(self, *flags: bool, device: torch.device) -> list[bool]:
        """What rank 0 said when this was last called, and no at first: what one rank does all must do.

        Not what it says now: to wait for that is to let a GPU stand idle until the next step is launched.
        """
        if self.n == 1:
            return list(flags)
        before, own = self._pace.said, torch.tensor(flags, dtype=torch.uint8, device=device)
        self._pace.said = self._told_by_first(own)
        self._pace.n_met += 1
        if before is None:
            return [False] * len(flags)
        said, there = before
        if there:
            there.synchronize()
        return [bool(flag) for flag in said.tolist()]

    @staticmethod
    def _told_by_first(flags: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        distributed.broadcast(flags, 0)
        if not flags.is_cuda:
            return flags, None
        # On the host without a wait: to ask the device for it would wait for all that was launched since.
        said, there = torch.empty_like(flags, device="cpu", pin_memory=True), torch.cuda.Event()  # type: ignore[no-untyped-call]
        said.copy_(flags, non_blocking=True)
        there.record()
        return said, there


ALONE = Ranks()


def usable(execution: Execution, batch_windows: int, accelerator: str) -> int:
    """How many devices really train: as many GPUs as are visible at the most, and a divisor of the batch."""
    wanted = execution.n_devices
    if accelerator == "cuda":
        wanted = min(wanted, torch.cuda.device_count())
    elif not execution.devices_were_asked:
        return 1
    return max(n for n in range(1, max(1, wanted) + 1) if batch_windows % n == 0)


def join(ranks: Ranks, store: TCPStore) -> None:
    """From here on collective operations reach all ranks."""
    on_cuda = torch.cuda.is_available()
    if on_cuda:
        torch.cuda.set_device(ranks.rank)
    backend = "nccl" if on_cuda else "gloo"
    distributed.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.n)


def leave() -> None:
    """Once the others are gone. NCCL waits for them where a group is destroyed; it does not where it is aborted."""
    if distributed.is_initialized():
        group = distributed.group.WORLD
        assert group is not None  # noqa: S101 - it is initialized
        group.abort()
        distributed.destroy_process_group()
