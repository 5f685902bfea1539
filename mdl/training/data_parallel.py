"""A cohort too large for one device: its batches over several of a host, a process (a *rank*) each, by Lightning's DDP.

Every rank trains on its share of each batch's windows, and gradients are averaged. Rank 0 is the worker itself: it
starts the others (`companions`), and all that is saved, told, measured and recorded is its.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined] # public, but not among its typed exports

from mdl.config import Execution


@dataclass
class _Pace:
    """How far the ranks have come together."""

    n_met: int = 0
    parted: bool = False


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

    def as_first(self, *flags: bool, device: torch.device) -> list[bool]:
        """What rank 0 says: clocks and signals differ, and what one rank does all must do."""
        if self.n == 1:
            return list(flags)
        shared = torch.tensor(flags, dtype=torch.uint8, device=device)
        distributed.broadcast(shared, 0)
        flags_of_first = [bool(flag) for flag in shared.tolist()]
        self._pace.n_met += 1
        return flags_of_first


ALONE = Ranks()


class RankEnvironment(LightningEnvironment):
    """Tells Lightning that the processes are there already, and which one this is."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self._ranks = ranks

    @property
    def creates_processes_externally(self) -> bool:
        """True: `companions` started them."""
        return True

    def local_rank(self) -> int:
        """All are on this host."""
        return self._ranks.rank

    def node_rank(self) -> int:
        """Whatever Slurm, or another launcher above, says."""
        return 0


def usable(execution: Execution, batch_windows: int, accelerator: str) -> int:
    """How many devices really train: as many GPUs as are visible at the most, and a divisor of the batch."""
    wanted = execution.n_devices
    if accelerator == "cuda":
        wanted = min(wanted, torch.cuda.device_count())
    elif not execution.devices_were_asked:
        return 1
    return max(n for n in range(1, max(1, wanted) + 1) if batch_windows % n == 0)


class DataParallel(DDPStrategy):
    """DDP over processes that are there already. Rank 0 alone saves, and nobody waits for it to have saved."""

    def __init__(self, ranks: Ranks) -> None:
        # Buffers are each rank's own, the best weights among them: to send them at every step would cost more than it.
        super().__init__(cluster_environment=RankEnvironment(ranks), broadcast_buffers=False)

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """At the start; after a saving the others may be gone."""
        if "Trainer.save_checkpoint" not in args:
            super().barrier(*args, **kwargs)


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
