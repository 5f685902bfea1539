"""A cohort too large for one device: its batches over several of a host, a process (a *rank*) each, by Lightning's DDP.

Every rank trains on its share of each batch's windows, and gradients are averaged. Rank 0 is the worker itself: it
starts the others, and all that is saved, told, measured and recorded is its. The others end with it, however it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor, distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined] # public, but not among its typed exports

from mdl.config import Execution

_END_SECONDS = 60.0


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one cohort."""

    rank: int = 0
    n: int = 1

    def share(self, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """This rank's windows of a batch (…, B): every n-th."""
        return windows[..., self.rank :: self.n]

    def sum(self, own: Tensor) -> Tensor:
        """The sum of all ranks' values, on each of them."""
        if self.n == 1:
            return own
        total = own.clone()
        distributed.all_reduce(total)
        return total

    def mean(self, own: Tensor) -> Tensor:
        """The mean of all ranks' values, on each of them."""
        return own if self.n == 1 else self.sum(own) / self.n

    def as_first(self, *flags: bool, device: torch.device) -> list[bool]:
        """What rank 0 says: clocks and signals differ, and what one rank does all must do."""
        if self.n == 1:
            return list(flags)
        told = torch.tensor(flags, dtype=torch.uint8, device=device)
        distributed.broadcast(told, 0)
        return [bool(flag) for flag in told.tolist()]


ALONE = Ranks()


class RankEnvironment(LightningEnvironment):
    """Tells Lightning that the processes are there already, and which one this is."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self._ranks = ranks

    @property
    def creates_processes_externally(self) -> bool:
        """They are."""
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


@contextmanager
def companions(n: int, configs: Sequence[dict[str, Any]], root: Path) -> Iterator[Ranks]:
    """Within, n − 1 more processes train the cohort of these configurations along with this one, rank 0."""
    if n == 1:
        yield ALONE
        return
    # The store finds a free port itself, and keeps it: no other process can take it in between.
    store = TCPStore("127.0.0.1", 0, n, is_master=True, wait_for_workers=False)
    ended = threading.Event()
    request = {"configs": configs, "root": str(root), "n": n, "port": store.port}
    others = [_start(request | {"rank": rank}) for rank in range(1, n)]
    for other in others:
        threading.Thread(target=_watch, args=(other, ended), daemon=True).start()
    try:
        with joined(Ranks(0, n), store) as ranks:
            yield ranks
            for other in others:
                other.wait(_END_SECONDS)
    finally:
        ended.set()
        for other in others:
            other.kill()
            other.wait()


def _start(request: dict[str, Any]) -> subprocess.Popen[str]:
    other = subprocess.Popen(
        [sys.executable, "-m", "mdl.training.companion"], stdin=subprocess.PIPE, stdout=2, text=True
    )
    assert other.stdin is not None  # noqa: S101 - it is a pipe
    other.stdin.write(json.dumps(request) + "\n")
    other.stdin.flush()
    return other


def _watch(other: subprocess.Popen[str], ended: threading.Event) -> None:
    """Nobody can go on without all others: a collective operation would wait for the dead one."""
    if other.wait() and not ended.is_set():
        print(f"a process that trained along ended with status {other.returncode}", file=sys.stderr, flush=True)
        os._exit(1)


@contextmanager
def joined(ranks: Ranks, store: TCPStore) -> Iterator[Ranks]:
    """Within, collective operations reach all ranks."""
    on_cuda = torch.cuda.is_available()
    if on_cuda:
        torch.cuda.set_device(ranks.rank)
    backend = "nccl" if on_cuda else "gloo"
    distributed.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.n)
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()
